"""How the page behaves: by the keyboard, in every state and width, with a wrong clock, after a key is revoked."""

import asyncio
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from app.domain.accounts import USER_SCOPES, Scope
from app.domain.ids import new_id
from app.domain.limits import Limit, Unit, Window
from tests.e2e.clients.accessible import assert_accessible
from tests.e2e.clients.browser import new_page
from tests.e2e.clients.customers import Customers
from tests.e2e.clients.test_dashboard import DOLLARS
from tests.e2e.clients.visitors import give_key, own_gateway, sign_in, trusting
from tests.support.accounts import new_account

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

WIDTHS = (320, 1440, 2560, 3840)
MOST_SHIFT = 0.1  # what people do not notice, by the web's own measure
ODD = ("javascript:alert(1)", "data:text/html,<script>alert(1)</script>", "file:///etc/hostname")
SCHEMES = tuple(url.partition(":")[0] + ":" for url in ODD)
ADDRESSES = """() => [...document.querySelectorAll('[href], [src], [poster]')].flatMap(
    one => ['href', 'src', 'poster'].map(name => (one.getAttribute(name) ?? '').trim().toLowerCase())
)"""
HUGE = 100_000_000  # bytes
SHIFT = """() => new Promise(done => {
    let sum = 0;
    new PerformanceObserver(list => list.getEntries().forEach(one => sum += one.hadRecentInput ? 0 : one.value))
        .observe({type: 'layout-shift', buffered: true});
    requestAnimationFrame(() => setTimeout(() => done(sum)));
})"""
WIDER = "document.documentElement.scrollWidth > innerWidth"
FEED = "retry: 300\n\n"  # it ends at once
DOWN = {"code": "store_unavailable", "detail": "The store does not answer."}


async def one_job(customers: Customers, key: str) -> dict[str, Any]:
    """A job of this key's user that has ended."""
    headers = {"Authorization": f"Bearer {key}", "Prefer": "wait=30"}
    body = {"input": customers.input(customers.prompt().strip())}
    reply = await customers.web.post("/v1/jobs", json=body, headers=headers, timeout=40)
    job: dict[str, Any] = reply.json()
    assert job["status"] == "succeeded", reply.text
    return job


async def test_every_state_can_be_used_by_everybody(customers: Customers) -> None:
    """From the first page over empty lists, windows and refusals to a store that is away for a while."""
    url, key = (
        customers.installation.serve.url,
        await customers.limited(Limit(Unit.USD, Window.MONTH, 50 * DOLLARS)),
    )

    async def down(route: Route) -> None:
        await route.fulfill(status=503, json=DOWN, headers={"Retry-After": "1"})

    async with new_page(trusting(customers)) as page:
        await sign_in(page, customers, "fg_nothing")
        await expect(page.locator("#key-fault")).to_contain_text("key")
        await page.get_by_text("Where do I get a key?").click()
        await assert_accessible(page, "the first page, with a key that opens nothing")
        await give_key(page, key)
        await page.get_by_role("heading", name="Make your first clip").wait_for()
        await assert_accessible(page, "the playground before anything was made")
        for press, window in (("m", "model"), ("c", "code"), ("?", "Shortcuts")):
            await page.keyboard.press(press)
            await page.locator("dialog[open]").wait_for()
            await assert_accessible(page, f"the window {window}")
            await page.keyboard.press("Escape")
            await expect(page.locator("dialog[open]")).to_have_count(0)
        for address, words in (
            ("/jobs", "No jobs yet"),
            ("/jobs?text=nothing", "No job fits"),
            ("/jobs/job_0", "This job is not here"),
            ("/admin", "Not for this key"),
            ("/enter#fg_code_0", "This link does not sign in"),
            ("/invite#fg_invite_0", "This invitation cannot be used"),
            ("/share#fg_share_0", "This link has ended"),
            ("/problems/over_budget", "budget"),
            ("/docs/guide", "Filmgate"),
        ):
            await page.goto(url + address)
            await page.locator("h1, h2", has_text=words).first.wait_for()
            await assert_accessible(page, address)

        await page.goto(f"{url}/money")
        await page.get_by_text("Nothing was spent").wait_for()
        await page.route("**/v1/**", down)
        await page.get_by_role("link", name="Jobs", exact=True).click()
        await page.get_by_text("The gateway's store does not answer.").wait_for()
        await page.get_by_text("Retrying in").wait_for()
        await assert_accessible(page, "jobs while the store is away")
        await page.unroute("**/v1/**")
        await page.get_by_role("heading", name="No jobs yet").wait_for()
        await expect(page.locator(".outage")).to_have_count(0)
        await expect(page.locator(".fault, [aria-invalid]")).to_have_count(0)
        await page.context.set_offline(True)
        await expect(page.locator(".outage")).to_contain_text("device is offline")  # nothing was asked for
        await page.context.set_offline(False)
        await expect(page.locator(".outage")).to_have_count(0)
        await lose_the_feed(page, url)


