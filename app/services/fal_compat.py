"""The operations of fal's queue, on our jobs, for fal's own clients.

A client that gets no reply to a submission sends it again, without an idempotency key. To prevent a second
purchase, such a submission gets a key derived from the request; by the caller's rule
(docs/decisions/0016-a-clients-own-repost.md) it finds an earlier one whose answer was lost (`answers.py`), or any
earlier one whose job was not polled yet.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from app.domain.access import require_scope, visibility_filter
from app.domain.accounts import Caller, Reposts, Scope
from app.domain.counting import counted
from app.domain.errors import Code, Conflict, NotFound, OverLimit, StoreUnavailable
from app.domain.fal_states import belongs_to_app, terminal_response
from app.domain.ids import join_ref
from app.domain.jobs import Job, Priority, Submission
from app.registry.catalog import Catalog, Model
from app.services.answers import NOBODY, QUEUE_PATIENCE_S, RUN_PATIENCE_S, Answer, Answers, Handover
from app.services.jobs import Jobs, Submitted
from app.services.live import Following
from app.store.admission import AdmissionStore, key_digest
from app.store.events import EventStore
from app.store.followers import Follower
from app.store.jobs import JobStore
from app.store.line import LineStore
from app.telemetry import note

DEDUP_MS = 150_000  # Python's client waits 120 s for a reply, and up to 30 s before it sends the request again
FIRST_POLL_S = 0.5
MAX_POLL_S = 2.0
POLL_GROWTH = 1.1
OUTAGE_S = 60.0  # a held call outlives such an outage of the store
QUEUE_RETRY_S = 10
MAX_TEXT = 65_536  # characters of an input value; a longer one is replaced by its digest in the derived key
MAX_SHOWN_MODEL = 200  # characters of an unknown model's id in an error

_to_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode  # made once, not for each job

Surface = Literal["queue", "run"]


@dataclass(frozen=True, slots=True)
class FalRequest:
    """A submission by fal's clients: the bare input, with the values of headers and query parameters.

    `start_timeout_s` is how long it may wait for its start, `max_queue` how many jobs may be ahead of it, and
    `force_new` disables deduplication.
    """

    model: str
    input: dict[str, Any]
    webhook_url: str | None = None
    priority: Priority = Priority.NORMAL
    start_timeout_s: float | None = None
    max_queue: int | None = None
    force_new: bool = False


@dataclass(frozen=True, slots=True)
class FalSubmission:
    """The result of a submission; `dropped` are the input fields that the model does not have.

    By the caller's rule it has an `answer`, or a `digest`: that of the derived key. Neither when the caller sent a
    key or disabled deduplication. `is_held`: the reply is the job's end.
    """

    submitted: Submitted
    dropped: tuple[str, ...]
    digest: str | None = None
    answer: Answer | None = None
    is_held: bool = False

    @property
    def job(self) -> Job:
        """The job, new or repeated."""
        return self.submitted.job


@dataclass(frozen=True, slots=True)
class RequestState:
    """A job at the store's time `now_ms`; `position` counts from 0, and is None unless the job is queued.

    `asked_ms` is when another process last asked whether a held call still waits for it; 0 if it never did.
    """

    job: Job
    position: int | None
    now_ms: int
    asked_ms: int = 0

    @property
    def ended(self) -> bool:
        """True once fal's clients see its end; the job itself may still run."""
        return terminal_response(self.job, self.now_ms) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class FalCompat:
    """Submits, reads, follows and cancels jobs, with the meaning that fal gives these operations."""

    catalog: Catalog
    jobs: Jobs
    events: EventStore
    job_store: JobStore
    admission: AdmissionStore
    answers: Answers
    line: LineStore
    strict_schema: bool
    deadline_s: int

    async def submit(
        self,
        caller: Caller,
        request: FalRequest,
        *,
        surface: Surface,
        idempotency_key: str | None,
        trace_id: str | None,
        trace_sampled: bool | None = None,
        handover: Handover = NOBODY,
    ) -> FalSubmission:
        """Admit a job, or return the one that the same request was admitted as.

        1. refuse a held call to a key that may not read: it would buy a clip, and not get it
        2. read the input as leniently as fal does
        3. use the caller's key, or else one derived from the request unless deduplication is disabled
        4. refuse a queue that is longer than the caller accepts, but not to a repeat
        5. admit; a held call keeps its derived key for as long as the job may live
        """
        is_held = surface == "run"
        if is_held:
            require_scope(caller, Scope.JOBS_READ)
        model = self._model(request.model)
        given, dropped = model.lenient(request.input, strict_schema=self.strict_schema)
        derived = answer = None
        dedup_ms = DEDUP_MS + (self.deadline_s * 1000 if is_held else 0)
        if idempotency_key is None and not request.force_new:
            derived = _derived_key(caller, request, surface)
            if caller.reposts is Reposts.ANSWERED:
                patience_s = RUN_PATIENCE_S if is_held else QUEUE_PATIENCE_S
                answer = await self.answers.begin(derived, handover, kept_ms=dedup_ms, patience_s=patience_s)
        start_s = request.start_timeout_s
        submission = Submission(
            input=given,
            model=model.id,
            webhook_url=request.webhook_url,
            webhook_style=None if request.webhook_url is None else "fal",
            priority=request.priority,
            start_deadline_s=None if start_s is None else min(start_s, self.deadline_s),
            idempotency_key=idempotency_key or derived,
            trace_id=trace_id,
            trace_sampled=trace_sampled,
            dedup_ms=None if derived is None else dedup_ms,
            answer=None if answer is None else answer.id,
        )
        try:
            if request.max_queue is not None:
                await self._require_short_queue(caller, request.max_queue, submission.idempotency_key, answer)
            submitted = await self.jobs.submit(caller, submission, answer=answer)
        except BaseException:
            if answer is not None:
                self.answers.end(answer)
            raise
        digest = None if derived is None or answer is not None else key_digest(derived)
        return FalSubmission(submitted, dropped, digest, answer, is_held)

    def _model(self, model_id: str) -> Model:
        """The model; NotFound with fal's sentence, and what to ask for instead."""
        model = self.catalog.find(model_id)
        if model is None:
            shown = model_id[:MAX_SHOWN_MODEL] if model_id.isprintable() else "?"
            similar = self.catalog.similar(model_id)
            advice = "GET /fal/api/v1/models lists those of this gateway."
            advice = advice if similar is None else f"Did you mean {similar}?"
            raise NotFound(f'Application "{shown}" not found. {advice}', code=Code.MODEL_NOT_FOUND)
        return model

    async def record_reply(
        self, submission: FalSubmission, *, whole: bool, watch: Callable[[Callable[[], None]], None]
    ) -> None:
        """Record whether the reply was handed over `whole`; `watch` takes what to do should that turn out wrong.

        In an outage of the store nothing is recorded: the same request within DEDUP_MS then gets this job again.
        """
        job, answer = submission.job, submission.answer
        if answer is not None:
            try:
                recorded = await self.answers.record(answer, job, "whole" if whole else "lost")
                if whole and recorded:
                    watch(partial(self.answers.withdraw, answer, job))
            finally:
                self.answers.end(answer)
        elif submission.digest is not None and whole:
            with suppress(StoreUnavailable):
                await self.admission.acknowledge(
                    job, digest=submission.digest, answered=True, polled=submission.is_held
                )

    def give_up(self, submission: FalSubmission) -> None:
        """No answer will be sent; the same request gets this job."""
        if submission.answer is not None:
            self.answers.end(submission.answer)

    async def release_dedup(self, job: Job) -> None:
        """Stop deduplicating: a receiver accepted the job's `fal_webhook`, which contains its id."""
        with suppress(StoreUnavailable):
            await self.admission.stop_deduplicating(job)

    async def read(self, caller: Caller, app: str, request_id: str) -> RequestState:
        """The caller's job with this id and app, in one round trip; NotFound otherwise."""
        require_scope(caller, Scope.JOBS_READ)
        found = await self.job_store.read_for_poll(join_ref(caller.team, request_id), visibility_filter(caller))
        if found is None or not belongs_to_app(found.job, app):
            raise NotFound("Request not found")
        job = found.job
        note(job=job.id, upstream_request_id=job.upstream_request_id)
        if found.dedup_digest is not None and job.user == caller.user:
            with suppress(StoreUnavailable):
                await self.admission.acknowledge(job, digest=found.dedup_digest, polled=True)
        position = await self.line.position_at(job.team, job.user, found.rank, micro=job.quoted_micro)
        return RequestState(job, position, found.now_ms, found.asked_ms)

    async def cancel(self, caller: Caller, app: str, request_id: str) -> Job:
        """Cancel a job; Conflict when fal's clients see its end, as they do once it was cancelled."""
        state = await self.read(caller, app, request_id)
        if state.ended:
            raise Conflict("The request has already ended.", code=Code.ALREADY_ENDED)
        return await self.jobs.cancel(caller, state.job)

    def follow(self, caller: Caller, app: str, first: RequestState) -> Following[RequestState | None]:
        """The job's states, beginning with `first`, until fal's clients see its end.

        A state follows each event at once, and changes without an event, as of log lines, within MAX_POLL_S. None
        stands for a read that failed; StoreUnavailable after OUTAGE_S of them.
        """
        return Following.begin(lambda follower: self._follow(follower, caller, app, first))

    async def _follow(
        self, follower: Follower, caller: Caller, app: str, first: RequestState
    ) -> AsyncGenerator[RequestState | None, None]:
        state: RequestState | None = first
        pause, outage_since = FIRST_POLL_S, None
        with self.events.live(first.job.team, follower, job=first.job.id):
            while not follower.ended:
                yield state
                if state is not None and state.ended:
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await follower.wait()
                follower.read()  # an event is a reason to read the job again at once
                pause = min(pause * POLL_GROWTH, MAX_POLL_S)
                try:
                    state, outage_since = await self.read(caller, app, first.job.id), None
                except StoreUnavailable:
                    state, outage_since = None, outage_since or time.monotonic()
                    if time.monotonic() - outage_since > OUTAGE_S:
                        raise

    async def until_end(self, caller: Caller, submission: FalSubmission) -> RequestState:
        """The job once fal's clients see its end; meanwhile, processes that ask learn that the caller waits."""
        job, answer, asked_ms = submission.job, submission.answer, 0
        following = self.follow(caller, job.model, RequestState(job, None, job.created_ms))
        async with aclosing(following.frames) as states:
            async for state in states:
                if state is not None and state.ended:
                    return state
                if state is not None and answer is not None and state.asked_ms > asked_ms and answer.is_open:
                    asked_ms = state.asked_ms
                    await self.answers.record(answer, job, "open")
        raise NotFound("Request not found")

    async def _require_short_queue(
        self, caller: Caller, longest: int, key: str | None, answer: Answer | None
    ) -> None:
        if key is not None and await self.admission.peek(caller, key) is not None:
            return
        if answer is not None and await self.admission.answers_owed(caller, answer.key) - set(answer.open_ids()):
            return
        position = await self.line.position_of_next(caller.team, caller.user, micro=1)
        if position > longest:
            sentence = (
                f"{counted(position, 'request')} in line before this one; fal_max_queue_length allows {longest}."
            )
            raise OverLimit(sentence, code=Code.QUEUE_TOO_LONG, retry_after=QUEUE_RETRY_S)


def _derived_key(caller: Caller, request: FalRequest, surface: Surface) -> str:
    """A key that no caller can send: NUL is not allowed in a header."""
    fields = {
        "door": surface,  # keys in running stores were derived under this name
        "token": caller.token,
        "model": request.model,
        "input": {name: _shortened(value) for name, value in request.input.items()},
        "webhook": request.webhook_url,
        "priority": request.priority.value,
        "start_timeout": request.start_timeout_s,
    }
    return "\x00fal:" + hashlib.sha256(_to_json(fields).encode()).hexdigest()


def _shortened(value: Any) -> Any:
    """The value; a long text, such as an image, as its digest, which costs a third of the time."""
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return {"sha256": hashlib.sha256(value.encode()).hexdigest()}
    return value
