"""fal's webhooks: a verified one is a hint that something happened to a job; a poll tells the truth.

It is also fal's memory of a submission whose outcome we do not know: a valid marker adopts it.
"""

import time
from collections.abc import Iterable

import structlog

from app.crash import crash_point
from app.domain.errors import NotFound, Unauthenticated, Unavailable
from app.domain.ids import split_ref
from app.domain.jobs import Job, Status
from app.domain.marker import Marker, is_ours
from app.fal.client import FalClient
from app.fal.signature import AGAIN_S, KeysUnavailable, NotGenuine, Verifier
from app.store.alarms import AlarmStore
from app.store.jobs import JobStore, ref_of
from app.store.secrets import SecretStore

REMEMBERED = 200  # alarms that are looked through before another one is rung
TRIES = 5  # a job changes its state a few times at most while it is being adopted

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

    async def arrived(self, marker: Marker, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        """Take one delivery; what is not fal's, or not about this attempt, changes nothing.

        1. the path's marker must be ours, or there is nothing here
        2. fal's signature must fit; without keys, fal is to try again
        3. the job's attempt is the one that fal tells of: adopt it if its outcome was unknown, else look at it now
        4. it is a second request for a job that has another: cancel it, and say so loudly

        What the body says of the generation decides nothing: a poll asks fal.
        Where the two differ, there is an alarm.
        """
        if not is_ours(await self._secrets.of_markers(), marker):
            raise NotFound("There is nothing here.")
        try:
            delivery = await self._verifier.verify(headers, body, now_s=time.time())
        except KeysUnavailable:
            log.warning("hook.no_keys", job=marker.job)
            raise Unavailable("fal's keys cannot be had at the moment.", retry_after=int(AGAIN_S)) from None
        except NotGenuine as error:
            log.warning("hook.refused", job=marker.job, reason=error.reason)
            raise Unauthenticated("The signature is not fal's, or it is too old.") from None
        crash_point("hook.verified")
        job = await self._jobs.find(marker.job)
        if job is None:
            raise NotFound("There is nothing here.")
        log.info("hook.taken", job=job.id, upstream_request_id=delivery.request_id, status=job.status.value)
        adopted = await adopt(self._jobs, self._fal, self._alarms, job, marker.nonce, delivery.request_id)
        if adopted and delivery.failed:
            await self._told_failed(ref_of(job))
        crash_point("hook.adopted")

    async def _told_failed(self, ref: str) -> None:
        """Remember that fal calls it a failure; where its result was a clip already, say that they differ."""
        job = await self._jobs.get(ref)
        if job is not None and job.status is Status.SUCCEEDED:
            await ring_differs(self._alarms, job)
        elif job is not None:
            await self._jobs.note(job, (Status.RUNNING, Status.FINALIZING), told_failed=1)


async def ring_differs(alarms: AlarmStore, job: Job) -> None:
    """Fal's webhook said failed, and its result is a clip: the clip counts, and somebody should know, once."""
    if any(one.kind == "webhook_differs" and one.job == job.id for one in await alarms.newest(REMEMBERED)):
        return
    sentence = "fal's webhook called the request a failure, and its result is a clip; the clip counts."
    log.warning("job.webhook_differs", job=job.id, upstream_request_id=job.upstream_request_id)
    await alarms.ring("webhook_differs", sentence, job=job.id, upstream_request_id=job.upstream_request_id or "")


async def adopt(jobs: JobStore, fal: FalClient, alarms: AlarmStore, job: Job, nonce: str, request_id: str) -> bool:
    """Fal has this request for this attempt of the job: make it the job's, or end it if the job has another.

    1. it is the job's already: a running job is looked at now, an ended one stays as it is
    2. in line: it was bought after all; adopt it, so that it is not bought again
    3. being submitted: adopt it where the attempt is the same; held: adopt it in any case, because it is paid, and
       a restored store may have forgotten the attempt that fal tells of
    4. somebody was faster: look at the job again
    5. otherwise it is nobody's

    True when the job has the request now.
    """
    for _ in range(TRIES):
        done = False
        if job.upstream_request_id == request_id:
            await jobs.note(job, (Status.RUNNING,), due_step="poll", delay_ms=0)
            return True
        if job.status is Status.QUEUED:
            done = await jobs.adopt_forgotten(job, nonce=nonce, upstream_request_id=request_id)
        elif job.status is Status.HELD or (job.status is Status.SUBMITTING and job.nonce == nonce):
            done = await jobs.adopt(job, nonce=job.nonce or nonce, upstream_request_id=request_id, poll_ms=0)
        else:
            break
        if done:
            log.info("job.adopted", job=job.id, upstream_request_id=request_id, was=job.status.value)
            await ring_if_shared(jobs, alarms, job, request_id)
            return True
        now = await jobs.get(ref_of(job))
        if now is None:
            break
        job = now
    await orphan(fal, alarms, job, request_id)
    return False


async def ring_if_shared(jobs: JobStore, alarms: AlarmStore, job: Job, request_id: str) -> None:
    """Two jobs with one request of fal's: one of them shows the other's clip, and both are charged for it."""
    other = await jobs.takes_request(job, request_id)
    if other is None:
        return
    name = split_ref(other)[1]
    log.error("job.shared_request", job=job.id, other=name, upstream_request_id=request_id)
    sentence = f"fal gave the job the request that {name} has already; both go on, and show one and the same clip."
    await alarms.ring("shared_request", sentence, job=job.id, upstream_request_id=request_id)


async def orphan(fal: FalClient, alarms: AlarmStore, job: Job, request_id: str) -> None:
    """A request at fal that no job has: say so loudly, and ask fal to cancel it, which may come too late.

    Once for each request: fal also tells of its end, and may tell of it twice.
    """
    if request_id in {alarm.upstream_request_id for alarm in await alarms.newest(REMEMBERED)}:
        return
    sentence = "fal has a request that is not this job's; it is asked to cancel it, and may charge it all the same."
    await alarms.ring("orphan", sentence, job=job.id, upstream_request_id=request_id)
    cancelled = await fal.cancel(job.model, request_id)
    log.error("job.orphan", job=job.id, upstream_request_id=request_id, cancel_sent=cancelled)
