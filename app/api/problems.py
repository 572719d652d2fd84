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

from app.api.fal_errors import UNREAD, fal_error, is_fal_path
from app.api.limit_headers import limit_headers
from app.api.reply_headers import NO_HEAD
from app.domain.errors import Code, FilmgateError, Malformed, StoreUnavailable, Unprocessable, Violation
from app.views.problems import problem_view

MEDIA_TYPE = "application/problem+json"
LONGEST_PATH = 256  # characters of a path that are repeated

log = structlog.get_logger()


def problem(error: FilmgateError, *, scope: Scope, base_url: str) -> Response:
    """The response for an error: fixed members, `errors` where there are any, `Retry-After` where it helps.

    Under /fal/, where fal's own clients come in, it has fal's shape.
    """
    path, trace_id = scope["path"], scope.get("trace_id", "")
    if is_fal_path(path):
        safe = scope["method"] in {"GET", "PUT"}  # a cancellation may be sent again
        return fal_error(error, trace_id=trace_id, base_url=base_url, request=Headers(scope=scope), safe=safe)
    body = problem_view(error, path=path[:LONGEST_PATH], trace_id=trace_id, base_url=base_url)
    headers = {"Cache-Control": "no-store", **limit_headers(error.limits)}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if error.code is Code.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = 'Bearer realm="filmgate"'
    if error.code in UNREAD:
        headers["Connection"] = "close"
    content = json.dumps(body, ensure_ascii=False).encode()
    return Response(content, error.status, headers=headers, media_type=MEDIA_TYPE)


def _respond(request: Request, error: FilmgateError) -> Response:
    return problem(error, scope=request.scope, base_url=request.app.state.base_url)


def _from_http(error: HTTPException) -> FilmgateError:
    """Starlette's own refusals: an unknown path, a method that is not known there."""
    codes = {code.status: code for code in (Code.NOT_FOUND, Code.METHOD_NOT_ALLOWED, Code.PAYLOAD_TOO_LARGE)}
    code = codes.get(error.status_code, Code.MALFORMED)
    return FilmgateError(HTTPStatus(error.status_code).phrase + ".", code=code)


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
    violations = tuple(
        Violation("/" + "/".join(str(part) for part in item["loc"]), item["type"], item["msg"])
        for item in error.errors()[:20]
    )
    return Unprocessable("A parameter is wrong.", violations=violations)


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
