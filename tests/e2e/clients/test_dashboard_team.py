"""What a team has set up, in a browser: webhook endpoints with their log, links that work, tokens, the storage."""

import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from playwright.async_api import Locator, Page, expect
from standardwebhooks import Webhook

from app.domain.accounts import USER_SCOPES, Scope
from app.domain.ids import new_id
from tests.e2e.clients.accessible import assert_accessible
from tests.e2e.clients.browser import new_page
from tests.e2e.clients.customers import Customers, picture
from tests.e2e.clients.visitors import give_key, own_gateway, sign_in, trusting
from tests.support.accounts import new_account
from tests.support.receiver import Receiver, Reply
from tests.support.stack import ADMIN_KEY
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

ADMINISTRATOR = {"Authorization": f"Bearer {ADMIN_KEY}"}
MARKUP = "\"><script>ran=1</script><img src=x onerror=ran=1><a href='javascript:ran=1'>x</a>"
ABORT = {"webhook-delivery": "abort-message"}
WATCH = "document.addEventListener('securitypolicyviolation', () => (window.ran = 'a violation'));"


@dataclass(frozen=True)
class Chief:
    """Somebody with `team:admin` of a team of their own, and their page."""

    customers: Customers
    page: Page
    team: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        """For calls of the API."""
        return {"Authorization": f"Bearer {self.key}"}

    async def job(self, *scenarios: str) -> str:
        """The id of a new job."""
        return (await self.prompted(*scenarios))[0]

    async def prompted(self, *scenarios: str) -> tuple[str, str]:
        """The id of a new job, and its prompt."""
        prompt = self.customers.prompt(*scenarios)
        body = {"input": self.customers.input(prompt)}
        reply = await self.customers.web.post("/v1/jobs", json=body, headers=self.headers)
        assert reply.status_code == 202, reply.text
        return str(reply.json()["id"]), prompt

    async def open_part(self, name: str) -> None:
        """A part of the team's view."""
        await self.page.get_by_role("link", name="Team", exact=True).click()
        await self.page.get_by_role("link", name=name, exact=True).click()


@asynccontextmanager
async def chief(customers: Customers) -> AsyncIterator[Chief]:
    """Signed in; at the end no markup has run."""
    async with own_gateway(customers) as gateway, new_page(trusting(customers)) as page:
        people = gateway.administration
        account = await new_account(people, team_name=new_id("team"), user_name="Grace")
        scopes = USER_SCOPES | {Scope.TEAM_ADMIN}
        key = (await people.add_key("test", user=account.user.id, scopes=scopes)).key
        await page.add_init_script(WATCH)
        page.on("dialog", lambda dialog: pytest.fail(f"a dialog of the browser: {dialog.message}"))
        await sign_in(page, customers, key)
        yield Chief(customers, page, account.team.id, key)
        assert await page.evaluate("window.ran") is None


async def shown_once(page: Page) -> str:
    """The secret in the window, which is closed."""
    secret = await page.locator("#shown-once").inner_text()
    await page.get_by_role("button", name="I have kept it").click()
    return secret


async def add_endpoint(page: Page, url: str) -> str:
    """From the empty list: an endpoint without news of held jobs; its secret."""
    await page.get_by_text("No endpoints yet").wait_for()
    await assert_accessible(page, "no endpoints")
    await page.get_by_role("button", name="Add an endpoint").click()
    await page.get_by_role("button", name="Add the endpoint").click()
    address = page.get_by_label("Address")  # the API's sentence stands there, and one is led to it
    await expect(address).to_have_accessible_description(re.compile("This is not a URL"))
    await expect(address).to_be_focused()
    await expect(page.get_by_role("dialog").get_by_role("alert")).to_have_count(0)
    await page.get_by_label("Address").fill(url)
    await page.get_by_label("What it is for").fill(MARKUP)
    await page.get_by_label("job.held").uncheck()
    await assert_accessible(page, "a new endpoint")
    await page.get_by_role("button", name="Add the endpoint").click()
    secret = await shown_once(page)
    await page.get_by_role("heading", name=url).wait_for()
    await page.get_by_text(MARKUP, exact=True).wait_for()
    return secret


async def replay_of(page: Page, url: str) -> Locator:
    """From any view: the newest message to this endpoint is sent again; prints the presses and the seconds."""
    began, presses = time.monotonic(), 5
    await page.get_by_role("link", name="Team", exact=True).click()
    await page.get_by_role("link", name="Webhooks", exact=True).click()
    await page.get_by_role("link", name=url).click()
    newest = page.get_by_role("region", name="Deliveries").locator("details").first
    await newest.locator("summary").click()
    await newest.get_by_role("button", name="Send again").click()
    await expect(newest).to_contain_text("Delivered")
    took = time.monotonic() - began
    sys.stdout.write(f"\na webhook is sent again: {presses} presses, {took:.1f} s until it is delivered\n")
    return newest


