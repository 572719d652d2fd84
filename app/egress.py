"""Calls to addresses that customers name: refused when the socket is opened, unless the address is public.

A name is resolved once for each attempt, every answer is checked, and the address that was checked is the one
that is dialled; so a name that answers differently the second time (DNS rebinding) gains nothing. TLS still
verifies the name. No redirects, no proxies from the environment, no cookies, no connection that outlives its
request: the pool knows connections by address, and two names at one address must not share what was verified
for one of them.
"""

import asyncio
import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Self, TypeAlias
from urllib.parse import urlsplit

import httpx

from app.domain.addresses import METADATA, holds_metadata, is_public, literal_address, unmapped
from app.domain.errors import Code, Unprocessable

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
Place: TypeAlias = tuple[str, int]  # a host and a port
Resolver: TypeAlias = Callable[[str], Awaitable[Sequence[Address]]]

RESOLVE_SECONDS = 3.0
CLOSED_SECONDS = 30.0  # how long it is remembered where a closed name leads
CONNECT_SECONDS = 5.0
MAX_ANSWERS = 10
MAX_LOOKUPS = 256  # threads that may wait for name servers; more names at once do not resolve
READ_AT_ONCE = 4096  # bytes; what one read brings is worked through before others have their turn
MAX_URL = 2048  # characters
HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.IGNORECASE)  # RFC 1035
NOT_IN_A_URL = re.compile(r"[\x00-\x20\x7f-\x9f\\]")
LAST_PORT = 65_535
PORTS = {"https": 443, "http": 80, "redis": 6379, "rediss": 6379, "sentinel": 26_379}
PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".home.arpa")
WILDCARDS = ("0.0.0.0", "::")  # noqa: S104  where others listen

# One text for every private, reserved or internal target: a different one would tell what is there.
NOT_ALLOWED = "The URL's host is not a public internet address; an operator can list it in FILMGATE_EGRESS_ALLOW."
UNLESS_LISTED = ", unless the operator lists the name in FILMGATE_EGRESS_ALLOW"


class ForbiddenTarget(Exception):
    """The policy does not let this request out, and nothing was sent; the message is for the customer."""

    def __init__(self, message: str = NOT_ALLOWED) -> None:
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """Where requests may go beyond public https addresses.

    `allow` holds networks and host names that may be reached although they are private, with http and on any
    port; `ports` are the ports of everything else. `closed` are places that nobody may reach, also where `allow`
    covers them: this gateway, its store, and fal. One on a wildcard address is on every address of this machine.
    """

    allow: tuple[Network | str, ...] = ()
    ports: frozenset[int] = frozenset({443, 8443})
    closed: frozenset[Place] = frozenset()

    @classmethod
    def parse(cls, text: str, *, closed: Iterable[str] = (), narrow: bool = False) -> Self:
        """Reads `FILMGATE_EGRESS_ALLOW` (`10.0.5.0/24, hooks.internal`); ValueError with a sentence.

        `closed` are URLs of places that stay closed; `narrow` refuses to open everything, or a cloud's metadata.
        """
        allow = tuple(_allowed(entry.strip()) for entry in text.split(",") if entry.strip())
        wide = [one for one in allow if not isinstance(one, str) and (one.prefixlen == 0 or holds_metadata(one))]
        if narrow and wide:
            raise ValueError(f"{wide[0]} opens more than hosts of yours; list the networks that you mean.")
        return cls(allow, closed=frozenset(place for url in closed for place in _places(url)))

    def closes(self, host: str, port: int, addresses: Iterable[Address] = ()) -> bool:
        """True when this is one of the closed places, by its name or by an address it resolved to."""
        reached = [_reached(address) for address in addresses]
        if any((_plain(name), port) in self.closed for name in (host, *map(str, reached))):
            return True
        return any((name, port) in self.closed for name in WILDCARDS) and any(map(_is_here, reached))

    def closed_names(self, port: int) -> list[str]:
        """The names of closed places with this port: only DNS can tell which addresses they close."""
        return [name for name, closed in self.closed if closed == port and literal_address(name) is None]

    def names(self, host: str) -> bool:
        """True when the host name is on the list."""
        return host.lower() in self.allow

    def covers(self, address: Address) -> bool:
        """True when the address is in a network of the list."""
        plain = unmapped(address)
        if plain in METADATA:
            return False
        return any(not isinstance(entry, str) and plain in entry for entry in self.allow)

    @property
    def has_networks(self) -> bool:
        """True when a private name may turn out to be allowed, once it is resolved."""
        return any(not isinstance(entry, str) for entry in self.allow)


