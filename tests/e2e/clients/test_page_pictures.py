"""The views that docs/pictures shows, as they are now: no control and no heading is missing in a picture."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Page

from app.domain.accounts import USER_SCOPES, Scope
from app.domain.ids import new_id
from app.domain.limits import Limit, Unit, Window
from tests.e2e.clients.browser import new_page
from tests.e2e.clients.customers import Customers, picture
from tests.e2e.clients.page_views import COMMAND, Stage, look, noted, read
from tests.e2e.clients.test_dashboard import DOLLARS
from tests.e2e.clients.visitors import own_gateway, trusting
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

PERSON = "Mara Lind"
DEPENDS = {  # on what else there is
    "Make the next clip",
    "Sign in with",
    "The latest, with those that are over",
}


async def open_stage(customers: Customers, folder: Path) -> Stage:
    """A team of one, with limits, a clip that is shared, and a job that failed."""
    async with own_gateway(customers) as gateway:
        people, (theirs, own) = (
            gateway.administration,
            (Limit(Unit.USD, Window.MONTH, n * DOLLARS) for n in (400, 50)),
        )
        team = await people.add_team("test", name=new_id("studio"), limits=[theirs])
        user = await people.add_user("test", team=team.id, name=PERSON, limits=[own])
        scopes = USER_SCOPES | {Scope.TEAM_READ, Scope.TEAM_ADMIN}
        key = (await people.add_key("test", user=user.id, name="laptop", scopes=scopes)).key
    headers = {"Authorization": f"Bearer {key}"}

    async def ended(prompt: str, status: str) -> str:
        body = {"input": customers.input(prompt)}
        job: str = (await customers.web.post("/v1/jobs", json=body, headers=headers)).json()["id"]

        async def reached() -> bool:
            found = (await customers.web.get(f"/v1/jobs/{job}", headers=headers)).json()
            return bool(found["status"] == status)

        await wait_until(reached, f"the job has {status}", timeout=30)
        return job

    ready, failed = await asyncio.gather(
        ended(customers.prompt(), "succeeded"), ended(customers.prompt("422_content_policy"), "failed")
    )
    reply = await customers.web.post(f"/v1/jobs/{ready}/shares", json={"prompt": True}, headers=headers)
    photo = folder / "photo.jpg"
    photo.write_bytes(picture())

    async def finish() -> None:
        """It ends by itself."""

    url = customers.installation.serve.url
    return Stage(
        url, key, team.name, PERSON, failed, reply.json()["url"], customers.prompt().strip(), photo, finish
    )


async def test_the_pictures_show_every_control_and_heading(customers: Customers, tmp_path: Path) -> None:
    """What a view has since its picture was taken is named; the pictures are then taken anew."""
    stage, shown, found = await open_stage(customers, tmp_path), noted(), dict[str, list[str]]()

    async def compare(name: str, page: Page) -> None:
        now = await read(name, page)
        found[name] = sorted(set(now["controls"]) - set(shown[name]["controls"]) - DEPENDS)

    async with new_page(trusting(customers)) as page:
        assert page.context.browser is not None
        await look(page.context.browser, stage, compare)
    new = {name: words for name, words in found.items() if words}
    assert new == {}, f"not in the pictures; {COMMAND} takes them anew"
