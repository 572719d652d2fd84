"""Whose a request at fal is: the heart of "never bought twice".

Fal's answer to a submission, its webhooks, its history and its bill each may show a request that the store does not
have yet. Whoever sees one asks here: it becomes the job's, or nobody's, which an administrator hears of.
"""

import structlog

from app.domain.ids import split_ref
from app.domain.jobs import Job, Status
from app.fal.client import FalClient
from app.store.alarms import AlarmStore
from app.store.jobs import JobStore, ref_of

MAX_TRIES = 5  # a job changes its state a few times at most while it is being adopted

log = structlog.get_logger()


class Adoption:
    """Gives requests at fal to their jobs."""

    def __init__(self, *, jobs: JobStore, fal: FalClient, alarms: AlarmStore) -> None:
        self._jobs = jobs
        self._fal = fal
        self._alarms = alarms

    async def adopt(self, job: Job, nonce: str, request_id: str) -> bool:
        """Fal has this request for this attempt of the job: make it the job's, or end it if the job has another.

        1. it is the job's already: a running job is polled now, an ended one stays as it is
        2. in line: it was bought after all; adopt it, so that it is not bought again
        3. being submitted: adopt it where the attempt is the same; held: adopt it in any case, because it is paid,
           and a restored store may have forgotten the attempt that fal names
        4. the job changed meanwhile: read it again
        5. otherwise the request is nobody's

        True when the job has the request now.
        """
        for _ in range(MAX_TRIES):
            done = False
            if job.upstream_request_id == request_id:
                await self._jobs.update(job, (Status.RUNNING,), due_step="poll", delay_ms=0)
                return True
            if job.status is Status.QUEUED:
                done = await self._jobs.adopt_forgotten(job, nonce=nonce, upstream_request_id=request_id)
            elif job.status is Status.HELD or (job.status is Status.SUBMITTING and job.nonce == nonce):
                done = await self._jobs.adopt(
                    job, nonce=job.nonce or nonce, upstream_request_id=request_id, poll_ms=0
                )
            else:
                break
            if done:
                log.info("job.adopted", job=job.id, upstream_request_id=request_id, was=job.status.value)
                await self.alarm_if_shared(job, request_id)
                return True
            now = await self._jobs.get(ref_of(job))
            if now is None:
                break
            job = now
        await self.orphan(job, request_id)
        return False

    async def orphan(self, job: Job, request_id: str) -> None:
        """A request at fal that no job has: raise an alarm, and ask fal to cancel it, which may be too late.

        Once for each request: fal's webhook about its end, or the same one twice, changes nothing.
        """
        sentence = (
            "fal has a request that is not this job's; it is asked to cancel it, and may charge it all the same."
        )
        if not await self._alarms.raise_once("orphan", sentence, job=job.id, upstream_request_id=request_id):
            return
        cancelled = await self._fal.cancel(job.model, request_id)
        log.error("job.orphan", job=job.id, upstream_request_id=request_id, cancel_sent=cancelled)

    async def alarm_if_shared(self, job: Job, request_id: str) -> None:
        """Two jobs with one request of fal's: one of them shows the other's clip, and both are charged for it."""
        other = await self._jobs.claim_request(job, request_id)
        if other is None:
            return
        name = split_ref(other)[1]
        log.error("job.shared_request", job=job.id, other=name, upstream_request_id=request_id)
        sentence = (
            f"fal gave the job the request that {name} has already; both go on, and show one and the same clip."
        )
        await self._alarms.raise_alarm("shared_request", sentence, job=job.id, upstream_request_id=request_id)

    async def alarm_webhook_differs(self, job: Job) -> None:
        """Fal's webhook said failed, but its result is a clip: the clip counts; raise an alarm, once per job."""
        sentence = "fal's webhook called the request a failure, and its result is a clip; the clip counts."
        request_id = job.upstream_request_id or ""
        if await self._alarms.raise_once("webhook_differs", sentence, job=job.id, upstream_request_id=request_id):
            log.warning("job.webhook_differs", job=job.id, upstream_request_id=request_id)
