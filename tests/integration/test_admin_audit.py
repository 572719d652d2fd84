"""The audit log: each act is one line, and any change to the log is detected."""

import asyncio
from typing import Any

import pytest

from app.store import keys
from tests.integration.admin import Administrator
from tests.integration.refusals import assert_problem
from tests.support.pipeline import Pipeline
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio

LIMIT = {"unit": "jobs", "window": "day", "amount": 5}


@pytest.fixture
def redis(stack: Stack) -> Any:
    """The store itself."""
    return Pipeline(stack).redis


async def verdict(admin: Administrator) -> dict[str, Any]:
    """The log's own verification."""
    found: dict[str, Any] = await admin.done("GET", "audit/verify")
    return found


async def test_each_act_is_one_line(admin: Administrator) -> None:
    """Actor, action and target, in order and numbered; reads and refusals leave no line."""
    before = len(await admin.audit())
    team = await admin.team(limits=[LIMIT])
    user = await admin.user(team["id"])
    key = await admin.key(user["id"])
    here, there = f"teams/{team['id']}", f"users/{user['id']}"
    await admin.done("PATCH", here, {"weight": 2})
    await admin.done("PATCH", there, {"name": "x"})
    await admin.done("PUT", f"{there}/limits", [LIMIT])
    await admin.done("POST", f"{here}/raises", {**LIMIT, "amount": 6, "expires_in": 60})
    await admin.done("POST", f"{here}/credits", {"amount_usd": 1, "reason": "r"})
    await admin.done("POST", f"{here}/credits", {"correction_usd": 1, "reason": "r"})
    rotated = await admin.done("POST", f"keys/{key['id']}/rotate", {})
    await admin.done("DELETE", f"keys/{rotated['id']}")
    await admin.done("DELETE", there)
    await admin.done("DELETE", here)
    for path in ("teams", "audit", "audit/verify"):
        await admin.done("GET", path)
    assert_problem(await admin.call("DELETE", here), 404, "not_found")
    lines = (await admin.audit())[::-1]
    assert [line["number"] for line in lines] == list(range(1, len(lines) + 1))
    assert {line["actor"] for line in lines[before:]} == {"administrator"}
    assert [(line["action"], line["target"]) for line in lines[before:]] == [
        ("team.add", team["id"]),
        ("user.add", user["id"]),
        ("key.add", key["id"]),
        ("team.change", team["id"]),
        ("user.change", user["id"]),
        ("limits.replace", user["id"]),
        ("limits.raise", team["id"]),
        ("ledger.credit", team["id"]),
        ("ledger.correction", team["id"]),
        ("key.rotate", key["id"]),
        ("key.revoke", rotated["id"]),
        ("user.remove", user["id"]),
        ("team.remove", team["id"]),
    ]
    assert lines[before]["details"]["limits"] == [LIMIT]
    assert await verdict(admin) == {"lines": len(lines), "intact": True, "broken_at": None}


async def test_twenty_acts_at_once_are_twenty_lines(admin: Administrator) -> None:
    """None is lost or duplicated, and the chain verifies at any time."""
    before = len(await admin.audit())
    acts = [admin.team(f"team {number}") for number in range(20)]
    reads = [verdict(admin) for _ in range(10)]
    done = await asyncio.gather(*acts, *reads)
    assert all(read["intact"] for read in done[20:])
    lines = (await admin.audit())[: -before or None]
    assert sorted(line["details"]["name"] for line in lines) == sorted(f"team {number}" for number in range(20))
    assert [line["number"] for line in lines] == list(range(before + 20, before, -1))
    assert await verdict(admin) == {"lines": before + 20, "intact": True, "broken_at": None}


async def test_the_log_is_read_in_pages(admin: Administrator) -> None:
    """Newest first, each line once, and the last page has no cursor."""
    for number in range(4):
        await admin.team(f"team {number}")
    everything = await admin.audit()
    found: list[dict[str, Any]] = []
    page = await admin.done("GET", "audit", limit=3)
    while page["next_cursor"] is not None:
        found += page["data"]
        page = await admin.done("GET", "audit", limit=3, cursor=page["next_cursor"])
    assert found + page["data"] == everything


async def rewrite(redis: Any, place: int, **fields: str) -> None:
    """Rewrite one line with other fields, and leave every later line as it was."""
    lines = await redis.xrange(keys.AUDIT)
    await redis.delete(keys.AUDIT)
    for number, (line_id, row) in enumerate(lines, start=1):
        await redis.xadd(keys.AUDIT, {**row, **(fields if number == place else {})}, id=line_id)


async def test_a_changed_line_is_found(admin: Administrator, redis: Any) -> None:
    """Its number is reported, whichever member was changed; also for the last line, and for one that is no JSON."""
    await admin.team()
    lines = await redis.xrange(keys.AUDIT)
    assert len(lines) == 4
    for place in range(1, 5):
        _, row = lines[place - 1]
        forgeries = {"entry": row["entry"].replace("actor", "actress"), "hash": "0" * 64, "number": "9"}
        for field, forged in forgeries.items():
            await rewrite(redis, place, **{field: forged})
            assert await verdict(admin) == {"lines": place, "intact": False, "broken_at": place}
            await rewrite(redis, place, **row)
    assert (await verdict(admin))["intact"]
    await rewrite(redis, 2, entry="{")
    assert (await verdict(admin))["broken_at"] == 2
    assert (await admin.audit())[2]["details"] == {}


@pytest.mark.parametrize("place", [1, 2, 3])
async def test_a_removed_line_is_found(admin: Administrator, redis: Any, place: int) -> None:
    """For the first line too: the missing number is reported."""
    await admin.team()
    await redis.xdel(keys.AUDIT, (await redis.xrange(keys.AUDIT))[place - 1][0])
    found = await verdict(admin)
    assert (found["intact"], found["broken_at"]) == (False, place)


@pytest.mark.parametrize("cut", [1, 2, 4])
async def test_a_cut_off_end_is_found(admin: Administrator, redis: Any, cut: int) -> None:
    """The rest is consistent, but the head has a higher number; also when no line is left."""
    await admin.team()
    for line_id, _ in (await redis.xrange(keys.AUDIT))[-cut:]:
        await redis.xdel(keys.AUDIT, line_id)
    assert await verdict(admin) == {"lines": 4 - cut, "intact": False, "broken_at": 5 - cut}


async def test_a_line_put_in_by_hand_is_found(admin: Administrator, redis: Any) -> None:
    """A line that fits the chain but was appended after the head is detected too."""
    await admin.team()
    lines = await redis.xrange(keys.AUDIT)
    head = await redis.hgetall(keys.AUDIT_HEAD)
    await admin.team()
    await redis.hset(keys.AUDIT_HEAD, mapping=head)
    assert await verdict(admin) == {"lines": len(lines) + 1, "intact": False, "broken_at": len(lines) + 1}
    await redis.xadd(keys.AUDIT, {"number": "9", "hash": "0" * 64, "entry": "{}"})
    assert (await verdict(admin))["intact"] is False
