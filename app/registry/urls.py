"""Which URLs of images and videos may be given to fal.

fal fetches them, Filmgate does not: names are not resolved here. URLs that cannot be a public file are refused, so
that a job that would fail costs nothing, and fal is not used to reach into a private network.
"""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_network

from app.domain.addresses import LONGEST_URL, is_public, literal_address, plain_host, unmapped
from app.domain.ports import LAST_PORT

_PORTS = frozenset({None, "443", "8443"})
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_PARTS = re.compile(r"//([^/?#]*)([^#]*)(#.*)?")
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?")
# White space of every kind, control and invisible characters, lone surrogates, and the backslash that some
# parsers read as a slash.
_FORBIDDEN = re.compile(
    "[\\s\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\\\\]"
)
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_NUMBER_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")  # a host that ends in one is parsed as an address
_PRIVATE_NAMES = (".localhost", ".internal", ".local")
_PRIVATE_NETWORKS = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))

# The same text for every refused host, so that it reveals nothing about the network.
NOT_ALLOWED = (
    "url_not_allowed",
    "This address is not allowed: give a public host by its name, an international one in its xn-- form.",
)


def url_fault(url: str, *, private: bool) -> tuple[str, str] | None:
    """Code and sentence of what is wrong with `url`, or None.

    Args:
        url: an absolute URL, as the caller gave it.
        private: also allow http, any port, and hosts of this machine and its network: for an emulator.
    """
    scheme = _SCHEME.match(url)
    if scheme is None or scheme[1].lower() not in ({"https", "http"} if private else {"https"}):
        return "url_scheme", _scheme_sentence(scheme)
    if len(url) > LONGEST_URL:
        return "too_long", f"The address must have at most {LONGEST_URL} characters."
    if _FORBIDDEN.search(url):
        return "url_invalid", "The address must not hold spaces, control characters or backslashes."
    parts = _PARTS.fullmatch(url, scheme.end())
    if parts is None or not parts[1]:
        return "url_invalid", "The address must name a host."
    if "@" in parts[1]:
        return "url_invalid", "The address must not hold a user name or password."
    if parts[3]:
        return "url_invalid", "The address must not hold a fragment (#…)."
    return _authority_fault(parts[1], private=private)


def _scheme_sentence(scheme: re.Match[str] | None) -> str:
    """What to write instead. The data URIs of images are stored and replaced before a URL is looked at."""
    if scheme is None:
        return "The address must begin with https://, or be a data URI of an image (data:image/png;base64,…)."
    if scheme[1].lower() == "data":
        return "Only an image may be a data URI here: upload this file, and give the address of the upload."
    return "The address must begin with https://."


def _authority_fault(authority: str, *, private: bool) -> tuple[str, str] | None:
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None or not parts[1]:
        return "url_invalid", "The address must name a host, and a port only by its number."
    host, port = parts[1], parts[2]
    if private:
        if port is not None and not 0 < int(port) <= LAST_PORT:
            return "url_invalid", "The port must be between 1 and 65535."
        return None if _is_near_or_public(host) else NOT_ALLOWED
    if port not in _PORTS:
        return "url_invalid", "The port must be 443 or 8443, or left out."
    return None if _is_public_name(host) else NOT_ALLOWED


def _is_name(plain: str) -> bool:
    return _NAME.fullmatch(plain) is not None and not _NUMBER_LABEL.fullmatch(plain.rpartition(".")[2])


@lru_cache(maxsize=1024)  # most images of an installation come from a few hosts
def _is_public_name(host: str) -> bool:
    """True for a name with a dot that is neither an address nor private."""
    name = plain_host(host)
    return host.isascii() and _is_name(name) and "." in name and not name.endswith(_PRIVATE_NAMES)


def _is_near_or_public(host: str) -> bool:
    """True for names, and for public, loopback and private addresses; not for metadata or multicast ones."""
    literal = literal_address(host)
    if literal is None:
        return host.isascii() and _is_name(plain_host(host))
    address: IPv4Address | IPv6Address = unmapped(literal)
    near = any(address in network for network in _PRIVATE_NETWORKS)
    return near or address.is_loopback or is_public(address)
