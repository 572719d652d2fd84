"""Web pages of other origins get nothing: whatever a developer's browser has open must not read prompts or buy."""

import ipaddress
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

# A clip or an image may stand in a page of the gateway's, which is of another port: it is embedded, not read.
EMBEDDABLE = ("/files/", "/sample.jpg", "/emulator/media_")
REFUSED = 403


class OwnPagesOnly:
    """Refuses what a browser asks for another origin's page, and names that lead here and are not ours."""

    def __init__(self, app: ASGIApp, *, public_url: str = "") -> None:
        self._app = app
        self._public = urlsplit(public_url).hostname or ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on what is no web page's, or one's own."""
        if scope["type"] == "http" and not self._is_allowed(Request(scope)):
            refusal = PlainTextResponse("The emulator answers no web page of another origin.\n", REFUSED)
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_allowed(self, request: Request) -> bool:
        """True for programs, for the browser's own address line, and for pages of this very origin."""
        host = request.url.hostname or ""
        if not self._is_own_host(host):
            return False
        origin = request.headers.get("origin")
        if origin is not None:
            return origin == f"{request.url.scheme}://{request.url.netloc}"
        site = request.headers.get("sec-fetch-site", "none")
        embedded = request.method in {"GET", "HEAD"} and request.url.path.startswith(EMBEDDABLE)
        return embedded or site in {"none", "same-origin"}

    def _is_own_host(self, host: str) -> bool:
        """An address, a name without a dot (of compose), or the public one; what DNS leads here is none."""
        if "." not in host or host == self._public:
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True
