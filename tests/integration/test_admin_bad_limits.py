"""Invalid limits and amounts at the admin API: each is a clear problem with a pointer, nothing changes."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.admin import ABSENT, CANARY, Administrator, Call, assert_refused
from tests.integration.refusals import assert_problem, nothing_changes
from tests.support.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, open_stack

pytestmark = pytest.mark.anyio

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
async def stack(redis_server: RedisServer, emulator: Emulator) -> AsyncIterator[Stack]:
    """One gateway for all cases: a refusal changes nothing, which each case proves."""
    redis_server.flush()
    async with open_stack(redis_server, emulator) as made:
        yield made


# Members of a limit, merged into a valid one.
LIMITS: dict[str, tuple[Any, str]] = {
    "unknown unit": ({"unit": CANARY}, "/unit"),
    "unit in capitals": ({"unit": "JOBS"}, "/unit"),
    "unit 7": ({"unit": 7}, "/unit"),
    "unit list": ({"unit": ["jobs"]}, "/unit"),
    "unit null": ({"unit": None}, "/unit"),
    "no unit": ({"unit": ABSENT}, "/unit"),
    "unknown window": ({"window": CANARY}, "/window"),
    "window fortnight": ({"window": "fortnight"}, "/window"),
    "window object": ({"window": {}}, "/window"),
    "no window": ({"window": ABSENT}, "/window"),
    "no amount": ({"amount": ABSENT}, "/amount"),
    "amount null": ({"amount": None}, "/amount"),
    "unknown member": ({"colour": 1}, "/colour"),
    "dollars that run": ({"unit": "usd", "window": "concurrent", "amount": "1"}, ""),
    "dollars in line": ({"unit": "usd", "window": "queued", "amount": "1"}, ""),
    "seconds that run": ({"unit": "video_seconds", "window": "concurrent"}, ""),
    "submits a day": ({"unit": "submits"}, ""),
    "submits a month": ({"unit": "submits", "window": "month"}, ""),
    "submits in total": ({"unit": "submits", "window": "total"}, ""),
    "submits in line": ({"unit": "submits", "window": "queued"}, ""),
    "negative jobs": ({"amount": -1}, "/amount"),
    "half a job": ({"amount": 0.5}, "/amount"),
    "a whole job as a fraction": ({"amount": 1.0}, "/amount"),
    "jobs as text": ({"amount": "1"}, "/amount"),
    "jobs true": ({"amount": True}, "/amount"),
    "jobs list": ({"amount": [1]}, "/amount"),
    "a billion jobs and one": ({"amount": 1_000_000_001}, "/amount"),
    "jobs beyond 64 bits": ({"amount": 2**64}, "/amount"),
    "jobs of 300 digits": ({"amount": 10**299}, "/amount"),
    "negative seconds": ({"unit": "video_seconds", "amount": -1}, "/amount"),
    "negative dollars": ({"unit": "usd", "amount": "-1"}, "/amount"),
    "negative dollars, number": ({"unit": "usd", "amount": -0.01}, "/amount"),
    "9 billion dollars and a bit": ({"unit": "usd", "amount": "9000000000.000001"}, "/amount"),
    "10 billion dollars": ({"unit": "usd", "amount": 10_000_000_000}, "/amount"),
    "1e300 dollars": ({"unit": "usd", "amount": 1e300}, "/amount"),
    "dollars of 300 digits": ({"unit": "usd", "amount": 10**299}, "/amount"),
    "seven places": ({"unit": "usd", "amount": "0.0000001"}, "/amount"),
    "dollars with an exponent": ({"unit": "usd", "amount": "1e3"}, "/amount"),
    "dollars with a comma": ({"unit": "usd", "amount": "1,40"}, "/amount"),
    "dollars with a sign": ({"unit": "usd", "amount": "$1.40"}, "/amount"),
    "dollars with a plus": ({"unit": "usd", "amount": "+1.40"}, "/amount"),
    "dollars with two signs": ({"unit": "usd", "amount": "--1.40"}, "/amount"),
    "dollars with spaces": ({"unit": "usd", "amount": " 1.40"}, "/amount"),
    "dollars in other digits": ({"unit": "usd", "amount": "\u0661"}, "/amount"),
    "dollars empty": ({"unit": "usd", "amount": ""}, "/amount"),
    "dollars NaN": ({"unit": "usd", "amount": "NaN"}, "/amount"),
    "dollars true": ({"unit": "usd", "amount": True}, "/amount"),
    "dollars object": ({"unit": "usd", "amount": {}}, "/amount"),
}
SOUND = {"unit": "jobs", "window": "day", "amount": 1}
OTHER = {"unit": "usd", "window": "month", "amount": "1.00"}


@pytest.mark.parametrize("case", LIMITS)
async def test_a_limit_that_makes_no_sense_is_refused(admin: Administrator, stack: Stack, case: str) -> None:
    """After a valid limit, with a new team or user, and in a raise: the pointer names it, no limit is set."""
    change, pointer = LIMITS[case]
    limit = {name: value for name, value in {**SOUND, **change}.items() if value is not ABSENT}
    await assert_refused(
        admin,
        stack,
        ("PUT", "limits", [OTHER, limit], f"/1{pointer}"),
        ("PUT", "teams/{team}/limits", [OTHER, limit], f"/1{pointer}"),
        ("PUT", "users/{user}/limits", [OTHER, limit], f"/1{pointer}"),
        ("POST", "teams", {"name": "x", "limits": [limit]}, f"/limits/0{pointer}"),
        ("POST", "users", {"team": stack.account.team.id, "name": "x", "limits": [limit]}, f"/limits/0{pointer}"),
        ("POST", "teams/{team}/raises", {**limit, "expires_in": 60}, pointer),
    )


async def test_two_limits_on_the_same_are_refused(admin: Administrator, stack: Stack) -> None:
    """The same unit and window twice, with equal or different amounts."""
    for amount in (1, 2):
        both = [SOUND, OTHER, {**SOUND, "amount": amount}]
        new = ("POST", "teams", {"name": "x", "limits": both}, "/limits")
        await assert_refused(admin, stack, ("PUT", "limits", both, ""), new)


RAW: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 400, "body_missing"),
    "a word": (CANARY.encode(), 400, "json_invalid"),
    "object": (b'{"unit": "jobs"}', 422, "body_not_array"),
    "null": (b"null", 422, "body_not_array"),
    "list of numbers": (b"[1]", 422, "wrong_type"),
    "list of lists": (b"[[]]", 422, "wrong_type"),
    "101 limits": (b"[" + b",".join([b"{}"] * 101) + b"]", 422, "too_long"),
    "a million numbers": (b"[" + b"1," * 1_000_000 + b"1]", 413, "payload_too_large"),
    "NaN": (b'[{"unit": "usd", "window": "day", "amount": NaN}]', 400, "json_invalid"),
    "duplicate member": (b'[{"unit": "jobs", "unit": "jobs", "window": "day", "amount": 1}]', 400, "duplicate_key"),
    "depth 21": (b"[" * 21 + b"]" * 21, 400, "too_deep"),
    "lone surrogate": (b'[{"unit": "\\ud800"}]', 422, "invalid_unicode"),
    "invalid UTF-8": (b'["\xff"]', 400, "json_invalid"),
    "UTF-16": ("[]".encode("utf-16"), 415, "unsupported_media_type"),
    "9 MB": (b" " * 9_000_000, 413, "payload_too_large"),
}


@pytest.mark.parametrize("case", RAW)
async def test_a_list_is_read_as_strictly_as_an_object(admin: Administrator, stack: Stack, case: str) -> None:
    """Status and code as the table says; the limits are unchanged."""
    raw, status, code = RAW[case]
    async with nothing_changes(stack):
        reply = await admin.api.put("/v1/admin/limits", content=raw, headers=JSON)
    assert_problem(reply, status, code, secret=CANARY)


async def test_a_list_of_another_media_type_is_refused(admin: Administrator, stack: Stack) -> None:
    """415, as for objects."""
    async with nothing_changes(stack):
        for media_type in ("text/plain", "application/json; charset=latin-1", ""):
            headers = {"Content-Type": media_type}
            reply = await admin.api.put("/v1/admin/limits", content=b"[]", headers=headers)
            assert_problem(reply, 415, "unsupported_media_type")


CREDITS: dict[str, tuple[dict[str, Any], str]] = {
    "no form": ({}, ""),
    "two forms": ({"amount_usd": "1", "correction_usd": "1"}, ""),
    "three forms": ({"amount_usd": "1", "job": "job_x", "actual_usd": "1"}, ""),
    "half a form": ({"job": "job_x"}, ""),
    "the other half": ({"actual_usd": "1"}, ""),
    "a correction and a job": ({"correction_usd": "1", "job": "job_x"}, ""),
    "credit 0": ({"amount_usd": "0.00"}, "/amount_usd"),
    "credit -1": ({"amount_usd": "-1"}, "/amount_usd"),
    "credit true": ({"amount_usd": True}, "/amount_usd"),
    "credit of 9 billion and a bit": ({"amount_usd": "9000000000.000001"}, "/amount_usd"),
    "credit in words": ({"amount_usd": CANARY}, "/amount_usd"),
    "correction 0": ({"correction_usd": 0}, "/correction_usd"),
    "correction -0": ({"correction_usd": "-0.00"}, "/correction_usd"),
    "correction of -10 billion": ({"correction_usd": "-10000000000"}, "/correction_usd"),
    "correction --1": ({"correction_usd": "--1"}, "/correction_usd"),
    "actual -1": ({"job": "job_x", "actual_usd": "-1"}, "/actual_usd"),
    "job 7": ({"job": 7, "actual_usd": "1"}, "/job"),
    "job of 65": ({"job": "x" * 65, "actual_usd": "1"}, "/job"),
    "no reason": ({"amount_usd": "1", "reason": ABSENT}, "/reason"),
    "reason empty": ({"amount_usd": "1", "reason": " "}, "/reason"),
    "reason of 501": ({"amount_usd": "1", "reason": "x" * 501}, "/reason"),
    "reason of two lines": ({"amount_usd": "1", "reason": "a\nb"}, "/reason"),
    "unknown member": ({"amount_usd": "1", "colour": 1}, "/colour"),
}


@pytest.mark.parametrize("case", CREDITS)
async def test_money_is_moved_in_one_clear_form(admin: Administrator, stack: Stack, case: str) -> None:
    """A credit, a correction or a job's charge, with a reason; anything else leaves the ledger unchanged."""
    members, pointer = CREDITS[case]
    body = {name: value for name, value in {"reason": "r", **members}.items() if value is not ABSENT}
    await assert_refused(admin, stack, ("POST", "teams/{team}/credits", body, pointer))


RAISES: dict[str, Any] = {
    "59": 59,
    "367 days": 367 * 86_400,
    "absent": ABSENT,
    "60.0": 60.0,
    "text": "60",
    "null": None,
}


@pytest.mark.parametrize("case", RAISES)
async def test_a_raise_is_for_a_minute_to_a_year(admin: Administrator, stack: Stack, case: str) -> None:
    """Neither shorter nor longer, and never unlimited."""
    body = {**SOUND, "expires_in": RAISES[case]}
    body = {name: value for name, value in body.items() if value is not ABSENT}
    paths = ("raises", "teams/{team}/raises", "users/{user}/raises")
    calls: list[Call] = [("POST", path, body, "/expires_in") for path in paths]
    await assert_refused(admin, stack, *calls)
