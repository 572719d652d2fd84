"""The rule for URLs that customers name; `webhooks/transport.py` enforces it when it connects."""

import contextlib
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self, TypeAlias
from urllib.parse import urlsplit

import httpx

from app.domain.addresses import LONGEST_URL, METADATA, holds_metadata, is_public, literal_address, unmapped
from app.domain.errors import Code, Unprocessable
from app.domain.ports import LAST_PORT

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
HostPort: TypeAlias = tuple[str, int]  # a host and a port

HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.IGNORECASE)  # RFC 1035
NOT_IN_A_URL = re.compile(r"[\x00-\x20\x7f-\x9f\\]")
PORTS = {"https": 443, "http": 80, "redis": 6379, "rediss": 6379, "sentinel": 26_379}
PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".home.arpa")
WILDCARDS = ("0.0.0.0", "::")  # noqa: S104  compared with, not bound

# The same text for every private, reserved or internal target, so that it reveals nothing about the network.
NOT_ALLOWED = "The URL's host is not a public internet address; an operator can list it in FILMGATE_EGRESS_ALLOW."
NOT_A_URL = "This is not a URL: it needs a host, and must not hold spaces, control characters or backslashes."
UNLESS_LISTED = ", unless the operator lists the name in FILMGATE_EGRESS_ALLOW"


class ForbiddenTarget(Exception):
    """The policy forbids this request, and nothing was sent; the message is for the customer."""

    def __init__(self, message: str = NOT_ALLOWED) -> None:
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """Which requests may go beyond public https addresses.

    `allow` holds networks and host names that may be reached although they are private, by http and on any port;
    `ports` are the allowed ports elsewhere. `blocked` are hosts and ports that are never allowed, even by `allow`:
    this gateway, its store, and fal. A wildcard address among them stands for every address of this machine.
    """

    allow: tuple[Network | str, ...] = ()
    ports: frozenset[int] = frozenset({443, 8443})
    blocked: frozenset[HostPort] = frozenset()

    @classmethod
    def parse(cls, text: str, *, blocked: Iterable[str] = (), refuse_wide: bool = False) -> Self:
        """Reads `FILMGATE_EGRESS_ALLOW` (`10.0.5.0/24, hooks.internal`); ValueError with a sentence.

        `blocked` are URLs that nobody may reach; `refuse_wide` refuses to open everything or a cloud's metadata.
        """
        allow = tuple(_allow_entry(entry.strip()) for entry in text.split(",") if entry.strip())
        wide = [one for one in allow if not isinstance(one, str) and (one.prefixlen == 0 or holds_metadata(one))]
        if refuse_wide and wide:
            raise ValueError(f"{wide[0]} opens more than hosts of yours; list the networks that you mean.")
        return cls(allow, blocked=frozenset(host_port for url in blocked for host_port in _host_ports(url)))

    def allowing(self, host: str) -> Self:
        """The same policy, with this host of the operator's own, by http and on any port too."""
        return replace(self, allow=(*self.allow, _allow_entry(host)))

    def blocks(self, host: str, port: int, addresses: Iterable[Address] = ()) -> bool:
        """True when this is a blocked place, by its name or by an address it resolved to."""
        dialled = [dialled_address(address) for address in addresses]
        if any((_normal_host(name), port) in self.blocked for name in (host, *map(str, dialled))):
            return True
        return any((name, port) in self.blocked for name in WILDCARDS) and any(map(_is_local, dialled))

    def blocked_names(self, port: int) -> list[str]:
        """The names of blocked places with this port: only DNS can tell which addresses these are."""
        return [name for name, blocked in self.blocked if blocked == port and literal_address(name) is None]

    def allows_host(self, host: str) -> bool:
        """True when the list has this host name."""
        return host.lower() in self.allow

    def allows_address(self, address: Address) -> bool:
        """True when a network of the list contains the address."""
        plain = unmapped(address)
        if plain in METADATA:
            return False
        return any(not isinstance(entry, str) and plain in entry for entry in self.allow)

    @property
    def has_networks(self) -> bool:
        """True when a private name may be allowed once it is resolved."""
        return any(not isinstance(entry, str) for entry in self.allow)


