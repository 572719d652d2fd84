"""Who may call, as types: a route that has one as a parameter runs only with that permission.

All are coroutines, even those that await nothing: FastAPI would run each plain function in a thread.
"""

import re
import secrets
from typing import Annotated, cast

from fastapi import Depends, Request

from app.api.cookies import require_own_page, session_cookie
from app.api.incoming import PAYER
from app.api.middleware import address_of
from app.api.overload import release_permit
from app.api.query import given_query, require_known_parameters
from app.api.reads import Reads, header, query, reads
from app.domain.access import not_from_here, require_scope
from app.domain.accounts import Caller, Scope, well_formed
from app.domain.errors import Code, Forbidden, Malformed, Unauthenticated
from app.domain.jobs import Job
from app.domain.sessions import ADMINISTRATOR, Session
from app.gateway import Gateway
from app.telemetry import note

SCHEMES = ("bearer", "key")
HEADER_NAMES = {b"authorization": "Authorization", b"x-api-key": "X-API-Key"}
PLAIN_READS = {"GET", "HEAD"}
ONLY_ADMINISTRATOR = "Only the administrator's key (FILMGATE_ADMIN_KEY) may do this."
GATEWAY = "gateway"  # of the state that the server shares with the application
IDEMPOTENCY_LENGTH = 255
LONGEST_WAIT_S = 60
EVENT_ID = re.compile(r"[0-9]{1,15}-[0-9]{1,9}")
IDEMPOTENCY_KEY = header(
    "Idempotency-Key",
    "A request repeated with the same key and body is answered with the job that the first one made",
    "order-17",
    maxLength=IDEMPOTENCY_LENGTH,
)
PREFER = header("Prefer", f"`wait=N` holds the answer for up to N seconds, at most {LONGEST_WAIT_S}", "wait=5")
LAST_EVENT_ID = header("Last-Event-ID", "The id of the last event received", "0-0", pattern=EVENT_ID.pattern)
TOKEN = query("token", "A browser token for this one job, where no header can be sent")
FAL_TOKEN = query("fal_jwt_token", "A browser token, where fal's client sends no header: `connectionMode: client`")
WAIT = re.compile(r'wait\s*=\s*"?([0-9]{1,9})"?', re.ASCII | re.IGNORECASE)


async def get_gateway(request: Request) -> Gateway:
    """The process's gateway."""
    return cast("Gateway", request.app.state.gateway)


TheGateway = Annotated[Gateway, Depends(get_gateway)]


def credential(request: Request) -> str | None:
    """The key in `Authorization: Bearer …`, `Authorization: Key …` or `X-API-Key: …`, each sent at most once.

    `Authorization` with another scheme, or without a key, may be a proxy's; then `X-API-Key` counts.
    """
    authorization = _single_header(request, b"authorization")
    scheme, _, key = (authorization or "").partition(" ")
    api_key = _single_header(request, b"x-api-key")
    return (key.strip() if scheme.lower() in SCHEMES else "") or api_key


def _single_header(request: Request, name: bytes) -> str | None:
    given = [value for key, value in request.scope["headers"] if key == name]
    if len(given) > 1:
        raise Malformed(f"There are two {HEADER_NAMES[name]} headers; send one.", code=Code.INVALID_HEADER)
    return given[0].decode("latin-1") if given else None


def is_administrator(request: Request, given: str | None, gateway: Gateway) -> bool:
    """True when the key is the administrator's; compared in constant time.

    An operator chose it, so it may be guessed: TooManyBadKeys, before comparing, for an address with too many bad
    keys. Generated keys cannot be guessed and are always looked up.
    """
    key = gateway.settings.admin_key
    if key is None or given is None or well_formed(given):
        return False
    gateway.accounts.bad_keys.require_room(address_of(request.scope))
    return secrets.compare_digest(given.encode(), key.get_secret_value().encode())


async def authenticated(request: Request, gateway: Gateway, given: str | None) -> Caller:
    """The key's caller; from an address with too many bad keys, an uncached key is looked up in a batch."""
    accounts = gateway.accounts
    batched = bool(
        given and accounts.bad_keys.exceeded(address_of(request.scope)) and not accounts.is_cached(given)
    )
    if batched:
        release_permit(request)
    with bad_keys_counted(request, gateway, given):
        return await accounts.authenticate(given, batched=batched)


