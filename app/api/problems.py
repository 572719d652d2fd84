"""Errors as `application/problem+json` (RFC 9457): the one place that renders them.

Never the input, never an exception's text.
"""

import json
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Scope

from app.api.fal_errors import fal_error, speaks_fal
from app.api.limit_headers import limit_headers
from app.api.replies import NO_HEAD
from app.domain.errors import FilmgateError, Malformed, StoreUnavailable, TooLarge, TooSlow, Violation
from app.views.problems import problem_view

MEDIA_TYPE = "application/problem+json"
LONGEST_PATH = 256  # characters of a path that are repeated
UNREAD = {TooSlow.status, TooLarge.status}  # after these, the rest of the body is not read

TITLES = {
    "malformed": "The request cannot be read",
    "json_invalid": "The body is not JSON",
    "body_missing": "There is no body",
    "duplicate_key": "A member is given twice",
    "too_deep": "The body is nested too deeply",
    "too_many_members": "There are too many members",
    "invalid_cursor": "The cursor is not one of ours",
    "invalid_header": "A header is wrong",
    "unauthenticated": "No valid key",
    "over_budget": "The budget does not cover it",
    "over_max_usd": "It costs more than the caller allows",
    "forbidden": "The key may not do this",
    "model_not_allowed": "The key may not use this model",
    "origin_not_allowed": "The key may not be used from this web page",
    "has_live_jobs": "Jobs have not ended",
    "key_ended": "The key opens nothing any more",
    "below_zero": "Less than nothing would be spent",
    "not_found": "Not found",
    "model_not_found": "There is no such model",
    "method_not_allowed": "This method is not known here",
    "request_timeout": "The request took too long to arrive",
    "conflict": "Not possible in this state",
    "already_ended": "The job has already ended",
    "not_ended": "The job has not ended",
    "not_held": "The job is not held",
    "endpoint_not_active": "The webhook endpoint is paused or disabled",
    "too_many_endpoints": "The team has too many webhook endpoints",
    "too_many_secrets": "Too many secrets sign already",
    "no_video": "There is no clip",
    "address_too_long": "The address is too long",
    "head_too_large": "The head of the request is too large",
    "payload_too_large": "The body is too large",
    "unsupported_media_type": "The body is of the wrong type",
    "body_not_object": "The body is not an object",
    "body_not_array": "The body is not a list",
    "invalid_input": "The input is wrong",
    "invalid_unicode": "The text is not valid Unicode",
    "price_unknown": "The model has no price",
    "idempotency_key_reused": "The idempotency key was used with another body",
    "url_not_allowed": "The address is not allowed",
    "url_scheme": "The address has the wrong scheme",
    "bad_data_uri": "The data URI is not an image",
    "not_an_image": "The file is not an image",
    "unsupported_image": "The image is of a type Kling does not read",
    "image_too_small": "The image is too small",
    "image_too_large": "The image is too large",
    "image_ratio": "The image is too wide or too tall",
    "over_limit": "A limit is reached",
    "queue_too_long": "The line is longer than the caller allows",
    "too_many_bad_keys": "Too many bad keys came from this address",
    "too_many_streams": "The key has too many event streams open",
    "too_many_tokens": "The key has too many browser tokens",
    "too_many_uploads": "The key has too many promised uploads",
    "unavailable": "Try again in a moment",
    "overloaded": "Too much is asked at the moment",
    "store_unavailable": "The store does not answer",
    "outcome_unknown": "It may have been written, or not",
    "upstream_unavailable": "fal does not answer",
    "internal_error": "Something went wrong here",
}

log = structlog.get_logger()


def problem(error: FilmgateError, *, scope: Scope, base_url: str) -> Response:
    """The response for an error: fixed members, `errors` where there are any, `Retry-After` where it helps.

    Under /fal/, where fal's own clients come in, it has fal's shape.
    """
    path, trace_id = scope["path"], scope.get("trace_id", "")
    if speaks_fal(path):
        safe = scope["method"] in {"GET", "PUT"}  # a cancellation may be sent again
        return fal_error(error, trace_id=trace_id, base_url=base_url, request=Headers(scope=scope), safe=safe)
    title = TITLES.get(error.code, HTTPStatus(error.status).phrase)
    body = problem_view(error, title=title, path=path[:LONGEST_PATH], trace_id=trace_id, base_url=base_url)
    headers = {"Cache-Control": "no-store", **limit_headers(error.limits)}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="filmgate"'
    if error.status in UNREAD:
        headers["Connection"] = "close"
    content = json.dumps(body, ensure_ascii=False).encode()
    return Response(content, error.status, headers=headers, media_type=MEDIA_TYPE)


def _respond(request: Request, error: FilmgateError) -> Response:
    return problem(error, scope=request.scope, base_url=request.app.state.base_url)


def _from_http(error: HTTPException) -> FilmgateError:
    """Starlette's own refusals: an unknown path, a method that is not known there."""
    codes = {404: "not_found", 405: "method_not_allowed", 413: "payload_too_large"}
    made = FilmgateError(HTTPStatus(error.status_code).phrase + ".", code=codes.get(error.status_code, "malformed"))
    made.status = error.status_code
    return made


def _allowed(request: Request) -> list[str]:
    """Every method of the path: several routes may share it, and the router names those of the first."""
    path = request.scope["path"]
    here = [route for route in iter_route_contexts(request.app.routes) if route.path_regex.match(path)]
    found = {method for route in here for method in route.methods or ()}
    if "GET" in found and path != NO_HEAD:
        found.add("HEAD")  # HEAD is wherever GET is
    return sorted(found)


def _from_validation(error: RequestValidationError) -> FilmgateError:
    """A query or form parameter that FastAPI refused; its text is pydantic's, its input is left out."""
    made = FilmgateError("A parameter is wrong.", code="invalid_input")
    made.status = 422
    made.violations = tuple(
        Violation("/" + "/".join(str(part) for part in item["loc"]), item["type"], item["msg"])
        for item in error.errors()[:20]
    )
    return made


def add_problem_handlers(app: FastAPI) -> None:
    """Render every error of the application as a problem."""

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, FilmgateError)  # noqa: S101  Starlette's signature is wider than what it sends
        if isinstance(error, StoreUnavailable):
            log.warning("store.away", path=request.scope["path"][:LONGEST_PATH])
        return _respond(request, error)

    async def from_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101  as above
        response = _respond(request, _from_http(error))
        if error.headers:
            response.headers.update(error.headers)
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            response.headers["allow"] = ", ".join(_allowed(request))
        return response

    async def from_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101  as above
        return _respond(request, _from_validation(error))

    async def gone(request: Request, _: Exception) -> Response:
        return _respond(request, Malformed("The connection ended before the body did."))

    async def unexpected(request: Request, error: Exception) -> Response:
        log.error("request.failed", path=request.scope["path"][:LONGEST_PATH], exc_info=error)
        return _respond(request, FilmgateError("Something went wrong here; it has been written to the log."))

    app.add_exception_handler(FilmgateError, ours)
    app.add_exception_handler(HTTPException, from_http)
    app.add_exception_handler(RequestValidationError, from_validation)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(Exception, unexpected)
