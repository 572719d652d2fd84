"""Jobs: submit, quote, read, cancel, delete."""

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

import structlog

from app import tracing
from app.crash import crash_point
from app.domain.access import require_control, require_scope, visibility_filter
from app.domain.accounts import Caller, Scope
from app.domain.errors import (
    Code,
    Conflict,
    KeyReused,
    NotFound,
    OverBudget,
    OverLimit,
    StoreUnavailable,
    Unauthenticated,
    Unavailable,
)
from app.domain.ids import join_ref
from app.domain.jobs import Job, Status, Submission
from app.domain.limits import LimitState, Unit, Window
from app.domain.money import MICRO, format_usd
from app.domain.traces import span_of
from app.metrics.table import ADMISSION, ADMITTED_USD, REFUSALS
from app.services.answers import Answer, admit
from app.services.cancellation import cancel_job
from app.services.clips import Clips
from app.services.store_disk import StoreDisk
from app.services.submissions import Submissions
from app.store.admission import (
    AdmissionOutcome,
    AdmissionStore,
    Admitted,
    CredentialEnded,
    KeyReusedFor,
    OverLimits,
)
from app.store.alarms import AlarmStore
from app.store.jobs import JobStore
from app.store.limits import LimitStore
from app.store.line import LineStore
from app.telemetry import note

