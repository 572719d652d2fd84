"""The target of a request from a client of fal's proxies (`x-fal-target-url`), as the path of our own route for it.

A grammar instead of a parser: an https URL that is not exactly as fal's clients write it is refused, because two
parsers may read it differently. Hosts and paths are closed lists.
"""

import re
from dataclasses import dataclass

from app.domain.errors import Code, Malformed, NotFound, OutsideFal

MAX_BYTES = 12 * 1024  # a webhook's address of 8,192 characters, percent-encoded; a whole head has 16 KB
SCHEME = b"https://"
URL = re.compile(rb"[!$&'()*+,./0-9:;=?@A-Z_a-z~%\[\]-]+")  # no control, no space, no backslash, no fragment
PLAIN_HOST = re.compile(rb"[A-Za-z0-9.-]+")  # no user, no port, no encoding, no IPv6
PLAIN_PATH = re.compile(rb"(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)*/?")  # nothing encoded, nothing empty, no dots alone

_NAME = rb"/[^/]+"
_APP = re.compile(rb"(?:%b){2,12}/?" % _NAME)  # owner/alias/path…, and below it requests/{id}/status/stream
_REST = re.compile(rb"/storage/auth/token|/storage/upload/initiate(?:-multipart)?|/tokens/?")
_CDN = re.compile(rb"/files/upload(?:/multipart)?|/files%b%b/multipart%b%b" % ((_NAME,) * 4))

# Hosts of fal's: the beginning of our own path, and the paths that fal's clients use.
HOSTS: dict[bytes, tuple[str, re.Pattern[bytes]]] = {
    b"queue.fal.run": ("/fal/queue", _APP),
    b"fal.run": ("/fal/run", _APP),
    b"rest.fal.ai": ("/fal/rest", _REST),
    b"rest.alpha.fal.ai": ("/fal/rest", _REST),  # its name for older clients
    b"v3.fal.media": ("/fal/cdn", _CDN),
}


@dataclass(frozen=True, slots=True)
class ProxyTarget:
    """Our route for a URL of fal's: its path, and the query as it was sent, without the question mark."""

    path: str
    query: bytes


def read_target(url: bytes) -> ProxyTarget:
    """Our route for this URL.

    Raises:
        Malformed: it is not an https URL as fal's clients write it.
        OutsideFal: its host is not one of fal's.
        NotFound: its path is not one that fal's clients use.
    """
    if not url.startswith(SCHEME) or len(url) > MAX_BYTES or not URL.fullmatch(url):
        raise _unreadable()
    address, _, query = url.removeprefix(SCHEME).partition(b"?")
    host, slash, rest = address.partition(b"/")
    path = slash + rest
    if not PLAIN_HOST.fullmatch(host) or not PLAIN_PATH.fullmatch(path):
        raise _unreadable()
    if host not in HOSTS:
        raise OutsideFal("X-Fal-Target-Url names a host that is not fal's.")
    ours, paths = HOSTS[host]
    if not paths.fullmatch(path):
        raise NotFound("fal's clients ask for nothing at the path of X-Fal-Target-Url.")
    return ProxyTarget(ours + path.decode("ascii"), query)


def _unreadable() -> Malformed:
    return Malformed(
        "X-Fal-Target-Url is no https URL of fal's as its clients write it: no user, no port, no fragment, nothing "
        f"encoded in the path, at most {MAX_BYTES} bytes.",
        code=Code.INVALID_HEADER,
    )