class bad_keys_counted:  # noqa: N801  read as contextlib's are; a generator would cost five times as much in each request
    """Count an Unauthenticated of the block for the address; TooManyBadKeys when it is one too many."""

    __slots__ = ("_gateway", "_given", "_request")

    def __init__(self, request: Request, gateway: Gateway, given: str | None) -> None:
        self._request, self._gateway, self._given = request, gateway, given

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        """Count it; the error itself goes on."""
        if self._given and isinstance(error, Unauthenticated):
            self._gateway.accounts.bad_keys.note(address_of(self._request.scope))


def require_origin(request: Request, caller: Caller) -> None:
    """Forbidden when the key is restricted to certain web pages and the request comes from elsewhere.

    Browsers omit `Origin` only in plain reads of their own page, so a read needs none.
    """
    if caller.origins is None:
        return
    origin = request.headers.get("origin")
    if origin not in caller.origins and not (origin is None and request.method in PLAIN_READS):
        raise not_from_here(caller.origins)


async def signed_in(request: Request, gateway: Gateway) -> Session | None:
    """The session of the request's cookie; None without a cookie.

    Raises Unauthenticated when it has ended, Forbidden `csrf` when another page may have sent the request. To be
    called where no header has a key: that one counts then.
    """
    secret = session_cookie(request.scope)
    if secret is None:
        return None
    exceeded = gateway.accounts.bad_keys.exceeded(address_of(request.scope))
    batched = exceeded and not gateway.sessions.is_cached(secret)
    if batched:
        release_permit(request)
    with bad_keys_counted(request, gateway, secret):
        session = await gateway.sessions.read(secret, batched=batched)
    require_own_page(request, base_url=gateway.settings.base_url, session=session)
    return session


async def _caller(request: Request, gateway: Gateway) -> Caller | None:
    """The caller, also with a browser token for one job; None for the administrator."""
    given = credential(request)
    if given is None and (session := await signed_in(request, gateway)) is not None:
        return None if session.caller is None else _permitted(request, session.caller)
    if is_administrator(request, given, gateway):
        return None
    return await _permitted_caller(request, gateway, given)


@reads(Reads(key=True))
async def job_reader(request: Request, gateway: TheGateway) -> Caller:
    """The caller, also with a browser token for one job; Unauthenticated without a valid key or session."""
    caller = await _caller(request, gateway)
    if caller is None:
        if credential(request) is None:
            raise Forbidden("You are signed in as administrator; sign in with a user's key for this.")
        raise Forbidden("This is the administrator's key; make a user with a key for this.")
    return caller


@reads(Reads(key=True))
async def current_caller(request: Request, gateway: TheGateway) -> Caller:
    """The caller; Forbidden for a browser token for one job, which reads only that job."""
    return _whole(await job_reader(request, gateway))


@reads(Reads(key=True))
async def any_reader(request: Request, gateway: TheGateway) -> Caller | None:
    """The caller, or None for the administrator: for what is the same for everybody."""
    caller = await _caller(request, gateway)
    if caller is not None:
        return _whole(caller)
    _act_as_administrator(request)
    return None


def _whole(caller: Caller) -> Caller:
    """The caller; Forbidden for a browser token for one job."""
    if caller.job is not None:
        raise Forbidden("This browser token may read its one job, and nothing else.")
    return caller


async def _permitted_caller(request: Request, gateway: Gateway, given: str | None) -> Caller:
    return _permitted(request, await authenticated(request, gateway, given))


def _permitted(request: Request, caller: Caller) -> Caller:
    require_origin(request, caller)
    require_known_parameters(request)
    request.scope[PAYER] = caller.key
    note(team=caller.team, user=caller.user, key=caller.key)
    return caller


CurrentCaller = Annotated[Caller, Depends(current_caller)]
AnyReader = Annotated[Caller | None, Depends(any_reader)]


async def uploader(caller: CurrentCaller) -> Caller:
    """A caller who may upload: uploads use fal's storage and are the first half of a submission."""
    require_scope(caller, Scope.JOBS_WRITE)
    return caller


Uploader = Annotated[Caller, Depends(uploader)]


