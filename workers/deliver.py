"""The step `deliver`: one signed attempt for each due delivery, many destinations at a time."""

import asyncio
import random
import time
from datetime import UTC, datetime
from functools import partial

import structlog

from app import tracing
from app.crash import crash_point
from app.domain.deliveries import (
    ATTEMPT_LEASE_MS,
    MAX_IN_FLIGHT_PER_PROCESS,
    Delivery,
    DeliveryAttempt,
    DeliveryStatus,
    RecordedAttempt,
    next_delay,
    verdict,
    why_disabled,
)
from app.domain.events import Event
from app.domain.ids import split_ref
from app.domain.jobs import Job
from app.domain.traces import new_span
from app.gateway import Gateway
from app.metrics.table import ATTEMPTS, DELIVERY
from app.store.due import ENQUEUED_HIDDEN_MS
from app.tasks import cancel_and_wait
from app.views.message import message_body
from app.webhooks.sender import Attempt
from app.webhooks.signing import signature_headers
from workers.runtime import Runtime

TAKE_EVERY_S = 0.1  # how often a round takes due deliveries while attempts are in flight
TAKE_ALL_S = 25.0  # a round takes all deliveries until then, and later only those of quick destinations
ROUND_S = 50.0  # attempts in flight are then cancelled, and become due again

log = structlog.get_logger()


async def deliver_all(runtime: Runtime) -> None:
    """One round of deliveries.

    1. take due deliveries, a few of each destination and a share of each team, and start them: a hanging
       destination delays only its own deliveries
    2. while attempts are in flight, take more; after 25 s only for quick destinations
    3. end with the last attempt; the lane enqueues the next round
    """
    await Round(runtime).run()


