"""fal's host names: our own path for a URL of fal's, and what URLs in a reply begin with.

The target of a request to `/fal/proxy` (`x-fal-target-url`) is read by a grammar instead of a parser: an https URL
that is not exactly as fal's clients write it is refused, because two parsers may read it differently. Hosts and
paths are closed lists.
"""

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from app.domain.errors import Code, Malformed, NotFound, OutsideFal

MAX_BYTES = 12 * 1024  # a webhook's address of 8,192 characters, percent-encoded; a whole head has 16 KB
SCHEME = b"https://"
URL = re.compile(rb"[!$&'()*+,./0-9:;=?@A-Z_a-z~%\[\]-]+")  # no control, no space, no backslash, no fragment
PLAIN_HOST = re.compile(rb"[A-Za-z0-9.-]+")  # no user, no port, no encoding, no IPv6
PLAIN_PATH = re.compile(rb"(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)*/?")  # nothing encoded, nothing empty, no dots alone

_NAME = rb"/[^/]+"
_OWN_FILE = rb"/file_[0-9a-f]{32}"
_APP = re.compile(rb"(?:%b){2,12}/?" % _NAME)  # owner/alias/path…, and below it requests/{id}/status/stream
_REST = re.compile(rb"/storage/auth/token|/storage/upload/initiate(?:-multipart)?|/tokens/?")
_CDN = re.compile(
    rb"/files/upload(?:/multipart)?|/files%b%b/multipart%b%b|/files%b%b|/uploads%b(?:%b)?"
    % (*((_NAME,) * 4), _OWN_FILE, _NAME, _OWN_FILE, _NAME)
)
_API = re.compile(rb"/v1/models(?:/pricing)?")

QUEUE, RUN, REST, CDN, API = "/fal/queue", "/fal/run", "/fal/rest", "/fal/cdn", "/fal/api"  # where ours begin
PATHS = {QUEUE: _APP, RUN: _APP, REST: _REST, CDN: _CDN, API: _API}  # below them: what fal's clients use
# Hosts of fal's, and the beginning of our own path.
HOSTS: dict[bytes, str] = {
    b"queue.fal.run": QUEUE,
    b"queue.falrun.com": QUEUE,  # where Python's client turns when it gets no connection
    b"fal.run": RUN,
    b"falrun.com": RUN,
    b"rest.fal.ai": REST,
    b"rest.alpha.fal.ai": REST,  # its name for older clients
    b"v3.fal.media": CDN,
    b"api.fal.ai": API,
}
FAL_QUEUE, FAL_RUN, FAL_CDN = "https://queue.fal.run", "https://fal.run", "https://v3.fal.media"
_FILE_AT_FAL = re.compile(re.escape(FAL_CDN) + r"/files/(file_[0-9a-f]{32})(?:[/?#].*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Terms:
    """The names by which a caller knows this gateway: what URLs in its replies begin with.

    `queue` is for requests, `files` for uploaded files, `uploads` for the addresses to which their bytes are sent.
    """

    queue: str
    files: str
    uploads: str

    @property
    def run(self) -> str:
        """For calls that are held until the clip is ready."""
        return FAL_RUN if self.queue == FAL_QUEUE else self.queue.removesuffix(QUEUE) + RUN

    @classmethod
    def own(cls, base_url: str) -> Self:
        """Our own names."""
        return cls(base_url + QUEUE, base_url + CDN, base_url + CDN)

    @classmethod
    def behind_proxy(cls, base_url: str) -> Self:
        """Fal's names, as its own server proxy passes them on; but clients send bytes past the proxy, to us."""
        return cls(FAL_QUEUE, FAL_CDN, base_url + CDN)


FAL_TERMS = Terms(FAL_QUEUE, FAL_CDN, FAL_CDN)  # for callers for whom fal's host names lead here


@dataclass(frozen=True, slots=True)
class ProxyTarget:
    """Our route for a URL: its path, the query as it was sent, without the question mark, and the reply's terms."""

    path: str
    query: bytes
    terms: Terms


class Targets:
    """Reads targets for a gateway at `base_url`: fal's URLs, and its own for the same routes."""

    def __init__(self, base_url: str) -> None:
        self._own = _spellings(base_url)
        self._ours, self._fals = Terms.own(base_url), Terms.behind_proxy(base_url)

    def read(self, url: bytes) -> ProxyTarget:
        """Our route for this URL.

        Raises:
            Malformed: it is no https URL as fal's clients write it.
            OutsideFal: its host is neither fal's nor ours.
            NotFound: its path is not one that fal's clients use.
        """
        if len(url) > MAX_BYTES or not URL.fullmatch(url):
            raise _unreadable()
        address, _, query = url.partition(b"?")
        for own in self._own:
            if address.startswith(own):
                return _target(b"/fal" + address[len(own) :], query, self._ours)
        if not address.startswith(SCHEME):
            raise _unreadable()
        host, slash, rest = address.removeprefix(SCHEME).partition(b"/")
        path = slash + rest
        if not PLAIN_HOST.fullmatch(host) or not PLAIN_PATH.fullmatch(path):
            raise _unreadable()
        if host not in HOSTS:
            raise OutsideFal("X-Fal-Target-Url names a host that is neither fal's nor this gateway's.")
        return _target(HOSTS[host].encode() + path, query, self._fals)


def own_file_at_fal(url: str) -> str | None:
    """The id of an upload of ours in a URL that names fal's host for it; None for every other URL, fal's too."""
    found = _FILE_AT_FAL.fullmatch(url)
    return None if found is None else found[1]


def _target(path: bytes, query: bytes, terms: Terms) -> ProxyTarget:
    """The target at this path of ours, if it is one of `PATHS`."""
    if not PLAIN_PATH.fullmatch(path):
        raise _unreadable()
    start = b"/".join(path.split(b"/", 3)[:3])
    paths = PATHS.get(start.decode("ascii"))
    if paths is None or not paths.fullmatch(path.removeprefix(start)):
        raise NotFound("fal's clients ask for nothing at the path of X-Fal-Target-Url.")
    return ProxyTarget(path.decode("ascii"), query, terms)


def _spellings(base_url: str) -> tuple[bytes, ...]:
    """How our own routes for fal's clients begin: as it is set, and as browsers rewrite it."""
    parts = urlsplit(base_url)
    plain = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
    rewritten = f"{parts.scheme}://{parts.netloc.lower().removesuffix(plain)}{parts.path}"
    return tuple(f"{url}/fal".encode() for url in dict.fromkeys((base_url, rewritten)))


def _unreadable() -> Malformed:
    return Malformed(
        "X-Fal-Target-Url is no https URL of fal's as its clients write it: no user, no port, no fragment, nothing "
        f"encoded in the path, at most {MAX_BYTES} bytes.",
        code=Code.INVALID_HEADER,
    )