def check_url(url: str, policy: EgressPolicy) -> None:
    """Refuses a URL that can be seen to be wrong without asking DNS, for a friendly answer at registration.

    The gate is `GuardedTransport`. Raises Unprocessable with code `url_scheme` or `url_not_allowed`.
    """
    try:
        parsed = httpx.URL(url)
        _ = parsed.host  # every attempt reads it, and raises where IDNA has no such name: `xn--a`
    except (httpx.InvalidURL, UnicodeError):  # UnicodeError: half a surrogate pair, or no IDNA name
        raise Unprocessable("This is not a URL.", code=Code.URL_NOT_ALLOWED) from None
    host = _host(parsed)
    if parsed.scheme not in {"https", "http"}:
        raise Unprocessable("The URL has to begin with https://.", code=Code.URL_SCHEME)
    address = literal_address(host)
    if len(url) > MAX_URL or not (address or HOST_NAME.fullmatch(host)) or NOT_IN_A_URL.search(url):
        raise Unprocessable("This is not a URL.", code=Code.URL_NOT_ALLOWED)
    if parsed.userinfo or parsed.fragment:
        raise Unprocessable(
            "The URL must not hold a user name, a password or a fragment.", code=Code.URL_NOT_ALLOWED
        )
    if address is not None:
        listed = policy.covers(address)
        private = not is_public(address)
    else:
        private = "." not in host or host.lower().endswith(PRIVATE_SUFFIXES)
        listed = policy.names(host) or (private and policy.has_networks)
    closed = policy.closes(host, _port(parsed), () if address is None else (address,))
    if listed and not closed and 0 < _port(parsed) <= LAST_PORT:
        return
    if private or closed:
        raise Unprocessable(NOT_ALLOWED, code=Code.URL_NOT_ALLOWED)
    # The name may lead into a listed network; only naming it says so before DNS does.
    remedy = UNLESS_LISTED if address is None and policy.has_networks else ""
    if parsed.scheme != "https":
        raise Unprocessable(f"The URL has to begin with https://{remedy}.", code=Code.URL_SCHEME)
    if _port(parsed) not in policy.ports:
        raise Unprocessable(_wrong_port(policy, remedy), code=Code.URL_NOT_ALLOWED)


_lookups = threading.BoundedSemaphore(MAX_LOOKUPS)


