"""More callers of a gateway under test: another user's key, a key with scopes, a browser token."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from app.domain.accounts import USER_SCOPES, Scope
from app.services.administration import NewKey
from tests.support.accounts import new_account
from tests.support.stack import Stack

BASE = "http://filmgate.test"


@asynccontextmanager
async def calling(stack: Stack, key: str, *, origin: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the same application with this key or token, from a web page of this origin."""
    headers = {"Authorization": f"Bearer {key}"} | ({"Origin": origin} if origin is not None else {})
    async with httpx.AsyncClient(transport=stack.api._transport, base_url=BASE, headers=headers) as api:
        yield api


async def another_key(stack: Stack, *, scopes: frozenset[Scope] = USER_SCOPES, **rights: Any) -> NewKey:
    """Another key of the stack's own user."""
    user = stack.account.user.id
    return await stack.gateway.administration.add_key("test", user=user, scopes=scopes, **rights)


async def colleague(stack: Stack, *, scopes: frozenset[Scope] = USER_SCOPES) -> NewKey:
    """A key of another user of the same team."""
    administration = stack.gateway.administration
    user = await administration.add_user("test", team=stack.account.team.id, name="colleague")
    return await administration.add_key("test", user=user.id, scopes=scopes)


async def stranger(stack: Stack) -> str:
    """A key of another team."""
    return (await new_account(stack.gateway.administration, team_name="other", user_name="stranger")).key


@asynccontextmanager
async def second_account(stack: Stack, *, same_team: bool = False) -> AsyncIterator[httpx.AsyncClient]:
    """A client with another key: of another team, or of another user of the same team."""
    key = (await colleague(stack)).key if same_team else await stranger(stack)
    async with calling(stack, key) as api:
        yield api


async def last_accepted(api: httpx.AsyncClient) -> float:
    """Read until it is refused; when (s, monotonic) its last accepted request was sent, 0 if none was."""
    accepted = 0.0
    async with asyncio.timeout(20):
        while True:
            sent = time.monotonic()
            status = (await api.get("/v1/jobs")).status_code
            if status == 401:
                return accepted
            assert status == 200, status
            accepted = sent
            await asyncio.sleep(0.01)


async def token(api: httpx.AsyncClient, **asked: Any) -> dict[str, Any]:
    """A browser token, as the reply showed it."""
    reply = await api.post("/v1/tokens", json=asked)
    assert reply.status_code == 201, reply.text
    made: dict[str, Any] = reply.json()
    return made
