"""HTTP pieces of the emulator: fal's headers on every answer, and answers that break off."""

import json
import uuid
from collections.abc import Mapping
from typing import Any, cast

from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.emulator.replies import nginx_page

REQUEST_ID = b"x-fal-request-id"
# Set in the scope by an answer that is not fal's own: a load balancer's page has no fal headers.
FOREIGN = "emulator.foreign"
TRANSPORT = "emulator.transport"


def json_reply(status: int, body: Any, request_id: str = "", headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer, with `x-fal-request-id` when it is about one request."""
    extra = {REQUEST_ID.decode(): request_id} if request_id else {}
    content = json.dumps(body, separators=(",", ":")).encode()
    return Response(content, status, {**(headers or {}), **extra}, "application/json")


class ConnectionAwareProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which also lets an answer close the connection under itself."""

    def on_message_begin(self) -> None:
        """Notes the connection in the scope."""
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)[TRANSPORT] = self.transport  # an extension of ours


class FalHeaders:
    """Adds `x-fal-request-id` to every answer of fal's own that has none."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes everything on, with the header added."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start" and not scope.get(FOREIGN):
                headers = message["headers"]
                if not any(name == REQUEST_ID for name, _ in headers):
                    message["headers"] = [*headers, (REQUEST_ID, str(uuid.uuid4()).encode())]
            await send(message)

        await self._app(scope, receive, send_with_id)


class NginxPage(HTMLResponse):
    """The answer of a load balancer that found no fal behind it."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(nginx_page(status, reason), status, {"Server": "nginx"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the page, and marks it as not fal's own."""
        scope[FOREIGN] = True
        await super().__call__(scope, receive, send)


class TruncatedResponse(Response):
    """An answer of which only so many bytes of the body arrive; with None, nothing at all."""

    def __init__(self, response: Response | None = None, body_bytes: int | None = None) -> None:
        super().__init__()
        self._whole = response
        self._arrives = body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the part, then closes the connection."""
        if self._whole is not None and self._arrives is not None:
            response = self._whole
            await send(
                {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
            )
            part = bytes(response.body)[: min(self._arrives, len(response.body) - 1)]
            await send({"type": "http.response.body", "body": part, "more_body": True})
        scope[TRANSPORT].close()
        await wait_for_disconnect(receive)


class HangingResponse(Response):
    """No answer at all, until the caller gives up."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI's signature
        """Waits."""
        await wait_for_disconnect(receive)


async def wait_for_disconnect(receive: Receive) -> None:
    """Waits until the connection is closed."""
    while (await receive())["type"] != "http.disconnect":
        pass
