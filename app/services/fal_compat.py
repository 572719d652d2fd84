"""What fal's own clients can ask for: the verbs of fal's queue, on our jobs.

A client that gets no answer to a submission sends it again by itself, without an idempotency key. So that this is
no second purchase, a submission here has a key derived from the request itself; when it is forgotten is decided in
docs/decisions/0016-a-clients-own-repost.md.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from app.domain.access import require_scope, visibility_filter
from app.domain.accounts import Caller, Scope
from app.domain.errors import Code, Conflict, NotFound, OverLimit, StoreUnavailable
from app.domain.fal_states import belongs_to_app, terminal_response
from app.domain.ids import join_ref
from app.domain.jobs import Job, Priority, Submission
from app.registry.catalog import Catalog, Model
from app.services.jobs import Jobs, Submitted
from app.store.admission import AdmissionStore, key_digest
from app.store.jobs import JobStore
from app.store.line import LineStore

DEDUP_MS = 150_000  # Python's client gives up on an answer after 120 s, and re-posts with waits of up to 30 s
FIRST_LOOK_S = 0.5
SLOWEST_LOOK_S = 2.0
GROWTH = 1.1
PATIENCE_S = 60.0  # a held call outlives an outage of the store that is no longer than this
LINE_WAIT_S = 10
LONG_TEXT = 65_536  # characters
LONGEST_NAME = 200  # characters of a model id that are repeated

Surface = Literal["queue", "run"]


@dataclass(frozen=True, slots=True)
class FalRequest:
    """A submission as fal's clients make it: the bare input, and what stands in headers and query.

    `start_timeout_s` is the time it may wait for its start, `max_queue` the longest line it joins, and `force_new`
    says that it is a wish of its own even if it looks like the last one.
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
    """A submission's answer; `dropped` are the names of input fields that the model does not have.

    `digest` is that of the key derived from the request, None where the caller gave one or wanted none.
    """

    submitted: Submitted
    dropped: tuple[str, ...]
    digest: str | None

    @property
    def job(self) -> Job:
        """The job, new or found again."""
        return self.submitted.job


@dataclass(frozen=True, slots=True)
class RequestState:
    """A job at the store's time `now_ms`; `position` counts from 0 and is None when it does not wait in line."""

    job: Job
    position: int | None
    now_ms: int

    @property
    def ended(self) -> bool:
        """True when it has ended at fal's door; it may be alive behind it."""
        return terminal_response(self.job, self.now_ms) is not None


