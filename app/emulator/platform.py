"""fal's platform API under `/v1`: request history, billing events, prices, webhook addresses."""

import asyncio
import base64
import binascii
import time
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from app.emulator import prices
from app.emulator.emulator import Emulator
from app.emulator.generation import COMPLETED, Generation
from app.emulator.submit import parse_tags, require_key
from app.emulator.web import RefusedRequest, json_reply

DAY = 86_400
HISTORY_LIMIT, BILLING_LIMIT, DEFAULT_LIMIT = 100, 10_000, 50
OK = 200


def routes(emulator: Emulator) -> list[Route]:
    """The routes of `api.fal.ai/v1`."""
    platform = Platform(emulator)
    return [
        Route("/v1/models/requests/by-endpoint", platform.history, methods=["GET"]),
        Route("/v1/models/billing-events", platform.billing, methods=["GET"]),
        Route("/v1/models/pricing", platform.pricing, methods=["GET"]),
        Route("/v1/meta", platform.meta, methods=["GET"]),
    ]


class Platform:
    """Pages of the account's requests and charges, newest first."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    async def history(self, request: Request) -> Response:
        """`GET /v1/models/requests/by-endpoint`: only requests that have started, as fal's schema implies."""
        await self._check(request, admin=True)
        endpoints, ids = _list(request, "endpoint_id"), _list(request, "request_id")
        if not endpoints:
            raise _bad_query("endpoint_id is required")
        start, end = self._window(request)
        expand = "payloads" in _list(request, "expand")
        items = [
            _history_item(generation, expand=expand)
            for generation in reversed(self._emulator.account.requests.values())
            if generation.started_at is not None
            and generation.endpoint in endpoints
            and start <= generation.received_at < end
            and (not ids or generation.id in ids)
            and _has_outcome(generation, request.query_params.get("status"))
        ]
        return self._page(request, items, "items", HISTORY_LIMIT)

    async def billing(self, request: Request) -> Response:
        """`GET /v1/models/billing-events`: the events of each charge; `tag=k=v` filters by tag."""
        await self._check(request, admin=True)
        endpoints, ids = _list(request, "endpoint_id"), _list(request, "request_id")
        tags = parse_tags(request.query_params.get("tag", "")).items()
        start, end = self._window(request)
        events = [
            _billing_event(charge, part)
            for charge in reversed(self._emulator.account.charges)
            for part in charge.get("events", [charge["cost_micro"]])
            if start <= charge["at"] < end
            and (not endpoints or charge["endpoint"] in endpoints)
            and (not ids or charge["request_id"] in ids)
            and tags <= charge["tags"].items()
        ]
        return self._page(request, events, "billing_events", BILLING_LIMIT)

    async def pricing(self, request: Request) -> Response:
        """`GET /v1/models/pricing?endpoint_id=…`: dollars per second of video."""
        await self._check(request, admin=False)
        unit = {"unit": "second", "currency": "USD"}
        rows = [
            {"endpoint_id": endpoint, "unit_price": prices.rate(endpoint, {}) / 1e6, **unit}
            for endpoint in _list(request, "endpoint_id")
        ]
        return json_reply(OK, {"prices": rows, "next_cursor": None, "has_more": False})

    async def meta(self, _request: Request) -> Response:
        """`GET /v1/meta`: the addresses that webhooks come from."""
        return json_reply(OK, {"webhook_ip_ranges": ["127.0.0.0/8", "::1/128"]})

    async def _check(self, request: Request, *, admin: bool) -> None:
        """Raises RefusedRequest without a sufficient key, and for a requested fault."""
        require_key(self._emulator, request)
        if admin and not self._emulator.has_admin_key(request):
            raise _error(403, "authorization_error", "This endpoint needs an API key with ADMIN scope")
        fault = self._emulator.platform_fault
        await asyncio.sleep(fault.delay_seconds)
        if fault.status:
            raise _error(fault.status, "emulated", f"Asked to answer {fault.status}")
        if fault.body:
            raise RefusedRequest(PlainTextResponse(fault.body))

    def _window(self, request: Request) -> tuple[float, float]:
        """Start and end of the query, the last day by default, without the seconds that the lag hides."""
        now = time.time()
        start = _moment(request, "start", now - DAY)
        end = _moment(request, "end", now + 1)
        lag = self._emulator.platform_fault.lag_seconds
        return start, min(end, now - lag) if lag else end

    def _page(self, request: Request, rows: list[dict[str, Any]], name: str, most: int) -> Response:
        """One page of the rows; the cursor is the next page's number in base64."""
        limit = request.query_params.get("limit", str(DEFAULT_LIMIT))
        if not limit.isdecimal() or not 1 <= int(limit) <= most:
            raise _bad_query(f"limit must be between 1 and {most}")
        fault = self._emulator.platform_fault
        size, number = fault.page_rows or int(limit), _page_number(request.query_params.get("cursor"))
        begin = (number - 1) * size
        more = begin + size < len(rows)
        following = number if fault.same_cursor else number + 1
        cursor = base64.b64encode(str(following).encode()).decode() if more else None
        return json_reply(OK, {name: rows[begin : begin + size], "next_cursor": cursor, "has_more": more})


