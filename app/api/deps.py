"""Who may call, as types: a route that names one starts with the permission granted.

All are coroutines although some await nothing: FastAPI would send plain functions to a thread, each of them.
"""

import re
from typing import Annotated, cast

import structlog
from fastapi import Depends, Request

from app.domain.accounts import Caller
from app.domain.errors import Malformed
from app.domain.jobs import Job
from app.gateway import Gateway

SCHEMES = ("bearer", "key")
IDEMPOTENCY_LENGTH = 255
LONGEST_WAIT_S = 60
EVENT_ID = re.compile(r"[0-9]{1,15}-[0-9]{1,9}")
WAIT = re.compile(r'wait\s*=\s*"?([0-9]{1,9})"?', re.ASCII | re.IGNORECASE)


async def gateway(request: Request) -> Gateway:
    """The process's gateway."""
    return cast("Gateway", request.app.state.gateway)


TheGateway = Annotated[Gateway, Depends(gateway)]


def _credential(request: Request) -> str | None:
    """The key in `Authorization: Bearer …`, `Authorization: Key …` or `X-API-Key: …`."""
    given = request.headers.getlist("authorization")
    if len(given) > 1:
        raise Malformed("There are two Authorization headers.", code="invalid_header")
    if given:
        scheme, _, credential = given[0].partition(" ")
        return credential.strip() if scheme.lower() in SCHEMES else None
    return request.headers.get("x-api-key")


async def current_caller(request: Request, owner: TheGateway) -> Caller:
    """Who is asking; Unauthenticated when nobody with a valid key is."""
    caller = await owner.accounts.authenticate(_credential(request))
    structlog.contextvars.bind_contextvars(team=caller.team, user=caller.user)
    return caller


CurrentCaller = Annotated[Caller, Depends(current_caller)]


async def own_job(job_id: str, caller: CurrentCaller, owner: TheGateway) -> Job:
    """The caller's own job; another's looks like none."""
    return await owner.jobs.get(caller, job_id)


OwnJob = Annotated[Job, Depends(own_job)]


async def idempotency_key(request: Request) -> str | None:
    """The `Idempotency-Key`, bare or as a quoted string: both forms are one key. Printable ASCII, up to 255."""
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    key = given[0].strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    printable = key.isascii() and key.isprintable()
    if len(given) > 1 or not 0 < len(key) <= IDEMPOTENCY_LENGTH or not printable:
        raise Malformed(
            "An Idempotency-Key is 1 to 255 printable ASCII characters, given once.", code="invalid_header"
        )
    return key


async def preferred_wait(request: Request) -> int:
    """Seconds of `Prefer: wait=N` (RFC 7240), at most 60; 0 without one. Preferences we do not know are ignored."""
    for header in request.headers.getlist("prefer"):
        for preference in header.split(","):
            wait = WAIT.fullmatch(preference.partition(";")[0].strip())
            if wait is not None:
                return min(int(wait[1]), LONGEST_WAIT_S)
    return 0


PreferredWait = Annotated[int, Depends(preferred_wait)]


async def last_event_id(request: Request) -> str | None:
    """The `Last-Event-ID`; refused before the stream begins when it cannot be one."""
    given = request.headers.get("last-event-id")
    if given is not None and not EVENT_ID.fullmatch(given):
        raise Malformed("That Last-Event-ID is not the id of an event.", code="invalid_header")
    return given


LastEventId = Annotated[str | None, Depends(last_event_id)]
