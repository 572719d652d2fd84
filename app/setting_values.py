"""How values of settings are read: text from the environment in, a value or ValueError with the rule out."""

import re
from base64 import b64decode
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, SecretStr

from app.domain.addresses import is_loopback, is_public, literal_address, plain_host, read_networks, read_origin
from app.domain.fal_addresses import is_host_name
from app.domain.ports import LAST_PORT
from app.domain.secret_strength import MIN_BITS, bits_of
from app.domain.sign_on import GroupRule, read_group_rules
from app.domain.storage_address import StorageAddress, read_storage_address

MIN_SECRET_CHARACTERS = 16
ALERT_SECRET_BYTES = range(24, 65)
MIN_DISTINCT_CHARACTERS = MIN_SECRET_CHARACTERS // 2
# Not on the public internet: RFC 2606, 6761, 6762 and 8375, .internal, and what routers use.
PRIVATE_ENDINGS = (
    ".local", ".test", ".localhost", ".invalid", ".example", ".home.arpa", ".internal", ".lan", ".home", ".corp",
)  # fmt: skip
DURATION = re.compile(r"([0-9]{1,6})([mhd])", re.ASCII)
SECONDS_OF = {"m": 60, "h": 3600, "d": 86_400}
LEAST_BACKUP_S, MOST_BACKUP_S = 600, 30 * 86_400
VISIBLE = re.compile(r"[!-~]+", re.ASCII)
HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
# Callers send these, or Filmgate reads them in another meaning.
OWN_HEADERS = frozenset(
    {"authorization", "cookie", "host", "origin", "x-api-key", "x-csrf-token", "x-forwarded-for", "x-request-id"}
)
PLAIN_URL = re.compile(
    r"https?://(?:[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?\.?|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?(?:/[a-z0-9._~%/-]*)?",
    re.ASCII | re.IGNORECASE,
)


def _fal_url(value: str) -> str:
    """A base URL of fal without a trailing slash: https, or on loopback (the emulator)."""
    if not is_plain_url(value):
        raise ValueError("must be a URL such as https://queue.fal.run")
    url = urlsplit(value)
    if url.scheme != "https" and not is_loopback(url.hostname):
        raise ValueError("must be https, unless its host is a loopback address")
    return value.rstrip("/")


def _issuer(value: str) -> str:
    """A provider's issuer, as the provider itself writes it: a slash at its end counts."""
    _fal_url(value)
    return value


def _scopes(value: str) -> str:
    """Scopes with spaces between; `openid` makes it OpenID Connect."""
    scopes = value.split()
    if "openid" not in scopes or not all(map(VISIBLE.fullmatch, scopes)):
        raise ValueError("must be scopes with spaces between, openid among them, such as `openid profile groups`")
    return " ".join(scopes)


def _header_name(value: str) -> str:
    """The name of a header; not one that has a meaning of its own."""
    if not HEADER_NAME.fullmatch(value) or value.lower() in OWN_HEADERS:
        raise ValueError("must be the name of a header that only the proxy sends, such as X-Auth-Request-User")
    return value


def is_plain_url(value: str) -> bool:
    """True for http or https with a host, an optional port and a path, and nothing else."""
    found = PLAIN_URL.fullmatch(value)
    return found is not None and 0 < int(found["port"] or 1) <= LAST_PORT


def _flag(value: str) -> bool:
    """`1` or `0` only: a misspelt switch must not read as off."""
    if value not in {"0", "1"}:
        raise ValueError("must be 0 or 1")
    return value == "1"


def _backup_interval(value: str) -> int:
    """`90m`, `6h` or `1d` as seconds."""
    found = DURATION.fullmatch(value)
    if found is None:
        raise ValueError("must be a duration such as 90m, 6h or 1d")
    seconds = int(found[1]) * SECONDS_OF[found[2]]
    if not LEAST_BACKUP_S <= seconds <= MOST_BACKUP_S:
        raise ValueError("must be from 10m to 30d, such as 6h")
    return seconds


def refuse_guessable(secret: str) -> None:
    """ValueError with a remedy for a secret that somebody may guess."""
    remedy = "make one with `openssl rand -hex 32`"
    if len(secret) < MIN_SECRET_CHARACTERS:
        raise ValueError(f"must have at least {MIN_SECRET_CHARACTERS} characters; {remedy}")
    if len(set(secret)) < MIN_DISTINCT_CHARACTERS:
        raise ValueError(f"must have at least {MIN_DISTINCT_CHARACTERS} different characters; {remedy}")
    if bits_of(secret) < MIN_BITS:
        raise ValueError(f"is easy to guess; {remedy}")
    if secret != secret.strip() or not secret.isprintable():
        raise ValueError(f"must have neither white space around it nor control characters; {remedy}")


