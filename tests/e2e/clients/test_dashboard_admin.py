"""The administration in a browser: people, keys and limits, the state of the gateway, and the audit log."""

import pytest
from playwright.async_api import Page, expect

from tests.e2e.clients.accessible import assert_accessible
from tests.e2e.clients.browser import new_page
from tests.e2e.clients.customers import Customers
from tests.e2e.clients.visitors import sign_in, trusting
from tests.support.stack import ADMIN_KEY
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

TEAM, COLLEAGUE = "Trailers", "Grace"
REASON = "The invoice is being checked."


async def add_colleague(page: Page) -> str:
    """From the list of teams: a team, a user with dollars a month; the link of an invitation."""
    await page.get_by_role("button", name="Add a team").click()
    await page.get_by_label("Name").fill(TEAM)
    await page.get_by_role("button", name="Add the team").click()
    await page.get_by_role("heading", name=TEAM).wait_for()
    await page.get_by_text("Nobody is in this team yet").wait_for()
    await page.get_by_role("button", name="Add a user").click()
    await page.get_by_label("Name").fill(COLLEAGUE)
    await page.get_by_label("Amount").fill("50")
    await page.get_by_text("$50 a month. It begins anew on the first of the month").wait_for()
    await page.get_by_role("button", name="Add the user").click()
    user = page.get_by_role("region", name=COLLEAGUE)
    await expect(user).to_contain_text("$50.00 left this month")
    await user.get_by_role("button", name="Invite").click()
    await page.get_by_label("Name of the key").fill("laptop")
    await page.get_by_role("button", name="Make the link").click()
    link = await page.locator("#shown-once").inner_text()
    await page.get_by_role("button", name="I have kept it").click()
    await expect(page.get_by_role("list", name=f"Open invitations of {COLLEAGUE}")).to_contain_text("laptop")
    return link


async def accept(page: Page, customers: Customers, link: str) -> str:
    """The key that the colleague gets by the link, in a browser that knows nobody."""
    browser = page.context.browser
    assert browser is not None
    context = await browser.new_context()
    try:
        theirs = await context.new_page()
        await theirs.goto(f"{customers.installation.serve.url}/invite#{link.partition('#')[2]}")
        await theirs.get_by_role("button", name="Get my key").click()
        return await theirs.locator("#new-key").inner_text()
    finally:
        await context.close()


async def refused(customers: Customers, key: str) -> bool:
    """Whether the key opens nothing."""
    reply = await customers.web.get("/v1/me", headers={"Authorization": f"Bearer {key}"})
    return bool(reply.status_code == 401)


async def test_an_administrator_brings_a_colleague_in_and_runs_the_gateway(customers: Customers) -> None:
    """A team, a user with $50 a month, an invitation, a key replaced and revoked; a pause; the log is intact."""
    async with new_page(trusting(customers)) as page:
        await sign_in(page, customers, ADMIN_KEY)
        await page.get_by_role("link", name="Administration").click()
        link = await add_colleague(page)
        key = await accept(page, customers, link)
        assert not await refused(customers, key)

        await page.reload()
        user = page.get_by_role("region", name=COLLEAGUE)
        keys = page.get_by_role("list", name=f"Keys of {COLLEAGUE}")
        await expect(keys).to_contain_text("laptop")
        await assert_accessible(page, "people")
        await user.get_by_role("button", name="Limits").click()
        await expect(page.get_by_label("Amount")).to_have_value("50.00")
        await page.get_by_label("Amount").fill("60")
        await page.get_by_role("button", name="Set these limits").click()
        await expect(user).to_contain_text("$60.00 left this month")
        await keys.get_by_role("button", name="Replace").click()
        await page.get_by_label("The old key still works for").select_option("0")
        await page.get_by_role("button", name="Make the new key").click()
        new = await page.locator("#shown-once").inner_text()
        await page.get_by_role("button", name="I have kept it").click()
        assert not await refused(customers, new)
        await wait_until(lambda: refused(customers, key), "the old key opens nothing")
        await keys.get_by_role("button", name="Revoke").click()
        await page.get_by_role("button", name="Revoke it").click()
        await page.get_by_text("The key is revoked.").wait_for()
        await expect(user).to_contain_text("no key that works")
        await wait_until(lambda: refused(customers, new), "the revoked key opens nothing")
        await run_the_gateway(page)


async def run_the_gateway(page: Page) -> None:
    """Pause with a reason, resume; then the audit log, which has both, is checked."""
    await page.get_by_role("link", name="Status").click()
    buying = page.get_by_role("region", name="Buying")
    await buying.get_by_role("button", name="Pause …").click()
    await page.get_by_role("button", name="Pause buying").click()
    await page.get_by_text("Give a reason").wait_for()
    await page.get_by_label("Reason").fill(REASON)
    await page.get_by_role("button", name="Pause buying").click()
    try:
        await expect(buying).to_contain_text(REASON)
        await expect(page.get_by_role("region", name="Workers").locator("dd").first).to_have_text("1")
        await assert_accessible(page, "the status")
    finally:
        await buying.get_by_role("button", name="Resume …").click()
        await page.get_by_role("button", name="Resume buying").click()
        await expect(buying).not_to_contain_text(REASON)
    await page.get_by_role("link", name="Audit log").click()
    await expect(page.get_by_role("region", name="The audit log")).to_contain_text(REASON)
    await page.get_by_role("button", name="Check it").click()
    await page.get_by_text("Intact: all").wait_for()
