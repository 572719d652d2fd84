"""Links to clips, as people without a key open them in a browser."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from app.domain.accounts import USER_SCOPES, Scope
from tests.e2e.clients.accessible import assert_accessible
from tests.e2e.clients.browser import new_page
from tests.e2e.clients.customers import Customers
from tests.e2e.clients.visitors import own_gateway, sign_in, trusting
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

PLAYS = """clip => {
    clip.muted = true;
    clip.play();
    return new Promise(done => clip.addEventListener('timeupdate', done));
}"""
READ = "**/v1/shares/current?*"


async def ready_clip(customers: Customers, prompt: str) -> dict[str, Any]:
    """A job that has a clip."""
    reply = await customers.web.post("/v1/jobs", json={"input": customers.input(prompt)})
    path = f"/v1/jobs/{reply.json()['id']}"

    async def ready() -> dict[str, Any] | None:
        job: dict[str, Any] = (await customers.web.get(path)).json()
        return job if job["status"] == "succeeded" else None

    job = await wait_until(ready, "the clip is ready", interval=0.2)
    assert job is not None
    return job


async def assert_plays(page: Page, count: int) -> None:
    """So many clips are on the page, and the first one plays."""
    await expect(page.locator("video")).to_have_count(count)
    await page.locator("video").first.evaluate(PLAYS)


async def assert_ended(page: Page) -> None:
    """The page says so, and shows no clip."""
    await page.get_by_role("heading", name="This link has ended").first.wait_for()
    await expect(page.locator("video")).to_have_count(0)


async def test_a_colleague_sees_a_shared_clip_until_the_link_is_ended(customers: Customers) -> None:
    """A link from the Playground's dialog plays without a key, and without a session of the visitor's own."""
    prompt = customers.prompt()
    async with new_page(trusting(customers)) as owner, new_page(trusting(customers)) as colleague:
        await sign_in(owner, customers, customers.key)
        await owner.get_by_role("button", name="Try a sample").first.click()
        await owner.fill("#input-prompt", prompt)
        await expect(owner.locator("#order")).to_have_text("Make clip for $1.40")
        await owner.locator("#order").click()
        await owner.get_by_role("button", name="Share", exact=True).click(timeout=30_000)
        await owner.get_by_text("No link of this clip works").wait_for()
        await owner.get_by_label("A day", exact=True).check()
        await owner.get_by_label("Show the prompt as well").check()
        await owner.get_by_role("button", name="Make a link").click()
        link = await owner.get_by_label("The new link").input_value()
        await assert_accessible(owner, "sharing a clip")

        asked: list[str] = []
        colleague.on("request", lambda request: asked.append(request.url))
        await colleague.route(READ, lambda route: route.fulfill(status=503, headers={"Retry-After": "60"}), times=1)
        await colleague.goto(link)
        await colleague.get_by_text("Retrying in").wait_for()
        await colleague.evaluate("() => void dispatchEvent(new Event('focus'))")
        await assert_plays(colleague, 1)
        await colleague.get_by_role("heading", name=prompt.strip(), level=1).wait_for()
        await colleague.get_by_text("This link ends in 23 hours").wait_for()
        await colleague.get_by_text("Kling 2.0 Master · 5 s · made").wait_for()
        await expect(colleague.get_by_role("button", name="Sign out")).to_have_count(0)
        assert await colleague.get_by_role("link", name="Download").get_attribute("href")
        secret = link.partition("#")[2]
        assert [url for url in asked if secret in url.partition("#")[0]] == []

        await owner.get_by_role("button", name="End", exact=True).click()
        await owner.get_by_text("No link of this clip works").wait_for()
        await colleague.reload()
        await assert_ended(colleague)
        await colleague.goto(link.partition("#")[0])
        await colleague.get_by_role("heading", name="This link is not whole").first.wait_for()

        await owner.keyboard.press("Escape")
        async with owner.expect_request(READ) as read:
            await owner.goto(link)
        sent = await (await read.value).all_headers()
        assert (sent["authorization"], "cookie" in sent) == (f"Bearer {secret}", False)
        await assert_ended(owner)
        await owner.goto(f"{customers.installation.serve.url}/")
        await owner.get_by_role("button", name="Sign out").wait_for()


async def test_a_wall_shows_the_clips_of_its_period(customers: Customers) -> None:
    """Two clips, one after the other on pages of one; an erased clip leaves the wall, and its own link says so."""
    jobs = [await ready_clip(customers, customers.prompt()) for _ in range(2)]
    me = (await customers.web.get("/v1/me")).json()["user"]["id"]
    async with own_gateway(customers) as gateway:
        scopes = USER_SCOPES | {Scope.TEAM_ADMIN}
        key = (await gateway.administration.add_key("test", user=me, scopes=scopes)).key
    until = datetime.fromisoformat(jobs[1]["created_at"]) + timedelta(milliseconds=1)
    body = {"from": jobs[0]["created_at"], "to": until.isoformat(), "title": "Lakes"}
    headers = {"Authorization": f"Bearer {key}"}
    wall = (await customers.web.post("/v1/shares", json=body, headers=headers)).json()["url"]
    one = (await customers.web.post(f"/v1/jobs/{jobs[0]['id']}/shares", json={})).json()["url"]
    later = {**body, "from": until.isoformat(), "to": (until + timedelta(milliseconds=1)).isoformat()}
    nothing = (await customers.web.post("/v1/shares", json=later, headers=headers)).json()["url"]

    async def by_one(route: Route) -> None:
        await route.continue_(url=route.request.url.replace("limit=24", "limit=1"))

    async with new_page(trusting(customers)) as page:
        await page.route(READ, by_one)
        await page.goto(wall)
        await page.get_by_role("heading", name="Lakes", level=1).wait_for()
        await assert_plays(page, 1)
        await page.get_by_role("button", name="Show more").click()
        await assert_plays(page, 2)
        await assert_accessible(page, "a wall")
        assert jobs[0]["input"]["prompt"] not in await page.content()
        await page.goto(nothing)
        await page.get_by_text("No clips yet").wait_for()
        await customers.web.delete(f"/v1/jobs/{jobs[0]['id']}")
        await page.goto(one)
        await page.get_by_role("heading", name="This clip is gone").first.wait_for()
