"""Jobs: submit, quote, read, cancel, delete."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import structlog

from app.crash import crash_point
from app.domain.access import require_control, require_scope, visibility_filter
from app.domain.accounts import Caller, Scope
from app.domain.errors import (
    Code,
    Conflict,
    KeyReused,
    NotFound,
    Unauthenticated,
)
from app.domain.ids import join_ref
from app.domain.jobs import LIVE, Job, Status, Submission
from app.domain.limits import LimitState
from app.services.live import Frames
from app.services.refusals import refusal
from app.services.store_disk import StoreDisk
from app.services.submissions import Submissions
from app.services.watch import Watch
from app.store.admission import (
    AdmissionOutcome,
    AdmissionStore,
    Admitted,
    CredentialEnded,
    KeyReusedFor,
    OverLimits,
)
from app.store.jobs import NOW, JobStore
from app.store.limits import LimitStore
from app.store.line import LineStore

UNKNOWN_DURATION_MS = 360_000  # Kling takes about six minutes where we have not measured any

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job, new or found again by its idempotency key; `position` counts from 0; every limit as it stands now."""

    job: Job
    position: int | None
    repeated: bool
    limits: tuple[LimitState, ...]


@dataclass(frozen=True, slots=True)
class JobQuote:
    """What a submission would cost, which limits it would touch, and how long it would wait, now."""

    submission: Submission
    limits: tuple[LimitState, ...]
    position: int
    estimated_wait_s: int


class Jobs:
    """What one can ask about jobs; every door calls these."""

    def __init__(
        self,
        *,
        submissions: Submissions,
        admission: AdmissionStore,
        jobs: JobStore,
        limits: LimitStore,
        line: LineStore,
        watch: Watch,
        disk: StoreDisk,
        concurrency: int,
    ) -> None:
        self._submissions = submissions
        self._admission = admission
        self._jobs = jobs
        self._limits = limits
        self._line = line
        self._watch = watch
        self._disk = disk
        self._concurrency = concurrency  # how many jobs fal runs at once

    async def submit(self, caller: Caller, given: Submission) -> Submitted:
        """Check, price and write down a job; an idempotency key seen before gives the first job again."""
        require_scope(caller, Scope.JOBS_WRITE)
        self._disk.require_room()
        checked, embedded = await self._submissions.check(caller, given)
        if embedded and checked.idempotency_key is not None:
            known = await self._admission.peek(caller, checked.idempotency_key, checked.fingerprint)
            if known is not None:  # the image was stored the first time
                limits = await self._limits.states(caller)
                return await self._repeat(caller, known[0], limits, same=known[1])
        complete = await self._submissions.store_images(caller, checked, embedded)
        crash_point("admit.before")
        answer = await self._admission.admit(complete)
        crash_point("admit.after")
        return await self._answer(caller, answer, complete)

    async def _answer(self, caller: Caller, answer: AdmissionOutcome, asked: Submission) -> Submitted:
        """What the store's answer means for the caller."""
        if isinstance(answer, CredentialEnded):
            raise Unauthenticated("The key was revoked.")
        if isinstance(answer, OverLimits):
            raise refusal(answer.limits, asked)
        if isinstance(answer, Admitted):
            if answer.alarms:
                log.warning("budget.threshold", owner="gateway", limits=answer.alarms)
            place = await self._line.position_at(
                caller.team, caller.user, answer.rank, micro=answer.job.quoted_micro
            )
            return Submitted(answer.job, place, repeated=False, limits=answer.limits)
        if isinstance(answer, KeyReusedFor):
            return await self._repeat(caller, answer.job_id, (), same=False)
        return await self._repeat(caller, answer.job_id, answer.limits, same=True)

    async def quote(self, caller: Caller, given: Submission) -> JobQuote:
        """What this submission would cost, and how long it would wait. Nothing changes."""
        require_scope(caller, Scope.JOBS_READ)
        checked, _ = await self._submissions.check(caller, given)
        micro = checked.quoted_micro
        waiting = await self._line.position_of_next(caller.team, caller.user, micro=micro)
        durations = await self._line.durations(checked.model)
        typical_ms = median(durations) if durations else UNKNOWN_DURATION_MS
        rounds = waiting // self._concurrency
        limits = await self._limits.states(caller, micro=micro, seconds=checked.seconds)
        return JobQuote(checked, limits, waiting, round(rounds * typical_ms / 1000))

    async def get(self, caller: Caller, job_id: str) -> Job:
        """The caller's job; NotFound for another's, as for none."""
        require_scope(caller, Scope.JOBS_READ)
        job = await self._jobs.get_visible(join_ref(caller.team, job_id), visibility_filter(caller))
        if job is None:
            raise NotFound("There is no job with this id.")
        return job

    async def position(self, job: Job) -> int | None:
        """The job's place in line, 0 for the first; None when it is not waiting."""
        return await self._line.position(job) if job.status is Status.QUEUED else None

    async def positions(self, jobs: Sequence[Job]) -> list[int | None]:
        """The places in line of several jobs."""
        return await self._line.positions(jobs)

    async def wait(self, job: Job, *, seconds: float) -> Job:
        """The job at its end, or after `seconds`."""
        return job if job.status.ended else await self._watch.until_end(job, seconds=seconds)

    def follow(self, job: Job, *, after: str | None) -> Frames:
        """The job's events, live, until its end; `after` is the id of the last event seen."""
        return self._watch.follow(job, after=after)

    async def is_caught_up(self, job: Job, *, after: str) -> bool:
        """True when the job has ended, and whoever saw the event `after` has seen its end."""
        return job.status.ended and await self._watch.is_caught_up(job, after=after)

    async def cancel(self, caller: Caller, job: Job) -> Job:
        """Stop a job where that is still possible.

        1. queued: it ends at once and costs nothing
        2. otherwise the wish is written down; the next step acts on it, and fal's truth decides
        3. someone changed the state meanwhile: look again
        """
        require_control(caller, job)
        await self._known(caller, job)
        while not job.status.ended:
            if job.status is Status.QUEUED:
                await self._jobs.cancel_queued(job)
                await self._admission.confirm()
            elif job.cancel_requested_ms is not None:
                return job
            else:
                await self._jobs.update(job, LIVE, due_step="poll", delay_ms=0, cancel_requested_ms=NOW)
            changed = await self._jobs.get(join_ref(job.team, job.id))
            if changed is None:
                break
            was_queued, job = job.status is Status.QUEUED, changed
            if job.status is Status.CANCELED and was_queued:
                return job
        raise Conflict("The job has already ended.", code=Code.ALREADY_ENDED)

    async def delete(self, caller: Caller, job: Job) -> None:
        """Erase an ended job's prompt, image and clip; the ledger stays."""
        require_control(caller, job)
        await self._known(caller, job)
        if not await self._jobs.erase(job):
            raise Conflict("The job has not ended; cancel it first.", code=Code.NOT_ENDED)

    async def _known(self, caller: Caller, job: Job) -> None:
        if caller.user == job.user:
            await self._admission.stop_deduplicating(job)

    async def _repeat(
        self, caller: Caller, job_id: str, limits: tuple[LimitState, ...], *, same: bool
    ) -> Submitted:
        if not same:
            raise KeyReused("This idempotency key was used before, with another body; use a new key.")
        job = await self._jobs.get(join_ref(caller.team, job_id))
        if job is None:
            raise NotFound("The job of this idempotency key has expired; use a new key.")
        return Submitted(job, await self.position(job), repeated=True, limits=limits)
