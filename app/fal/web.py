"""How calls to fal leave this process: directly or through a proxy, and which certificates they trust.

One transport for all calls. It removes `Location` and `Set-Cookie` from responses: redirects are not followed, but
httpx parses the header anyway and raises for `http://xn--a/`; and cookies are not kept.

Calls to this machine (the emulator) never use a proxy. Webhooks to customers use another transport
(`app/webhooks/transport.py`), which dials the address that it has checked.
"""

import ssl
from base64 import b64encode
from collections.abc import AsyncIterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from app.domain.addresses import is_loopback
from app.fal.errors import Outgoing, error_chain
from app.tls import trusted_roots

ANSWER_BYTES = 1_000_000
REMOVED_HEADERS = ("Location", "Set-Cookie")


@dataclass(frozen=True, slots=True)
class OutboundRoute:
    """The proxy for calls to fal, the hosts that are called without it, and the trusted certificates.

    `proxy` is a URL, which may hold a password; `ca_file` a PEM file that replaces the usual roots.
    """

    proxy: str | None = field(default=None, repr=False)
    no_proxy: tuple[str, ...] = ()
    ca_file: Path | None = None

    def bypasses_proxy(self, host: str) -> bool:
        """True for this machine, and for the hosts of `no_proxy` with their subdomains."""
        if self.proxy is None or is_loopback(host):
            return True
        return any(host == name or host.endswith(f".{name}") or name == "*" for name in self.no_proxy)


@cache
def ca_file_context(path: Path) -> ssl.SSLContext:
    """Trust in the certificates of a PEM file only; OSError (ssl.SSLError) when it has none."""
    return ssl.create_default_context(cafile=str(path))


class FalTransport(httpx.AsyncBaseTransport):
    """Sends each call directly or through the proxy; httpx.ProxyError when the proxy is away or refuses it."""

    def __init__(
        self, route: OutboundRoute, *, direct: httpx.AsyncBaseTransport, proxied: httpx.AsyncBaseTransport | None
    ) -> None:
        self._route = route
        self._direct = direct
        self._proxied = proxied

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response without REMOVED_HEADERS."""
        if self._proxied is None or self._route.bypasses_proxy(request.url.host):
            response = await self._direct.handle_async_request(request)
        else:
            try:
                response = await self._proxied.handle_async_request(request)
            except httpx.ConnectError as error:
                if any(isinstance(cause, ssl.SSLError | ssl.CertificateError) for cause in error_chain(error)):
                    raise  # about the host behind the proxy
                raise httpx.ProxyError("The proxy cannot be reached.", request=request) from error
        for name in REMOVED_HEADERS:
            response.headers.pop(name, None)
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        await self._direct.aclose()
        if self._proxied is not None:
            await self._proxied.aclose()


def plain_transport(route: OutboundRoute) -> FalTransport:
    """Opens a new connection for each call."""
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
    """Reuses connections, by aiohttp."""
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
    """The proxy, with its password as a header of the CONNECT, which both libraries accept."""
    given = httpx.Proxy(url)
    headers = {}
    if given.raw_auth is not None:
        headers["Proxy-Authorization"] = f"Basic {b64encode(b':'.join(given.raw_auth)).decode()}"
    tls = roots if given.url.scheme == "https" else None  # on the way to the proxy itself
    return httpx.Proxy(given.url, headers=headers, ssl_context=tls)


def _roots(route: OutboundRoute) -> ssl.SSLContext:
    return trusted_roots() if route.ca_file is None else ca_file_context(route.ca_file)


class FalAnswerTooLarge(Exception):
    """The answer exceeds its limit; `status` is its HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


async def read_answer(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    headers: dict[str, str] | None = None,
    content: bytes | AsyncIterable[bytes] | None = None,
    limit: int = ANSWER_BYTES,
    outgoing: Outgoing | None = None,
) -> tuple[int, bytes, httpx.Headers]:
    """Status, raw body and headers of one call; FalAnswerTooLarge when the body exceeds `limit` bytes."""
    extensions = None if outgoing is None else {"trace": outgoing.watch}
    async with client.stream(method, url, headers=headers, content=content, extensions=extensions) as answer:
        body = bytearray()
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > limit:
                raise FalAnswerTooLarge(answer.status_code)
        return answer.status_code, bytes(body), answer.headers
