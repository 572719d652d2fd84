"""fal's request history: the requests it has had for one model, and our markers in their payloads.

Source: https://fal.ai/docs/platform-apis/v1/models/requests/by-endpoint (2026-11): at most 100 requests a page,
payloads only with `expand=payloads`, the end exclusive. It does not say which of a request's times the range is
about, and sorts by the end; `started_at` is required, so a request that still waits may be missing.

An incomplete listing is not used: an unreadable request might be the one that is searched for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from app.domain.times import iso
from app.fal.errors import UnusableAnswer
from app.fal.protocol import REQUEST_ID, PlatformPage, parse_json

HISTORY_PAGE = 100  # requests a page, which is fal's most
MAX_HISTORY_PAGES = 20
CURSOR_LIMIT = 1000
MARKER_PARAMETER = "filmgate"  # the query parameter of an image's URL that holds our marker
URL_LIMIT = 4096  # characters; no URL that we mark is longer


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """One request that fal had: its id, when it was sent (unix ms), and possible markers in its payload."""

    request_id: str
    sent_ms: int
    markers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RequestListing:
    """Every request of one model in a range of time, in the order in which they were sent."""

    requests: tuple[HistoryRequest, ...]


def history_query(model_id: str, *, start_ms: int, end_ms: int, limit: int, cursor: str | None = None) -> str:
    """The query string for the requests of a model between two times (unix ms), with their payloads."""
    pairs = [("endpoint_id", model_id), ("start", iso(start_ms)), ("end", iso(end_ms))]
    pairs += [("expand", "payloads"), ("limit", str(limit))]
    return urlencode(pairs if cursor is None else [*pairs, ("cursor", cursor)])


def read_history(body: bytes) -> PlatformPage[HistoryRequest] | UnusableAnswer:
    """A page of requests; UnusableAnswer when any request or the next page's cursor is unreadable."""
    reply = parse_json(body)
    rows = reply.get("items") if isinstance(reply, dict) else None
    if not isinstance(rows, list) or not isinstance(reply.get("has_more"), bool):
        return UnusableAnswer("unreadable")
    cursor = reply.get("next_cursor") if reply["has_more"] else None
    if reply["has_more"] and not (isinstance(cursor, str) and 0 < len(cursor) <= CURSOR_LIMIT):
        return UnusableAnswer("unreadable")  # there is more, and no cursor
    requests = []
    for row in rows:
        request = _read_request(row)
        if isinstance(request, UnusableAnswer):
            return request
        requests.append(request)
    return PlatformPage(requests, cursor)


def _read_request(row: Any) -> HistoryRequest | UnusableAnswer:
    if not isinstance(row, dict):
        return UnusableAnswer("unreadable")
    request_id, sent_ms, payload = row.get("request_id"), _moment_ms(row.get("sent_at")), row.get("json_input")
    if not isinstance(request_id, str) or not REQUEST_ID.fullmatch(request_id) or sent_ms is None:
        return UnusableAnswer("unreadable")
    if not isinstance(payload, dict):
        return UnusableAnswer("no_payload")
    return HistoryRequest(request_id, sent_ms, tuple(sorted(set(_markers_in(payload)))))


def _markers_in(payload: dict[str, Any]) -> Iterator[str]:
    """The values of our parameter in the queries of all URLs in the payload, at any depth."""
    left: list[Any] = [payload]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += value.values()
        elif isinstance(value, list):
            left += value
        elif isinstance(value, str) and len(value) <= URL_LIMIT and value.startswith(("http://", "https://")):
            yield from (text for name, text in _query(value) if name == MARKER_PARAMETER)


def _query(url: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(urlsplit(url).query)
    except ValueError:
        return []  # not a URL, so not one of ours


def _moment_ms(text: Any) -> int | None:
    """Unix ms of an ISO 8601 time, which is UTC without a zone."""
    try:
        moment = datetime.fromisoformat(text)
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (TypeError, ValueError, OverflowError):
        return None
