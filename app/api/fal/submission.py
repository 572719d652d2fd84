"""A submission as fal's clients send it: who asks, for what, with which headers."""

import math
import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from pydantic import RootModel

from app.api.body import json_object
from app.api.deps import IDEMPOTENCY_KEY, current_caller, get_gateway, idempotency_key
from app.api.fal_dropped import WARNING, dropped_warning
from app.api.fal_errors import ALWAYS_NEW, REQUEST_ID
from app.api.reads import Reads, header, query, reads
from app.domain.accounts import Caller
from app.domain.errors import Code, Malformed
from app.domain.jobs import Job, Priority
from app.gateway import Gateway
from app.services.fal_compat import FalRequest, FalSubmission
from app.views.fields import Object

LONGEST_START_S = 604_800
LINE_DIGITS = re.compile(r"[0-9]{1,9}", re.ASCII)
SUBMISSION = (
    query("fal_webhook", "Where the request's end is sent", format="uri"),
    query("fal_max_queue_length", "Refuse it when so many wait already"),
    IDEMPOTENCY_KEY,
    header("X-Fal-Queue-Priority", "`normal`, `low` or `high`", "normal"),
    header("X-Fal-Request-Timeout", "Seconds in which it must have started", "600"),
    header("X-Filmgate-New", "`1`: a new request, even if it looks like the last one", "1"),
)
TRUE = frozenset({"1", "true", "yes"})


class FalInput(RootModel[Object]):
    """A model's input, as fal documents it; fields that the model does not have are dropped."""


@dataclass(frozen=True, slots=True)
class IncomingFalSubmission:
    """A submission as it arrived."""

    caller: Caller
    gateway: Gateway
    request: FalRequest
    key: str | None


@reads(Reads(key=True, body=FalInput, parameters=SUBMISSION))
async def read_submission(request: Request) -> IncomingFalSubmission:
    """Read a submission; the caller comes before the body: who has no key has nothing read."""
    gateway = await get_gateway(request)
    caller = await current_caller(request, gateway)
    headers, query = request.headers, request.query_params
    return IncomingFalSubmission(
        caller,
        gateway,
        FalRequest(
            model=request.path_params["model_id"].removesuffix("/"),
            input=await json_object(request),
            webhook_url=query.get("fal_webhook") or None,
            priority=_priority(headers.get("x-fal-queue-priority")),
            start_timeout_s=_start_timeout(headers.get("x-fal-request-timeout")),
            max_queue=_max_queue(query.get("fal_max_queue_length")),
            force_new=headers.get(ALWAYS_NEW, "").strip().lower() in TRUE,
        ),
        await idempotency_key(request),
    )


ReadFalSubmission = Annotated[IncomingFalSubmission, Depends(read_submission)]


def answer_headers(job: Job, *, taken: FalSubmission | None = None) -> dict[str, str]:
    """What every answer about a job says of it, and of the submission: a repeat, and which fields were dropped."""
    found = {REQUEST_ID: job.id, "Cache-Control": "no-store"}
    if taken is not None and taken.submitted.repeated:
        found["Idempotent-Replayed"] = "true"
    if taken is not None and taken.dropped:
        found[WARNING] = dropped_warning("fields", taken.dropped)
    return found


def _priority(given: str | None) -> Priority:
    try:
        return Priority(given.strip().lower()) if given else Priority.NORMAL
    except ValueError:
        raise Malformed("X-Fal-Queue-Priority is normal, low or high.", code=Code.INVALID_HEADER) from None


def _start_timeout(given: str | None) -> float | None:
    """Seconds, to the millisecond."""
    if not given:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise Malformed("X-Fal-Request-Timeout is a number of seconds above 0.", code=Code.INVALID_HEADER)
    return math.ceil(min(seconds, LONGEST_START_S) * 1000) / 1000


def _max_queue(given: str | None) -> int | None:
    if given is None:
        return None
    if not LINE_DIGITS.fullmatch(given):
        raise Malformed("fal_max_queue_length is a whole number, 0 or more.", code=Code.MALFORMED)
    return int(given)
