"""What all replies have in common: headers for browsers and caches, and HEAD wherever GET is.

Plain ASGI, because it stands in the way of every request.
"""

from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

NO_SNIFFING = (b"x-content-type-options", b"nosniff")
NOT_KEPT = (b"cache-control", b"no-store")
NO_HEAD = "/fal/proxy"  # fal's JavaScript client sends none, and it would name no route of ours
DISCONNECTED: Message = {"type": "http.disconnect"}


class ReplyHeaders:
    """No reply's type is guessed, and none is kept by a cache unless its route says so itself."""

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
                message["headers"] = given + [pair for pair in (NO_SNIFFING, NOT_KEPT) if pair[0] not in names]
            await send(message)

        await self._app(scope, receive, send_with_headers)


class HeadIsGet:
    """HEAD is answered as GET is, without the body (RFC 9110, 9.3.2): what monitors, players and caches ask first.

    A stream ends with its headers: its sender is told that the caller has gone.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event; the server's own scope keeps the method."""
        if scope["type"] != "http" or scope["method"] != "HEAD" or scope["path"] == NO_HEAD:
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

        await self._app({**scope, "method": "GET"}, receive_until_answered, send_head)
