"""Web pages that a browser keeps from calling, as a line in the log.

A browser tells its page only that there was an error, so the one who can help has to see the page's origin.
"""

from collections.abc import Collection

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

MOST_ORIGINS = 50  # of one process; whoever invents further ones fills no log
LONGEST_ORIGIN = 200  # characters
REMEDY = "if it is yours, add it to FILMGATE_CORS_ORIGINS"

log = structlog.get_logger()


class RefusedPages:
    """Logs `cors.refused` once for each origin whose preflight is not allowed; plain ASGI, for every request."""

    def __init__(self, app: ASGIApp, *, allowed: Collection[str]) -> None:
        self._app = app
        self._known = set(allowed)
        self._most = len(self._known) + MOST_ORIGINS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look at a preflight's origin, and pass everything on."""
        if scope["type"] == "http" and scope["method"] == "OPTIONS" and len(self._known) < self._most:
            headers = dict(scope["headers"])
            origin = headers.get(b"origin", b"").decode("latin-1")[:LONGEST_ORIGIN]
            if origin and b"access-control-request-method" in headers and origin not in self._known:
                self._known.add(origin)
                log.warning("cors.refused", origin=origin, remedy=REMEDY)
        await self._app(scope, receive, send)