class FalCompat:
    """Submit, look, follow, hold and cancel, as fal means them."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        jobs: Jobs,
        job_store: JobStore,
        admission: AdmissionStore,
        line: LineStore,
        strict_schema: bool,
        deadline_s: int,
    ) -> None:
        self._catalog = catalog
        self._jobs = jobs
        self._job_store = job_store
        self._admission = admission
        self._line = line
        self._strict_schema = strict_schema
        self._deadline_s = deadline_s

    async def submit(
        self,
        caller: Caller,
        request: FalRequest,
        *,
        surface: Surface,
        idempotency_key: str | None,
        trace_id: str | None,
    ) -> FalSubmission:
        """Admit a job, or find the one that this request was admitted as a moment ago.

        1. read the input as leniently as fal does
        2. a key of the caller's own counts; else one is derived from the request, unless it is a wish of its own
        3. a line that is longer than the caller wants is no reason to refuse a repeat
        4. admit; a call that is held keeps its derived key for as long as the job may live
        """
        model = self._model(request.model)
        given, dropped = model.lenient(request.input, strict_schema=self._strict_schema)
        derived = None
        if idempotency_key is None and not request.force_new:
            derived = _derived_key(caller, request, surface)
        key = idempotency_key or derived
        if request.max_queue is not None:
            await self._require_short_line(caller, request.max_queue, key)
        start_s = request.start_timeout_s
        submitted = await self._jobs.submit(
            caller,
            Submission(
                input=given,
                model=model.id,
                webhook_url=request.webhook_url,
                webhook_style=None if request.webhook_url is None else "fal",
                priority=request.priority,
                start_deadline_s=None if start_s is None else min(start_s, self._deadline_s),
                idempotency_key=key,
                trace_id=trace_id,
                dedup_ms=None
                if derived is None
                else DEDUP_MS + (self._deadline_s * 1000 if surface == "run" else 0),
            ),
        )
        return FalSubmission(submitted, dropped, None if derived is None else key_digest(derived))

    def _model(self, model_id: str) -> Model:
        """The model; NotFound in fal's words."""
        try:
            return self._catalog.get(model_id)
        except NotFound as error:
            shown = model_id[:LONGEST_NAME] if model_id.isprintable() else "?"
            raise NotFound(f'Application "{shown}" not found', code=error.code) from None

    async def acknowledge(self, taken: FalSubmission, *, surface: Surface) -> None:
        """The whole answer was written; a held call's answer is the end of it.

        When the store is away just now the record stays, and the next wish within its time gets this job again.
        """
        if taken.digest is not None:
            with suppress(StoreUnavailable):
                await self._admission.acknowledge(
                    taken.job, digest=taken.digest, answered=True, polled=surface == "run"
                )

    async def release_dedup(self, job: Job) -> None:
        """A receiver took the job's `fal_webhook`, which names its id: the same request is a new wish."""
        with suppress(StoreUnavailable):
            await self._admission.stop_deduplicating(job)

    async def read(self, caller: Caller, app: str, request_id: str) -> RequestState:
        """The job with this id under this path, in one round trip; NotFound for another's, as for none."""
        require_scope(caller, Scope.JOBS_READ)
        found = await self._job_store.read_for_poll(join_ref(caller.team, request_id), visibility_filter(caller))
        if found is None or not belongs_to_app(found.job, app):
            raise NotFound("Request not found")
        job = found.job
        if found.repost is not None and job.user == caller.user:
            with suppress(StoreUnavailable):
                await self._admission.acknowledge(job, digest=found.repost, polled=True)
        position = await self._line.position_at(job.team, job.user, found.rank, micro=job.quoted_micro)
        return RequestState(job, position, found.now_ms)

    async def cancel(self, caller: Caller, app: str, request_id: str) -> Job:
        """Cancel; Conflict when it has ended at this door, which it has once it was cancelled."""
        seen = await self.read(caller, app, request_id)
        if seen.ended:
            raise Conflict("The request has already ended.", code=Code.ALREADY_ENDED)
        return await self._jobs.cancel(caller, seen.job)

    async def follow(
        self, caller: Caller, app: str, first: RequestState
    ) -> AsyncGenerator[RequestState | None, None]:
        """The job as first seen, then again and again, until it has ended at this door.

        Ends are seen at once; what makes no event (log lines, a wish to cancel) within two seconds. None where the
        store could not be asked.
        """
        seen: RequestState | None = first
        pause, away_since = FIRST_LOOK_S, None
        while True:
            yield seen
            if seen is not None and seen.ended:
                return
            await self._pause(seen, pause)
            pause = min(pause * GROWTH, SLOWEST_LOOK_S)
            try:
                seen, away_since = await self.read(caller, app, first.job.id), None
            except StoreUnavailable:
                seen, away_since = None, away_since or time.monotonic()
                if time.monotonic() - away_since > PATIENCE_S:
                    raise

    async def until_end(self, caller: Caller, job: Job) -> RequestState:
        """The job when it has ended at this door."""
        async for seen in self.follow(caller, job.model, RequestState(job, None, job.created_ms)):
            if seen is not None and seen.ended:
                return seen
        raise NotFound("Request not found")

    async def _pause(self, seen: RequestState | None, seconds: float) -> None:
        """Wait, but no longer than to the job's own end."""
        until = time.monotonic() + seconds
        if seen is not None:
            with suppress(StoreUnavailable):
                job = await self._jobs.wait(seen.job, seconds=seconds)
                if job.status.ended:
                    return
        await asyncio.sleep(max(0.0, until - time.monotonic()))  # also when the store had no patience

    async def _require_short_line(self, caller: Caller, longest: int, key: str | None) -> None:
        if key is not None and await self._admission.peek(caller, key) is not None:
            return
        position = await self._line.position_of_next(caller.team, caller.user, micro=1)
        if position > longest:
            sentence = (
                f"There are {position} requests in line before this one; fal_max_queue_length allows {longest}."
            )
            raise OverLimit(sentence, code=Code.QUEUE_TOO_LONG, retry_after=LINE_WAIT_S)


def _derived_key(caller: Caller, request: FalRequest, surface: Surface) -> str:
    """A key that no caller can send: it begins with what may not stand in a header."""
    what = {
        "door": surface,  # as records of a running store were made
        "token": caller.token,
        "model": request.model,
        "input": {name: _short(value) for name, value in request.input.items()},
        "webhook": request.webhook_url,
        "priority": request.priority.value,
        "start_timeout": request.start_timeout_s,
    }
    text = json.dumps(what, sort_keys=True, ensure_ascii=False)
    return "\x00fal:" + hashlib.sha256(text.encode()).hexdigest()


def _short(value: Any) -> Any:
    """The value, or in the place of an image's megabytes their digest: it is a third of the work."""
    if isinstance(value, str) and len(value) > LONG_TEXT:
        return {"sha256": hashlib.sha256(value.encode()).hexdigest()}
    return value
