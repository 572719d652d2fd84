"""What every refusal has in common, and what must be the same before and after one."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from redis.asyncio import Redis

from app.store import keys
from app.tls import trusted_roots
from tests.support.stack import Stack

# Keys that change by themselves: heartbeats, times of keys' use, sums derived from the ledger, the witness's time,
# what processes report of themselves, and the checks that one of them makes.
BACKGROUND = (
    keys.WORKERS,
    keys.LAST_USED,
    keys.USAGE_COUNTED,
    keys.EPOCH,
    keys.WORKERS_SILENT,
    keys.PROGRAMS,
    keys.HOSTS,
    keys.WAITING_SINCE,
    keys.lease(""),
    keys.ledger_checked(""),
)  # written by processes in any case
QUIET = tuple(name.encode() for name in BACKGROUND)
LONGEST_PROBLEM = 4096  # bytes
MEMBERS = {"type", "title", "status", "detail", "instance", "code", "trace_id"}
MAY_HAVE = {"errors", "limits"}


def assert_problem(reply: httpx.Response, status: int, code: str, *, secret: str = "") -> dict[str, Any]:
    """The reply is a short problem document with this status and code, without `secret`; the document."""
    assert reply.status_code == status, f"{reply.status_code}: {reply.text[:500]}"
    assert reply.headers["content-type"] == "application/problem+json"
    assert len(reply.content) <= LONGEST_PROBLEM, len(reply.content)
    problem: dict[str, Any] = reply.json()
    found = [problem["code"], *(error["code"] for error in problem.get("errors", []))]
    assert code in found, f"{found}: {reply.text[:500]}"
    assert problem.keys() - MAY_HAVE == MEMBERS
    assert problem["status"] == status
    assert problem["type"].endswith(f"/problems/{problem['code']}")
    assert problem["trace_id"] == reply.headers["x-request-id"]
    assert not secret or secret not in reply.text, "the input is echoed"
    return problem


async def store_digests(stack: Stack) -> dict[str, str]:
    """Every key of the store with a digest of its value: equal before and after when nothing changed."""
    async with Redis.from_url(stack.redis.url) as redis:
        found = {}
        async for name in redis.scan_iter(count=1000):
            if await redis.type(name) == b"hash":  # its order may change when the server frees memory
                value: bytes | None = repr(sorted((await redis.hgetall(name)).items())).encode()
            else:
                value = await redis.dump(name)
            if value is not None and not name.startswith(QUIET):
                found[name.decode()] = hashlib.sha256(value).hexdigest()
        return found


async def submits(stack: Stack) -> int:
    """How many submissions fal has received, accepted or refused; read over a separate connection."""
    async with httpx.AsyncClient(trust_env=False, verify=trusted_roots()) as web:
        seen = (await web.get(f"{stack.emulator.url}/emulator/requests")).json()
    return len(seen["requests"]) + len(seen["refused"])


@asynccontextmanager
async def nothing_changes(stack: Stack) -> AsyncIterator[None]:
    """The body of this block writes nothing to the store, and submits nothing to fal."""
    before = await store_digests(stack)
    known = await submits(stack)
    yield
    assert await store_digests(stack) == before
    assert await submits(stack) == known
