"""URLs in fal's answers: which of them are called, stored, shown and redirected to.

They are matched by one strict grammar, because parsers differ: what is a host below fal's domain for Python
(`evil.example%2f.fal.media`, `evil.example<.fal.media`) is another host, or none, for a browser and for curl.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self, TypeAlias

from app.domain.addresses import is_loopback
from app.domain.ports import LAST_PORT

Origin: TypeAlias = tuple[str, str, int]  # scheme, host, port

MEDIA_DOMAIN = "fal.media"  # v3.fal.media, v3b.fal.media and so on: uploads, images and clips
MAX_URL_CHARS = 2048  # characters
PORTS = {"https": 443, "http": 80}
# No user before the host, at most a port after it; then visible ASCII without a backslash, which browsers read as a
# slash. Without re.ASCII the long s and the Kelvin sign would count as letters.
_ADDRESS = re.compile(
    r"(https?)://([a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::([0-9]{1,5}))?(?:[/?#][!-\[\]-~]*)?",
    re.ASCII | re.IGNORECASE,
)
# No `xn--` and similar: fal has no such names, and IDNA raises for many of them.
_LABEL = re.compile(r"(?!..--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


def origin_of(url: Any) -> Origin | None:
    """Scheme, host and port of a plain http or https URL; None for everything else, of any type."""
    parts = _ADDRESS.fullmatch(url) if isinstance(url, str) and len(url) <= MAX_URL_CHARS else None
    if parts is None:
        return None
    scheme, host = parts[1].lower(), parts[2].lower()
    if not host.startswith("[") and not is_host_name(host):
        return None
    port = int(parts[3] or PORTS[scheme])
    return (scheme, host, port) if 0 < port <= LAST_PORT else None


@lru_cache(maxsize=1024)
def is_host_name(text: str) -> bool:
    """True for a plain host name in lower case: letters, digits, dashes inside, dots between."""
    return all(_LABEL.fullmatch(label) for label in text.split("."))


def is_plain_url(url: Any) -> bool:
    """True for an https URL of the grammar above, and for http on this machine, which is the emulator's."""
    origin = origin_of(url)
    return origin is not None and (origin[0] == "https" or is_loopback(origin[1].strip("[]")))


@dataclass(frozen=True, slots=True)
class FalHosts:
    """The hosts that URLs in fal's answers may have: https below `domains` on port 443, and these `origins`."""

    domains: tuple[str, ...] = (MEDIA_DOMAIN,)
    origins: frozenset[Origin] = frozenset()

    @classmethod
    def of_settings(cls, *, queue_url: str, rest_url: str, more: Iterable[str] = ()) -> Self:
        """Fal's media hosts and storage API, and the operator's `more`; where fal is the emulator, all of it."""
        queue, rest = (origin_of(f"{url}/") or ("", "", 0) for url in (queue_url, rest_url))
        origins = {rest} | ({queue} if is_loopback(queue[1].strip("[]")) else set())
        return cls((MEDIA_DOMAIN, *more), frozenset(origins))

    def include(self, url: Any) -> bool:
        """True when the URL is on one of these hosts."""
        origin = origin_of(url)
        if origin is None:
            return False
        scheme, host, port = origin
        below = any(host == domain or host.endswith(f".{domain}") for domain in self.domains)
        return origin in self.origins or (below and scheme == "https" and port == PORTS["https"])
