"""`/fal/proxy`: the proxy protocol of fal's JavaScript client (`x-fal-target-url`).

Nothing is forwarded. A request for one of fal's URLs is rewritten, before any other middleware, to our own route
for it, which applies its limits, credentials, statuses, headers and streams. Its reply names fal's hosts, as behind
fal's own server proxy, so that a program that follows the URLs sends them here again. Our own URLs for these routes
are targets too. It authenticates with the caller's own key; no shared key is added. Refusing a target reads nothing
from the store.
"""

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.fal.hosts import TERMS
from app.api.fal_dropped import PROXY_QUERY
from app.api.fal_errors import REQUEST_ID
from app.domain.errors import Code, FilmgateError, Malformed
from app.domain.fal_targets import ProxyTarget, Targets

PATH = "/fal/proxy"
METHODS = ["GET", "POST", "PUT"]  # what the client sends
TARGET = b"x-fal-target-url"
REFUSAL = "fal_target_refusal"  # scope key: why the target was refused

router = APIRouter(include_in_schema=False)


class Proxy:
    """Plain ASGI, outside RequestMiddleware, whose body limit and log line are then those of our own route."""

    def __init__(self, app: ASGIApp, *, base_url: str) -> None:
        self._app = app
        self._targets = Targets(base_url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Rewrite the request to its target; the scope is changed in place."""
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        if scope["method"] in METHODS or scope["method"] == "HEAD":
            try:
                target = self._target(scope)
            except FilmgateError as error:
                scope[REFUSAL] = error  # raised by the route below, behind the other middleware
            else:
                scope["path"], scope["raw_path"], scope[TERMS] = target.path, target.path.encode(), target.terms
                scope[PROXY_QUERY], scope["query_string"] = scope["query_string"], target.query

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _named(message["headers"], scope["trace_id"])
            await send(message)

        await self._app(scope, receive, send_named)

    def _target(self, scope: Scope) -> ProxyTarget:
        """Our own route for the one target of this request."""
        given = [value for name, value in scope["headers"] if name == TARGET]
        if len(given) != 1:
            raise Malformed(
                "Send X-Fal-Target-Url, once: the URL of fal's that is meant.", code=Code.INVALID_HEADER
            )
        return self._targets.read(given[0])


@router.api_route(PATH, methods=METHODS)
async def refuse(request: Request) -> Response:
    """Raise why the target is refused; all other requests were rewritten."""
    refusal: FilmgateError = request.scope[REFUSAL]
    raise refusal


def _named(headers: list[tuple[bytes, bytes]], trace_id: str) -> list[tuple[bytes, bytes]]:
    """The headers with an `x-fal-request-id`, which the client reads from every reply; the route's own is kept."""
    if any(name == REQUEST_ID.encode() for name, _ in headers):
        return headers
    return [*headers, (REQUEST_ID.encode(), trace_id.encode())]
