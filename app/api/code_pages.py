"""An error code as a page: at its own address, and for a person whose address leads nowhere."""

from http import HTTPStatus

from fastapi import Request
from fastapi.responses import HTMLResponse, Response

from app.api.accept import prefers
from app.domain.errors import Code
from app.views.problem_pages import CodeView, code_page, meaning_of

HTML = "text/html"
VARY = {"Vary": "Accept"}
FOR_PROGRAMS = ("/v1/", "/fal/", "/static/")
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


def page_of(view: CodeView, *, root: str = "../", status: int = HTTPStatus.OK) -> Response:
    """The page; `root` is the way from its address to this server's root. It loads nothing but its style."""
    headers = {**VARY, "Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}
    return HTMLResponse(code_page(view, root=root), status_code=status, headers=headers)


def is_lost(request: Request, code: Code) -> bool:
    """True for a person's browser at an address that leads nowhere."""
    return (
        code is Code.NOT_FOUND
        and request.method == "GET"
        and not _place(request).startswith(FOR_PROGRAMS)
        and prefers(HTML, request.headers.get("accept", ""))
    )


def lost_page(request: Request) -> Response:
    """What a person reads there: what to check, and the way to the start."""
    root = "../" * (_place(request).count("/") - 1) or "./"
    return page_of(meaning_of(Code.NOT_FOUND), root=root, status=HTTPStatus.NOT_FOUND)


def _place(request: Request) -> str:
    """The path below this server's root."""
    path: str = request.scope["path"]
    return path.removeprefix(request.scope.get("root_path", ""))
