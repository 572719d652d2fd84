"""`/fal/proxy`: the protocol of fal's JavaScript client for proxies (`x-fal-target-url`).

Nothing is passed on to anybody. A request whose target is one of fal's becomes, before anything else looks at it,
a request to our own route for it: limits, credentials, statuses, headers and streams are that route's. There is no
key here to lend: the caller's own counts. A target that is refused costs no look into the store.
"""

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.fal_dropped import PROXY_QUERY
from app.api.fal_errors import REQUEST_ID
from app.domain.errors import Code, FilmgateError, Malformed
from app.domain.fal_targets import ProxyTarget, read_target

PATH = "/fal/proxy"
METHODS = ["GET", "POST", "PUT"]  # what the client sends
TARGET = b"x-fal-target-url"
REFUSAL = "fal_target_refusal"  # of the scope: why a request stays at this address

router = APIRouter(include_in_schema=False)


class Proxy:
    """Plain ASGI, outside the entrance, so that its limit on bodies and its log line are those of our own route."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lead a request to where its target says; the scope is changed in place, as the entrance does."""
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        if scope["method"] in METHODS:
            try:
                target = _target(scope)
            except FilmgateError as error:
                scope[REFUSAL] = error  # rendered by the route below, behind the entrance
            else:
                scope["path"], scope["raw_path"] = target.path, target.path.encode()
                scope[PROXY_QUERY], scope["query_string"] = scope["query_string"], target.query

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _named(message["headers"], scope["trace_id"])
            await send(message)

        await self._app(scope, receive, send_named)


@router.api_route(PATH, methods=METHODS)
async def refuse(request: Request) -> Response:
    """Say why a target is refused; any other request has left this path before."""
    refusal: FilmgateError = request.scope[REFUSAL]
    raise refusal


def _target(scope: Scope) -> ProxyTarget:
    """Our own route for the one target of this request."""
    given = [value for name, value in scope["headers"] if name == TARGET]
    if len(given) != 1:
        raise Malformed("Send X-Fal-Target-Url, once: the URL of fal's that is meant.", code=Code.INVALID_HEADER)
    return read_target(given[0])


def _named(headers: list[tuple[bytes, bytes]], trace_id: str) -> list[tuple[bytes, bytes]]:
    """The headers with an `x-fal-request-id`, which the client reads from every answer; the route's own stays."""
    if any(name == REQUEST_ID.encode() for name, _ in headers):
        return headers
    return [*headers, (REQUEST_ID.encode(), trace_id.encode())]