class Round:
    """The attempts of one task."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._gateway = runtime.gateway
        self._in_flight: dict[str, asyncio.Task[None]] = {}
        self._alone = asyncio.Lock()
        self._began = time.monotonic()

    async def run(self) -> None:
        """Run until nothing is due or in flight; a stopping process starts no attempt."""
        try:
            while not self._runtime.stopping and self._left_s > 0:
                found = await self._start_due()
                if not self._in_flight:
                    return
                if not found or len(self._in_flight) >= MAX_IN_FLIGHT_PER_PROCESS:
                    await asyncio.wait(
                        self._in_flight.values(), timeout=TAKE_EVERY_S, return_when=asyncio.FIRST_COMPLETED
                    )
        finally:
            if self._in_flight:
                await asyncio.wait(self._in_flight.values(), timeout=max(0.0, self._left_s))
            await cancel_and_wait(*self._in_flight.values())

    @property
    def _left_s(self) -> float:
        return self._began + ROUND_S - time.monotonic()

    async def _start_due(self) -> int:
        """Start due attempts; their number. Those that were leased when a worker crashed run one at a time."""
        room = MAX_IN_FLIGHT_PER_PROCESS - len(self._in_flight)
        if room == 0:
            return 0
        found = await self._gateway.stores.deliveries.take(
            limit=room,
            handed_ms=ENQUEUED_HIDDEN_MS,
            hidden_ms=ATTEMPT_LEASE_MS,
            quick=self._left_s < ROUND_S - TAKE_ALL_S,
            busy=[split_ref(ref)[0] for ref in self._in_flight],
        )
        leased = await self._gateway.stores.quarantine.leased("deliver", [ref for ref, _ in found])
        for ref, destination in found:
            if ref not in self._in_flight:
                attempt = asyncio.create_task(self._one(ref, destination, alone=ref in leased))
                self._in_flight[ref] = attempt
                attempt.add_done_callback(partial(self._done, ref))
        return len(found)

    def _done(self, ref: str, _: asyncio.Task[None]) -> None:
        del self._in_flight[ref]

    async def _one(self, ref: str, destination: str, *, alone: bool) -> None:
        step = partial(deliver, destination=destination)
        if not alone:
            await self._runtime.attempt(step, ref)
            return
        async with self._alone:
            if not self._runtime.stopping:
                await self._runtime.attempt(step, ref)


async def deliver(gateway: Gateway, ref: str, *, destination: str | None = None) -> None:
    """Make one attempt; `destination` is read from the delivery's record where it is not given.

    1. lease the delivery, unless another task has it or it is not due; read it
    2. do nothing while its endpoint is paused or disabled; drop a delivery that is gone
    3. render and sign the event, in our form or in fal's; send it through the address guard
    4. record the attempt: delivered, dead, or due again; disable the endpoint after too many failures
    5. after a webhook in fal's form, note that the caller knows the job's id
    """
    destination = destination or await gateway.stores.deliveries.destination(ref)
    if destination is None:
        return
    lease = gateway.stores.quarantine.lease("deliver", ref, hidden_ms=ATTEMPT_LEASE_MS, destination=destination)
    async with lease as now_ms:
        if now_ms:
            await _deliver(gateway, ref, destination, now_ms)


async def _deliver(gateway: Gateway, ref: str, destination: str, now_ms: int) -> None:
    delivery = await gateway.stores.deliveries.get(ref)
    team = await gateway.accounts.team(split_ref(ref)[0])
    if delivery is None or delivery.status != "due" or team is None:
        await gateway.stores.deliveries.drop(ref, destination)
        return
    endpoint = await gateway.endpoints.by_destination(destination) if delivery.endpoint is not None else None
    if delivery.endpoint is not None and (endpoint is None or endpoint.status != "active"):
        return  # it has just changed: the next take handles its deliveries
    body = message_body(delivery, base_url=gateway.settings.base_url)
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    by_key = delivery.style == "fal" or (endpoint is not None and endpoint.asymmetric)
    signature = signature_headers(
        delivery,
        body,
        now,
        secrets=team.secrets if endpoint is None else endpoint.secrets,
        key=await gateway.stores.secrets.of_webhooks() if by_key else None,
    )
    url = delivery.url if endpoint is None else endpoint.url
    job = delivery.event.job if isinstance(delivery.event, Event) else None
    began_ns, span = time.time_ns(), new_span()
    attempt = await gateway.sender.send(
        url,
        body=body,
        signature=signature,
        now=now,
        traceparent=None if job is None else job.traceparent(span),
    )
    crash_point("deliver.sent")
    if job is not None:
        _record_span(job, delivery, attempt, began_ns=began_ns, span=span)
    recorded = await _record(gateway, ref, delivery, attempt, now_ms, url=url)
    if attempt.outcome == "delivered" and delivery.style == "fal" and isinstance(delivery.event, Event):
        await gateway.fal_compat.release_dedup(delivery.event.job)
    if endpoint is not None and recorded.failures:
        await _disable_if_due(gateway, destination, attempt, recorded)


def _record_span(job: Job, delivery: Delivery, attempt: Attempt, *, began_ns: int, span: str) -> None:
    tracing.record_step(
        job,
        "deliver",
        began_ns=began_ns,
        span=span,
        kind="CLIENT",
        error=None if attempt.outcome == "delivered" else attempt.error or attempt.outcome,
        attributes={
            "filmgate.delivery": delivery.id,
            "filmgate.endpoint": delivery.endpoint,
            "filmgate.event": delivery.event.type,
            "filmgate.attempt": len(delivery.attempts) + 1,
            "http.response.status_code": attempt.status,
        },
    )


async def _record(
    gateway: Gateway, ref: str, delivery: Delivery, attempt: Attempt, now_ms: int, *, url: str
) -> RecordedAttempt:
    made = DeliveryAttempt(
        at_ms=now_ms,
        status=attempt.status,
        duration_ms=attempt.duration_ms,
        outcome=attempt.outcome,
        error=attempt.error,
        answer=attempt.answer,
        url=url,
    )
    health = verdict(
        is_endpoint=delivery.endpoint is not None,
        outcome=attempt.outcome,
        status=attempt.status,
        duration_ms=attempt.duration_ms,
    )
    delay_s = next_delay(len(delivery.attempts) + 1, attempt.retry_after, random.uniform(-1, 1))  # noqa: S311  jitter
    status: DeliveryStatus = "due"
    if attempt.outcome == "delivered":
        status = "delivered"
    elif attempt.outcome == "gone" or delay_s is None:
        crash_point("deliver.last")
        status = "dead"
    delay_ms = (delay_s or 0) * 1000
    recorded = await gateway.stores.deliveries.record_attempt(
        ref, made, status=status, health=health, delay_ms=delay_ms
    )
    ATTEMPTS.add(attempt.outcome)
    if status == "delivered" and not any(earlier.outcome == "delivered" for earlier in delivery.attempts):
        DELIVERY.observe((now_ms + attempt.duration_ms - delivery.event.at_ms) / 1000)
    job = delivery.event.job if isinstance(delivery.event, Event) else None
    log.info(
        "webhook.attempt",
        **({"team": split_ref(ref)[0]} if job is None else job.names),
        delivery=delivery.id,
        type=delivery.event.type,
        endpoint=delivery.endpoint,
        outcome=attempt.outcome,
        status=attempt.status,
        error=attempt.error,
        attempt=len(delivery.attempts) + 1,
    )
    return recorded


async def _disable_if_due(gateway: Gateway, destination: str, attempt: Attempt, recorded: RecordedAttempt) -> None:
    """Disable the endpoint when it has failed too often."""
    reason = why_disabled(
        status=attempt.status,
        failures=recorded.failures,
        since_ms=recorded.since_ms,
        now_ms=recorded.now_ms,
    )
    if reason is not None and await gateway.endpoints.disable(destination, reason):
        log.warning("webhook.endpoint_disabled", endpoint=destination, reason=reason)