async def lose_the_feed(page: Page, url: str) -> None:
    """In a playground that asks for nothing: the gateway's absence is told when the feed breaks, and its return."""
    await page.route("**/v1/events", lambda route: route.fulfill(content_type="text/event-stream", body=FEED))
    await page.goto(url)
    await page.get_by_role("heading", name="Make your first clip").wait_for()
    await expect(page.locator(".outage")).to_have_count(0)
    await page.route("**/v1/**", lambda route: route.abort())
    await expect(page.locator(".outage")).to_contain_text("The gateway cannot be reached.")
    await page.unroute_all()
    await expect(page.locator(".outage")).to_have_count(0)


async def test_the_keyboard_alone_goes_everywhere_and_nothing_jumps(customers: Customers) -> None:
    """Past the rail, from view to view, along the jobs, into one and back; at every width nothing is too wide."""
    key = await customers.limited(Limit(Unit.USD, Window.MONTH, 50 * DOLLARS))
    first, second = [(await one_job(customers, key))["id"] for _ in range(2)]
    async with new_page(trusting(customers)) as page:
        await sign_in(page, customers, key)
        await page.get_by_role("button", name="Sign out").wait_for()
        await page.reload()
        await page.locator("#order").wait_for()
        await page.keyboard.press("Tab")
        await expect(page.locator(".skip")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("#main")).to_be_focused()
        await page.keyboard.type("gj")
        await page.locator(".card").first.wait_for()
        await expect(page.locator("#main")).to_be_focused()
        await page.keyboard.press("v")
        await page.keyboard.type("jj")
        await expect(page.locator(f"[data-job={first}] a")).to_be_focused()
        await page.keyboard.press("k")
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/jobs/{second}")
        await page.locator(".timeline").wait_for()
        await page.keyboard.press("j")
        await page.wait_for_url(f"**/jobs/{first}")
        erase = page.get_by_role("button", name="Erase")
        await erase.press("Enter")
        await page.get_by_label("Type erase").wait_for()
        await assert_accessible(page, "a question with a word to type")
        await page.keyboard.press("Escape")
        await expect(erase).to_be_focused()
        await page.keyboard.press("?")
        await expect(page.locator("dialog")).to_contain_text("Back to the list")
        await expect(page.locator("dialog")).not_to_contain_text("Administration")
        await page.keyboard.press("Escape")
        await expect(page.locator("dialog")).to_have_count(0)
        await page.keyboard.press("u")
        await page.locator(f"[data-job={first}]").wait_for()

        for view, ready in (
            ("/", "#order"),
            ("/jobs", ".line"),
            (f"/jobs/{first}", ".timeline"),
            ("/money", ".chart-day"),
        ):
            for width in WIDTHS:
                await page.set_viewport_size({"width": width, "height": 900})
                if width in WIDTHS[:2]:
                    await page.goto(f"{customers.installation.serve.url}{view}")
                    await page.locator(ready).first.wait_for()
                    assert await page.evaluate(SHIFT) < MOST_SHIFT, (view, width)
                assert not await page.evaluate(WIDER), (view, width)


