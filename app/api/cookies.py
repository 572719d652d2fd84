"""The cookie of a browser's session, and which requests with it are from our own pages.

A browser sends a cookie whichever page makes the request. With `SameSite=Strict` requests of other sites have none,
but a site includes every port of a host. So the browser must also say that the page is ours, and a request that
changes something must show what only a page of ours can have read.
"""

import secrets
from urllib.parse import urlsplit

from fastapi import Request, Response
from starlette.types import Scope

from app.api.overload import SAFE_METHODS
from app.domain.errors import Code, Forbidden
from app.domain.sessions import LONGEST_MS, SESSION_PREFIX, Session
from app.domain.sign_on import ATTEMPT_S

COOKIE = "fg_session"
PATH = "/v1"
BELOW = "/v1/"
ATTEMPT_COOKIE = "fg_sign_in"  # what a browser keeps while it is at a provider of single sign-on
ATTEMPT_PATH = "/v1/sign-in"
CSRF_HEADER = "X-CSRF-Token"
ANOTHER_PAGE = (
    "The request comes from another web page than this gateway's own; the cookie of a session is for that."
)
NO_ORIGIN = (
    "With a session's cookie, the browser must send Origin or Sec-Fetch-Site; use a key outside of browsers."
)
WRONG_CSRF = f"The header {CSRF_HEADER} is missing or wrong; it is `csrf` in the reply of GET /v1/session."
HTTPS = "https"


def session_cookie(scope: Scope) -> str | None:
    """The value of the session's cookie; None without one, and outside of the native API.

    Of several, as other pages of the domain may set, the first with the form of ours counts.
    """
    if not scope["path"].startswith(BELOW):
        return None
    given = [
        value.strip()
        for name, field in scope["headers"]
        if name == b"cookie"
        for key, _, value in (pair.partition("=") for pair in field.decode("latin-1").split(";"))
        if key.strip() == COOKIE
    ]
    return next((value for value in given if value.startswith(SESSION_PREFIX)), given[0] if given else None)


def set_cookie(request: Request, response: Response, secret: str, *, remembered: bool) -> None:
    """Give the browser the cookie: for its own run, or for as long as a session may last."""
    response.set_cookie(
        COOKIE,
        secret,
        max_age=LONGEST_MS // 1000 if remembered else None,
        path=PATH,
        secure=_is_https(request),
        httponly=True,
        samesite="strict",
    )


def delete_cookie(request: Request, response: Response) -> None:
    """Take the cookie away."""
    response.delete_cookie(COOKIE, path=PATH, secure=_is_https(request), httponly=True, samesite="strict")


def set_attempt_cookie(request: Request, response: Response, sealed: str) -> None:
    """Give the browser what it keeps until it is back; our own page sends it then, and no other site needs it."""
    response.set_cookie(
        ATTEMPT_COOKIE,
        sealed,
        max_age=ATTEMPT_S,
        path=ATTEMPT_PATH,
        secure=_is_https(request),
        httponly=True,
        samesite="strict",
    )


def delete_attempt_cookie(request: Request, response: Response) -> None:
    """Take it away."""
    response.delete_cookie(
        ATTEMPT_COOKIE, path=ATTEMPT_PATH, secure=_is_https(request), httponly=True, samesite="strict"
    )


def require_own_page(request: Request, *, base_url: str, session: Session | None = None) -> None:
    """Forbidden `csrf` for a request of another page. Without a session, to sign in, it may come from no page."""
    changes = request.method not in SAFE_METHODS
    sites, origins = request.headers.getlist("sec-fetch-site"), request.headers.getlist("origin")
    own_sites = {"same-origin"} if changes else {"same-origin", "none"}
    if not all(site in own_sites for site in sites) or not all(_is_own(one, request, base_url) for one in origins):
        raise Forbidden(ANOTHER_PAGE, code=Code.CSRF)
    if session is None or not changes:
        return
    if not sites and not origins:
        raise Forbidden(NO_ORIGIN, code=Code.CSRF)
    given = request.headers.get(CSRF_HEADER, "")
    if not secrets.compare_digest(given.encode(), session.csrf.encode()):
        raise Forbidden(WRONG_CSRF, code=Code.CSRF)


def _is_own(origin: str, request: Request, base_url: str) -> bool:
    """True for the public URL's origin, and for the host that the request names: a proxy may speak https for us."""
    public, page = urlsplit(base_url), urlsplit(origin)
    return (page.scheme, page.netloc) == (public.scheme, public.netloc) or page.netloc == request.headers.get(
        "host"
    )


def _is_https(request: Request) -> bool:
    """As the browser sees it: it says so in `Origin`, also behind a proxy that is not one of ours."""
    return request.scope["scheme"] == HTTPS or request.headers.get("origin", "").startswith(f"{HTTPS}:")