WAIT_S = {Window.CONCURRENT: 10, Window.QUEUED: 10, Window.TOTAL: 3600}  # a guess: these have no time of reset
USUAL_DURATION_MS = 360_000  # of Kling, while none of a model was measured

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job, new or repeated, with the present state of every limit; `position` counts from 0."""

    job: Job
    position: int | None
    repeated: bool
    limits: tuple[LimitState, ...]


@dataclass(frozen=True, slots=True)
class JobQuote:
    """What a submission would cost now, the state of each limit it counts against, and how long it would wait.

    `expected_run_s`: how long fal usually takes for this model; None while no job of it was measured.
    """

    submission: Submission
    limits: tuple[LimitState, ...]
    position: int
    estimated_wait_s: int
    expected_run_s: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """Submits, quotes, reads, cancels and deletes jobs."""

    submissions: Submissions
    admission: AdmissionStore
    jobs: JobStore
    limits: LimitStore
    line: LineStore
    alarms: AlarmStore
    disk: StoreDisk
    clips: Clips
    concurrency: int  # jobs that fal runs at once

    async def submit(self, caller: Caller, submission: Submission, *, answer: Answer | None = None) -> Submitted:
        """Check, price and admit a job; a repeated idempotency key returns the first job.

        `answer` is that to a submission of fal's clients, where these are told apart by their answers.

        Raises:
            Unauthenticated: the key was revoked meanwhile.
            OverBudget, OverLimit: a limit refuses the job.
            KeyReused: the idempotency key was used with another body.
            Unavailable: the store's disk is nearly full, or the caller left while an image was stored.
        """
        require_scope(caller, Scope.JOBS_WRITE)
        began = time.perf_counter()
        self.disk.require_room()
        checked, embedded = await self.submissions.check(caller, submission)
        if embedded and checked.idempotency_key is not None:
            repeated = await self.admission.peek(caller, checked.idempotency_key, checked.fingerprint)
            if repeated is not None:  # its image is stored already
                limits = await self.limits.states(caller)
                return await self._repeat(caller, repeated[0], limits, same=repeated[1])
        complete, kept = await self.submissions.store_images(caller, checked, embedded)
        if embedded and answer is not None and not answer.is_open:
            await self.submissions.uploads.drop(kept)
            raise Unavailable("The caller has left.")  # its repeat may have been answered already, and forgotten
        crash_point("admit.before")
        began_ns = time.time_ns()
        outcome = await admit(self.admission, complete, answer)
        crash_point("admit.after")
        if tracing.is_on() and isinstance(outcome, Admitted):
            job = outcome.job
            tracing.record_step(job, "admit", within=tracing.current(), began_ns=began_ns, span=span_of(job.id))
        if kept and not isinstance(outcome, Admitted):
            await self.submissions.uploads.drop(kept)
        submitted = await self._submitted(caller, outcome, complete)
        ADMISSION.observe(time.perf_counter() - began)
        return submitted

    async def _submitted(self, caller: Caller, outcome: AdmissionOutcome, submission: Submission) -> Submitted:
        if isinstance(outcome, CredentialEnded):
            raise Unauthenticated("The key was revoked.")
        if isinstance(outcome, OverLimits):
            raise _limit_error(outcome.limits, submission)
        if isinstance(outcome, KeyReusedFor):
            return await self._repeat(caller, outcome.job_id, (), same=False)
        if not isinstance(outcome, Admitted):
            return await self._repeat(caller, outcome.job_id, outcome.limits, same=True)
        if outcome.alarms:
            await self._raise_thresholds(outcome.alarms)
        job = outcome.job
        note(job=job.id)
        log.info("job.admitted", model=job.model, quoted_usd=format_usd(job.quoted_micro))
        ADMITTED_USD.add(amount=job.quoted_micro / MICRO)
        position = await self.line.position_at(caller.team, caller.user, outcome.rank, micro=job.quoted_micro)
        return Submitted(job, position, repeated=False, limits=outcome.limits)

    async def _raise_thresholds(self, reached: Sequence[str]) -> None:
        """Raise an alarm for each of the gateway's own budgets that this job has brought to a threshold."""
        log.warning("budget.threshold", owner="gateway", limits=reached)
        with suppress(StoreUnavailable):  # the job is admitted
            for budget in reached:
                if budget.startswith("100 "):
                    sentence = (
                        f"The gateway's own budget is used up ({budget}); new jobs are refused until it resets."
                    )
                    await self.alarms.raise_alarm("budget_used_up", sentence)
                else:
                    await self.alarms.raise_alarm(
                        "budget_threshold", f"The gateway's own budget has reached {budget}."
                    )

    async def quote(self, caller: Caller, submission: Submission) -> JobQuote:
        """What this submission would cost, and how long it would wait; changes nothing."""
        require_scope(caller, Scope.JOBS_READ)
        checked, _ = await self.submissions.check(caller, submission)
        micro = checked.quoted_micro
        position = await self.line.position_of_next(caller.team, caller.user, micro=micro)
        durations = await self.line.durations(checked.model)
        typical_ms = median(durations) if durations else USUAL_DURATION_MS
        rounds = position // self.concurrency
        limits = await self.limits.states(caller, micro=micro, seconds=checked.seconds)
        expected_s = round(typical_ms / 1000) if durations else None
        return JobQuote(checked, limits, position, round(rounds * typical_ms / 1000), expected_s)

    async def get(self, caller: Caller, job_id: str) -> Job:
        """The job, if the caller may see it; NotFound otherwise."""
        require_scope(caller, Scope.JOBS_READ)
        job = await self.jobs.get_visible(join_ref(caller.team, job_id), visibility_filter(caller))
        if job is None:
            raise NotFound("There is no job with this id.")
        note(job=job.id, upstream_request_id=job.upstream_request_id)
        return job

    async def get_with_position(self, caller: Caller, job_id: str) -> tuple[Job, int | None]:
        """The same, with its position in line, in one round trip."""
        require_scope(caller, Scope.JOBS_READ)
        found = await self.jobs.read_for_poll(join_ref(caller.team, job_id), visibility_filter(caller))
        if found is None:
            raise NotFound("There is no job with this id.")
        job = found.job
        note(job=job.id, upstream_request_id=job.upstream_request_id)
        return job, await self.line.position_at(job.team, job.user, found.rank, micro=job.quoted_micro)

    async def position(self, job: Job) -> int | None:
        """The job's position in line, 0 for the first; None unless it is queued."""
        return await self.line.position(job) if job.status is Status.QUEUED else None

    async def positions(self, jobs: Sequence[Job]) -> list[int | None]:
        """The positions in line of several jobs."""
        return await self.line.positions(jobs)

    async def cancel(self, caller: Caller, job: Job) -> Job:
        """Cancel a job; Conflict when it has ended."""
        require_control(caller, job)
        await self._stop_deduplicating(caller, job)
        return await cancel_job(job, jobs=self.jobs, admission=self.admission)

    async def delete(self, caller: Caller, job: Job) -> None:
        """Erase an ended job's prompt, image and clip, but not its ledger entries; Conflict while it is alive.

        Its files in the storage become due for deletion: they go also when the storage does not answer now.
        """
        require_control(caller, job)
        await self._stop_deduplicating(caller, job)
        files = [*self.clips.kept_names(job), *await self.submissions.kept_files(job)]
        if not await self.jobs.erase(job, files):
            raise Conflict("The job has not ended; cancel it first.", code=Code.NOT_ENDED)

    async def _stop_deduplicating(self, caller: Caller, job: Job) -> None:
        if caller.user == job.user:
            await self.admission.stop_deduplicating(job)

    async def _repeat(
        self, caller: Caller, job_id: str, limits: tuple[LimitState, ...], *, same: bool
    ) -> Submitted:
        if not same:
            raise KeyReused("This idempotency key was used before, with another body; use a new key.")
        job = await self.jobs.get(join_ref(caller.team, job_id))
        if job is None:
            raise NotFound("The job of this idempotency key has expired; use a new key.")
        note(job=job.id, repeated=True)
        return Submitted(job, await self.position(job), repeated=True, limits=limits)


def _limit_error(limits: tuple[LimitState, ...], order: Submission) -> OverBudget | OverLimit:
    """Why the limits marked `over` refuse a job; OverBudget if money is among them, since waiting rarely helps."""
    over = [state for state in limits if state.over]
    for state in over:
        REFUSALS.add(state.owner, f"{state.unit}/{state.window}")
    need = {Unit.USD: order.quoted_micro, Unit.VIDEO_SECONDS: order.seconds}
    over.sort(key=lambda state: state.unit is not Unit.USD)
    sentence = " ".join(state.sentence(need.get(state.unit, 1)) for state in over)
    if over[0].unit is Unit.USD:
        return OverBudget(sentence, limits=limits)
    waits = [
        WAIT_S.get(state.window, 60)
        if state.resets_ms is None
        else math.ceil((state.resets_ms - state.now_ms) / 1000)
        for state in over
    ]
    error = OverLimit(sentence, limits=limits, retry_after=max(1, *waits))
    error.retryable = all(need.get(state.unit, 1) <= state.amount for state in over)
    return error
