"""fal's webhooks: a verified one makes its job due for a poll, whose answer decides.

It may also resolve a submission whose outcome is unknown: a valid marker is enough to adopt the request.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from app.crash import crash_point
from app.domain.errors import NotFound, Unauthenticated, Unavailable
from app.domain.jobs import Status
from app.domain.marker import Marker, is_ours
from app.fal.signature import MIN_INTERVAL_S, KeysUnavailable, NotGenuine, Verifier
from app.services.adoption import Adoption
from app.store.jobs import JobStore
from app.store.secrets import SecretStore
from app.telemetry import note

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class FalWebhooks:
    """Receives fal's webhooks."""

    jobs: JobStore
    adoption: Adoption
    verifier: Verifier
    secrets: SecretStore

    async def receive(self, marker: Marker, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        """Handle one delivery. Its body decides nothing about the job: a poll does, and a difference is an alarm.

        1. verify the marker in the path
        2. verify fal's signature; while fal's keys are unavailable, 503 makes fal send it again
        3. adopt the request, or make its job due for a poll, or cancel it as an orphan

        Raises:
            NotFound: the marker is not ours, or its job is gone.
            Unauthenticated: the signature is not fal's, or too old.
            Unavailable: fal's keys cannot be fetched.
        """
        if not is_ours(await self.secrets.of_markers(), marker):
            raise NotFound("There is nothing here.")
        try:
            delivery = await self.verifier.verify(headers, body, now_s=time.time())
        except KeysUnavailable:
            log.warning("fal_webhook.keys_unavailable", job=marker.job)
            raise Unavailable("fal's keys cannot be had at the moment.", retry_after=int(MIN_INTERVAL_S)) from None
        except NotGenuine as error:
            log.warning("fal_webhook.refused", job=marker.job, reason=error.reason)
            raise Unauthenticated("The signature is not fal's, or it is too old.") from None
        crash_point("hook.verified")
        job = await self.jobs.find(marker.job)
        if job is None:
            raise NotFound("There is nothing here.")
        request_id = delivery.request_id
        names = {**job.names, "upstream_request_id": request_id}
        note(job=job.id, upstream_request_id=request_id)
        log.info("fal_webhook.received", **names, status=job.status.value)
        adopted = await self.adoption.adopt(job, marker.nonce, request_id)
        if adopted and delivery.failed:
            await self._note_failure(job.ref)
        crash_point("hook.adopted")

    async def _note_failure(self, ref: str) -> None:
        """Record that fal reported a failure; raise an alarm if the job has already succeeded."""
        job = await self.jobs.get(ref)
        if job is None or await self.jobs.update(job, (Status.RUNNING, Status.FINALIZING), told_failed=1):
            return  # the script that ends the job sees it
        job = await self.jobs.get(ref)
        if job is not None and job.status is Status.SUCCEEDED:
            await self.adoption.alarm_webhook_differs(job)
