"""fal's webhooks: a verified one is a hint that something happened to a job; a poll tells the truth.

It may also tell of a submission whose outcome we do not know: a valid marker adopts it.
"""

import time
from collections.abc import Iterable

import structlog

from app.crash import crash_point
from app.domain.errors import NotFound, Unauthenticated, Unavailable
from app.domain.jobs import Status
from app.domain.marker import Marker, is_ours
from app.fal.signature import AGAIN_S, KeysUnavailable, NotGenuine, Verifier
from app.services.adoption import Adoption
from app.store.jobs import JobStore, ref_of
from app.store.secrets import SecretStore

log = structlog.get_logger()


class FalWebhooks:
    """Takes fal's webhooks."""

    def __init__(self, *, jobs: JobStore, adoption: Adoption, verifier: Verifier, secrets: SecretStore) -> None:
        self._jobs = jobs
        self._adoption = adoption
        self._verifier = verifier
        self._secrets = secrets

    async def receive(self, marker: Marker, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        """Act on one delivery; what is not fal's, or not about this attempt, changes nothing.

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
        adopted = await self._adoption.adopt(job, marker.nonce, delivery.request_id)
        if adopted and delivery.failed:
            await self._note_failure(ref_of(job))
        crash_point("hook.adopted")

    async def _note_failure(self, ref: str) -> None:
        """Remember that fal calls it a failure; where its result was a clip already, say that they differ."""
        job = await self._jobs.get(ref)
        if job is not None and job.status is Status.SUCCEEDED:
            await self._adoption.alarm_webhook_differs(job)
        elif job is not None:
            await self._jobs.update(job, (Status.RUNNING, Status.FINALIZING), told_failed=1)
