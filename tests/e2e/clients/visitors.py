"""Visitors of the page in a browser, and the gateway behind it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Page

from app.gateway import Gateway, open_gateway
from app.settings import load_settings
from tests.e2e.clients.customers import Customers


def trusting(customers: Customers) -> str:
    """Chromium's option for this installation's certificate."""
    return f"--ignore-certificate-errors-spki-list={customers.certificates.pin}"


async def sign_in(page: Page, customers: Customers, key: str) -> None:
    """Open the page, and give the key."""
    await page.goto(f"{customers.installation.serve.url}/")
    await give_key(page, key)


async def give_key(page: Page, key: str) -> None:
    """Where the page asks for a key already."""
    await page.fill("#key", key)
    await page.press("#key", "Enter")


@asynccontextmanager
async def own_gateway(customers: Customers) -> AsyncIterator[Gateway]:
    """The installation's gateway in this process."""
    async with open_gateway(load_settings(customers.installation.settings), process="test") as gateway:
        yield gateway