async def test_a_revoked_key_leads_every_tab_to_the_first_page_and_what_was_typed_stays(
    customers: Customers,
) -> None:
    """Also the tab that asks nothing at present; with another key one goes on where one was."""
    async with own_gateway(customers) as gateway:
        people = gateway.administration
        account = await new_account(people, team_name=new_id("leave"), user_name="one")
        scopes = USER_SCOPES | {Scope.TEAM_READ}
        old, new = [await people.add_key("test", user=account.user.id, scopes=scopes) for _ in range(2)]
        async with new_page(trusting(customers)) as page:
            await sign_in(page, customers, old.key)
            await page.get_by_role("button", name="Try a sample").first.click()
            await page.fill("#input-prompt", "What I typed")
            tabs = {"/": page}
            for view in ("/jobs", "/money", "/jobs?status=failed"):
                async with page.expect_popup() as opened:
                    await page.evaluate("view => void open(view)", view)
                tabs[view] = await opened.value
                await tabs[view].get_by_role("button", name="Sign out").wait_for()
            await people.revoke_key("test", old.record.id)
            for view, tab in tabs.items():
                await tab.locator("#key").wait_for(timeout=40_000)
                await expect(tab.locator("#key-fault")).not_to_have_text("You signed out in another tab.")
                assert tab.url.endswith(view)
            await assert_accessible(page, "the first page after the key was revoked")
            await give_key(page, new.key)
            await expect(page.locator("#input-prompt")).to_have_value("What I typed")
            await expect(page.locator(".preview img")).to_have_count(1)
            await tabs["/money"].get_by_role("heading", name="Money", level=1).wait_for()


async def test_a_wrong_clock_and_a_huge_picture_confuse_nobody(customers: Customers, tmp_path: Path) -> None:
    """The device is an hour ahead: what was just made was just made. 100 MB are refused before they are sent."""
    key, huge = await customers.limited(), tmp_path / "poster.png"
    await asyncio.to_thread(huge.touch)
    await asyncio.to_thread(os.truncate, huge, HUGE)
    job = await one_job(customers, key)
    async with new_page(trusting(customers)) as page:
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.url))
        await page.clock.set_system_time(datetime.fromisoformat(job["created_at"]) + timedelta(hours=1))
        await sign_in(page, customers, key)
        await page.locator(".strip video").wait_for()
        await page.locator("#input-image_url-file").set_input_files(huge)
        await page.get_by_text("poster.png has 100.0 MB, and").wait_for()
        await expect(page.locator(".media .fault")).to_contain_text("Make it smaller, then choose it again.")
        await page.fill("#input-prompt", "The page answers")
        assert [url for url in sent if url.endswith("/v1/files")] == []
        await page.get_by_role("link", name="Jobs", exact=True).click()
        await expect(page.locator(".card time")).to_have_text("just now")


async def test_a_clip_whose_address_is_none_of_the_web_is_neither_played_nor_linked(customers: Customers) -> None:
    """No link, picture, clip or poster has such an address, in the list and on the job's page."""
    job = await one_job(customers, customers.key)

    def with_address(url: str, number: int) -> dict[str, Any]:
        return {
            **job,
            "id": f"{job['id'][:-1]}{number}",
            "output": {"video": {**job["output"]["video"], "url": url}},
        }

    jobs = [with_address(url, number) for number, url in enumerate(ODD)]

    async def listed(route: Route) -> None:
        await route.fulfill(json={"data": jobs, "next_cursor": None, "has_more": False, "scanned": len(jobs)})

    async def read(route: Route) -> None:
        tail = "/history" if route.request.url.endswith("/history") else "/deliveries"
        known = (await customers.web.get(f"/v1/jobs/{job['id']}{tail}")).json()
        await route.fulfill(json=jobs[0] if route.request.url.endswith(jobs[0]["id"]) else known)

    async with new_page(trusting(customers)) as page:
        await page.route("**/v1/jobs?*", listed)
        await page.route(f"**/v1/jobs/{jobs[0]['id']}*", read)
        await page.route(f"**/v1/jobs/{jobs[0]['id']}/*", read)
        await sign_in(page, customers, customers.key)
        await page.get_by_role("button", name="Sign out").wait_for()
        for view, ready in (("/", ".clip-gone"), ("/jobs", ".card"), (f"/jobs/{jobs[0]['id']}", ".clip-gone")):
            await page.goto(customers.installation.serve.url + view)
            await page.locator(ready).first.wait_for()
            named = await page.evaluate(ADDRESSES)
            assert [one for one in named if one.startswith(SCHEMES)] == [], view
