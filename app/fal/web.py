"""How calls to fal leave this process: directly or through a proxy, and which certificates they trust.

Two ways (docs/decisions/0007): httpx with a new connection for each call, and aiohttp with kept ones. Redirects are
not followed, cookies not kept. httpx parses both headers anyway, and raises for `http://xn--a/`, so its transport
removes them.

Calls to this machine (the emulator) never use a proxy. Webhooks to customers use another transport
(`app/webhooks/transport.py`), which dials the address that it has checked.
"""

import ssl
from base64 import b64encode
from collections.abc import AsyncIterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx

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


class KeptConnections:
    """Calls over kept connections, at most so many at once, by aiohttp, at a quarter of the CPU of httpx.

    The first call opens the session, because that takes a running event loop.
    """

    def __init__(self, route: OutboundRoute, *, connections: int, connect_s: float) -> None:
        self._route = route
        self._connections = connections
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_s)
        self._session: aiohttp.ClientSession | None = None
        self._through_proxy: dict[str, Any] = {}
        if route.proxy is not None:
            proxy = _proxy(route.proxy, _roots(route))
            self._through_proxy = {"proxy": str(proxy.url), "proxy_headers": dict(proxy.headers)}

    async def call(
        self, method: str, url: str, *, headers: Mapping[str, str], limit: int = ANSWER_BYTES
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Status, raw body and headers of one call; FalAnswerTooLarge when the body exceeds `limit` bytes.

        Raises:
            aiohttp.ClientError, TimeoutError, ValueError: there was no answer.
        """
        async with self.stream(method, url, headers=headers) as answer:
            body = await _capped(answer.content.iter_any(), limit, status=answer.status)
            return answer.status, body, answer.headers

    def stream(
        self, method: str, url: str, *, headers: Mapping[str, str]
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """One call whose body is read as it arrives; aiohttp.ClientError, TimeoutError, ValueError as above."""
        way = self._through_proxy
        if way and self._route.bypasses_proxy(urlsplit(url).hostname or ""):
            way = {}
        session = self._session or self._open()
        return session.request(method, url, headers=headers, allow_redirects=False, **way)

    def _open(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, ssl=_roots(self._route)),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            auto_decompress=False,
        )
        return self._session

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()


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
        body = await _capped(answer.aiter_raw(), limit, status=answer.status_code)
        return answer.status_code, body, answer.headers


async def _capped(chunks: AsyncIterable[bytes], limit: int, *, status: int) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > limit:
            raise FalAnswerTooLarge(status)
    return bytes(body)
