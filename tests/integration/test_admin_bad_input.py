"""Bad input at the admin API: each is a clear problem with a pointer, nothing changes, nothing is echoed."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.admin import ABSENT, CANARY, NEVER, Administrator, Call, assert_refused
from tests.integration.refusals import assert_problem, nothing_changes
from tests.support.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, open_stack

pytestmark = pytest.mark.anyio

SOUND = {"unit": "jobs", "window": "day", "amount": 1}


@pytest.fixture(scope="module")
async def stack(redis_server: RedisServer, emulator: Emulator) -> AsyncIterator[Stack]:
    """One gateway for all cases: a refusal changes nothing, which each case proves."""
    redis_server.flush()
    async with open_stack(redis_server, emulator) as made:
        yield made


NAMES: dict[str, Any] = {
    "absent": ABSENT,
    "null": None,
    "empty": "",
    "spaces": " \t ",
    "101 characters": "x" * 101,
    "line feed": "a\nb",
    "NUL": "a\x00b",
    "ESC": "a\x1b[31m",
    "direction": "a\u202eb",
    "nothing visible": "\u200b",
    "number": 7,
    "list": ["a"],
}


@pytest.mark.parametrize("case", NAMES)
async def test_a_name_is_up_to_a_hundred_printable_characters(
    admin: Administrator, stack: Stack, case: str
) -> None:
    """For teams and users, on creation and change, and for keys that have a name."""
    given = {} if NAMES[case] is ABSENT else {"name": NAMES[case]}
    must: list[Call] = [
        ("POST", "teams", given, "/name"),
        ("POST", "users", {"team": stack.account.team.id, **given}, "/name"),
        ("PATCH", "users/{user}", given, "/name"),
    ]
    may: list[Call] = [
        ("PATCH", "teams/{team}", given, "/name"),
        ("POST", "keys", {"user": stack.account.user.id, **given}, "/name"),
    ]
    await assert_refused(admin, stack, *must, *(may if case not in {"absent", "null"} else []))


TEAMS: dict[str, tuple[dict[str, Any], str]] = {
    "weight 0": ({"weight": 0}, "/weight"),
    "weight 101": ({"weight": 101}, "/weight"),
    "weight 1.0": ({"weight": 1.0}, "/weight"),
    "weight true": ({"weight": True}, "/weight"),
    "weight text": ({"weight": "1"}, "/weight"),
    "zone on Mars": ({"time_zone": "Mars/Olympus"}, "/time_zone"),
    "zone empty": ({"time_zone": ""}, "/time_zone"),
    "zone in lower case": ({"time_zone": "europe/berlin"}, "/time_zone"),
    "zone as an offset": ({"time_zone": "+01:00"}, "/time_zone"),
    "zone that is a folder": ({"time_zone": "America"}, "/time_zone"),
    "zone that is a path": ({"time_zone": "../../../etc/passwd"}, "/time_zone"),
    "zone that is an absolute path": ({"time_zone": "/usr/share/zoneinfo/UTC"}, "/time_zone"),
    "zone with NUL": ({"time_zone": "UTC\x00"}, "/time_zone"),
    "zone of 65": ({"time_zone": "x" * 65}, "/time_zone"),
    "zone 1": ({"time_zone": 1}, "/time_zone"),
    "unknown member": ({"colour": None}, "/colour"),
    "webhook secret": ({"webhook_secret": "whsec_x"}, "/webhook_secret"),
    "id": ({"id": "team_x"}, "/id"),
}


@pytest.mark.parametrize("case", TEAMS)
async def test_a_team_that_makes_no_sense_is_refused(admin: Administrator, stack: Stack, case: str) -> None:
    """On creation and on change."""
    members, pointer = TEAMS[case]
    new = ("POST", "teams", {"name": "x", **members}, pointer)
    await assert_refused(admin, stack, new, ("PATCH", "teams/{team}", members, pointer))


@pytest.mark.parametrize("body", [{}, {"name": None, "weight": None}])
async def test_a_change_of_nothing_is_refused(admin: Administrator, stack: Stack, body: Any) -> None:
    """The log would get a line without content."""
    await assert_refused(admin, stack, ("PATCH", "teams/{team}", body, ""))


KEYS: dict[str, tuple[dict[str, Any], str]] = {
    "expires in the past": ({"expires_in": -1}, "/expires_in"),
    "expires now": ({"expires_in": 0}, "/expires_in"),
    "expires in eleven years": ({"expires_in": 11 * 366 * 86_400}, "/expires_in"),
    "expires beyond 64 bits": ({"expires_in": 2**64}, "/expires_in"),
    "expires in 1.5": ({"expires_in": 1.5}, "/expires_in"),
    "expires true": ({"expires_in": True}, "/expires_in"),
    "expires text": ({"expires_in": "3600"}, "/expires_in"),
    "unknown scope": ({"scopes": ["jobs:read", CANARY]}, "/scopes/1"),
    "unknown rule": ({"reposts": CANARY}, "/reposts"),
    "scope 7": ({"scopes": [7]}, "/scopes/0"),
    "scope list": ({"scopes": [["jobs:read"]]}, "/scopes/0"),
    "scopes text": ({"scopes": "jobs:read"}, "/scopes"),
    "no scopes": ({"scopes": []}, "/scopes"),
    "scope twice": ({"scopes": ["jobs:read", "jobs:read"]}, "/scopes"),
    "unknown model": ({"models": ["fal-ai/kling-video/v2/master/image-to-video", CANARY]}, "/models/1"),
    "model in capitals": ({"models": ["FAL-AI/kling-video/v2/master/image-to-video"]}, "/models/0"),
    "model 7": ({"models": [7]}, "/models/0"),
    "model of 201": ({"models": ["x" * 201]}, "/models/0"),
    "no models": ({"models": []}, "/models"),
    "101 models": ({"models": [f"m{number}" for number in range(101)]}, "/models"),
    "models text": ({"models": "fal-ai/kling-video/v2/master/image-to-video"}, "/models"),
    "no origins": ({"origins": []}, "/origins"),
    "every origin": ({"origins": ["*"]}, "/origins/0"),
    "null origin": ({"origins": ["https://a.example", "null"]}, "/origins/1"),
    "origins of a domain": ({"origins": ["https://*.example.com"]}, "/origins/0"),
    "origin without scheme": ({"origins": [CANARY]}, "/origins/0"),
    "origin with a path": ({"origins": ["https://a.example/app"]}, "/origins/0"),
    "origin with a slash": ({"origins": ["https://a.example/"]}, "/origins/0"),
    "origin in capitals": ({"origins": ["https://A.example"]}, "/origins/0"),
    "origin with a user": ({"origins": ["https://u@a.example"]}, "/origins/0"),
    "origin with its usual port": ({"origins": ["https://a.example:443"]}, "/origins/0"),
    "origin with port 65536": ({"origins": ["https://a.example:65536"]}, "/origins/0"),
    "origin with a written port": ({"origins": ["https://a.example:08080"]}, "/origins/0"),
    "origin with half a port": ({"origins": ["https://a.example:"]}, "/origins/0"),
    "origin with a space": ({"origins": ["https://a example"]}, "/origins/0"),
    "origin with a backslash": ({"origins": ["https://a.example\\b"]}, "/origins/0"),
    "origin with a line feed": ({"origins": ["https://a.example\n"]}, "/origins/0"),
    "origin of a file": ({"origins": ["file://"]}, "/origins/0"),
    "origin without host": ({"origins": ["https://"]}, "/origins/0"),
    "origin half a bracket": ({"origins": ["https://["]}, "/origins/0"),
    "origin 7": ({"origins": [7]}, "/origins/0"),
    "origin twice": ({"origins": ["https://a.example", "https://a.example"]}, "/origins"),
    "unknown member": ({"colour": None}, "/colour"),
    "a key of one's own": ({"key": "fg_live_x"}, "/key"),
    "no user": ({"user": ABSENT}, "/user"),
    "user null": ({"user": None}, "/user"),
    "user empty": ({"user": ""}, "/user"),
}


@pytest.mark.parametrize("case", KEYS)
async def test_a_key_that_makes_no_sense_is_not_made(admin: Administrator, stack: Stack, case: str) -> None:
    """The pointer names the wrong member."""
    members, pointer = KEYS[case]
    body = {"user": stack.account.user.id, **members}
    body = {name: value for name, value in body.items() if value is not ABSENT}
    await assert_refused(admin, stack, ("POST", "keys", body, pointer))


OVERLAPS: dict[str, Any] = {"-1": -1, "a week and a second": 604_801, "1.5": 1.5, "true": True, "text": "60"}


@pytest.mark.parametrize("case", OVERLAPS)
async def test_an_overlap_is_at_most_a_week(admin: Administrator, stack: Stack, case: str) -> None:
    """The key is unchanged."""
    (key, *_) = (await admin.done("GET", "keys"))["data"]
    await assert_refused(
        admin, stack, ("POST", f"keys/{key['id']}/rotate", {"overlap": OVERLAPS[case]}, "/overlap")
    )


QUERIES: dict[str, tuple[str, dict[str, Any], int, str]] = {
    "ledger of nobody": ("ledger", {}, 422, "invalid_input"),
    "ledger limit 0": ("ledger", {"team": "x", "limit": 0}, 422, "invalid_input"),
    "audit limit 101": ("audit", {"limit": 101}, 422, "invalid_input"),
    "audit limit text": ("audit", {"limit": CANARY}, 422, "invalid_input"),
    "audit cursor": ("audit", {"cursor": CANARY}, 400, "invalid_cursor"),
    "audit cursor empty": ("audit", {"cursor": ""}, 400, "invalid_cursor"),
    "audit cursor -": ("audit", {"cursor": "-"}, 400, "invalid_cursor"),
    "audit cursor of many digits": ("audit", {"cursor": "9" * 20 + "-0"}, 400, "invalid_cursor"),
    "audit cursor of 65": ("audit", {"cursor": "1" * 65}, 422, "invalid_input"),
    "ledger cursor": ("ledger", {"team": "x", "cursor": "1-1-1"}, 400, "invalid_cursor"),
    "ledger of an unknown team": ("ledger", {"team": f"team_{NEVER}"}, 404, "not_found"),
    "users of an unknown team": ("users", {"team": f"team_{NEVER}"}, 404, "not_found"),
    "keys of an unknown team": ("keys", {"team": f"team_{NEVER}"}, 404, "not_found"),
    "keys of an unknown user": ("keys", {"user": f"user_{NEVER}"}, 404, "not_found"),
    "users of a long team": ("users", {"team": CANARY * 10}, 422, "invalid_input"),
}


@pytest.mark.parametrize("case", QUERIES)
async def test_a_query_that_makes_no_sense_is_refused(admin: Administrator, stack: Stack, case: str) -> None:
    """Status and code as the table says; the query is not echoed."""
    path, query, status, code = QUERIES[case]
    assert_problem(await admin.call("GET", path, **query), status, code, secret=CANARY)


UNKNOWN: dict[tuple[str, str], Any] = {
    ("GET", "teams/{team}"): None,
    ("PATCH", "teams/{team}"): {"name": "x"},
    ("DELETE", "teams/{team}"): None,
    ("GET", "teams/{team}/limits"): None,
    ("PUT", "teams/{team}/limits"): [SOUND],
    ("POST", "teams/{team}/raises"): {**SOUND, "expires_in": 60},
    ("POST", "teams/{team}/credits"): {"amount_usd": "1", "reason": "r"},
    ("GET", "users/{user}"): None,
    ("PATCH", "users/{user}"): {"name": "x"},
    ("DELETE", "users/{user}"): None,
    ("GET", "users/{user}/limits"): None,
    ("PUT", "users/{user}/limits"): [SOUND],
    ("POST", "users/{user}/raises"): {**SOUND, "expires_in": 60},
    ("GET", "keys/{key}"): None,
    ("POST", "keys/{key}/rotate"): {"overlap": 0},
    ("DELETE", "keys/{key}"): None,
    ("POST", "users"): {"team": f"team_{NEVER}", "name": "x"},
    ("POST", "keys"): {"user": f"user_{NEVER}"},
}


@pytest.mark.parametrize("case", UNKNOWN)
async def test_what_is_not_there_is_404(admin: Administrator, stack: Stack, case: tuple[str, str]) -> None:
    """An id that was never given out, one of another kind, and one that is no id; nothing is written."""
    method, path = case
    ids = [
        {"team": f"team_{NEVER}", "user": f"user_{NEVER}", "key": f"key_{NEVER}"},
        {"team": stack.account.user.id, "user": stack.account.team.id, "key": stack.account.team.id},
        {"team": "%00", "user": "*", "key": "x" * 2000},
    ]
    async with nothing_changes(stack):
        for one in ids:
            reply = await admin.call(method, path.format(**one), UNKNOWN[case])
            assert_problem(reply, 404, "not_found")


async def test_what_is_refused_leaves_no_line(admin: Administrator, stack: Stack) -> None:
    """The log has only the first account's three lines, and verifies."""
    found = await admin.done("GET", "audit/verify")
    assert found == {"lines": 3, "intact": True, "broken_at": None}
    assert json.dumps(await admin.audit()).count(CANARY) == 0
