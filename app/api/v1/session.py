"""Signing in: a browser exchanges a key, or a code that works once, for a session's cookie."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field, model_validator

from app.api.body import json_body
from app.api.cookies import delete_cookie, require_own_page, session_cookie, set_cookie
from app.api.deps import TheGateway, authenticated, is_administrator, require_origin, signed_in
from app.api.document_responses import NO_CONTENT, refusals
from app.api.middleware import address_of
from app.api.query import require_known_parameters
from app.api.reads import Reads, reads
from app.api.strict_body import StrictBody
from app.domain.accounts import Caller
from app.domain.errors import Unauthenticated, UnknownLink
from app.domain.sessions import Session
from app.gateway import Gateway
from app.services.sessions import NewSession
from app.telemetry import note
from app.views.sessions import SessionView, session_view

LONGEST_KEY = 512  # characters: an operator chooses the administrator's

router = APIRouter(prefix="/v1", tags=["account"])


class SignInBody(StrictBody):
    """What `POST /v1/session` takes: a key of a user's or the administrator's, or the code of a link."""

    key: str | None = Field(None, min_length=1, max_length=LONGEST_KEY, description="A key")
    code: str | None = Field(None, min_length=1, max_length=LONGEST_KEY, description="What stands behind /enter#")
    remember: bool = Field(False, description="Keep it for 30 days, also when the browser is closed")

    @model_validator(mode="after")
    def _one_of_them(self) -> "SignInBody":
        if (self.key is None) == (self.code is None):
            raise ValueError("Give key, or code, and not both")
        return self


ReadSignIn = Annotated[SignInBody, Depends(json_body(SignInBody))]


@reads(Reads(key=True, session=True))
async def current_session(request: Request, gateway: TheGateway) -> Session:
    """The session of the request's cookie; Unauthenticated without one. A key in a header does not count here."""
    require_known_parameters(request)
    session = await signed_in(request, gateway)
    if session is None:
        raise Unauthenticated("You are not signed in: the request has no session. Sign in with POST /v1/session.")
    return session


CurrentSession = Annotated[Session, Depends(current_session)]


@contextmanager
def guesses_counted(request: Request, gateway: Gateway) -> Iterator[None]:
    """Count an UnknownLink of the block as a bad key of the address; TooManyBadKeys first, if it has many."""
    bad_keys, address = gateway.accounts.bad_keys, address_of(request.scope)
    bad_keys.require_room(address)
    try:
        yield
    except UnknownLink:
        bad_keys.note(address)
        raise


async def start_session(request: Request, response: Response, gateway: Gateway, new: NewSession) -> SessionView:
    """Give the browser the new session in place of the one that it may have."""
    old = session_cookie(request.scope)
    if old is not None:
        await gateway.sessions.forget(old)
    set_cookie(request, response, new.secret, remembered=new.session.remembered)
    if new.session.caller is not None:
        caller = new.session.caller
        note(team=caller.team, user=caller.user, key=caller.key)
    return session_view(new.session, await gateway.sessions.signed_in(new.session))


async def _key_holder(request: Request, gateway: Gateway, body: SignInBody) -> Caller | None:
    """Who signs in; None for the administrator."""
    if body.code is not None:
        with guesses_counted(request, gateway):
            return await gateway.sessions.use_code(body.code)
    if is_administrator(request, body.key, gateway):
        return None
    caller = await authenticated(request, gateway, body.key)
    require_origin(request, caller)
    return caller


@router.post("/session", status_code=201, responses=refusals(401, 403, 410), summary="Sign in")
async def sign_in(request: Request, response: Response, gateway: TheGateway, body: ReadSignIn) -> SessionView:
    """Sets the cookie `fg_session`, which stands for the key at `/v1/…`. It ends with the key.

    Requests with it that change something must have the header `X-CSRF-Token` with `csrf` of this reply.
    """
    require_own_page(request, base_url=gateway.settings.base_url)
    caller = await _key_holder(request, gateway, body)
    if caller is None:
        new = await gateway.sessions.begin_administrators(remembered=body.remember)
    else:
        new = await gateway.sessions.begin(caller, remembered=body.remember)
    return await start_session(request, response, gateway, new)


@router.get("/session", summary="Who is signed in?")
async def read_session(session: CurrentSession, gateway: TheGateway) -> SessionView:
    """What signing in replied, for a page that was loaded again."""
    return session_view(session, await gateway.sessions.signed_in(session))


@router.delete("/session", **NO_CONTENT, summary="Sign out")
async def sign_out(request: Request, session: CurrentSession, gateway: TheGateway) -> Response:
    """Ends the session, at once here and within half a second at every other host; its streams end too."""
    await gateway.sessions.end(session)
    response = Response(status_code=204)
    delete_cookie(request, response)
    return response