async def resolve(host: str) -> Sequence[Address]:
    """The host's addresses in the system's order of preference; OSError when there are none.

    Each lookup has a thread of its own. The system gives up on a silent name server after 10 s and more, and the
    loop's shared pool has six threads on a small machine: six names of one customer would stop all others.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Sequence[Address]] = loop.create_future()
    if not _lookups.acquire(blocking=False):
        raise OSError("too many names are being resolved")
    try:
        threading.Thread(target=_look_up, args=(host, loop, answer), name="resolve", daemon=True).start()
    except RuntimeError as error:  # no thread to be had
        _lookups.release()
        raise OSError("no thread to resolve the name in") from error
    return await answer


def _look_up(host: str, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[Sequence[Address]]) -> None:
    """Ask the system, in a thread; nobody may be waiting any more when it answers."""
    tell: Callable[[], None]
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        tell = partial(answer.set_result, [ip_address(sockaddr[0]) for *_, sockaddr in found])
    except (OSError, ValueError) as error:
        tell = partial(answer.set_exception, error)
    finally:
        _lookups.release()
    with contextlib.suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(lambda: None if answer.done() else tell())


class TooMuch(Exception):
    """More bytes arrived than an answer may have."""


class AnswerLimit:
    """Counts the bytes of one answer as they leave the socket, headers and framing included.

    httpx counts bodies only, so that endless 1xx answers, or a byte in each chunk, would cost a whole processor for
    as long as the attempt may last. Goes into a request as `extensions={"trace": limit.watch}`; the read that
    passes the limit raises TooMuch. `hang_up` belongs behind the request: httpcore leaves a connection open whose
    handshake is cancelled.
    """

    def __init__(self, size: int) -> None:
        self._left = size
        self._connections: list[Any] = []

    async def watch(self, event: str, details: Mapping[str, Any]) -> None:
        """Called by httpcore with what it does; the two events that give the stream it will read from matter."""
        if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            stream = details["return_value"]
            stream.read = partial(self._read, stream.read)
            self._connections.append(stream)

    async def hang_up(self) -> None:
        """Close what was opened, unless it is closed; whatever was encrypted is inside what comes first."""
        for stream in self._connections:
            await stream.aclose()

    async def _read(
        self, read: Callable[..., Awaitable[bytes]], max_bytes: int, timeout: float | None = None
    ) -> bytes:
        if self._left <= 0:
            raise TooMuch
        chunk = await read(min(max_bytes, self._left, READ_AT_ONCE), timeout=timeout)
        self._left -= len(chunk)
        return chunk


@cache
def trusted_roots() -> ssl.SSLContext:
    """What every client of this process trusts. Reading the roots takes 20 ms, so it is done once."""
    return httpx.create_ssl_context(trust_env=False)


class GuardedTransport(httpx.AsyncBaseTransport):
    """An httpx transport that reaches what the policy allows, and nothing else.

    Raises ForbiddenTarget before any packet is sent, httpx.ConnectError when the name does not resolve, and
    httpx.ConnectTimeout when that takes more than 3 s. `Location` becomes the extension `location`, text or empty.
    """

    def __init__(
        self, policy: EgressPolicy, *, resolver: Resolver = resolve, tls: ssl.SSLContext | None = None
    ) -> None:
        self._policy = policy
        self._resolve = resolver
        self._led: dict[str, tuple[float, frozenset[Address]]] = {}  # closed names: until when, and where they lead
        self._asking = asyncio.Lock()  # one lookup, however many attempts want to know
        self._inner = httpx.AsyncHTTPTransport(
            verify=tls or trusted_roots(),
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Resolves once, checks every answer, and dials the checked addresses in their order."""
        host = _host(request.url)
        literal = literal_address(host)
        addresses = [literal] if literal is not None else await self._addresses(host, request)
        self._check(request.url, host, addresses)
        await self._check_closed_names(_port(request.url), host, addresses)
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
        """Closes what is open."""
        await self._inner.aclose()

    async def _addresses(self, host: str, request: httpx.Request) -> list[Address]:
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                found = await self._resolve(host)
        except TimeoutError:
            raise httpx.ConnectTimeout("The name was not resolved in time.", request=request) from None
        except (OSError, ValueError) as error:  # ValueError: not a name, or not an address
            raise httpx.ConnectError("The name does not resolve.", request=request) from error
        return list(found[:MAX_ANSWERS])  # what is not checked is not dialled

    def _check(self, url: httpx.URL, host: str, addresses: list[Address]) -> None:
        policy = self._policy
        if any(unmapped(address) in METADATA for address in addresses):
            raise ForbiddenTarget
        if url.scheme not in {"https", "http"} or not 0 < _port(url) <= LAST_PORT:
            raise ForbiddenTarget
        if policy.closes(host, _port(url), addresses):
            raise ForbiddenTarget
        if policy.names(host) or all(map(policy.covers, addresses)):
            return
        if not all(is_public(address) or policy.covers(address) for address in addresses):
            raise ForbiddenTarget
        if url.scheme != "https":
            raise ForbiddenTarget("This URL cannot be called: it does not begin with https://.")
        if _port(url) not in policy.ports:
            raise ForbiddenTarget(_wrong_port(policy))

    async def _check_closed_names(self, port: int, host: str, addresses: list[Address]) -> None:
        """Refuse where a closed name leads, if the operator's list covers it; others cannot get at these places."""
        policy = self._policy
        if policy.names(host) or any(map(policy.covers, addresses)):
            async with self._asking:
                closed = await asyncio.gather(*map(self._leads_to, policy.closed_names(port)))
            if not frozenset().union(*closed).isdisjoint(map(_reached, addresses)):
                raise ForbiddenTarget

    async def _leads_to(self, name: str) -> frozenset[Address]:
        """The addresses of a closed name; where it led last, while it does not resolve."""
        until, addresses = self._led.get(name, (0.0, frozenset()))
        if time.monotonic() >= until:
            with contextlib.suppress(OSError, ValueError):  # OSError: also no answer in time
                async with asyncio.timeout(RESOLVE_SECONDS):
                    addresses = frozenset(map(_reached, await self._resolve(name)))
            self._led[name] = (time.monotonic() + CLOSED_SECONDS, addresses)
        return addresses


