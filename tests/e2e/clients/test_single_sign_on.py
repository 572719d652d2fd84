"""Signing in with a company's accounts in a browser, at a real provider: panva's oidc-provider."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from playwright.async_api import Page, expect

from tests.e2e.clients.accessible import assert_accessible
from tests.e2e.clients.browser import new_page
from tests.e2e.clients.customers import OPEN_ID_LABEL, OPEN_ID_TEAM, Customers
from tests.e2e.clients.visitors import trusting
from tests.support.node import find_node, install_packages
from tests.support.processes import Process
from tests.support.stack import ADMIN_KEY
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

BUTTON = f"Sign in with {OPEN_ID_LABEL}"


@asynccontextmanager
async def provider(customers: Customers) -> AsyncIterator[None]:
    """The provider that the installation is configured for, as a process."""
    folder = await install_packages()
    port = customers.open_id_port
    command = (str(find_node().path), "provider.mjs", str(port), f"{customers.installation.serve.url}/enter")
    process = Process(command, {"PATH": ""}, cwd=folder).start()
    async with httpx.AsyncClient(trust_env=False) as web:

        async def serves() -> bool:
            try:
                return (await web.get(f"http://127.0.0.1:{port}/jwks")).is_success
            except httpx.TransportError:
                return False

        try:
            await wait_until(serves, "the provider serves", timeout=30)
            yield
        finally:
            await asyncio.to_thread(process.kill)


async def leave(page: Page) -> None:
    """Press the button, again where the gateway does not know yet that the provider is back."""

    async def is_there() -> bool:
        if "/interaction/" not in page.url:
            await page.get_by_role("button", name=BUTTON).click()
            await page.wait_for_timeout(300)
        return "/interaction/" in page.url

    await wait_until(is_there, "the provider's page is shown", timeout=20)


async def sign_in_there(page: Page, name: str) -> None:
    """The provider's own pages: its login, and that Filmgate may know who it is."""
    await page.fill("input[name=login]", name)
    await page.fill("input[name=password]", "any")
    await page.click("button[type=submit]")
    await page.click("button[type=submit]")


async def test_people_of_the_company_come_in_by_its_accounts(customers: Customers) -> None:
    """Away, it says so; then in at the address where one was, and out; whose groups open nothing reads why."""
    url, admin = customers.installation.serve.url, {"Authorization": f"Bearer {ADMIN_KEY}"}
    made = await customers.web.post("/v1/admin/teams", json={"name": OPEN_ID_TEAM}, headers=admin)
    assert made.status_code == 201, made.text
    async with new_page(trusting(customers)) as page:
        await page.goto(f"{url}/jobs?status=failed")
        await page.get_by_role("button", name=BUTTON).click()
        await expect(page.get_by_role("alert")).to_contain_text(f"{OPEN_ID_LABEL} does not answer at the moment")
        await assert_accessible(page, "the sign-in page with a provider that is away")
        async with provider(customers):
            await leave(page)
            await sign_in_there(page, "Ada@makers,others")
            await page.get_by_role("button", name="Sign out").wait_for()
            assert page.url == f"{url}/jobs?status=failed"
            await expect(page.locator(".account")).to_contain_text("Ada")
            await page.get_by_role("button", name="Sign out").click()
            await page.get_by_role("button", name=BUTTON).wait_for()
            other = await (await page.context.browser.new_context()).new_page() if page.context.browser else page
            await other.goto(f"{url}/")
            await leave(other)
            await sign_in_there(other, "Eve@others")
            await expect(other.get_by_role("alert")).to_contain_text(
                "You are Eve, but none of your groups (others) may use this gateway"
            )
            assert other.url == f"{url}/"
            await other.fill("#key", customers.key)
            await other.press("#key", "Enter")
            await other.get_by_role("button", name="Sign out").wait_for()
