"""fal's bill: what each request cost, read from its billing events.

Source: https://fal.ai/docs/platform-apis/v1/models/billing-events (2026-11): admin keys only, 1 to 50 request ids a
call, at most 90 days, the end exclusive, recent events late. `cost_total` is what is paid after discounts, in
dollars; `cost_estimate_nano_usd` is the same in nano-dollars, and is read first because it is exact.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from urllib.parse import urlencode

from app.domain.money import MAX_MICRO
from app.fal.protocol import parse_json

IDS_AT_ONCE = 50
PAGE = 1000  # events a page; fal allows ten times as many, an answer of ours must stay below a megabyte
PAGES = 10
LONGEST_MS = 89 * 86_400_000
NANO_IN_MICRO = 1000
NANO_IN_USD = 1_000_000_000
CURSOR_LIMIT = 1000

BillingEvent = tuple[str, Decimal | None]  # request id, nano-dollars; None: no cost, or none that can be read


@dataclass(frozen=True, slots=True)
class Bill:
    """What fal has billed: micro-dollars by request id. A request that is not in it has no readable event yet."""

    micro: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BillingPage:
    """One page of events, and the cursor of the next one."""

    events: list[BillingEvent]
    cursor: str | None


def events_query(
    request_ids: Sequence[str], *, start_ms: int, end_ms: int, limit: int, cursor: str | None = None
) -> str:
    """The query string for the events of these requests between two times (unix ms)."""
    start_ms = max(start_ms, end_ms - LONGEST_MS)
    pairs = [("request_id", request_id) for request_id in request_ids]
    pairs += [("start", _iso(start_ms)), ("end", _iso(end_ms)), ("limit", str(limit))]
    return urlencode(pairs if cursor is None else [*pairs, ("cursor", cursor)])


def read_page(body: bytes) -> BillingPage | None:
    """A page of billing events, or None when it is not one. An event that names no request is left out."""
    reply = parse_json(body)
    rows = reply.get("billing_events") if isinstance(reply, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return None
    cursor = reply.get("next_cursor") if reply.get("has_more") is not False else None
    if cursor is not None and not (isinstance(cursor, str) and 0 < len(cursor) <= CURSOR_LIMIT):
        return None
    if reply.get("has_more") is True and cursor is None:
        return None  # there is more, and no way to it: half a bill is none
    events = [(row["request_id"], _nano(row)) for row in rows if isinstance(row.get("request_id"), str)]
    return BillingPage(events, cursor)


def sum_up(events: Iterable[BillingEvent], *, request_ids: Sequence[str]) -> Bill:
    """The bill of these requests: all events of one request together, in micro-dollars.

    A fraction of a micro-dollar is rounded half up, once, after the sum. A request with an event whose cost cannot
    be read, or whose sum is below zero or beyond 9 billion dollars, is left out: it is looked at again.
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


def _iso(moment_ms: int) -> str:
    moment = datetime.fromtimestamp(moment_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
