"""Calls to URLs that customers name, refused when connecting unless the address is public.

A name is resolved once per attempt, every address is checked, and only checked addresses are dialled; so a name
that resolves differently the second time (DNS rebinding) gains nothing. TLS verifies the name. No redirects, no
proxies from the environment, no cookies, and no reused connections: the pool identifies them by address, and two
names at one address must not share a verified connection.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import ip_address
from typing import Any, TypeAlias

import httpx

from app.domain.addresses import METADATA, is_public, literal_address, unmapped
from app.domain.ports import LAST_PORT
from app.egress import (
    Address,
    EgressPolicy,
    ForbiddenTarget,
    dialled_address,
    host_of,
    port_of,
    wrong_port_message,
)
from app.tls import trusted_roots

Resolver: TypeAlias = Callable[[str], Awaitable[Sequence[Address]]]

RESOLVE_SECONDS = 3.0
BLOCKED_LOOKUP_SECONDS = 30.0  # for which a blocked name's addresses are cached
CONNECT_SECONDS = 5.0
MAX_ANSWERS = 10
MAX_LOOKUPS = 256  # threads that wait for name servers; further names do not resolve
READ_BYTES = 4096  # at most, because a read is processed without a pause for other tasks

_lookups = threading.BoundedSemaphore(MAX_LOOKUPS)


async def resolve(host: str) -> Sequence[Address]:
    """The host's addresses in the system's order of preference; OSError when there are none.

    Each lookup has its own thread: a silent name server blocks it for 10 s and more, and the loop's pool has six
    threads on a small machine, so that six names of one customer would stop all others.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Sequence[Address]] = loop.create_future()
    if not _lookups.acquire(blocking=False):
        raise OSError("too many names are being resolved")
    try:
        threading.Thread(target=_resolve, args=(host, loop, answer), name="resolve", daemon=True).start()
    except RuntimeError as error:  # no thread is available
        _lookups.release()
        raise OSError("no thread to resolve the name in") from error
    return await answer


def _resolve(host: str, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[Sequence[Address]]) -> None:
    """Ask the system, in a thread; by then the caller may have given up."""
    report: Callable[[], None]
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        report = partial(answer.set_result, [ip_address(sockaddr[0]) for *_, sockaddr in found])
    except (OSError, ValueError) as error:
        report = partial(answer.set_exception, error)
    finally:
        _lookups.release()
    with contextlib.suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(lambda: None if answer.done() else report())


class AnswerTooLarge(Exception):
    """More bytes arrived than an answer may have."""


class AnswerLimit:
    """Counts the bytes of one answer as they leave the socket, headers and framing included.

    Counting bodies only, endless 1xx answers or chunks of one byte would occupy a processor for the whole attempt.
    Pass it as `extensions={"trace": limit.watch}`; the read that exceeds the limit raises AnswerTooLarge. Call
    `close` after the request: httpcore leaves a connection open whose handshake is cancelled.
    """

    def __init__(self, size: int) -> None:
        self._left = size
        self._connections: list[Any] = []

    async def watch(self, event: str, details: Mapping[str, Any]) -> None:
        """Called by httpcore for each event; two of them carry the stream from which it will read."""
        if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            stream = details["return_value"]
            stream.read = partial(self._read, stream.read)
            self._connections.append(stream)

    async def close(self) -> None:
        """Close the connections; closing twice is harmless, and TLS streams close the ones below."""
        for stream in self._connections:
            await stream.aclose()

    async def _read(
        self, read: Callable[..., Awaitable[bytes]], max_bytes: int, timeout: float | None = None
    ) -> bytes:
        if self._left <= 0:
            raise AnswerTooLarge
        chunk = await read(min(max_bytes, self._left, READ_BYTES), timeout=timeout)
        self._left -= len(chunk)
        return chunk


