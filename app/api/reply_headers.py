"""Headers of all replies, for browsers and caches, and HEAD for every route with GET.

Plain ASGI, because it runs for every request.
"""

from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NO_SNIFFING = (b"x-content-type-options", b"nosniff")
NO_STORE = (b"cache-control", b"no-store")
HEAD = "head"  # of the scope: the request is a HEAD, for routes whose body is costly
DISCONNECTED: Message = {"type": "http.disconnect"}
SIGNED = "/v1/clips/"  # paths of signed addresses
# Web pages anywhere may show and fetch what is there, as at fal: the address itself is the permission.
ANYWHERE = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Length, Content-Range, ETag, Retry-After",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
PREFLIGHT = {
    **ANYWHERE,
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "If-Match, If-Modified-Since, If-None-Match, If-Range, Range, X-Request-ID",
    "Access-Control-Max-Age": "600",
}


class ReplyHeaders:
    """`nosniff` on every reply, and `no-store` unless its route sets `Cache-Control`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given: Any = list(message.get("headers", ()))
                names = {name.lower() for name, _ in given}
                message["headers"] = given + [pair for pair in (NO_SNIFFING, NO_STORE) if pair[0] not in names]
            await send(message)

        await self._app(scope, receive, send_with_headers)


class AnyPage:
    """Lets every web page read what is at signed addresses, refusals too, and answers preflights."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event."""
        if scope["type"] != "http" or not scope["path"].startswith(SIGNED):
            await self._app(scope, receive, send)
            return
        asked = {name for name, _ in scope["headers"]}
        if scope["method"] == "OPTIONS" and {b"origin", b"access-control-request-method"} <= asked:
            await Response(status_code=204, headers=PREFLIGHT)(scope, receive, send)
            return

        async def send_to_any_page(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(ANYWHERE)
            await send(message)

        await self._app(scope, receive, send_to_any_page)


class HeadIsGet:
    """Answers HEAD as GET without the body (RFC 9110, 9.3.2), for monitors, players and caches.

    A stream ends after its headers, as if the caller had disconnected.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event; the method is changed in a copy of the scope."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        answered = False

        async def receive_until_answered() -> Message:
            return DISCONNECTED if answered else await receive()

        async def send_head(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                await send(message)
                answered = True
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self._app({**scope, "method": "GET", HEAD: True}, receive_until_answered, send_head)