def _error(status: int, kind: str, message: str) -> RefusedRequest:
    return RefusedRequest(json_reply(status, {"error": {"type": kind, "message": message}}))


def _bad_query(message: str) -> RefusedRequest:
    return _error(422, "validation_error", message)


def _history_item(generation: Generation, *, expand: bool) -> dict[str, Any]:
    item: dict[str, Any] = {
        "request_id": generation.id,
        "endpoint_id": generation.endpoint,
        "sent_at": _iso(generation.received_at),
        "started_at": _iso(generation.started_at or generation.received_at),
        "ended_at": None,
        "status_code": None,
        "duration": None,
    }
    if generation.completed_at is not None and generation.reply is not None:
        duration = generation.completed_at - (generation.started_at or generation.completed_at)
        item["ended_at"] = _iso(generation.completed_at)
        item["status_code"] = generation.reply.status
        item["duration"] = round(duration, 3)
    if expand and generation.store_io:
        item["json_input"] = generation.payload
        item["json_output"] = generation.reply.body if generation.reply else None
    return item


def _billing_event(charge: dict[str, Any], micro: int) -> dict[str, Any]:
    return {
        "request_id": charge["request_id"],
        "endpoint_id": charge["endpoint"],
        "timestamp": _iso(charge["at"]),
        "output_units": charge["seconds"],
        "unit_price": micro / charge["seconds"] / 1e6,
        "percent_discount": None,
        "cost_total": micro / 1e6,
        "cost_estimate_nano_usd": micro * 1000,
    }


def _has_outcome(generation: Generation, wanted: str | None) -> bool:
    """Fal's filter words: success, error (500 and above), user_error (400 and above)."""
    if wanted is None:
        return True
    if generation.status != COMPLETED or generation.reply is None:
        return False
    word = {2: "success", 4: "user_error", 5: "error"}[generation.reply.status // 100]
    return word == wanted


def _list(request: Request, name: str) -> list[str]:
    """The values of a parameter, repeated or separated by commas."""
    return [part for value in request.query_params.getlist(name) for part in value.split(",") if part]


def _moment(request: Request, name: str, otherwise: float) -> float:
    text = request.query_params.get(name)
    if text is None:
        return otherwise
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _bad_query(f"{name} is not an ISO 8601 date") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _page_number(cursor: str | None) -> int:
    try:
        number = int(base64.b64decode(cursor, validate=True)) if cursor else 1
    except (binascii.Error, ValueError):
        number = 0
    if number < 1:
        raise _bad_query("cursor was not made here")
    return number


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
