"""fal's billing events on the wire, and their sums."""

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from app.domain.money import MAX_MICRO
from app.fal.billing import LONGEST_MS, Bill, events_query, read_page, sum_up
from app.fal.client import FalClient
from app.fal.errors import UnusableAnswer
from app.fal.protocol import PlatformPage


def page(*rows: dict[str, Any], **more: Any) -> bytes:
    """An answer with these events."""
    return json.dumps({"billing_events": rows, "next_cursor": None, "has_more": False, **more}).encode()


def billed(*rows: dict[str, Any]) -> dict[str, int]:
    """The sums of these events for the requests a and b."""
    read = read_page(page(*rows))
    assert isinstance(read, PlatformPage)
    return sum_up(read.items, request_ids=["a", "b"]).micro


@pytest.mark.parametrize(
    ("cost", "micro"),
    [
        ({"cost_estimate_nano_usd": 1_400_000_000}, 1_400_000),
        ({"cost_estimate_nano_usd": 1_400_000_000, "cost_total": 9.9}, 1_400_000),
        ({"cost_total": 1.4}, 1_400_000),
        ({"cost_estimate_nano_usd": None, "cost_total": 0.1 + 0.2}, 300_000),
        ({"cost_estimate_nano_usd": 499}, 0),
        ({"cost_estimate_nano_usd": 500}, 1),
        ({"cost_estimate_nano_usd": 2_500}, 3),
        ({"cost_estimate_nano_usd": 0}, 0),
        ({"cost_estimate_nano_usd": MAX_MICRO * 1000}, MAX_MICRO),
    ],
)
def test_a_cost_becomes_whole_micro_dollars(cost: dict[str, Any], micro: int) -> None:
    """The exact figure first, then dollars; halves are rounded up."""
    assert billed({"request_id": "a", **cost}) == {"a": micro}


@pytest.mark.parametrize(
    "cost",
    [
        {},
        {"cost_total": None},
        {"cost_total": "1.40"},
        {"cost_total": True},
        {"cost_total": float("nan")},
        {"cost_total": float("inf")},
        {"cost_total": -1.4},
        {"cost_total": 1e300},
        {"cost_estimate_nano_usd": MAX_MICRO * 1000 + 1},
    ],
)
def test_a_cost_that_cannot_be_is_no_cost(cost: dict[str, Any]) -> None:
    """The request is left out, even if another of its events is valid; other requests are unaffected."""
    good = {"cost_estimate_nano_usd": 1000}
    assert billed({"request_id": "a", **cost}, {"request_id": "b", **good}) == {"b": 1}


def test_events_of_one_request_are_added_before_they_are_rounded() -> None:
    """Two halves add up to one; a credit is subtracted; other requests are left out."""
    half = {"cost_estimate_nano_usd": 700_500}
    assert billed(
        {"request_id": "a", **half},
        {"request_id": "c", **half},
        {"request_id": "a", **half},
        {"request_id": "b", **half},
        {"request_id": "b", "cost_estimate_nano_usd": -500},
    ) == {"a": 1401, "b": 700}
    assert billed({"request_id": "a", **half}, {"request_id": "a"}) == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>502</html>",
        b"[]",
        b"null",
        b"{}",
        b'{"billing_events": {}}',
        b'{"billing_events": [1]}',
        page(has_more=True),
        page(has_more=True, next_cursor=7),
        page(has_more=True, next_cursor="x" * 1001),
        b"[" * 100_000,
    ],
)
def test_what_is_no_page_is_no_answer(body: bytes) -> None:
    """A partial bill is no bill: more pages without a cursor count as that too."""
    assert read_page(body) == UnusableAnswer("unreadable")


def test_a_page_names_the_next_one() -> None:
    """As long as there is one."""
    pages = [read_page(page(has_more=True, next_cursor="Mg==")), read_page(page(next_cursor="Mg=="))]
    assert [one.cursor if isinstance(one, PlatformPage) else "none" for one in pages] == ["Mg==", None]
    assert read_page(page({"request_id": 7, "cost_total": 1.0})) == read_page(page())


def test_a_query_asks_for_ids_and_a_span_that_fal_allows() -> None:
    """Single ids, times with their zone, at most 90 days, the cursor unchanged."""
    end_ms = 1_795_000_000_000
    asked = parse_qs(events_query(["a", "b"], start_ms=0, end_ms=end_ms, limit=10, cursor="Mg=="))
    assert asked["request_id"] == ["a", "b"]
    assert asked["end"] == ["2026-11-18T11:06:40.000Z"]
    assert asked["start"] == ["2026-08-21T11:06:40.000Z"]
    assert (asked["limit"], asked["cursor"]) == (["10"], ["Mg=="])
    recent = parse_qs(events_query(["a"], start_ms=end_ms - LONGEST_MS + 1000, end_ms=end_ms, limit=10))
    assert recent["start"] == ["2026-08-21T11:06:41.000Z"]


@pytest.mark.anyio
async def test_a_client_asks_for_at_most_fifty_and_only_with_an_admin_key() -> None:
    """Without the key nothing is called; too many ids are a programming error."""
    urls: dict[str, Any] = dict.fromkeys(("queue_url", "rest_url", "api_url"), "http://127.0.0.1:9")
    keyless, client = FalClient(**urls, key="k"), FalClient(**urls, key="k", admin_key="admin")
    try:
        answer = await keyless.bill(["a"], start_ms=0, end_ms=1)
        assert not isinstance(answer, Bill)
        assert answer.reason == "no_admin_key"
        answer = await client.bill(["a"], start_ms=0, end_ms=1)
        assert not isinstance(answer, Bill)
        assert answer.reason == "no_answer"
        for ids in ([], ["a"] * 51):
            with pytest.raises(ValueError, match="1 to 50"):
                await client.bill(ids, start_ms=0, end_ms=1)
    finally:
        await keyless.close()
        await client.close()
