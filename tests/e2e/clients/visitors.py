"""Visitors of the page in a browser, and the gateway behind it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Page, Response

from app.gateway import Gateway, open_gateway
from app.settings import load_settings
from tests.e2e.clients.customers import Customers


def trusting(customers: Customers) -> str:
    """Chromium's option for this installation's certificate."""
    return f"--ignore-certificate-errors-spki-list={customers.certificates.pin}"


def refused_reads(page: Page) -> list[str]:
    """What this page reads that is refused, from now on: each is an error in the browser's console."""
    refused: list[str] = []
    page.on("response", lambda reply: refused.append(f"{reply.status} {reply.url}") if _is_refused(reply) else None)
    return refused


def _is_refused(reply: Response) -> bool:
    return reply.request.method == "GET" and 400 <= reply.status < 500


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
