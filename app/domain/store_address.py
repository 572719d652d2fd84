"""The address of the store: one URL, parsed and checked before any connection is made.

    redis://[user:password@]host[:6379][/db]            rediss:// the same with TLS
    unix://[user:password@]/path/of/the.sock[?db=0]
    sentinel://[user:password@]host[:26379][,host…]/service[?db=0&sentinel_username=…&sentinel_password=…&tls=1]

User names and passwords are percent-encoded, IPv6 addresses are in brackets. Error sentences never quote text that
may be a part of a password.
"""

import re
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import parse_qsl, unquote

from app.domain.ports import LAST_PORT

SCHEMES = ("redis", "rediss", "unix", "sentinel")
PORTS = {"sentinel": 26379}
PORT = 6379
TLS_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
TLS_OPTIONS = (*TLS_FILES, "ssl_cert_reqs", "ssl_check_hostname")
OPTIONS = {
    "redis": ("db", "username", "password"),
    "rediss": ("db", "username", "password", *TLS_OPTIONS),
    "unix": ("db", "username", "password"),
    "sentinel": ("db", "sentinel_username", "sentinel_password", "tls", *TLS_OPTIONS),
}
FLAGS = {"1": True, "true": True, "0": False, "false": False}
ENCODING_HINT = "in a user name or password write @ as %40, / as %2F, : as %3A, ? as %3F, # as %23 and % as %25"
PARTS = re.compile(r"(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?P<rest>#.*)?", re.DOTALL)
NAME = re.compile(r"[A-Za-z0-9._-]+")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """The parts of the URL. `hosts` are sentinels where there is a `service`; `path` is a socket's.

    `tls` has redis-py's options, None without TLS. Secrets are not in its representation.
    """

    hosts: tuple[tuple[str, int], ...]
    path: str = ""
    service: str = ""
    db: int = 0
    tls: dict[str, str | bool] | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """The address in sentences, without secrets."""
        if self.path:
            return f"the socket {self.path}"
        hosts = ", ".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return f"{self.service!r} of the sentinels at {hosts}" if self.service else hosts

    @property
    def is_open(self) -> bool:
        """True where anyone on the network can use the store: no password, no certificate, and not this machine."""
        authenticated = self.password is not None or "ssl_certfile" in (self.tls or {})
        return not authenticated and not all(_is_local(host) for host, _ in self.hosts)


def read_store_address(url: str) -> StoreAddress:
    """The parts of the URL; ValueError with a sentence that continues the setting's name."""
    scheme, separator, text = url.partition("://")
    if not separator or scheme not in SCHEMES:
        raise ValueError(f"must begin with {'://, '.join(SCHEMES[:-1])}:// or {SCHEMES[-1]}://")
    if CONTROL.search(text) or (scheme != "unix" and re.search(r"\s", text)):
        raise ValueError("must not hold white space; write a space as %20")
    parts = PARTS.fullmatch(text)
    authority, path, query = (parts["authority"], parts["path"], parts["query"] or "") if parts else ("", "", "")
    if parts is None or parts["rest"] or "@" in query or (scheme != "unix" and "@" in path):
        raise ValueError(f"has parts that no address has: {ENCODING_HINT}")
    options = _options(scheme, query)
    user, at, hosts = authority.rpartition("@")
    username, _, password = (unquote(part) for part in user.partition(":"))
    if at and ("username" in options or "password" in options):
        raise ValueError("names its user twice, before the host and as an option; keep one")
    common: dict[str, Any] = {
        "tls": _tls(scheme, options),
        "username": username or options.get("username"),
        "password": password or options.get("password"),
    }
    if scheme == "unix":
        if hosts or path in {"", "/"}:
            raise ValueError("must name a socket by its whole path, as in unix:///run/redis/redis.sock")
        return StoreAddress((), path=unquote(path), db=_db(options.get("db", "0")), **common)
    if scheme == "sentinel":
        service = unquote(path.strip("/"))
        if not NAME.fullmatch(service):
            raise ValueError("must end in the name of the service, as in sentinel://host:26379/mymaster")
        return StoreAddress(
            tuple(_host(part, scheme) for part in hosts.split(",")),
            service=service,
            db=_db(options.get("db", "0")),
            sentinel_username=options.get("sentinel_username"),
            sentinel_password=options.get("sentinel_password"),
            **common,
        )
    return _server(hosts, path, options, scheme, common)


