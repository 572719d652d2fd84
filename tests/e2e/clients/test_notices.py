"""What one is told while one looks elsewhere: the browser's notice and the title of the tab."""

from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.e2e.clients.accessible import assert_accessible
from tests.e2e.clients.browser import new_page
from tests.e2e.clients.customers import WATCHED, Customers
from tests.e2e.clients.visitors import sign_in, trusting
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

# A headless browser has no tabs that somebody could look away from, and tells nobody which notices it shows. So the
# page is told that it is hidden, and the browser's own class is called through by one that keeps what it makes.
ELSEWHERE = """if (!window.look) {  // a window that opens has this for its empty document already
    window.away = false;
    Object.defineProperty(Document.prototype, 'hidden', {get: () => window.away});
    window.look = here => {
        window.away = !here;
        document.dispatchEvent(new Event('visibilitychange'));
    };
    window.notices = [];
    window.Notification = class extends Notification {
        constructor(title, options) {
            super(title, options);
            window.notices.push(this);
            this.addEventListener('show', () => this.shown = true);
            this.addEventListener('close', () => this.closed = true);
        }
    };
}"""
SHOWN = """() => notices.filter(one => one.shown && !one.closed).map(
    one => ({title: one.title, body: one.body, tag: one.tag, silent: one.silent})
)"""


async def told(*pages: Page, count: int = 1) -> list[dict[str, Any]]:
    """What the notices on the screen say, once there are so many."""
    found: list[dict[str, Any]] = []

    async def so_many() -> bool:
        found[:] = [one for page in pages for one in await page.evaluate(SHOWN)]
        return len(found) == count

    await wait_until(so_many, f"{count} notices", timeout=30)
    return found


async def look(*pages: Page, here: bool) -> None:
    """Somebody looks at these tabs, or away from them."""
    for page in pages:
        await page.evaluate("here => look(here)", here)


async def order(page: Page, prompt: str, takes: int) -> None:
    """In the playground, which is filled in."""
    await page.fill("#input-prompt", prompt)
    await page.locator(".order-row label", has_text=str(takes)).click()
    await expect(page.locator("#order")).to_have_text(
        f"Make {takes} clips for $2.80" if takes > 1 else "Make clip for $1.40"
    )
    await page.click("#order")
    await expect(page.locator(".take-prompt").filter(has_text=prompt)).to_have_count(takes)


async def test_whoever_looks_elsewhere_is_told_once_that_a_clip_is_done(customers: Customers) -> None:
    """Offered after the first order; one notice of two tabs, which leads to the job; several are summed up."""
    first, second = (customers.prompt(WATCHED).strip() for _ in range(2))
    customers.takes.add(second)
    async with new_page(trusting(customers)) as page:
        await page.context.grant_permissions(["notifications"], origin=customers.installation.serve.url)
        await page.context.add_init_script(ELSEWHERE)
        await sign_in(page, customers, customers.key)
        bell = page.get_by_role("button", name="Tell me when a clip is done")
        await expect(bell).to_have_attribute("aria-pressed", "false")
        await page.get_by_role("button", name="Try a sample").first.click()
        offer = page.get_by_role("region", name="Notices")
        await expect(page.locator(".preview img")).to_have_count(1)
        await expect(offer).to_have_count(0)
        await order(page, first, 1)
        await assert_accessible(page, "an order under way, with the offer of notices")
        await offer.get_by_role("button", name="Tell me").click()
        await expect(offer).to_have_count(0)
        await expect(page.locator("#main")).to_be_focused()
        await page.get_by_text("You are told when a clip is done.").wait_for()
        await assert_accessible(page, "something said for a few seconds")
        await expect(bell).to_have_attribute("aria-pressed", "true")
        async with page.expect_popup() as opened:
            await page.evaluate("() => void open('/money')")
        other = await opened.value
        await expect(other.get_by_role("button", name="Tell me when")).to_have_attribute("aria-pressed", "true")

        await look(page, other, here=False)
        async with customers.haste():
            (notice,) = await told(page, other)
        assert (notice["title"], notice["body"], notice["silent"]) == ("1 clip is ready", first, True)
        await expect(page).to_have_title("1 clip is ready · Filmgate")
        for tab in (page, other):
            await tab.evaluate("notices[0]?.dispatchEvent(new Event('click'))")
        at = page if "/jobs/" in page.url else other
        assert at.url.endswith(notice["tag"].removeprefix("filmgate "))
        await look(page, other, here=True)
        await told(page, other, count=0)

        await page.goto(f"{customers.installation.serve.url}/")
        await order(page, second, 2)
        await look(page, here=False)  # the other tab is looked at: its title and its list say it
        async with customers.haste():
            await expect(page).to_have_title("2 clips are ready · Filmgate", timeout=30_000)
        await told(page, other, count=0)
        await look(page, here=True)
        await expect(page).to_have_title("Ready · Filmgate")
        await bell.click()
        await expect(other.get_by_role("button", name="Tell me when")).to_have_attribute("aria-pressed", "false")
