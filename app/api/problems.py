"""Errors as `application/problem+json` (RFC 9457), rendered here only.

They never hold the input or an exception's text.
"""

import json
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Scope

from app.api.code_pages import is_lost, lost_page
from app.api.fal_errors import CLOSING, fal_error, is_fal_path, is_repeatable
from app.api.limit_headers import limit_headers
from app.api.reply_counts import ERROR_CODE
from app.domain.errors import Code, FilmgateError, Malformed, Unprocessable, Violation
from app.telemetry import note
from app.views.problems import problem_view

MEDIA_TYPE = "application/problem+json"
LONGEST_PATH = 256  # characters of a path, in replies and logs
FAILED = "failed"  # of the scope: the exception that was logged and answered
# Answered where they are raised; any other exception is a fault, and goes up to Starlette's outermost middleware.
HANDLED = (FilmgateError, HTTPException, RequestValidationError, ClientDisconnect)

log = structlog.get_logger()


def problem(error: FilmgateError, *, scope: Scope, base_url: str) -> Response:
    """The response for an error: fixed members, `errors` where there are any, `Retry-After` where it helps.

    Under /fal/, for fal's own clients, it has fal's shape.
    """
    path, trace_id = scope["path"], scope.get("trace_id", "")
    note(code=error.code.value)
    scope[ERROR_CODE] = error.code
    if is_fal_path(path):
        repeatable = is_repeatable(scope)
        return fal_error(error, path=path, trace_id=trace_id, base_url=base_url, repeatable=repeatable)
    body = problem_view(error, path=path[:LONGEST_PATH], trace_id=trace_id, base_url=base_url)
    headers = {"Cache-Control": "no-store", **limit_headers(error.limits)}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if error.code is Code.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = 'Bearer realm="filmgate"'
    if error.code in CLOSING:
        headers["Connection"] = "close"
    content = json.dumps(body, ensure_ascii=False).encode()
    return Response(content, error.status, headers=headers, media_type=MEDIA_TYPE)


def _from_http(error: HTTPException) -> FilmgateError:
    """Starlette's own refusals: an unknown path, or a method that the path does not have."""
    codes = {code.status: code for code in (Code.NOT_FOUND, Code.METHOD_NOT_ALLOWED, Code.PAYLOAD_TOO_LARGE)}
    code = codes.get(error.status_code, Code.MALFORMED)
    return FilmgateError(HTTPStatus(error.status_code).phrase + ".", code=code)


def _allowed(request: Request) -> list[str]:
    """Every method of the path: several routes may share it, and the router names the first one's only."""
    path = request.scope["path"]
    routes = [route for route in iter_route_contexts(request.app.routes) if route.path_regex.match(path)]
    methods = {method for route in routes for method in route.methods or ()}
    if "GET" in methods:
        methods.add("HEAD")
    return sorted(methods)


def _from_validation(error: RequestValidationError) -> FilmgateError:
    """A parameter that FastAPI refused; the text is pydantic's, without the input."""
    violations = tuple(
        Violation("/" + "/".join(str(part) for part in item["loc"]), item["type"], item["msg"])
        for item in error.errors()[:20]
    )
    return Unprocessable("A parameter is wrong.", violations=violations)


def add_problem_handlers(app: FastAPI) -> None:
    """Render every error of the application as a problem."""
    for kind in (*HANDLED, Exception):
        app.add_exception_handler(kind, respond)


async def respond(request: Request, error: Exception) -> Response:
    """The response for an error that a route has raised: a page for a person at an address that leads nowhere."""
    found = _translated(request, error)
    response = problem(found, scope=request.scope, base_url=request.app.state.base_url)
    if is_lost(request, found.code):
        return lost_page(request)
    if isinstance(error, HTTPException):
        response.headers.update(error.headers or {})
    if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["allow"] = ", ".join(_allowed(request))
    return response


def _translated(request: Request, error: Exception) -> FilmgateError:
    path = request.scope["path"][:LONGEST_PATH]
    match error:
        case FilmgateError():
            return error
        case HTTPException():
            return _from_http(error)
        case RequestValidationError():
            return _from_validation(error)
        case ClientDisconnect():
            return Malformed("The connection ended before the body did.")
    log.error("request.failed", path=path, exc_info=error)
    request.scope[FAILED] = error
    return FilmgateError("Something went wrong here; it has been written to the log.")