def guarded_client(transport: GuardedTransport, *, total: float) -> httpx.AsyncClient:
    """A client that keeps nothing between requests: no cookies, no redirects, nothing from the environment.

    `total` bounds each read and write, in seconds; the caller bounds the whole call with `asyncio.timeout`.
    """
    return httpx.AsyncClient(
        transport=transport,
        timeout=httpx.Timeout(total, connect=CONNECT_SECONDS),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        follow_redirects=False,
        trust_env=False,
    )


def _allowed(entry: str) -> Network | str:
    """A network, or a host name in lower case."""
    try:
        return ip_network(entry)
    except ValueError:
        last = entry.rpartition(".")[2]
        if HOST_NAME.fullmatch(entry) and literal_address(entry) is None and not last.isdigit():  # `300.1.1.1`
            return entry.lower()
    raise ValueError(f"{entry!r} is neither a network (10.0.5.0/24) nor a host name (hooks.internal).")


def _places(url: str) -> list[Place]:
    """The hosts and ports that a URL names; several where it lists sentinels, none where it names a socket file."""
    parts = urlsplit(url)
    usual = PORTS.get(parts.scheme, 0)
    ends = parts.netloc.rpartition("@")[2].split(",") if usual else []
    places = []
    for end in (urlsplit(f"//{end}") for end in ends):
        with contextlib.suppress(ValueError):  # settings have been read by then: no port of theirs is wrong
            places.append((_plain(end.hostname or ""), end.port or usual))
    return places


def _plain(host: str) -> str:
    """One spelling for each host: an address as a number is written, a name in lower case."""
    address = literal_address(host)
    return host.lower() if address is None else str(unmapped(address))


def _reached(address: Address) -> Address:
    """The address that is reached by dialling this one: the system takes a wildcard address for its loopback."""
    plain = unmapped(address)
    if not plain.is_unspecified:
        return plain
    return ip_address("127.0.0.1" if isinstance(plain, IPv4Address) else "::1")


def _is_here(address: Address) -> bool:
    """True when the address is one of this machine's: only those can be bound."""
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def _host(url: httpx.URL) -> str:
    """The host as it goes to DNS: ASCII, without brackets."""
    return url.raw_host.decode("ascii")


def _port(url: httpx.URL) -> int:
    return PORTS.get(url.scheme, 0) if url.port is None else url.port


def _wrong_port(policy: EgressPolicy, remedy: str = "") -> str:
    return f"This URL cannot be called: its port is not {' or '.join(map(str, sorted(policy.ports)))}{remedy}."
