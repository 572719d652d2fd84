"""Refuses web pages of other origins: a page in a developer's browser must not read prompts or submit."""

import ipaddress
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

# Pages of the gateway, which is another origin, may embed clips and images.
EMBEDDABLE = ("/files/", "/sample.jpg", "/emulator/media_")
REFUSED = 403


class OwnPagesOnly:
    """Refuses requests of other origins' pages, and unknown host names that lead here (DNS rebinding)."""

    def __init__(self, app: ASGIApp, *, public_url: str = "") -> None:
        self._app = app
        self._public = urlsplit(public_url).hostname or ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry point."""
        if scope["type"] == "http" and not self._is_allowed(Request(scope)):
            refusal = PlainTextResponse("The emulator answers no web page of another origin.\n", REFUSED)
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_allowed(self, request: Request) -> bool:
        """True for programs, a browser's address bar, and pages of this origin."""
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
        """True for an IP address, a name without a dot (compose) and the public name."""
        if "." not in host or host == self._public:
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True
