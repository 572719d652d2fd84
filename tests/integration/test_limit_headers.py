"""`RateLimit-Policy`, `RateLimit` and `Retry-After`; the same limits in `GET /v1/me` and `POST /v1/quotes`."""

import math
import re
from typing import Any

import httpx
import pytest

from app.domain.limits import CALENDAR, Window, periods
from app.domain.times import iso
from app.store import keys
from tests.integration.limits import PRICE, SECONDS, Bounds
from tests.integration.refusals import nothing_changes
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio

# RFC 9651, as far as these headers use it: a list of quoted strings, each with parameters that are integers or
# quoted strings. A quoted name has no quote and no backslash in it.
ITEM = re.compile(r'"([a-z_-]+)"((?:;[a-z]+=(?:[0-9]{1,15}|"[a-z-]+"))*)')
PARAMETER = re.compile(r';([a-z]+)=(?:([0-9]+)|"([a-z-]+)")')
Items = dict[str, dict[str, Any]]


@pytest.fixture
def bounds(stack: Stack) -> Bounds:
    """The stack's owners and their limits."""
    return Bounds(stack)


def parsed(header: str) -> Items:
    """The parameters of each item, by its name; it fails when the header is no such list."""
    found: Items = {}
    for member in header.split(", "):
        item = ITEM.fullmatch(member)
        assert item is not None, member
        assert item[1] not in found
        found[item[1]] = {
            name: int(number) if number else word for name, number, word in PARAMETER.findall(item[2])
        }
    return found


def both(reply: httpx.Response) -> tuple[Items, Items]:
    """The policies and the states of a reply; they have the same limits in the same order."""
    policies, states = (parsed(reply.headers[name]) for name in ("RateLimit-Policy", "RateLimit"))
    assert list(policies) == list(states)
    return policies, states


async def test_an_accepted_job_has_every_limit_in_its_headers(bounds: Bounds) -> None:
    """Quota, unit and window in one header; the remainder after this job, and until when, in the other."""
    await bounds.allow("gateway", jobs_queued=7)
    await bounds.allow("team", usd_day=3 * PRICE, jobs_total=9)
    await bounds.allow("user", video_seconds_month=20, jobs_concurrent=4)
    await bounds.steady_minute()
    policies, states = both(await bounds.submit())
    assert policies == {
        "gateway-jobs-queued": {"q": 7, "qu": "requests"},
        "team-jobs-total": {"q": 9, "qu": "requests"},
        "team-usd-day": {"q": 3 * PRICE, "qu": "micro-usd", "w": 86_400},
        "user-jobs-concurrent": {"q": 4, "qu": "concurrent-requests"},
        "user-video_seconds-month": {"q": 20, "qu": "video-seconds", "w": 2_592_000},
    }
    assert {name: state["r"] for name, state in states.items()} == {
        "gateway-jobs-queued": 6,
        "team-jobs-total": 8,
        "team-usd-day": 2 * PRICE,
        "user-jobs-concurrent": 3,
        "user-video_seconds-month": 20 - SECONDS,
    }
    assert {name for name, state in states.items() if "t" in state} == {"team-usd-day", "user-video_seconds-month"}


async def test_t_is_the_time_until_the_next_window(bounds: Bounds) -> None:
    """In whole seconds, rounded up: at that time the window has turned, a second earlier it had not."""
    await bounds.allow("team", **{f"jobs_{window}": 9 for window in CALENDAR})
    before = await bounds.steady_minute()
    _, states = both(await bounds.submit())
    after = await bounds.stack.gateway.stores.clock.now_ms()
    for window, period in periods(before, "UTC").items():
        seconds = states[f"team-jobs-{window}"]["t"]
        assert math.ceil((period.end_ms - after) / 1000) <= seconds <= math.ceil((period.end_ms - before) / 1000)


async def test_t_of_a_rate_is_the_time_until_it_is_full_or_has_room_again(bounds: Bounds) -> None:
    """Three an hour: each accepted one adds 20 minutes until all three are free; then 20 for the next."""
    await bounds.allow("user", submits_hour=3)
    seconds = []
    for _ in range(4):
        reply = await bounds.submit()
        state = both(reply)[1]["user-submits-hour"]
        seconds.append((reply.status_code, state["r"], round(state["t"] / 60)))
    assert seconds == [(202, 2, 20), (202, 1, 40), (202, 0, 20), (429, 0, 20)]


async def test_a_repeat_tells_the_limits_as_they_stand_now(bounds: Bounds) -> None:
    """The same headers as before, with nothing spent in between."""
    await bounds.allow("team", jobs_total=2, usd_day=2 * PRICE)
    headers = {"Idempotency-Key": "once"}
    first, again = [await bounds.submit(**headers) for _ in range(2)]
    assert again.headers["idempotent-replayed"] == "true"
    assert both(again)[0] == both(first)[0]
    left = {name: state["r"] for name, state in both(again)[1].items()}
    assert left == {"team-jobs-total": 1, "team-usd-day": PRICE}


