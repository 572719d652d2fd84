"""Browsers that sign in: clients without a key, whose cookie stands for one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.support.callers import BASE
from tests.support.stack import Stack


@asynccontextmanager
async def browsing(stack: Stack, *, base: str = BASE, **sign_in: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A browser at our own page, signed in with this body, or not at all; it shows the CSRF token by itself."""
    async with httpx.AsyncClient(
        transport=stack.api._transport, base_url=base, headers={"Origin": base, "Sec-Fetch-Site": "same-origin"}
    ) as web:
        if sign_in:
            await signed_in(web, **sign_in)
        yield web


async def signed_in(web: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    """Sign in; the reply."""
    reply = await web.post("/v1/session", json=body)
    assert reply.status_code == 201, reply.text
    session: dict[str, Any] = reply.json()
    web.headers["X-CSRF-Token"] = session["csrf"]
    return session