async def test_a_webhook_is_set_up_tried_repaired_and_sent_again(customers: Customers) -> None:
    """Its secret signs; a failed one is replayed, then many; another secret, a pause; disabled, and on."""
    async with Receiver() as receiver, chief(customers) as she:
        page, url = she.page, f"{receiver.url}/hook?a=%3Cscript%3E"
        await she.open_part("Webhooks")
        secret = await add_endpoint(page, url)

        receiver.answers([Reply(200, body=MARKUP.encode())])
        await page.get_by_role("button", name="Send a test").click()
        test = page.get_by_role("dialog")
        await expect(test).to_contain_text("It answered 200")
        assert await test.locator("pre").inner_text() == MARKUP
        await assert_accessible(page, "a test")
        await test.get_by_role("button", name="Close", exact=True).last.click()
        (tried,) = receiver.requests
        assert Webhook(secret).verify(tried.body, dict(tried.headers))["type"] == "endpoint.test"

        receiver.answers([Reply(500, ABORT, MARKUP.encode())])
        job, prompt = await she.prompted()
        await page.get_by_role("region", name="Deliveries").get_by_text("Given up").nth(1).wait_for(timeout=30_000)
        await page.locator("label", has_text="Given up").click()
        await page.wait_for_url("**?status=dead")
        await expect(page.locator(".sent")).to_have_count(1)
        await expect(page.locator(".sent summary")).to_contain_text(prompt)
        await page.locator(".sent summary").click()
        await expect(page.locator(".sent-more")).to_contain_text(re.compile(f"The job {job} *Kling"))
        await expect(page.locator(".tries")).to_contain_text("500 the receiver does not want it")
        await expect(page.locator(".sent .answer")).to_have_text(MARKUP)
        await assert_accessible(page, "the log")
        await page.get_by_role("link", name="Jobs", exact=True).click()
        sent = await replay_of(page, url)
        await expect(sent).to_contain_text("Sent again by hand")
        assert receiver.requests[1].headers["webhook-id"] == receiver.requests[2].headers["webhook-id"]

        await page.get_by_role("button", name="Send many again").click()
        await page.locator("label", has_text="Delivered ones too").click()
        await assert_accessible(page, "many")
        await page.get_by_role("button", name="Send them again").click()
        await page.get_by_text("2 are sent again.").wait_for()
        await receiver.wait_for(5)

        await another_secret_a_pause_and_an_end(she, receiver, secret)
        await as_administrator(she, receiver, job)


async def another_secret_a_pause_and_an_end(she: Chief, receiver: Receiver, secret: str) -> None:
    """The old secret signs for an hour; paused and resumed; disabled by a 410, which the page explains, and on."""
    page = she.page
    await page.get_by_role("button", name="New secret").click()
    await page.get_by_label("The old secret also signs for").select_option("3600")
    await page.get_by_role("button", name="Make the new secret").click()
    assert await shown_once(page) != secret
    await expect(page.get_by_role("region", name="About the endpoint")).to_contain_text("1 older one")
    await page.get_by_role("button", name="Pause", exact=True).click()
    await page.get_by_text("What is to be sent waits, and goes").wait_for()
    await assert_accessible(page, "a paused endpoint")
    _, prompt = await she.prompted()
    waiting = page.locator(".sent summary", has_text=prompt)
    await expect(waiting).to_contain_text("until it is resumed", timeout=30_000)
    await expect(waiting.locator(".badge")).to_have_text("Waiting")
    await page.get_by_role("button", name="Resume").click()
    await expect(waiting).to_contain_text("Delivered", timeout=30_000)

    receiver.answers([410])
    await page.locator(".button:not([aria-disabled])", has_text="Send a test").click()
    await expect(page.get_by_role("dialog")).to_contain_text("It answered 410")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("alert")).to_contain_text("The endpoint answered 410 Gone.")
    await assert_accessible(page, "a disabled endpoint")
    await page.get_by_role("button", name="Resume").click()
    await expect(page.locator(".hook-head")).to_contain_text("Active")


async def as_administrator(she: Chief, receiver: Receiver, job: str) -> None:
    """A webhook is sent again from the job's page; the endpoint is deleted; both are in the audit log."""
    page, before = she.page, len(receiver.requests)
    await page.get_by_role("button", name="Sign out").click()
    await give_key(page, ADMIN_KEY)
    await page.get_by_role("link", name="Administration").wait_for()
    await page.goto(f"{she.customers.installation.serve.url}/jobs/{job}")
    webhooks = page.get_by_role("region", name="Webhooks", exact=True)
    await webhooks.get_by_role("button", name="Send again").click()
    await receiver.wait_for(before + 1)
    await webhooks.get_by_role("link", name=receiver.url).click()
    newest = page.get_by_role("region", name="Deliveries").locator("summary", has_text="job.").first
    await expect(newest).to_contain_text(re.compile("Kling.* job_"))
    await assert_accessible(page, "a team's endpoint")
    await page.get_by_role("button", name="Delete …").click()
    await expect(page.get_by_role("button", name="Delete it")).to_be_disabled()
    await page.get_by_label("Type delete to confirm").fill("delete")
    await page.get_by_role("button", name="Delete it").click()
    await page.get_by_text("No endpoints yet").wait_for()
    lines = (await she.customers.web.get("/v1/admin/audit?limit=2", headers=ADMINISTRATOR)).json()["data"]
    assert [(line["actor"], line["action"]) for line in lines] == [
        ("administrator", "endpoint.remove"),
        ("administrator", "delivery.replay"),
    ]