@reads(Reads(key=True))
async def administrator(request: Request, gateway: TheGateway) -> str:
    """The administrator, as named in the audit log; Forbidden for every other key."""
    given = credential(request)
    session = await signed_in(request, gateway) if given is None else None
    if session is None and not is_administrator(request, given, gateway):
        await authenticated(request, gateway, given)
        raise Forbidden(ONLY_ADMINISTRATOR)
    if session is not None and session.caller is not None:
        raise Forbidden(ONLY_ADMINISTRATOR)
    return _act_as_administrator(request)


def _act_as_administrator(request: Request) -> str:
    require_known_parameters(request)
    request.scope[PAYER] = ADMINISTRATOR
    note(actor=ADMINISTRATOR)
    return ADMINISTRATOR


Administrator = Annotated[str, Depends(administrator)]


async def own_job(job_id: str, caller: CurrentCaller, gateway: TheGateway) -> Job:
    """The caller's own job; NotFound for others' jobs too."""
    return await gateway.jobs.get(caller, job_id)


OwnJob = Annotated[Job, Depends(own_job)]


@reads(Reads(key=True, parameters=(TOKEN,)))
async def watcher(request: Request, gateway: TheGateway) -> Caller:
    """The caller, also by `?token=` with a browser token for one job, for clients that cannot send headers."""
    token = request.query_params.get("token")
    if token is None:
        return await job_reader(request, gateway)
    caller = await _permitted_caller(request, gateway, token)
    if caller.job is None:
        raise Forbidden("In an address, only a browser token for one job may stand.")
    return caller


Watcher = Annotated[Caller, Depends(watcher)]


async def in_address(request: Request, gateway: Gateway) -> Caller | None:
    """The holder of the browser token in `?fal_jwt_token=`; None without one, or where a header has a key.

    Forbidden for a key: addresses are kept in histories and logs of others.
    """
    token = given_query(request).get("fal_jwt_token")
    if token is None or credential(request):
        return None
    caller = await _permitted_caller(request, gateway, token)
    if caller.token is None:
        raise Forbidden("In an address, only a browser token may stand: it ends soon, and a key does not.")
    return caller


async def watched_job(job_id: str, caller: Watcher, gateway: TheGateway) -> Job:
    """The job that the caller may follow; NotFound for others' jobs too."""
    return await gateway.jobs.get(caller, job_id)


WatchedJob = Annotated[Job, Depends(watched_job)]


@reads(Reads(parameters=(IDEMPOTENCY_KEY,)))
async def idempotency_key(request: Request) -> str | None:
    """The `Idempotency-Key`, bare or quoted, which are the same key: up to 255 printable ASCII characters."""
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    key = given[0].strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    printable = key.isascii() and key.isprintable()
    if len(given) > 1 or not 0 < len(key) <= IDEMPOTENCY_LENGTH or not printable:
        raise Malformed(
            "An Idempotency-Key is 1 to 255 printable ASCII characters, given once.", code=Code.INVALID_HEADER
        )
    return key


@reads(Reads(parameters=(PREFER,)))
async def preferred_wait(request: Request) -> int:
    """Seconds of `Prefer: wait=N` (RFC 7240), at most 60; 0 without it. Unknown preferences are ignored."""
    for given in request.headers.getlist("prefer"):
        for preference in given.split(","):
            wait = WAIT.fullmatch(preference.partition(";")[0].strip())
            if wait is not None:
                return min(int(wait[1]), LONGEST_WAIT_S)
    return 0


@reads(Reads(parameters=(LAST_EVENT_ID,)))
async def last_event_id(request: Request) -> str | None:
    """The `Last-Event-ID`; Malformed, before the stream begins, when it is not an event's id."""
    given = request.headers.get("last-event-id")
    if given is not None and not EVENT_ID.fullmatch(given):
        raise Malformed("That Last-Event-ID is not the id of an event.", code=Code.INVALID_HEADER)
    return given


LastEventId = Annotated[str | None, Depends(last_event_id)]


async def existing_team(team_id: str, _: Administrator, gateway: TheGateway) -> str:
    """The id of an existing team. Limits are stored by owner, so the path must not name another kind of owner."""
    return (await gateway.administration.team(team_id)).id


async def existing_user(user_id: str, _: Administrator, gateway: TheGateway) -> str:
    """The id of an existing user."""
    return (await gateway.administration.user(user_id)).id
