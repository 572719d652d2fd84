"""What fal's platform API says of the account: request history, billing events; and webhook addresses."""

import time
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.emulator.bills import units
from app.emulator.emulator import Emulator
from app.emulator.generation import COMPLETED, Generation
from app.emulator.paging import OK, bad_query, check_platform, page
from app.emulator.submit import parse_tags
from app.emulator.web import json_reply

DAY = 86_400
HISTORY_LIMIT, BILLING_LIMIT = 100, 10_000


def routes(emulator: Emulator) -> list[Route]:
    """The routes of `api.fal.ai/v1`."""
    platform = Platform(emulator)
    return [
        Route("/v1/models/requests/by-endpoint", platform.history, methods=["GET"]),
        Route("/v1/models/billing-events", platform.billing, methods=["GET"]),
        Route("/v1/meta", platform.meta, methods=["GET"]),
    ]


class Platform:
    """Pages of the account's requests and charges, newest first."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    async def history(self, request: Request) -> Response:
        """`GET /v1/models/requests/by-endpoint`: only requests that have started, as fal's schema implies."""
        await check_platform(self._emulator, request, "admin key")
        endpoints, ids = _list(request, "endpoint_id"), _list(request, "request_id")
        if not endpoints:
            raise bad_query("endpoint_id is required")
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
        return page(self._emulator, request, items, "items", HISTORY_LIMIT)

    async def billing(self, request: Request) -> Response:
        """`GET /v1/models/billing-events`: the events of each charge; `tag=k=v` filters by tag."""
        await check_platform(self._emulator, request, "admin key")
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
        return page(self._emulator, request, events, "billing_events", BILLING_LIMIT)

    async def meta(self, _request: Request) -> Response:
        """`GET /v1/meta`: the addresses that webhooks come from."""
        return json_reply(OK, {"webhook_ip_ranges": ["127.0.0.0/8", "::1/128"]})

    def _window(self, request: Request) -> tuple[float, float]:
        """Start and end of the query, the last day by default, without the seconds that the lag hides."""
        now = time.time()
        start = _moment(request, "start", now - DAY)
        end = _moment(request, "end", now + 1)
        lag = self._emulator.platform_fault.lag_seconds
        return start, min(end, now - lag) if lag else end


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
        "output_units": float(units(micro, charge["unit_micro"])),
        "unit_price": charge["unit_micro"] / 1e6,
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
        raise bad_query(f"{name} is not an ISO 8601 date") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
