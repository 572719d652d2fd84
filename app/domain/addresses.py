"""Which network addresses are public, and which host names are disguised addresses.

`127.1`, `0x7f000001`, `2130706433` and the same in full-width digits all lead to 127.0.0.1. So hosts are read as
`inet_aton` and browsers read them, and addresses are compared as numbers.
"""

import ipaddress
import re
import unicodedata
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

LONGEST_URL = 8192  # characters, of an image or a webhook: a presigned address with a session token has thousands
_EMPTY_PORT = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^/?#]*):(?=[/?]|$)")


def tidied(url: str) -> str:
    """The address without what no server needs: white space around it, a fragment, the colon of an empty port."""
    plain = url.partition("#")[0].strip()
    authority = _EMPTY_PORT.match(plain)  # a search would take minutes for a long text without a scheme
    return plain if authority is None else authority[1] + plain[authority.end() :]


# Networks that a request of ours must not reach, even if `is_global` of some Python version allows them.
_DENIED_V4 = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",  # carrier-grade NAT
    "127.0.0.0/8",
    "169.254.0.0/16",  # link-local, cloud metadata
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",  # 6to4 relays
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "168.63.129.16/32",  # Azure's host agent: a public number inside every virtual machine's network
)
_DENIED_V6 = (
    "::/3",  # loopback, v4-compatible, translated (::ffff:0:0:0/96), NAT64 (64:ff9b::/96); nothing here is unicast
    "2001::/32",  # Teredo carries v4 addresses
    "2001:db8::/32",
    "2002::/16",  # 6to4 carries v4 addresses
    "3fff::/20",
    "4000::/2",  # unassigned, except for segment routing inside a network (5f00::/16)
    "8000::/1",  # private (fc00::/7), link-local, site-local, multicast; the rest is unassigned
)


def _ranges(networks: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """First and last address of each network, as numbers."""
    parsed = (ipaddress.ip_network(network) for network in networks)
    return tuple((int(network[0]), int(network[-1])) for network in parsed)


_DENIED = {4: _ranges(_DENIED_V4), 6: _ranges(_DENIED_V6)}


def unmapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The v4 address inside a v4-mapped one (`::ffff:127.0.0.1`); any other address as it is."""
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """True when the address is on the public internet; a v4-mapped one is judged by the v4 address inside."""
    address = unmapped(address)
    if not address.is_global:
        return False
    number = int(address)
    return not any(first <= number <= last for first, last in _DENIED[address.version])


def is_loopback(host: str | None) -> bool:
    """True for `localhost` and for literal loopback addresses."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


# Where clouds give a machine its secrets: always refused, whatever networks an operator allows.
METADATA = frozenset(map(ipaddress.ip_address, (
    "169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.0.23", "168.63.129.16", "100.100.100.200",
    "192.0.0.192", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254",
)))  # fmt: skip
_METADATA_NETWORKS = tuple(map(ipaddress.ip_network, ("169.254.0.0/16", "168.63.129.16/32", "fe80::/10")))


def holds_metadata(network: IPv4Network | IPv6Network) -> bool:
    """True when the network is one of metadata addresses, or overlaps the link-local networks that hold them.

    A private network that happens to contain one of METADATA (`fd00::/8`) does not count.
    """
    if any(network.version == other.version and network.overlaps(other) for other in _METADATA_NETWORKS):
        return True
    return network.num_addresses == 1 and network[0] in METADATA


# NFKC turns full-width and circled digits into plain ones. It leaves the ideographic full stop, which IDNA
# reads as a dot, and characters that IDNA drops.
_IDEOGRAPHIC_STOP = "\u3002"
_IGNORED_BY_IDNA = re.compile("[\u00ad\u034f\u180b-\u180f\u200b-\u200d\u2060\u2064\ufe00-\ufe0f\ufeff]")
_ATON_PART = re.compile(r"0x[0-9a-f]*|[0-9]+")
_ATON_MAX_PARTS = 4
_ATON_MAX_PART_CHARS = 40  # longer than any sane spelling of 32 bits; bounds the work of int()


def plain_host(host: str) -> str:
    """The host as resolvers read it: compatibility forms folded, lower case, no brackets, no trailing dot."""
    if not host.isascii():
        folded = unicodedata.normalize("NFKC", _IGNORED_BY_IDNA.sub("", host))
        host = folded.replace(_IDEOGRAPHIC_STOP, ".")
    host = host.lower().removesuffix(".")
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def literal_address(host: str) -> IPv4Address | IPv6Address | None:
    """The address that `host` spells, or None when it is a name (or nothing).

    Understands dotted quads, every spelling of inet_aton (one to four parts, each decimal, octal with a
    leading `0` or hexadecimal with `0x`, the last one filling what is left), IPv6 with or without brackets
    and zone, full-width digits and dots, and a trailing dot.
    """
    plain = plain_host(host)
    if ":" not in plain:
        return _inet_aton(plain)
    try:
        return IPv6Address(plain.split("%", 1)[0])  # a zone names an interface, not another address
    except ValueError:
        return None


def _inet_aton(host: str) -> IPv4Address | None:
    parts = host.split(".")
    if len(parts) > _ATON_MAX_PARTS or not all(_ATON_PART.fullmatch(part) for part in parts):
        return None
    try:
        *leading, last = [_aton_number(part) for part in parts]
    except ValueError:  # `08` is neither octal nor decimal
        return None
    free_bits = 32 - 8 * len(leading)
    if last.bit_length() > free_bits or any(number.bit_length() > 8 for number in leading):  # noqa: PLR2004 # a byte
        return None
    for index, number in enumerate(leading):
        last |= number << (24 - 8 * index)
    return IPv4Address(last)


def _aton_number(part: str) -> int:
    if len(part) > _ATON_MAX_PART_CHARS:
        raise ValueError(part)
    if part.startswith("0x"):
        return int(part[2:] or "0", 16)
    return int(part, 8 if part.startswith("0") else 10)


_MIN_PREFIX = {4: 8, 6: 7}  # 10.0.0.0/8 and fc00::/7 may be a network of proxies; anything wider is everybody


def read_networks(text: str) -> tuple[str, ...]:
    """Comma-separated addresses and networks; ValueError for one that is wrong or too wide."""
    found = []
    for part in filter(None, map(str.strip, text.split(","))):
        try:
            network = ipaddress.ip_network(part)
        except ValueError:
            remedy = "must be addresses and networks such as 10.0.0.5,10.1.0.0/16"
            raise ValueError(f"{remedy}, not {part[:64]!r}") from None
        if network.prefixlen < _MIN_PREFIX[network.version]:
            raise ValueError(f"must be your own proxies: every caller in {network} could write any address")
        found.append(str(network))
    return tuple(found)


_ORIGIN_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]")


def read_origin(text: str) -> str:
    """The web origin `scheme://host[:port]` as browsers send it; ValueError for anything else.

    A path, a wildcard, `null` and a default port, which browsers leave out, are refused: origins are compared as
    text.
    """
    url = urlsplit(text)
    usual = {"https": 443, "http": 80}.get(url.scheme)
    try:
        port = url.port
    except ValueError:
        port = usual
    host = url.netloc if port is None else url.netloc.removesuffix(f":{port}")
    written = f"{url.scheme}://{host}" + ("" if port is None else f":{port}")
    if usual is None or port in {usual, 0} or written != text or not _ORIGIN_HOST.fullmatch(host):
        raise ValueError(f"must be an origin such as https://app.example.com, not {text[:64]!r}")
    return text
