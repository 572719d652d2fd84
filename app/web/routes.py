"""The pages and their files. They contain no secrets, so they need no key."""

import asyncio
import gzip
import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urljoin

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.domain.errors import NotFound
from app.web.guide import Guide, folder

ROOM = Path(__file__).parent
MEDIA_TYPES = {
    "": "text/plain; charset=utf-8",  # LICENSE, NOTICE, VERSION
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".mp3": "audio/mpeg",
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webp": "image/webp",
}

_CLOSED = "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
# Clips and pictures are shown from fal, or from the emulator on this machine, and from `blob:` when just chosen;
# everything else is our own.
# The last directive makes the browser refuse `innerHTML`: values of the API are text, never HTML.
_SHOWN = "'self' blob: https: http://127.0.0.1:* http://localhost:*"
PAGE_POLICY = (
    f"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src {_SHOWN} data:; "
    f"media-src {_SHOWN}; {_CLOSED}; require-trusted-types-for 'script'"
)
ADDRESSES = {  # of the page, each with the script of its view
    "/": "views/playground/index.js",
    "/jobs": "views/jobs/index.js",
    "/jobs/{job_id}": "views/jobs/index.js",
    "/money": "views/money/index.js",
    "/admin": "views/admin/index.js",
    "/admin/{view}": "views/admin/index.js",
    "/admin/{view}/{item_id}": "views/admin/index.js",
    "/team": "views/team/index.js",
    "/team/{view}": "views/team/index.js",
    "/team/{view}/{item_id}": "views/team/index.js",
    "/enter": "views/sign-in/enter.js",
    "/invite": "views/sign-in/invite.js",
    "/share": "views/share/index.js",
    "/wall": "views/share/index.js",
}
GUIDE_POLICY = f"default-src 'none'; style-src 'self'; img-src 'self'; {_CLOSED}"
DOCS_POLICY = (
    f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; {_CLOSED}"
)
FILE_POLICY = "default-src 'none'; frame-ancestors 'none'"  # for a file that is opened directly, as an SVG can be

IMPORTED = re.compile(rb"""\b(?:from|import) ?["'](\.[^"']+)["']""")
TEXT = ("text/", "image/svg")
PACKED_UP_TO = 500_000  # bytes; a larger file would hold up other requests while it is compressed

router = APIRouter(include_in_schema=False)
reference = APIRouter(include_in_schema=False)  # not where FILMGATE_DOCS is 0
guide = Guide(folder())


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file: bytes, media type and strong entity tag."""

    content: bytes
    media_type: str
    etag: str


def _file(content: bytes, suffix: str) -> StaticFile:
    return StaticFile(content, MEDIA_TYPES[suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def _read(path: Path) -> StaticFile:
    return _file(path.read_bytes(), path.suffix)


def _read_all(folder: Path) -> dict[str, StaticFile]:
    """All files below a folder by relative path, but for those of editors and types; no others can be requested."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".ts")
    paths = (path for path in paths if not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): _read(path) for path in paths}


def _modules(name: str, found: dict[str, None]) -> dict[str, None]:
    """This script and all that it imports, by path, in the order in which a browser would find them."""
    if name not in found:
        found[name] = None
        for other in IMPORTED.findall(FILES[name].content):
            _modules(urljoin(name, other.decode()), found)
    return found


def _with_modules(page: StaticFile, view: str) -> StaticFile:
    """The page that names every script which this view will need: otherwise a browser finds them in six waves."""
    names = _modules(view, _modules("main.js", {}))
    links = "".join(f'<link rel="modulepreload" href="/static/{name}">\n' for name in names)
    content = page.content.replace(b"</head>", links.encode() + b"</head>", 1)
    return _file(content, ".html")


PAGES = _read_all(ROOM / "pages")  # read once, at the start of the process: about 2 MB
FILES = _read_all(ROOM / "static")
PAGES |= {view: _with_modules(PAGES["app.html"], view) for view in set(ADDRESSES.values())}


def _app_page(view: str) -> Callable[[Request], Awaitable[Response]]:
    async def app_page(request: Request) -> Response:
        """The page for all of them: its router shows the view of the address."""
        return _reply(request, PAGES[view], policy=PAGE_POLICY)

    return app_page


for address, view in ADDRESSES.items():
    # The tag: its script reads the query (app/api/query.py).
    router.add_api_route(address, _app_page(view), methods=["GET", "HEAD"], tags=["page"])


@reference.api_route("/docs", methods=["GET", "HEAD"])
async def docs(request: Request) -> Response:
    """The API's reference from /openapi.json."""
    return _reply(request, PAGES["docs.html"], policy=DOCS_POLICY)


@reference.api_route("/docs/guide", methods=["GET", "HEAD"])
@reference.api_route("/docs/guide/{path:path}", methods=["GET", "HEAD"])
async def guide_page(request: Request, path: str = "") -> Response:
    """The documentation: a page, or a picture of one. Drawing a page takes some hundredths of a second, once."""
    if path in guide.pictures:
        return _reply(request, await asyncio.to_thread(_read, guide.pictures[path]), policy=FILE_POLICY)
    page = await asyncio.to_thread(guide.page, path)
    if page is None:
        raise NotFound("There is no such page; /docs/guide lists them.")
    return _reply(request, _file(page.encode(), ".html"), policy=GUIDE_POLICY)


@router.api_route("/static/{path:path}", methods=["GET", "HEAD"])
async def static_file(request: Request, path: str) -> Response:
    """A file of the pages."""
    if path not in FILES:
        raise NotFound("There is no such file.")
    return _reply(request, FILES[path], policy=FILE_POLICY)


def _reply(request: Request, page: StaticFile, *, policy: str) -> Response:
    """The file, or 304 if the browser has it; browsers revalidate it each time."""
    content, encoding = _encoded(request, page)
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
        **encoding,
    }
    if _has(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(content, headers={**headers, "Content-Type": page.media_type})


def _encoded(request: Request, page: StaticFile) -> tuple[bytes, dict[str, str]]:
    """The content as the browser takes it, with the headers that say so and an entity tag of its own."""
    taken = {part.partition(";")[0].strip() for part in request.headers.get("accept-encoding", "").split(",")}
    if "gzip" not in taken or len(page.content) > PACKED_UP_TO or not page.media_type.startswith(TEXT):
        return page.content, {"ETag": page.etag}
    return _packed(page.content), {"ETag": f'{page.etag[:-1]}-gzip"', "Content-Encoding": "gzip"}


@cache
def _packed(content: bytes) -> bytes:
    return gzip.compress(content, 6, mtime=0)


def _has(request: Request, etag: str) -> bool:
    """True when `If-None-Match` has this tag; weak comparison (RFC 9110, section 13.1.2)."""
    given = ",".join(request.headers.getlist("if-none-match"))
    tags = {tag.strip().removeprefix("W/") for tag in given.split(",")}
    return etag in tags or "*" in tags