def is_public_host(host: str) -> bool:
    """True for public addresses and names that may resolve to one: fal drops webhooks to others."""
    address = literal_address(host)
    if address is not None:
        return is_public(address)
    name = plain_host(host)
    return "." in name and not name.endswith(PRIVATE_ENDINGS)


def _entries(value: str) -> list[str]:
    return [entry.strip() for entry in value.split(",") if entry.strip()]


def _origins(value: str) -> tuple[str, ...]:
    """Exact origins: `https://app.example.com,http://localhost:5173`. No wildcards."""
    return tuple(map(read_origin, _entries(value)))


def _host_names(value: str) -> tuple[str, ...]:
    """Host names; each includes its subdomains."""
    names = tuple(name.lower() for name in _entries(value))
    for name in names:
        if "." not in name or literal_address(name) is not None or not is_host_name(name):
            raise ValueError(f"must be host names such as media.example.com, not {name[:64]!r}")
    return names


def _no_proxy_hosts(value: str) -> tuple[str, ...]:
    """NO_PROXY as curl reads it: names, each with its subdomains; `*` is everything."""
    return tuple(name.lower().removeprefix("*.").removeprefix(".") for name in _entries(value) if name != ".")


def _proxy(value: str) -> SecretStr:
    """`http://user:password@proxy.example:3128`; http without a scheme, as curl reads it."""
    text = value if "://" in value else f"http://{value}"
    try:
        url = urlsplit(text)
        usable = url.scheme in {"http", "https"} and url.hostname and url.port != 0 and VISIBLE.fullmatch(text)
    except ValueError:
        usable = None
    if not usable or url.path not in {"", "/"} or url.query or url.fragment:
        raise ValueError("must be the URL of a proxy such as http://user:password@proxy.example.com:3128")
    return SecretStr(text.rstrip("/"))


def _alert_url(value: str) -> SecretStr:
    """Where alarms are sent: https, or http to a private host. The path may be a secret, as with Slack."""
    try:
        url = urlsplit(value)
        usable = url.scheme in {"http", "https"} and url.hostname and url.port != 0 and VISIBLE.fullmatch(value)
    except ValueError:
        usable = None
    if not usable or url.username is not None or url.fragment:
        raise ValueError("must be a URL such as https://alerts.example.com/filmgate")
    if url.scheme == "http" and is_public_host(url.hostname or ""):
        raise ValueError("must be https, unless its host is private")
    return SecretStr(value)


def _alert_secret(value: str) -> SecretStr:
    """`whsec_` and 24 to 64 bytes in base64, as Standard Webhooks have it."""
    remedy = "must be whsec_ and 24 to 64 bytes in base64; make one with `echo whsec_$(openssl rand -base64 32)`"
    try:
        length = len(b64decode(value.removeprefix("whsec_"), validate=True))
    except ValueError:
        length = 0
    if not value.startswith("whsec_") or length not in ALERT_SECRET_BYTES:
        raise ValueError(remedy)
    return SecretStr(value)


Networks = Annotated[tuple[str, ...], BeforeValidator(read_networks)]
FalUrl = Annotated[str, BeforeValidator(_fal_url)]
BackupInterval = Annotated[int, BeforeValidator(_backup_interval)]
Flag = Annotated[bool, BeforeValidator(_flag)]
HostNames = Annotated[tuple[str, ...], BeforeValidator(_host_names)]
NoProxyHosts = Annotated[tuple[str, ...], BeforeValidator(_no_proxy_hosts)]
AlertUrl = Annotated[SecretStr, BeforeValidator(_alert_url)]
AlertSecret = Annotated[SecretStr, BeforeValidator(_alert_secret)]
Proxy = Annotated[SecretStr, BeforeValidator(_proxy)]
Origins = Annotated[tuple[str, ...], BeforeValidator(_origins)]
StoragePlace = Annotated[StorageAddress | None, BeforeValidator(read_storage_address)]
Issuer = Annotated[str, BeforeValidator(_issuer)]
OidcScopes = Annotated[str, BeforeValidator(_scopes)]
HeaderName = Annotated[str, BeforeValidator(_header_name)]
GroupRules = Annotated[tuple[GroupRule, ...], BeforeValidator(read_group_rules)]
