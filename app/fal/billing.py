"""fal's bill: what each request cost, read from its billing events.

Source: https://fal.ai/docs/platform-apis/v1/models/billing-events (2026-11): admin keys only, 1 to 50 request ids a
call, at most 90 days, the end exclusive, recent events are late. `cost_total` is the price after discounts in
dollars; `cost_estimate_nano_usd` is the same in nano-dollars, and is preferred because it is exact.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from urllib.parse import urlencode

from app.domain.money import MAX_MICRO
from app.domain.times import iso
from app.fal.errors import UnusableAnswer
from app.fal.protocol import PlatformPage, parse_json

MAX_IDS_PER_BILL = 50
BILL_PAGE = 1000  # events a page; fal allows 10,000, which would exceed a megabyte
MAX_BILL_PAGES = 10
LONGEST_MS = 89 * 86_400_000
NANO_IN_MICRO = 1000
NANO_IN_USD = 1_000_000_000
CURSOR_LIMIT = 1000

BillingEvent = tuple[str, Decimal | None]  # request id, nano-dollars; None: no readable cost


@dataclass(frozen=True, slots=True)
class Bill:
    """What fal has billed: micro-dollars by request id. A request that is not in it has no readable event yet."""

    micro: dict[str, int] = field(default_factory=dict)


def events_query(
    request_ids: Sequence[str], *, start_ms: int, end_ms: int, limit: int, cursor: str | None = None
) -> str:
    """The query string for the events of these requests between two times (unix ms)."""
    start_ms = max(start_ms, end_ms - LONGEST_MS)
    pairs = [("request_id", request_id) for request_id in request_ids]
    pairs += [("start", iso(start_ms)), ("end", iso(end_ms)), ("limit", str(limit))]
    return urlencode(pairs if cursor is None else [*pairs, ("cursor", cursor)])


def read_page(body: bytes) -> PlatformPage[BillingEvent] | UnusableAnswer:
    """A page of billing events. An event without a request id is omitted."""
    reply = parse_json(body)
    rows = reply.get("billing_events") if isinstance(reply, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return UnusableAnswer("unreadable")
    cursor = reply.get("next_cursor") if reply.get("has_more") is not False else None
    if cursor is not None and not (isinstance(cursor, str) and 0 < len(cursor) <= CURSOR_LIMIT):
        return UnusableAnswer("unreadable")
    if reply.get("has_more") is True and cursor is None:
        return UnusableAnswer("unreadable")  # there is more, and no cursor: part of a bill is useless
    events = [(row["request_id"], _nano(row)) for row in rows if isinstance(row.get("request_id"), str)]
    return PlatformPage(events, cursor)


def sum_up(events: Iterable[BillingEvent], *, request_ids: Sequence[str]) -> Bill:
    """The bill of these requests: the sum of each request's events, in micro-dollars.

    A fraction of a micro-dollar is rounded half up, once, after the sum. A request with an unreadable cost, or with
    a sum below zero or above 9 billion dollars, is omitted and read again later.
    """
    wanted = set(request_ids)
    sums: dict[str, Decimal] = {}
    unreadable: set[str] = set()
    for request_id, nano in events:
        if nano is None:
            unreadable.add(request_id)
        elif request_id in wanted:
            sums[request_id] = sums.get(request_id, Decimal(0)) + nano
    micro = {
        request_id: int((nano / NANO_IN_MICRO).quantize(Decimal(1), ROUND_HALF_UP))
        for request_id, nano in sums.items()
        if request_id not in unreadable
    }
    return Bill({request_id: amount for request_id, amount in micro.items() if 0 <= amount <= MAX_MICRO})


def _nano(row: dict[str, Any]) -> Decimal | None:
    for name, nano_in_one in (("cost_estimate_nano_usd", 1), ("cost_total", NANO_IN_USD)):
        value = row.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            nano = Decimal(str(value)) * nano_in_one
            return nano if nano.is_finite() and abs(nano) <= MAX_MICRO * NANO_IN_MICRO else None
    return None