def _parsed(url: str) -> httpx.URL:
    if len(url) > LONGEST_URL:
        raise Unprocessable(f"The URL must have at most {LONGEST_URL} characters.", code=Code.URL_NOT_ALLOWED)
    try:
        parsed = httpx.URL(url)
        _ = parsed.host  # raises for a name that IDNA does not allow: `xn--a`
    except (httpx.InvalidURL, UnicodeError):  # UnicodeError: a lone surrogate, or no IDNA name
        raise Unprocessable(NOT_A_URL, code=Code.URL_NOT_ALLOWED) from None
    return parsed


def check_url(url: str, policy: EgressPolicy) -> None:
    """Refuses a URL that is wrong without a DNS lookup, for an early error at registration.

    `webhooks.transport` enforces the rule. Raises Unprocessable with code `url_scheme` or `url_not_allowed`.
    """
    parsed = _parsed(url)
    host = host_of(parsed)
    if parsed.scheme not in {"https", "http"}:
        raise Unprocessable("The URL has to begin with https://.", code=Code.URL_SCHEME)
    address = literal_address(host)
    if not (address or HOST_NAME.fullmatch(host)) or NOT_IN_A_URL.search(url):
        raise Unprocessable(NOT_A_URL, code=Code.URL_NOT_ALLOWED)
    if parsed.userinfo or parsed.fragment:
        raise Unprocessable(
            "The URL must not hold a user name, a password or a fragment.", code=Code.URL_NOT_ALLOWED
        )
    if address is not None:
        listed = policy.allows_address(address)
        private = not is_public(address)
    else:
        private = "." not in host or host.lower().endswith(PRIVATE_SUFFIXES)
        listed = policy.allows_host(host) or (private and policy.has_networks)
    blocked = policy.blocks(host, port_of(parsed), () if address is None else (address,))
    if listed and not blocked and 0 < port_of(parsed) <= LAST_PORT:
        return
    if private or blocked:
        raise Unprocessable(NOT_ALLOWED, code=Code.URL_NOT_ALLOWED)
    # The name may resolve into a listed network, which only DNS or listing the name can tell.
    remedy = UNLESS_LISTED if address is None and policy.has_networks else ""
    if parsed.scheme != "https":
        raise Unprocessable(f"The URL has to begin with https://{remedy}.", code=Code.URL_SCHEME)
    if port_of(parsed) not in policy.ports:
        raise Unprocessable(wrong_port_message(policy, remedy), code=Code.URL_NOT_ALLOWED)


def _allow_entry(entry: str) -> Network | str:
    """A network, or a host name in lower case."""
    try:
        return ip_network(entry)
    except ValueError:
        last = entry.rpartition(".")[2]
        if HOST_NAME.fullmatch(entry) and literal_address(entry) is None and not last.isdigit():  # `300.1.1.1`
            return entry.lower()
    raise ValueError(f"{entry!r} is neither a network (10.0.5.0/24) nor a host name (hooks.internal).")


def _host_ports(url: str) -> list[HostPort]:
    """The hosts and ports of a URL; several for a list of sentinels, none for a socket file."""
    parts = urlsplit(url)
    usual = PORTS.get(parts.scheme, 0)
    ends = parts.netloc.rpartition("@")[2].split(",") if usual else []
    found = []
    for end in (urlsplit(f"//{end}") for end in ends):
        with contextlib.suppress(ValueError):  # the settings' ports are valid, so nothing is lost
            found.append((_normal_host(end.hostname or ""), end.port or usual))
    return found


def _normal_host(host: str) -> str:
    """The canonical spelling of a host: of an address, or a name in lower case."""
    address = literal_address(host)
    return host.lower() if address is None else str(unmapped(address))


def dialled_address(address: Address) -> Address:
    """The address that dialling this one reaches: for a wildcard address, the system's loopback."""
    plain = unmapped(address)
    if not plain.is_unspecified:
        return plain
    return ip_address("127.0.0.1" if isinstance(plain, IPv4Address) else "::1")


def _is_local(address: Address) -> bool:
    """True for an address of this machine: only those can be bound."""
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def host_of(url: httpx.URL) -> str:
    """The host as used for DNS: ASCII, without brackets."""
    return url.raw_host.decode("ascii")


def port_of(url: httpx.URL) -> int:
    """The port that is dialled; 0 for a scheme without one."""
    return PORTS.get(url.scheme, 0) if url.port is None else url.port


def wrong_port_message(policy: EgressPolicy, remedy: str = "") -> str:
    """Which ports may be called."""
    return f"This URL cannot be called: its port is not {' or '.join(map(str, sorted(policy.ports)))}{remedy}."
