"""fal's request history: the requests it has seen for one model, and what of ours their payloads carry.

Source: https://fal.ai/docs/platform-apis/v1/models/requests/by-endpoint (2026-11): at most 100 requests a page,
payloads only with `expand=payloads`, the end exclusive. It does not say which of a request's times the span is
about, and sorts by the end; `started_at` is required, so a request that still waits may be missing.

A listing is whole or it is none: what cannot be read might be the one request that is looked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from app.fal.errors import UnusableAnswer
from app.fal.protocol import REQUEST_ID, parse_json

HISTORY_PAGE = 100  # requests a page, which is fal's most
HISTORY_PAGES = 20
CURSOR_LIMIT = 1000
MARKER_PARAMETER = "filmgate"  # the name in an image's address behind which our marker stands
ADDRESS_LIMIT = 4096  # characters; no address that we mark is longer


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """One request that fal had: its id, when it was sent (unix ms), and what its payload says to be markers."""

    request_id: str
    sent_ms: int
    markers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RequestListing:
    """Every request of one model in a span of time, the first that was sent first."""

    requests: tuple[HistoryRequest, ...]


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """One page of requests, and the cursor of the next one."""

    requests: list[HistoryRequest]
    cursor: str | None


def history_query(model_id: str, *, start_ms: int, end_ms: int, limit: int, cursor: str | None = None) -> str:
    """The query string for the requests of a model between two times (unix ms), with their payloads."""
    pairs = [("endpoint_id", model_id), ("start", _iso(start_ms)), ("end", _iso(end_ms))]
    pairs += [("expand", "payloads"), ("limit", str(limit))]
    return urlencode(pairs if cursor is None else [*pairs, ("cursor", cursor)])


def read_history(body: bytes) -> HistoryPage | UnusableAnswer:
    """A page of requests; UnusableAnswer where anything in it, or the way to the next one, cannot be read."""
    reply = parse_json(body)
    rows = reply.get("items") if isinstance(reply, dict) else None
    if not isinstance(rows, list) or not isinstance(reply.get("has_more"), bool):
        return UnusableAnswer("unreadable")
    cursor = reply.get("next_cursor") if reply["has_more"] else None
    if reply["has_more"] and not (isinstance(cursor, str) and 0 < len(cursor) <= CURSOR_LIMIT):
        return UnusableAnswer("unreadable")  # there is more, and no way to it
    requests = []
    for row in rows:
        seen = _seen(row)
        if isinstance(seen, UnusableAnswer):
            return seen
        requests.append(seen)
    return HistoryPage(requests, cursor)


def _seen(row: Any) -> HistoryRequest | UnusableAnswer:
    if not isinstance(row, dict):
        return UnusableAnswer("unreadable")
    request_id, sent_ms, payload = row.get("request_id"), _moment_ms(row.get("sent_at")), row.get("json_input")
    if not isinstance(request_id, str) or not REQUEST_ID.fullmatch(request_id) or sent_ms is None:
        return UnusableAnswer("unreadable")
    if not isinstance(payload, dict):
        return UnusableAnswer("no_payload")
    return HistoryRequest(request_id, sent_ms, tuple(sorted(set(_markers_in(payload)))))


def _markers_in(payload: dict[str, Any]) -> Iterator[str]:
    """What stands behind our name in the query of any address in the payload, however deep."""
    left: list[Any] = [payload]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += value.values()
        elif isinstance(value, list):
            left += value
        elif isinstance(value, str) and len(value) <= ADDRESS_LIMIT and value.startswith(("http://", "https://")):
            yield from (text for name, text in _query(value) if name == MARKER_PARAMETER)


def _query(address: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(urlsplit(address).query)
    except ValueError:
        return []  # no address; ours can be read


def _moment_ms(text: Any) -> int | None:
    """Unix ms of an ISO 8601 time; UTC where it names no zone."""
    try:
        moment = datetime.fromisoformat(text)
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (TypeError, ValueError, OverflowError):
        return None


def _iso(moment_ms: int) -> str:
    moment = datetime.fromtimestamp(moment_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
