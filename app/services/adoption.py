"""Decides which job a request at fal belongs to: the core of "never bought twice".

fal's reply to a submission, its webhooks, its history and its bill may each name a request that the store does not
know yet. It is adopted by its job, or is an orphan, which is cancelled and raises an alarm.
"""

from dataclasses import dataclass

import structlog

from app.domain.ids import split_ref
from app.domain.jobs import Job, Status
from app.fal.client import FalClient
from app.store.alarms import AlarmStore
from app.store.jobs import JobStore

MAX_TRIES = 5  # the job's state may change during an adoption

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """Gives requests at fal to their jobs."""

    jobs: JobStore
    fal: FalClient
    alarms: AlarmStore

    async def adopt(self, job: Job, nonce: str, request_id: str) -> bool:
        """Give the job the request that fal has for its attempt `nonce`; True when the job has the request now.

        1. the job has it already: poll a running job now, leave an ended one as it is
        2. queued: it was bought after all; adopt it, so that it is not bought again
        3. submitting: adopt it if the attempt is the same; held: adopt it in any case, because it is paid for and
           a restored store may have lost that attempt
        4. the job changed meanwhile: read it again
        5. otherwise the request is an orphan
        """
        for _ in range(MAX_TRIES):
            done = False
            if job.upstream_request_id == request_id:
                await self.jobs.update(job, (Status.RUNNING,), due_step="poll", delay_ms=0)
                return True
            if job.status is Status.QUEUED:
                done = await self.jobs.adopt_forgotten(job, nonce=nonce, upstream_request_id=request_id)
            elif job.status is Status.HELD or (job.status is Status.SUBMITTING and job.nonce == nonce):
                done = await self.jobs.adopt(
                    job, nonce=job.nonce or nonce, upstream_request_id=request_id, poll_ms=0
                )
            else:
                break
            if done:
                log.info("job.adopted", **_names(job, request_id), was=job.status.value)
                await self.alarm_if_shared(job, request_id)
                return True
            now = await self.jobs.get(job.ref)
            if now is None:
                break
            job = now
        await self.orphan(job, request_id)
        return False

    async def orphan(self, job: Job, request_id: str) -> None:
        """Raise an alarm about a request at fal that no job has, and ask fal to cancel it; once per request."""
        sentence = "fal has a request that is not this job's. It is asked to cancel it, and may charge it anyway."
        if not await self.alarms.raise_once("orphan", sentence, job=job.id, upstream_request_id=request_id):
            return
        cancelled = await self.fal.cancel(job.model, request_id)
        log.error("job.orphan", **_names(job, request_id), cancel_sent=cancelled)

    async def alarm_if_shared(self, job: Job, request_id: str) -> None:
        """Raise an alarm when another job has the same request: both show one clip, and both are charged."""
        other = await self.jobs.claim_request(job, request_id)
        if other is None:
            return
        name = split_ref(other)[1]
        log.error("job.shared_request", **_names(job, request_id), other=name)
        sentence = f"fal gave the job the request that {name} has already; both continue, and show the same clip."
        await self.alarms.raise_alarm("shared_request", sentence, job=job.id, upstream_request_id=request_id)

    async def alarm_webhook_differs(self, job: Job) -> None:
        """Raise an alarm, once per job, when fal's webhook reports a failure but its result is a clip."""
        sentence = "fal's webhook called the request a failure, and its result is a clip; the clip counts."
        request_id = job.upstream_request_id or ""
        if await self.alarms.raise_once("webhook_differs", sentence, job=job.id, upstream_request_id=request_id):
            log.warning("job.webhook_differs", **_names(job, request_id))


def _names(job: Job, request_id: str) -> dict[str, str]:
    """What a log line names of the job, with this request."""
    return {**job.names, "upstream_request_id": request_id}
