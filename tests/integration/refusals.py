"""What every refusal has in common, and what must be the same before and after one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from app.store import keys
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
DIGESTS = """
-- Name and digest of every key that begins with none of ARGV. A hash is digested without its order, which may
-- change when the server frees memory.
local found = {}
for _, name in ipairs(redis.call('KEYS', '*')) do
    local quiet = false
    for _, beginning in ipairs(ARGV) do quiet = quiet or name:sub(1, #beginning) == beginning end
    if not quiet then
        local value
        if redis.call('TYPE', name).ok == 'hash' then
            local flat, rows = redis.call('HGETALL', name), {}
            for i = 1, #flat, 2 do rows[#rows + 1] = #flat[i] .. ' ' .. flat[i] .. flat[i + 1] end
            table.sort(rows)
            for i, row in ipairs(rows) do rows[i] = #row .. ' ' .. row end
            value = table.concat(rows)
        else
            value = redis.call('DUMP', name)
        end
        found[#found + 1] = name
        found[#found + 1] = redis.sha1hex(value)
    end
end
return found
"""
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
    async with stack.redis.client() as redis:
        found: list[str] = await redis.eval(DIGESTS, 0, *BACKGROUND)
    return dict(zip(found[::2], found[1::2], strict=True))


@asynccontextmanager
async def nothing_changes(stack: Stack) -> AsyncIterator[None]:
    """The body of this block writes nothing to the store, and submits nothing to fal."""
    before = await store_digests(stack)
    known = await stack.emulator.submits()
    yield
    assert await store_digests(stack) == before
    assert await stack.emulator.submits() == known
