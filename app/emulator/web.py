"""HTTP helpers: JSON bodies, refusals, fal's headers on every response, responses that are cut off."""

import json
import uuid
from collections.abc import Mapping
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.emulator.replies import nginx_page

REQUEST_ID = b"x-fal-request-id"
FOREIGN = "emulator.foreign"  # in the scope of a load balancer's page, which has no fal headers
TRANSPORT = "emulator.transport"


def json_reply(status: int, body: Any, request_id: str = "", headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response, with `x-fal-request-id` when it is about one request."""
    extra = {REQUEST_ID.decode(): request_id} if request_id else {}
    content = json.dumps(body, separators=(",", ":")).encode()
    return Response(content, status, {**(headers or {}), **extra}, "application/json")


async def json_object(request: Request) -> dict[str, Any]:
    """The JSON object of a request's body; empty for anything else."""
    try:
        body = json.loads(await request.body() or b"{}")
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


class RefusedRequest(Exception):
    """Ends a request with `response`; the reason is for the list of refused submits."""

    def __init__(self, response: Response, reason: str = "") -> None:
        super().__init__(reason)
        self.response = response


async def refused_response(_request: Request, error: Exception) -> Response:
    """Starlette's handler for RefusedRequest."""
    assert isinstance(error, RefusedRequest)  # noqa: S101  registered for it
    return error.response


class ConnectionAwareProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with the transport in the scope so that a response can close its connection."""

    def on_message_begin(self) -> None:
        """As uvicorn does it."""
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)[TRANSPORT] = self.transport  # an extension of ours


class FalHeaders:
    """Adds `x-fal-request-id` to every response of fal's own that has none."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry point."""
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
    """The response of a load balancer without a backend."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(nginx_page(status, reason), status, {"Server": "nginx"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry point."""
        scope[FOREIGN] = True
        await super().__call__(scope, receive, send)


class TruncatedResponse(Response):
    """Sends only the first `body_bytes` of a response, or nothing at all, then closes the connection."""

    def __init__(self, response: Response | None = None, body_bytes: int | None = None) -> None:
        super().__init__()
        self._whole = response
        self._arrives = body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry point."""
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
    """Sends nothing until the caller gives up."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI's signature
        """ASGI's entry point."""
        await wait_for_disconnect(receive)


async def wait_for_disconnect(receive: Receive) -> None:
    """Return when the connection is closed."""
    while (await receive())["type"] != "http.disconnect":
        pass
