"""Signing in with a browser: a key once, a link that works once, an invitation. No script has the key."""

import httpx
import pytest
from playwright.async_api import Page, expect

from tests.e2e.clients.accessible import assert_accessible
from tests.e2e.clients.browser import new_page
from tests.e2e.clients.customers import Customers
from tests.e2e.clients.visitors import own_gateway, trusting
from tests.support.stack import ADMIN_KEY

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

KEPT = "() => JSON.stringify([{...sessionStorage}, {...localStorage}, document.cookie])"


async def signed_in(page: Page) -> None:
    """Wait until somebody is."""
    await page.get_by_role("button", name="Sign out").wait_for()


async def test_a_key_is_given_once_and_kept_by_no_script(customers: Customers) -> None:
    """The browser stays signed in after a reload and in a second tab; what one tab does, the other sees."""
    url = customers.installation.serve.url
    async with new_page(trusting(customers)) as page:
        await page.goto(f"{url}/")
        await page.fill("#key", customers.key)
        await page.get_by_label("Keep me signed in on this device").check()
        await page.press("#key", "Enter")
        await signed_in(page)
        assert customers.key not in await page.evaluate(KEPT)
        assert "fg_ses" not in await page.evaluate(KEPT)
        (cookie,) = await page.context.cookies(f"{url}/v1/me")
        assert (cookie["name"], cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (
            *("fg_session", True, True),
            "Strict",
        )
        assert cookie["expires"] > 0
        await page.reload()
        await signed_in(page)
        async with page.expect_popup() as opened:
            await page.evaluate("() => void open('/')")
        other = await opened.value
        await signed_in(other)
        await other.get_by_role("button", name="Sign out").click()
        await other.locator("#key").wait_for()
        await expect(page.locator("#key-fault")).to_have_text("You signed out in another tab.")
        await page.reload()
        await page.locator("#key").wait_for()


async def test_a_link_signs_in_once(customers: Customers) -> None:
    """The code leaves the address; the second visitor reads why, and what to do."""
    url = customers.installation.serve.url
    async with own_gateway(customers) as gateway:
        code = await gateway.sessions.add_code(customers.key)
    async with new_page(trusting(customers)) as page:
        await page.goto(f"{url}/enter#{code}")
        await signed_in(page)
        assert page.url == f"{url}/"
    async with new_page(trusting(customers)) as page:
        await page.goto(f"{url}/enter#{code}")
        await page.get_by_text("The link was used already").wait_for()
        assert code not in page.url
        await page.get_by_role("link", name="Sign in with a key").click()
        await page.locator("#key").wait_for()


async def test_a_colleague_fetches_a_key_by_invitation(customers: Customers) -> None:
    """Who is invited to what, the key once, and in; the same link opens nothing afterwards."""
    url, admin = customers.installation.serve.url, {"Authorization": f"Bearer {ADMIN_KEY}"}
    team = (await customers.web.get("/v1/me")).json()["team"]
    made = await customers.web.post("/v1/admin/users", json={"team": team["id"], "name": "Ada"}, headers=admin)
    body = {"user": made.json()["id"], "key_name": "laptop"}
    link = (await customers.web.post("/v1/admin/invitations", json=body, headers=admin)).json()["url"]
    address = f"{url}/invite#{link.partition('#')[2]}"
    async with new_page(trusting(customers)) as page:
        await page.goto(address)
        await page.get_by_role("heading", name=f"Ada, you are invited to {team['name']}").wait_for()
        await assert_accessible(page, "an invitation")
        await page.get_by_role("button", name="Get my key").click()
        key = await page.locator("#new-key").inner_text()
        await assert_accessible(page, "a key that is shown once")
        await page.get_by_role("button", name="Open Filmgate").click()
        await signed_in(page)
        await expect(page.locator(".account")).to_contain_text("Ada")
        mine: httpx.Response = await customers.web.get("/v1/me", headers={"Authorization": f"Bearer {key}"})
        assert mine.json()["user"]["name"] == "Ada"
    async with new_page(trusting(customers)) as page:
        await page.goto(address)
        await page.get_by_text("This invitation was used already").wait_for()
