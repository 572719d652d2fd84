"""Errors in fal's shape, for everything under /fal/ but fal's own webhooks: `{"detail", "message", "error_type"?}`.

`detail` is a sentence, or for a 422 the list that both clients turn into their typed errors; `message` is what the
JavaScript client shows. Both clients repeat after 409 and 429, so these are used only for waits under a minute.
"""

from typing import Any

import pydantic_core
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from app.api.limit_headers import limit_headers
from app.domain.errors import Code, Conflict, FilmgateError, OverLimit, Overloaded, StoreUnavailable, Violation
from app.telemetry import note
from app.views.fal_platform import fal_platform_error

REQUEST_ID = "x-fal-request-id"
ALWAYS_NEW = "x-filmgate-new"
REPEATABLE = "repeatable"  # of the scope: false when the same submission would be another job
PLATFORM = "/fal/api/"  # fal's platform API, whose errors have another shape
BAD_REQUEST, FORBIDDEN, NOT_FOUND, TOO_MANY, UNPROCESSABLE = 400, 403, 404, 429, 422
SHORT_WAIT_S = 60
MAX_SENTENCES = 3  # of the findings, in `message`
CLOSING = {Code.REQUEST_TIMEOUT, Code.PAYLOAD_TOO_LARGE}  # the rest of the body is not read after these
LOCS = {"webhook_url": ("query", "fal_webhook"), "start_deadline": ("header", "x-fal-request-timeout")}
# Our codes, about an image or the whole request, and fal's types for them.
TYPES = {
    "not_an_image": "image_load_error",
    "bad_data_uri": "image_load_error",
    "unsupported_image": "unsupported_image_format",
    "image_too_small": "image_too_small",
    "image_too_large": "image_too_large",
}
# Types of pydantic's errors that fal names differently.
KINDS = {"literal_error": "one_of", "too_long": "sequence_too_long", "too_short": "sequence_too_short"}


def is_fal_path(path: str) -> bool:
    """True for the paths that fal's clients call."""
    return path.startswith("/fal/") and not path.startswith("/fal/hooks/")


def is_repeatable(scope: Scope) -> bool:
    """True when the request changes nothing, or may be repeated without harm."""
    if scope["method"] in {"GET", "PUT"}:  # a PUT cancels or uploads
        return True
    return bool(scope.get(REPEATABLE, ALWAYS_NEW not in Headers(scope=scope)))


def fal_error(error: FilmgateError, *, path: str, trace_id: str, base_url: str, repeatable: bool) -> Response:
    """The response for an error."""
    if path.startswith(PLATFORM):
        return _platform_error(error, trace_id=trace_id, base_url=base_url)
    status = status_of(error, repeatable=repeatable)
    detail: Any = _findings(error, base_url) if status == UNPROCESSABLE else error.message
    headers = {"Cache-Control": "no-store", REQUEST_ID: trace_id, **limit_headers(error.limits)}
    if error.retry_after is not None and status >= TOO_MANY:
        headers["Retry-After"] = str(error.retry_after)
    if error.code in CLOSING:
        headers["Connection"] = "close"
    return fal_reply({"detail": detail, "message": _message(error)}, status, headers)


def _message(error: FilmgateError) -> str:
    """The error's sentence and the first findings, each with the name of its field."""
    found = error.violations[:MAX_SENTENCES]
    whole = [] if error.message in {one.message for one in found} else [error.message]
    return " ".join(dict.fromkeys([*whole, *map(_named, found)]))


def _named(found: Violation) -> str:
    name = ".".join(str(part) for part in _loc(found)[1:])
    return found.message if not name or found.message.startswith(name) else f"{name}: {found.message}"


def _platform_error(error: FilmgateError, *, trace_id: str, base_url: str) -> Response:
    """The error as fal's platform API has it, which knows 400 where fal's apps have 422."""
    status = BAD_REQUEST if error.status == UNPROCESSABLE else error.status
    docs_url = f"{base_url}/problems/{error.code}"
    body = fal_platform_error(status, error.message, docs_url=docs_url, request_id=trace_id)
    headers = {"Cache-Control": "no-store", REQUEST_ID: trace_id, **limit_headers(error.limits)}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return fal_reply(body, status, headers)


def status_of(error: FilmgateError, *, repeatable: bool) -> int:
    """The HTTP status for fal's clients.

    1. the gateway is overloaded and has done nothing: 429, after which both clients repeat
    2. the store is away: 429 too where a repeat is harmless, else 503
    3. a limit: 429 when a short wait is known to help; 403 when the wait is longer, of unknown length
       (`concurrent`, `queued`) or pointless
    4. a conflict: 400, because clients repeat after 409
    """
    if isinstance(error, Overloaded):
        return TOO_MANY
    if isinstance(error, StoreUnavailable):
        return TOO_MANY if repeatable else error.status
    if isinstance(error, OverLimit):
        known = all(state.resets_ms is not None for state in error.limits if state.over)
        soon = error.retryable and known and (error.retry_after or 0) <= SHORT_WAIT_S
        return TOO_MANY if soon else FORBIDDEN
    return 400 if isinstance(error, Conflict) else error.status


def not_found(trace_id: str, *, status_word: bool) -> Response:
    """Fal's reply for an unknown id; `status_word` for the routes that reply with a status."""
    note(code=Code.NOT_FOUND.value)
    body: dict[str, Any] = {"detail": "Request not found", "message": "Request not found"}
    if status_word:
        body = {"status": "NOT_FOUND", **body}
    return fal_reply(body, Code.NOT_FOUND.status, {REQUEST_ID: trace_id})


def fal_reply(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON as fal sends it."""
    return Response(pydantic_core.to_json(body), status, headers=headers, media_type="application/json")


def _findings(error: FilmgateError, base_url: str) -> list[dict[str, Any]]:
    """`[{loc, msg, type, url, ctx?}]`, without the input: it may be an image."""
    url = f"{base_url}/problems/{error.code}"
    if not error.violations:
        loc = ["header", "idempotency-key"] if error.code is Code.IDEMPOTENCY_KEY_REUSED else ["body"]
        if error.code.startswith("url_"):
            loc = ["query", "fal_webhook"]
        return [{"loc": loc, "msg": error.message, "type": TYPES.get(error.code, "value_error"), "url": url}]
    return [_finding(found, url) for found in error.violations]


def _loc(found: Violation) -> list[Any]:
    """Where it is, in the form of fal's `loc`."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in found.pointer.split("/")[1:]]
    inner = parts[1:] if parts[:1] == ["input"] else parts  # here a job's input is the whole body
    loc: list[Any] = ["body", *(int(part) if part.isdigit() else part for part in inner)]
    loc = [*LOCS[parts[0]]] if parts and parts[0] in LOCS else loc
    return parts if parts[:1] == ["query"] else loc


def _finding(found: Violation, url: str) -> dict[str, Any]:
    kind = KINDS.get(found.kind, found.kind) or TYPES.get(found.code, found.code)
    item: dict[str, Any] = {"loc": _loc(found), "msg": found.message, "type": kind, "url": url}
    return {**item, "ctx": dict(found.ctx)} if found.ctx else item
