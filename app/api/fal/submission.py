"""A submission as fal's clients send it, and the headers of every reply about a job."""

import math
import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import Response
from pydantic import RootModel
from starlette.background import BackgroundTask

from app.api.body import json_object
from app.api.deps import IDEMPOTENCY_KEY, current_caller, get_gateway, idempotency_key
from app.api.fal_dropped import WARNING, dropped_warning
from app.api.fal_errors import ALWAYS_NEW, REPEATABLE, REQUEST_ID
from app.api.handover import PlainReply, ServedReply, handover_of
from app.api.middleware import TRACE_SAMPLED
from app.api.query import given_query
from app.api.reads import Reads, header, query, reads
from app.domain.accounts import Caller, Reposts
from app.domain.errors import Code, Malformed
from app.domain.jobs import Job, Priority
from app.gateway import Gateway
from app.services.fal_compat import FalRequest, FalSubmission, Surface
from app.views.fields import Object

LONGEST_START_S = 604_800
QUEUE_LENGTH = re.compile(r"[0-9]{1,9}", re.ASCII)
SUBMISSION = (
    query("fal_webhook", "The URL to which the result is sent", format="uri"),
    query("fal_max_queue_length", "Refuse the request when so many wait already"),
    IDEMPOTENCY_KEY,
    header("X-Fal-Queue-Priority", "`normal`, `low` or `high`", "normal"),
    header("X-Fal-Request-Timeout", "Seconds within which it must have started", "600"),
    header("X-Filmgate-New", "`1`: a new request, even if it is identical to an earlier one", "1"),
)
TRUE = frozenset({"1", "true", "yes"})


class FalInput(RootModel[Object]):
    """A model's input, as fal documents it; fields that the model does not have are dropped."""


@dataclass(frozen=True, slots=True)
class IncomingFalSubmission:
    """A submission as it arrived, and the way of its reply; `key` is its idempotency key."""

    caller: Caller
    gateway: Gateway
    request: FalRequest
    key: str | None
    trace_id: str
    trace_sampled: bool | None
    handover: ServedReply | PlainReply

    async def submit(self, surface: Surface) -> FalSubmission:
        """Admit it, or find the job of an earlier one."""
        return await self.gateway.fal_compat.submit(
            self.caller,
            self.request,
            surface=surface,
            idempotency_key=self.key,
            trace_id=self.trace_id,
            trace_sampled=self.trace_sampled,
            handover=self.handover,
        )

    async def recorded(
        self, reply: Response, request: Request, submission: FalSubmission, *, is_result: bool = True
    ) -> Response:
        """The reply; once it is written, it is recorded whether it was handed over. An error is no answer."""
        if submission.answer is not None:
            submission.answer.is_result = is_result
        if isinstance(self.handover, PlainReply):
            self.handover.has_left = await request.is_disconnected()
        reply.background = BackgroundTask(self._record, submission, is_result=is_result)
        return reply

    async def _record(self, submission: FalSubmission, *, is_result: bool) -> None:
        whole = is_result and await self.handover.is_whole()
        await self.gateway.fal_compat.record_reply(submission, whole=whole, watch=self.handover.watch)


@reads(Reads(key=True, body=FalInput, parameters=SUBMISSION))
async def read_submission(request: Request) -> IncomingFalSubmission:
    """Read a submission; the key is checked first, and without one no body is read."""
    gateway = await get_gateway(request)
    caller = await current_caller(request, gateway)
    headers, given = request.headers, given_query(request)
    force_new = headers.get(ALWAYS_NEW, "").strip().lower() in TRUE or caller.reposts is Reposts.NEVER
    key = await idempotency_key(request)
    request.scope[REPEATABLE] = key is not None or not force_new
    return IncomingFalSubmission(
        caller,
        gateway,
        FalRequest(
            model=request.path_params["model_id"].removesuffix("/"),
            input=await json_object(request),
            webhook_url=given.get("fal_webhook") or None,
            priority=_priority(headers.get("x-fal-queue-priority")),
            start_timeout_s=_start_timeout(headers.get("x-fal-request-timeout")),
            max_queue=_max_queue(given.get("fal_max_queue_length")),
            force_new=force_new,
        ),
        key,
        request.scope["trace_id"],
        request.scope[TRACE_SAMPLED],
        handover_of(request),
    )


ReadFalSubmission = Annotated[IncomingFalSubmission, Depends(read_submission)]


def job_headers(job: Job, *, submission: FalSubmission | None = None) -> dict[str, str]:
    """The headers of a reply about a job; with its submission, whether it is a repeat and what was dropped."""
    headers = {REQUEST_ID: job.id}
    if submission is not None and submission.submitted.repeated:
        headers["Idempotent-Replayed"] = "true"
    if submission is not None and submission.dropped:
        headers[WARNING] = dropped_warning("fields", submission.dropped)
    return headers


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
    if not QUEUE_LENGTH.fullmatch(given):
        raise Malformed("fal_max_queue_length is a whole number, 0 or more.", code=Code.MALFORMED)
    return int(given)