@pytest.mark.parametrize(
    ("refusing", "status"), [("usd_day", 402), ("jobs_day", 429), ("submits_hour", 429)], ids=str
)
async def test_a_refusal_tells_all_limits_and_nothing_is_left_of_its_own(
    bounds: Bounds, refusing: str, status: int
) -> None:
    """The limit that refuses has r=0; the others are there too, with their current state."""
    await bounds.allow("team", jobs_total=7)
    await bounds.allow("user", **{refusing: PRICE if refusing == "usd_day" else 1})
    await bounds.accepted()
    reply = await bounds.submit()
    assert reply.status_code == status
    _, states = both(reply)
    assert {name: state["r"] for name, state in states.items()} == {
        "team-jobs-total": 6,
        f"user-{refusing.replace('_', '-')}": 0,
    }
    assert ("retry-after" in reply.headers) == (status == 429)


@pytest.mark.parametrize("window", CALENDAR, ids=str)
async def test_retry_after_is_not_before_the_next_window(bounds: Bounds, window: Window) -> None:
    """Whole seconds, rounded up; the longest wait where two limits refuse."""
    await bounds.allow("team", jobs_minute=0, **{f"video_seconds_{window}": 0})
    before = await bounds.steady_minute()
    reply = await bounds.submit()
    after = await bounds.stack.gateway.stores.clock.now_ms()
    end = periods(before, "UTC")[window].end_ms
    seconds = int(reply.headers["retry-after"])
    assert math.ceil((end - after) / 1000) <= seconds <= math.ceil((end - before) / 1000)


async def test_after_retry_after_the_rate_has_room(bounds: Bounds) -> None:
    """A rate that is used up for half a minute has room then, and a moment earlier it has none."""
    await bounds.allow("team", submits_minute=60)
    name, before = keys.rate(bounds.ids["team"], "minute"), await bounds.stack.gateway.stores.clock.now_ms()
    room_ms = before + 30_000
    due_ms = room_ms + 59_000  # with sixty a minute, the sixtieth from there
    await bounds.redis.set(name, due_ms * 1000, px=120_000)
    reply = await bounds.submit()
    after = await bounds.stack.gateway.stores.clock.now_ms()
    seconds = int(reply.headers["retry-after"])
    assert reply.status_code == 429
    assert math.ceil((room_ms - after) / 1000) <= seconds <= 30
    (limit,) = reply.json()["limits"]
    assert limit["resets_at"] == iso(room_ms)
    await bounds.redis.set(name, (due_ms - seconds * 1000) * 1000, px=120_000)  # as if that time had passed
    assert (await bounds.submit()).status_code == 202


async def test_without_limits_there_are_no_headers(bounds: Bounds) -> None:
    """No policy and no state."""
    reply = await bounds.submit()
    assert reply.status_code == 202
    assert not {"ratelimit", "ratelimit-policy", "retry-after"} & set(reply.headers)


async def quote(bounds: Bounds, **inputs: Any) -> dict[str, Any]:
    """A job's part of the reply of `POST /v1/quotes`."""
    body = bounds.stack.body()
    body["input"] |= inputs
    reply = await bounds.stack.api.post("/v1/quotes", json=body)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def test_me_and_a_quote_show_the_limits_as_headers_tell_them(bounds: Bounds) -> None:
    """The same limits, in the same order, with the same figures; reading changes nothing."""
    await bounds.allow("gateway", jobs_month=100)
    await bounds.allow("team", usd_day=3 * PRICE, submits_hour=3)
    await bounds.allow("user", jobs_concurrent=2)
    await bounds.steady_minute()
    reply = await bounds.submit()
    async with nothing_changes(bounds.stack):
        shown = (await bounds.stack.api.get("/v1/me")).json()["limits"]
        quoted = (await quote(bounds))["limits"]
    assert [{**one, "enough": True} for one in shown] == quoted
    names = [f"{one['owner']}-{one['unit']}-{one['window']}" for one in shown]
    _, states = both(reply)
    assert names == list(states)
    left = [int(float(one["left"]) * 1_000_000) if one["unit"] == "usd" else one["left"] for one in shown]
    assert left == [state["r"] for state in states.values()]
    assert {one["unit"]: (one["used"], one["held"]) for one in shown[1:]} == {
        "submits": (1, 0),
        "usd": ("0.00", "1.40"),
        "jobs": (0, 1),
    }


async def test_a_quote_says_for_which_limits_the_job_is_too_large(bounds: Bounds) -> None:
    """Ten seconds cost twice as much as five: too little money and too few seconds left; jobs are left."""
    await bounds.allow("team", usd_day=PRICE, video_seconds_total=9, jobs_total=1)
    async with nothing_changes(bounds.stack):
        enough = {
            duration: {one["unit"]: one["enough"] for one in (await quote(bounds, duration=duration))["limits"]}
            for duration in ("5", "10")
        }
    assert enough == {
        "5": {"jobs": True, "usd": True, "video_seconds": True},
        "10": {"jobs": True, "usd": False, "video_seconds": False},
    }
    await bounds.accepted()
    assert {one["enough"] for one in (await quote(bounds))["limits"]} == {False}
