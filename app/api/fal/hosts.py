"""What the Host of a request means for the routes of fal's clients, before any other middleware.

1. with FILMGATE_FAL_HOSTS=1, a request under one of fal's host names is for our own route for it, and the reply
   names fal's hosts. Nothing else of this gateway is reachable under these names
2. fal-client 0.4 to 0.10 knows only `FAL_RUN_HOST`, and asks for the queue at `https://queue.{FAL_RUN_HOST}/`. So
   `/fal/run` under a host that begins with `queue.` is the queue, and never a call that waits

The Host decides nothing else: no redirect is built from it, and `X-Forwarded-Host` is not read.
"""

import re
from urllib.parse import urlsplit

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.middleware import REFUSAL
from app.domain.errors import NotFound
from app.domain.fal_targets import CDN, FAL_TERMS, HOSTS, QUEUE, RUN, Terms

TERMS = "fal_terms"  # scope key: the terms of this request, where they are not our own
OWN_FILE = re.compile(r"/files/file_[0-9a-f]{32}/.+", re.ASCII)
FALS_FILE = (
    "This file is not of this gateway. Lead only uploads to it, and all other paths of v3.fal.media to fal, as "
    "docs/fal-clients.md shows."
)


def terms_of(request: Request) -> Terms:
    """The terms of the caller: the names in which the reply is written."""
    found: Terms | None = request.scope.get(TERMS)
    if found is None:
        found = request.app.state.terms
    return found


class HostNames:
    """Plain ASGI, outside RequestMiddleware, whose body limit and log line are then those of our own route."""

    def __init__(self, app: ASGIApp, *, base_url: str, fal_hosts: bool) -> None:
        self._app = app
        self._own_host = (urlsplit(base_url).hostname or "").encode()
        self._fal_hosts = fal_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Rewrite the path of one request; the scope is changed in place."""
        if scope["type"] == "http":
            if self._fal_hosts and (start := HOSTS.get(_host(scope))) is not None:
                _lead(scope, start)
            elif scope["path"].startswith(RUN + "/") and self._is_queue(_host(scope)):
                _move(scope, QUEUE + scope["path"].removeprefix(RUN))
        await self._app(scope, receive, send)

    def _is_queue(self, host: bytes) -> bool:
        """True for a host that an old client made from ours; our own may begin so too."""
        return host.startswith(b"queue.") and host != self._own_host


def _lead(scope: Scope, start: str) -> None:
    """The request is for our own route at `start`; a file that is not ours is fal's, and is not here."""
    scope[TERMS] = FAL_TERMS
    if start == CDN and scope["method"] in {"GET", "HEAD"} and not OWN_FILE.fullmatch(scope["path"]):
        scope[REFUSAL] = NotFound(FALS_FILE)
    _move(scope, start + scope["path"])


def _move(scope: Scope, path: str) -> None:
    scope["path"], scope["raw_path"] = path, path.encode()


def _host(scope: Scope) -> bytes:
    """The Host in lower case, without a port; empty without one."""
    host: bytes = next((value for name, value in scope["headers"] if name == b"host"), b"")
    return host.partition(b":")[0].lower()
