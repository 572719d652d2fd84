"""What a trusted proxy says: the caller's address and scheme, and, where configured, who it has signed in.

Outside of everything else, because the address of the connection is known here only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.domain.addresses import unmapped

SIGNED_IN = "filmgate_proxy_user"  # of the scope: a ProxyUser


@dataclass(frozen=True, slots=True)
class ProxyUser:
    """Whom a trusted proxy has signed in; `user` holds several where it sent its header more than once.

    `groups` is None where it sent none, or where no header for them is configured.
    """

    user: tuple[str, ...]
    groups: tuple[str, ...] | None


class TrustedProxies:
    """Takes the headers of proxies from their own connections; on any other they are dropped, and reach nothing."""

    def __init__(self, app: ASGIApp, *, networks: Sequence[str], user: str | None, groups: str | None) -> None:
        self._app = app
        self._behind = cast("ASGIApp", ProxyHeadersMiddleware(cast("Any", app), [*networks])) if networks else app
        self._networks = [ip_network(network) for network in networks]
        self._user = user.lower().encode() if user else None
        self._groups = groups.lower().encode() if groups else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event."""
        if scope["type"] == "http" and self._user is not None:
            scope.update(self._signed_in(scope))
        await self._behind(scope, receive, send)

    def _signed_in(self, scope: Scope) -> Scope:
        """The scope's headers without these two; and what they say, if the peer may say it."""
        names = {self._user, self._groups}
        said = [(name, value) for name, value in scope["headers"] if name in names]
        changed: Scope = {"headers": [pair for pair in scope["headers"] if pair[0] not in names]}
        users = tuple(text for name, value in said if name == self._user and (text := _text(value)))
        if users and self._is_trusted(scope):
            groups = [_text(value) for name, value in said if name == self._groups]
            listed = tuple(one.strip() for text in groups for one in text.split(",") if one.strip())
            changed[SIGNED_IN] = ProxyUser(users, listed if groups else None)
        return changed

    def _is_trusted(self, scope: Scope) -> bool:
        client = scope.get("client")
        try:
            address = unmapped(ip_address(client[0])) if client else None
        except ValueError:
            return False
        return address is not None and any(address in network for network in self._networks)


def proxy_user(scope: Scope) -> ProxyUser | None:
    """Whom a trusted proxy has signed in; None where no such proxy sent the request."""
    found: ProxyUser | None = scope.get(SIGNED_IN)
    return found


def _text(value: bytes) -> str:
    """A header as text: proxies send names as UTF-8."""
    return value.decode("utf-8", "replace").strip()
