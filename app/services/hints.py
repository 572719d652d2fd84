"""fal's webhooks: a verified one is a hint that something happened to a job; a poll tells the truth.

It is also fal's memory of a submission whose outcome we do not know: a valid marker adopts it.
"""

import time
from collections.abc import Mapping

import structlog

from app.domain.errors import NotFound, Unauthenticated, Unavailable
from app.domain.jobs import Job, Status
from app.domain.marker import Marker, is_ours
from app.fal.client import FalClient
from app.fal.signature import KeysUnavailable, Verifier
from app.store.alarms import AlarmStore
from app.store.jobs import JobStore
from app.store.secrets import SecretStore

log = structlog.get_logger()


class Hints:
    """Takes fal's webhooks."""

    def __init__(
        self, *, jobs: JobStore, fal: FalClient, verifier: Verifier, alarms: AlarmStore, secrets: SecretStore
    ) -> None:
        self._jobs = jobs
        self._fal = fal
        self._verifier = verifier
        self._alarms = alarms
        self._secrets = secrets

    async def arrived(self, marker: Marker, headers: Mapping[str, str], body: bytes) -> None:
        """Take one delivery; what is not fal's, or not about this attempt, changes nothing.

        1. the path's marker must be ours, or there is nothing here
        2. fal's signature must fit; without keys, fal is to try again
        3. the job's attempt is the one that fal tells of: adopt it if its outcome was unknown, else look at it now
        4. it is a second request for a job that has another: cancel it, and say so loudly
        """
        if not is_ours(await self._secrets.of_markers(), marker):
            raise NotFound("There is nothing here.")
        try:
            delivery = await self._verifier.verify(headers, body, now_s=time.time())
        except KeysUnavailable:
            raise Unavailable("fal's keys cannot be had at the moment.", retry_after=30) from None
        if delivery is None:
            raise Unauthenticated("The signature is not fal's, or it is too old.")
        job = await self._jobs.find(marker.job)
        if job is None:
            raise NotFound("There is nothing here.")
        await adopt(self._jobs, self._fal, self._alarms, job, marker.nonce, delivery.request_id)


async def adopt(jobs: JobStore, fal: FalClient, alarms: AlarmStore, job: Job, nonce: str, request_id: str) -> bool:
    """Fal has this request for this attempt of the job: make it the job's, or end it if the job has another.

    True when the job has the request now.
    """
    if job.upstream_request_id == request_id:
        await jobs.note(job, (Status.RUNNING,), due_step="poll", delay_ms=0)
        return True
    done = False
    if job.status is Status.QUEUED:
        done = await jobs.adopt_forgotten(job, nonce=nonce, upstream_request_id=request_id)
    elif job.nonce == nonce:
        done = await jobs.adopt(job, nonce=nonce, upstream_request_id=request_id, poll_ms=0)
    if done:
        log.info("job.adopted", job=job.id, upstream_request_id=request_id, was=job.status.value)
        return True
    now = await jobs.get(f"{job.team}/{job.id}")
    if now is not None and now.upstream_request_id == request_id:
        return True  # somebody was faster
    await orphan(fal, alarms, job, request_id)
    return False


async def orphan(fal: FalClient, alarms: AlarmStore, job: Job, request_id: str) -> None:
    """A request at fal that no job has: cancel it, which may come too late, and say so loudly."""
    cancelled = await fal.cancel(job.model, request_id)
    sentence = "fal runs a second request for this job; it was asked to cancel it, and may charge it all the same."
    await alarms.ring("orphan", sentence, job=job.id, upstream_request_id=request_id)
    log.error("job.orphan", job=job.id, upstream_request_id=request_id, cancel_sent=cancelled)
