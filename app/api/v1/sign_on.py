"""Signing in by an account that is kept elsewhere: at a provider of OpenID Connect, or at a proxy."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field
from typing_extensions import TypedDict

from app.api.body import json_body
from app.api.cookies import ATTEMPT_COOKIE, delete_attempt_cookie, require_own_page, set_attempt_cookie
from app.api.deps import TheGateway
from app.api.document_responses import refusals
from app.api.middleware import address_of
from app.api.proxies import proxy_user
from app.api.strict_body import StrictBody
from app.api.v1.session import guesses_counted, start_session
from app.domain.accounts import Caller
from app.domain.errors import Code, Malformed, Unauthenticated
from app.domain.sign_on import LONGEST_SUBJECT, SESSION_MS, Identity
from app.gateway import Gateway
from app.views.sessions import SessionView

LONGEST_CODE = 4096  # characters of what a provider sends back
NO_PROXY = "No proxy that this gateway trusts has signed you in; sign in with a key."
PROXY = "the proxy"

router = APIRouter(prefix="/v1", tags=["account"])


class BeginBody(StrictBody):
    """What `POST /v1/sign-in/oidc` takes."""

    to: str = Field("/", max_length=512, description="The path of the page to show afterwards")


class ReturnBody(StrictBody):
    """What `POST /v1/sign-in/oidc/return` takes: what the provider has put behind `/enter?`."""

    state: str = Field(min_length=1, max_length=LONGEST_CODE)
    code: str = Field(min_length=1, max_length=LONGEST_CODE)


class SignInAddressView(TypedDict):
    """Where the browser has to go to sign in."""

    url: str


class ReturnedView(TypedDict):
    """The session that began, and the path of the page to show."""

    session: SessionView
    to: str


ReadBegin = Annotated[BeginBody, Depends(json_body(BeginBody))]
ReadReturn = Annotated[ReturnBody, Depends(json_body(ReturnBody))]


@router.post(
    "/sign-in/oidc", status_code=201, responses=refusals(403, 404), summary="Begin to sign in at the provider"
)
async def begin_sign_in(
    request: Request, response: Response, gateway: TheGateway, body: ReadBegin
) -> SignInAddressView:
    """The provider's address for this browser, which gets a cookie for the way back, within 10 minutes."""
    require_own_page(request, base_url=gateway.settings.base_url)
    begun = await gateway.sign_on.begin(body.to)
    set_attempt_cookie(request, response, begun.cookie)
    return {"url": begun.url}


@router.post(
    "/sign-in/oidc/return",
    status_code=201,
    responses=refusals(401, 403, 404, 410),
    summary="Finish signing in at the provider",
)
async def finish_sign_in(
    request: Request, response: Response, gateway: TheGateway, body: ReadReturn
) -> ReturnedView:
    """A session, as after `POST /v1/session`; it lasts 12 hours at most, and begins once for each state."""
    require_own_page(request, base_url=gateway.settings.base_url)
    with guesses_counted(request, gateway):
        try:
            finished = await gateway.sign_on.finish(
                state=body.state, code=body.code, cookie=request.cookies.get(ATTEMPT_COOKIE)
            )
        except Unauthenticated:
            gateway.accounts.bad_keys.note(address_of(request.scope))
            raise
    session = await _session(request, response, gateway, finished.caller)
    delete_attempt_cookie(request, response)
    return {"session": session, "to": finished.to}


@router.post("/sign-in/proxy", status_code=201, responses=refusals(401, 403), summary="Sign in as the proxy says")
async def sign_in_by_proxy(request: Request, response: Response, gateway: TheGateway) -> SessionView:
    """A session, as after `POST /v1/session`, for whom a trusted proxy has signed in; it lasts 12 hours at most."""
    require_own_page(request, base_url=gateway.settings.base_url)
    known = proxy_user(request.scope)
    if known is None:
        raise Unauthenticated(NO_PROXY)
    header, user = gateway.settings.proxy_user_header, known.user[0]
    if len(known.user) > 1 or len(user) > LONGEST_SUBJECT:
        sentence = f"The proxy has to send one {header}, in place of what callers send; it sent another."
        raise Malformed(sentence, code=Code.INVALID_HEADER)
    identity = Identity(f"proxy:{header}".lower(), user, user, known.groups, PROXY)
    return await _session(request, response, gateway, await gateway.sign_on.admit(identity))


async def _session(request: Request, response: Response, gateway: Gateway, caller: Caller) -> SessionView:
    new = await gateway.sessions.begin(caller, remembered=False, longest_ms=SESSION_MS)
    return await start_session(request, response, gateway, new)
