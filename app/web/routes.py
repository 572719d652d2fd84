"""The pages and their files. They contain no secrets, so they need no key."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.domain.errors import NotFound

ROOM = Path(__file__).parent
MEDIA_TYPES = {
    "": "text/plain; charset=utf-8",  # LICENSE, NOTICE, VERSION
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
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
ADDRESSES = (
    "/",
    "/jobs",
    "/jobs/{job_id}",
    "/money",
    "/admin",
    "/admin/{view}",
    "/enter",
    "/invite",
    "/share",
    "/wall",
)
DOCS_POLICY = (
    f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; {_CLOSED}"
)
FILE_POLICY = "default-src 'none'; frame-ancestors 'none'"  # for a file that is opened directly, as an SVG can be

router = APIRouter(include_in_schema=False)
reference = APIRouter(include_in_schema=False)  # not where FILMGATE_DOCS is 0


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file: bytes, media type and strong entity tag."""

    content: bytes
    media_type: str
    etag: str


def _read(path: Path) -> StaticFile:
    content = path.read_bytes()
    return StaticFile(content, MEDIA_TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def _read_all(folder: Path) -> dict[str, StaticFile]:
    """All files below a folder by relative path, but for those of editors and types; no others can be requested."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".ts")
    paths = (path for path in paths if not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): _read(path) for path in paths}


PAGES = _read_all(ROOM / "pages")  # read once, at the start of the process: about 2 MB
FILES = _read_all(ROOM / "static")


async def app_page(request: Request) -> Response:
    """The page for all of them: its router shows the view of the address."""
    return _reply(request, PAGES["app.html"], policy=PAGE_POLICY)


for address in ADDRESSES:
    router.add_api_route(address, app_page, methods=["GET", "HEAD"])


@reference.api_route("/docs", methods=["GET", "HEAD"])
async def docs(request: Request) -> Response:
    """The API's reference from /openapi.json."""
    return _reply(request, PAGES["docs.html"], policy=DOCS_POLICY)


@router.api_route("/static/{path:path}", methods=["GET", "HEAD"])
async def static_file(request: Request, path: str) -> Response:
    """A file of the pages."""
    if path not in FILES:
        raise NotFound("There is no such file.")
    return _reply(request, FILES[path], policy=FILE_POLICY)


def _reply(request: Request, page: StaticFile, *, policy: str) -> Response:
    """The file, or 304 if the browser has it; browsers revalidate it each time."""
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": policy,
        "ETag": page.etag,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    if _has(request, page.etag):
        return Response(status_code=304, headers=headers)
    return Response(page.content, headers={**headers, "Content-Type": page.media_type})


def _has(request: Request, etag: str) -> bool:
    """True when `If-None-Match` has this tag; weak comparison (RFC 9110, section 13.1.2)."""
    given = ",".join(request.headers.getlist("if-none-match"))
    tags = {tag.strip().removeprefix("W/") for tag in given.split(",")}
    return etag in tags or "*" in tags