def _server(hosts: str, path: str, options: dict[str, str], scheme: str, common: dict[str, Any]) -> StoreAddress:
    """A `redis://` or `rediss://` address."""
    if "," in hosts:
        raise ValueError("names several hosts; that is for sentinel://")
    number = path.strip("/")
    if number and "db" in options:
        raise ValueError("names its database twice, behind the host and as an option; keep one")
    return StoreAddress((_host(hosts, scheme),), db=_db(number or options.get("db", "0")), **common)


def _host(text: str, scheme: str) -> tuple[str, int]:
    """A host and its port, or the scheme's default port."""
    if not text:
        raise ValueError("names no host")
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        if not _is_ipv6(unquote(host)) or (rest and not rest.startswith(":")):
            raise ValueError("has brackets around what is no IPv6 address")
        host, port = unquote(host), rest[1:] if rest else None
    elif text.count(":") > 1:
        raise ValueError(f"has a host with several colons: an IPv6 address stands in brackets, and {ENCODING_HINT}")
    else:
        host, colon, digits = text.partition(":")
        port = digits if colon else None
        if not NAME.fullmatch(host):
            raise ValueError(f"has a host that is neither a name nor an address; {ENCODING_HINT}")
    if port is None:
        return host, PORTS.get(scheme, PORT)
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= LAST_PORT:
        raise ValueError(f"has a port that is not a number from 1 to {LAST_PORT}; {ENCODING_HINT}")
    return host, int(port)


def _options(scheme: str, query: str) -> dict[str, str]:
    """The options after the question mark."""
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in OPTIONS[scheme]:
            known = ", ".join(OPTIONS[scheme])
            named = f"the option {name}" if NAME.fullmatch(name) else "an option"
            raise ValueError(f"has {named}, which {scheme}:// does not take; it takes {known}")
        if name in options or not value:
            raise ValueError(f"has the option {name} {'twice' if name in options else 'without a value'}")
        options[name] = value
    return options


def _tls(scheme: str, options: dict[str, str]) -> dict[str, str | bool] | None:
    """Redis-py's options of TLS; None without TLS."""
    given = [name for name in options if name in TLS_OPTIONS]
    if scheme != "rediss" and not _flag(options.get("tls", "0"), "tls"):
        if given:
            raise ValueError(f"has the option {given[0]}, but without tls=1 no TLS")
        return None
    if ("ssl_certfile" in given) != ("ssl_keyfile" in given):
        raise ValueError("must have ssl_certfile and ssl_keyfile together")
    tls: dict[str, str | bool] = {name: options[name] for name in given}
    if tls.get("ssl_cert_reqs", "required") not in {"required", "none"}:
        raise ValueError("must have ssl_cert_reqs=required or ssl_cert_reqs=none")
    if tls.get("ssl_cert_reqs") == "none":
        tls["ssl_check_hostname"] = False
    elif "ssl_check_hostname" in options:
        tls["ssl_check_hostname"] = _flag(options["ssl_check_hostname"], "ssl_check_hostname")
    return tls


def _flag(value: str, name: str) -> bool:
    if value.lower() not in FLAGS:
        raise ValueError(f"must have {name}=0 or {name}=1")
    return FLAGS[value.lower()]


def _db(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text):
        raise ValueError(f"has a database that is not a number, as in redis://host:6379/0; {ENCODING_HINT}")
    return int(text)


def _is_ipv6(host: str) -> bool:
    try:
        return isinstance(ip_address(host), IPv6Address)
    except ValueError:
        return False


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