async def test_links_to_clips_are_in_one_place(customers: Customers) -> None:
    """A wall is made, seen and ended; a job's link is there too."""
    async with chief(customers) as she:
        page, web = she.page, customers.web
        job = await she.job()

        async def ready() -> bool:
            reply = await web.get(f"/v1/jobs/{job}", headers=she.headers)
            return bool(reply.json()["status"] == "succeeded")

        await wait_until(ready, "the clip is ready", interval=0.2)
        await she.open_part("Shared links")
        await page.get_by_text("No link works at present").wait_for()
        await page.get_by_role("button", name="Make a wall").click()
        await page.get_by_label("Heading").fill(MARKUP)
        await assert_accessible(page, "a new wall")
        await page.get_by_role("button", name="Make the wall").click()
        wall = await page.get_by_label("The new link").input_value()
        await page.get_by_role("button", name="Close", exact=True).last.click()
        assert (await web.post(f"/v1/jobs/{job}/shares", json={}, headers=she.headers)).status_code == 201

        await page.goto(wall)
        await expect(page.locator("video")).to_have_count(1)
        assert await page.get_by_role("heading", level=1).inner_text() == MARKUP
        await page.goto(f"{customers.installation.serve.url}/team")
        links = page.get_by_role("region", name="Links that work").locator("li")
        await expect(links).to_have_count(2)
        await expect(links.filter(has_text="Wall")).to_contain_text(MARKUP)
        await assert_accessible(page, "links")
        for _ in range(2):
            await links.first.get_by_role("button", name="End …").click()
            await page.get_by_role("button", name="End it").click()
            await expect(page.get_by_role("dialog")).to_have_count(0)
        await page.get_by_text("No link works at present").wait_for()
        await page.goto(wall)
        await page.get_by_role("heading", name="This link has ended").first.wait_for()


async def test_tokens_and_the_storage_are_seen_by_whom_they_concern(customers: Customers) -> None:
    """A token is shown once and works; what is kept, for the team and for the administrator, who limits it."""
    async with chief(customers) as she:
        page = she.page
        await she.open_part("Browser tokens")
        await page.get_by_role("button", name="Make a token").click()
        await page.get_by_label("Dollars at most").fill("0")
        await page.get_by_role("button", name="Make the token").click()
        await expect(page.get_by_role("alert")).to_contain_text("A token that may cost nothing")
        await page.get_by_label("Dollars at most").fill("2.50")
        await assert_accessible(page, "a new token")
        await page.get_by_role("button", name="Make the token").click()
        token = await shown_once(page)
        await expect(page.get_by_role("region", name="Made here")).to_contain_text(
            "3 clips in all and $2.50 in all"
        )
        await assert_accessible(page, "tokens")
        headers = {"Authorization": f"Bearer {token}"}
        me = (await customers.web.get("/v1/me", headers=headers)).json()
        assert [(one["unit"], one["amount"]) for one in me["limits"]] == [("jobs", 3), ("usd", "2.50")]
        assert token not in await page.content()

        sent = {"file": ("a.jpg", picture(), "image/jpeg")}
        assert (await customers.web.post("/v1/files", files=sent, headers=she.headers)).status_code == 201
        await she.open_part("Storage")
        await page.get_by_text("Clips are not copied here").wait_for()
        await expect(page.get_by_role("region", name="Uploaded files")).to_contain_text("image/jpeg · 480")
        await assert_accessible(page, "no storage")
        await page.get_by_role("button", name="Sign out").click()
        await give_key(page, ADMIN_KEY)
        await page.get_by_role("link", name="Administration").click()
        await page.get_by_role("link", name="Storage").click()
        team = page.get_by_role("row", name=me["team"]["name"])
        await team.get_by_role("button", name="Change").click()
        await page.get_by_label("Limit in GB").fill("2.5")
        await page.get_by_label("Days to keep").fill("9")
        await page.get_by_role("button", name="Set it").click()
        await expect(team).to_contain_text("0 bytes of 2.5 GB")
        await expect(team).to_contain_text("9 days")
        await expect(page.get_by_role("columnheader", name="Records kept for")).to_be_visible()
        await page.get_by_text("The records of ended jobs go after").wait_for()
        await assert_accessible(page, "storage by team")
