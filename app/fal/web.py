"""How calls to fal leave this process: directly or through a proxy, and whose certificates they trust.

One transport for all of them. It answers with neither `Location` nor `Set-Cookie`: no redirect is followed, but
httpx reads the header all the same and raises for `http://xn--a/`; and nothing of fal's is kept between calls.

Calls to this machine (the emulator) never go through a proxy. Webhooks to customers have a way of their own
(`app/webhooks/transport.py`), which dials the address that it has checked.
"""

import ssl
from base64 import b64encode
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from app.domain.addresses import is_loopback
from app.tls import trusted_roots

NOT_KEPT = ("Location", "Set-Cookie")


@dataclass(frozen=True, slots=True)
class OutboundRoute:
    """The proxy for calls to fal, the hosts that are called without it, and whose certificates are trusted.

    `proxy` is a URL, which may hold a password; `ca_file` a PEM file, in the place of the usual roots.
    """

    proxy: str | None = field(default=None, repr=False)
    no_proxy: tuple[str, ...] = ()
    ca_file: Path | None = None

    def bypasses_proxy(self, host: str) -> bool:
        """True where the proxy is not asked: this machine, a no_proxy host and what is below it."""
        if self.proxy is None or is_loopback(host):
            return True
        return any(host == name or host.endswith(f".{name}") or name == "*" for name in self.no_proxy)


@cache
def ca_file_context(path: Path) -> ssl.SSLContext:
    """What trusts the certificates of a PEM file, and no others; OSError (ssl.SSLError) where there are none."""
    return ssl.create_default_context(cafile=str(path))


class FalTransport(httpx.AsyncBaseTransport):
    """Chooses between the direct way and the proxy for each call.

    Raises httpx.ProxyError when the proxy cannot be reached, or does not let the call through.
    """

    def __init__(
        self, route: OutboundRoute, *, direct: httpx.AsyncBaseTransport, proxied: httpx.AsyncBaseTransport | None
    ) -> None:
        self._route = route
        self._direct = direct
        self._proxied = proxied

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One call, one way; the answer without what must not be followed or kept."""
        if self._proxied is None or self._route.bypasses_proxy(request.url.host):
            response = await self._direct.handle_async_request(request)
        else:
            try:
                response = await self._proxied.handle_async_request(request)
            except httpx.ConnectError as error:
                if _is_about_tls(error):
                    raise  # behind the proxy
                raise httpx.ProxyError("The proxy cannot be reached.", request=request) from error
        for name in NOT_KEPT:
            response.headers.pop(name, None)
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        await self._direct.aclose()
        if self._proxied is not None:
            await self._proxied.aclose()


def plain_transport(route: OutboundRoute) -> FalTransport:
    """A connection of its own for each call: none is kept."""
    roots = _roots(route)
    options: dict[str, Any] = {
        "verify": roots,
        "trust_env": False,
        "limits": httpx.Limits(max_keepalive_connections=0),
    }
    proxied = None
    if route.proxy is not None:
        proxied = httpx.AsyncHTTPTransport(proxy=_proxy(route.proxy, roots), **options)
    return FalTransport(route, direct=httpx.AsyncHTTPTransport(**options), proxied=proxied)


def kept_transport(route: OutboundRoute, *, connections: int) -> FalTransport:
    """Shares kept connections, by aiohttp."""
    roots = _roots(route)

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=connections, ssl=roots)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    return FalTransport(
        route,
        direct=AiohttpTransport(verify=roots, client=session),
        proxied=None
        if route.proxy is None
        else AiohttpTransport(verify=roots, client=session, proxy=_proxy(route.proxy, roots)),
    )


def _proxy(url: str, roots: ssl.SSLContext) -> httpx.Proxy:
    """The proxy; its password goes into a header of the CONNECT, as both libraries take it."""
    given = httpx.Proxy(url)
    headers = {}
    if given.raw_auth is not None:
        headers["Proxy-Authorization"] = f"Basic {b64encode(b':'.join(given.raw_auth)).decode()}"
    tls = roots if given.url.scheme == "https" else None  # on the way to the proxy itself
    return httpx.Proxy(given.url, headers=headers, ssl_context=tls)


def _roots(route: OutboundRoute) -> ssl.SSLContext:
    return trusted_roots() if route.ca_file is None else ca_file_context(route.ca_file)


def _is_about_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError | ssl.CertificateError):
            return True
        error = error.__cause__ or error.__context__
    return False
