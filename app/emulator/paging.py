"""What the routes of fal's platform API share: errors, requested faults, pages."""

import asyncio
import base64
import binascii
import uuid
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from app.emulator.emulator import Emulator
from app.emulator.web import RefusedRequest, json_reply

OK = 200
DEFAULT_LIMIT = 50
DOCS = "https://fal.ai/docs/platform-apis"
Scope = Literal["none", "any key", "admin key"]


async def check_platform(emulator: Emulator, request: Request, scope: Scope) -> None:
    """Raises RefusedRequest without a sufficient key, and for a requested fault."""
    if scope != "none" and not emulator.has_known_key(request):
        raise platform_error(401, "authorization_error", "Authentication is required")
    if scope == "admin key" and not emulator.has_admin_key(request):
        raise platform_error(403, "authorization_error", "This endpoint needs an API key with ADMIN scope")
    fault = emulator.platform_fault
    await asyncio.sleep(fault.delay_seconds)
    if not fault.applies():
        return
    if fault.status:
        pause = {"Retry-After": f"{fault.retry_after:g}"} if fault.retry_after else {}
        kind = "rate_limited" if fault.status == 429 else "server_error"  # noqa: PLR2004  # HTTP Too Many Requests
        raise platform_error(fault.status, kind, f"Asked to answer {fault.status}", pause)
    if fault.body:
        raise RefusedRequest(PlainTextResponse(fault.body))


def platform_error(status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> RefusedRequest:
    """An error in the platform API's shape."""
    error = {"type": kind, "message": message, "docs_url": DOCS, "request_id": str(uuid.uuid4())}
    return RefusedRequest(json_reply(status, {"error": error}, headers=headers))


def bad_query(message: str) -> RefusedRequest:
    """The error for a wrong parameter."""
    return platform_error(422, "validation_error", message)


def page(emulator: Emulator, request: Request, rows: list[dict[str, Any]], name: str, most: int) -> Response:
    """One page of at most `most` rows; the cursor is the next page's number in base64."""
    limit = request.query_params.get("limit", str(DEFAULT_LIMIT))
    if not limit.isdecimal() or not 1 <= int(limit) <= most:
        raise bad_query(f"limit must be between 1 and {most}")
    fault = emulator.platform_fault
    size, number = fault.page_rows or int(limit), _page_number(request.query_params.get("cursor"))
    begin = (number - 1) * size
    more = begin + size < len(rows)
    following = number if fault.same_cursor else number + 1
    cursor = base64.b64encode(str(following).encode()).decode() if more else None
    return json_reply(OK, {name: rows[begin : begin + size], "next_cursor": cursor, "has_more": more})


def _page_number(cursor: str | None) -> int:
    try:
        number = int(base64.b64decode(cursor, validate=True)) if cursor else 1
    except (binascii.Error, ValueError):
        number = 0
    if number < 1:
        raise bad_query("cursor was not made here")
    return number