class GuardedTransport(httpx.AsyncBaseTransport):
    """An httpx transport that reaches only what the policy allows.

    Raises ForbiddenTarget before any packet is sent, httpx.ConnectError when the name does not resolve, and
    httpx.ConnectTimeout when that takes more than 3 s. `Location` becomes the extension `location`, text or empty.
    """

    def __init__(
        self, policy: EgressPolicy, *, resolver: Resolver = resolve, tls: ssl.SSLContext | None = None
    ) -> None:
        self._policy = policy
        self._resolve = resolver
        self._blocked_addresses: dict[str, tuple[float, frozenset[Address]]] = {}  # until when, and where
        self._lookup_lock = asyncio.Lock()  # attempts share one lookup
        self._inner = httpx.AsyncHTTPTransport(
            verify=tls or trusted_roots(),
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Resolves once, checks every address, and dials them in their order."""
        host = host_of(request.url)
        literal = literal_address(host)
        addresses = [literal] if literal is not None else await self._addresses(host, request)
        self._check(request.url, host, addresses)
        await self._check_blocked_names(port_of(request.url), host, addresses)
        request.headers.setdefault("Host", request.url.netloc.decode("ascii"))
        for last, address in enumerate(addresses, 1 - len(addresses)):
            dialled = httpx.Request(
                request.method,
                request.url.copy_with(host=str(address)),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": str(literal or host)},
            )
            try:
                response = await self._inner.handle_async_request(dialled)
            except (httpx.ConnectError, httpx.ConnectTimeout):  # nothing was sent yet
                if last == 0:
                    raise
            else:
                response.extensions["location"] = response.headers.pop("Location", "")  # httpx reads it, may raise
                return response
        raise httpx.ConnectError("The name has no address.", request=request)

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._inner.aclose()

    async def _addresses(self, host: str, request: httpx.Request) -> list[Address]:
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                found = await self._resolve(host)
        except TimeoutError:
            raise httpx.ConnectTimeout("The name was not resolved in time.", request=request) from None
        except (OSError, ValueError) as error:  # ValueError: not a name, or not an address
            raise httpx.ConnectError("The name does not resolve.", request=request) from error
        return list(found[:MAX_ANSWERS])  # others are neither checked nor dialled

    def _check(self, url: httpx.URL, host: str, addresses: list[Address]) -> None:
        policy = self._policy
        if any(unmapped(address) in METADATA for address in addresses):
            raise ForbiddenTarget
        if url.scheme not in {"https", "http"} or not 0 < port_of(url) <= LAST_PORT:
            raise ForbiddenTarget
        if policy.blocks(host, port_of(url), addresses):
            raise ForbiddenTarget
        if policy.allows_host(host) or all(map(policy.allows_address, addresses)):
            return
        if not all(is_public(address) or policy.allows_address(address) for address in addresses):
            raise ForbiddenTarget
        if url.scheme != "https":
            raise ForbiddenTarget("This URL cannot be called: it does not begin with https://.")
        if port_of(url) not in policy.ports:
            raise ForbiddenTarget(wrong_port_message(policy))

    async def _check_blocked_names(self, port: int, host: str, addresses: list[Address]) -> None:
        """Refuse the addresses of blocked names that the operator's list covers; it is the only way to them."""
        policy = self._policy
        if policy.allows_host(host) or any(map(policy.allows_address, addresses)):
            async with self._lookup_lock:
                blocked = await asyncio.gather(*map(self._addresses_of_blocked, policy.blocked_names(port)))
            if not frozenset().union(*blocked).isdisjoint(map(dialled_address, addresses)):
                raise ForbiddenTarget

    async def _addresses_of_blocked(self, name: str) -> frozenset[Address]:
        """The addresses of a blocked name, or the last known ones while it does not resolve."""
        until, addresses = self._blocked_addresses.get(name, (0.0, frozenset()))
        if time.monotonic() >= until:
            with contextlib.suppress(OSError, ValueError):  # OSError: also no answer in time
                async with asyncio.timeout(RESOLVE_SECONDS):
                    addresses = frozenset(map(dialled_address, await self._resolve(name)))
            self._blocked_addresses[name] = (time.monotonic() + BLOCKED_LOOKUP_SECONDS, addresses)
        return addresses


def guarded_client(transport: GuardedTransport, *, total: float) -> httpx.AsyncClient:
    """A client without cookies, redirects or settings from the environment.

    `total` bounds each read and write, in seconds; the caller bounds the whole call with `asyncio.timeout`.
    """
    return httpx.AsyncClient(
        transport=transport,
        timeout=httpx.Timeout(total, connect=CONNECT_SECONDS),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        follow_redirects=False,
        trust_env=False,
    )
