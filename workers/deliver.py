"""The step that tells: one signed attempt for each due delivery."""

import json
import random
from datetime import UTC, datetime

import structlog

from app.crash import crash_point
from app.domain.ids import split_ref
from app.domain.views import event_view
from app.gateway import Gateway
from app.store.webhooks import Delivery, DeliveryAttempt
from app.webhooks.sender import Attempt, next_delay
from workers.runtime import Runtime

SENDS_AT_ONCE = 10
HIDDEN_MS = 20_000  # longer than the 15 s an attempt may take

log = structlog.get_logger()


async def deliver_all(runtime: Runtime, refs: list[str]) -> None:
    """Deliver what one task names, a few at a time."""
    await runtime.each(deliver, refs, at_once=SENDS_AT_ONCE, alone="deliver")


async def deliver(gateway: Gateway, ref: str) -> None:
    """Make one attempt.

    1. take it up for as long as an attempt may take, unless another task has it or it is not due; read it
    2. render the event as it was, sign it with the team's secret, send it through the address guard
    3. write the attempt down: delivered, given up, or due again by the schedule
    """
    async with gateway.dispatch.in_hand("deliver", ref, hidden_ms=HIDDEN_MS) as now_ms:
        if now_ms:
            await _deliver(gateway, ref, now_ms)


async def _deliver(gateway: Gateway, ref: str, now_ms: int) -> None:
    delivery = await gateway.webhook_store.get(ref)
    team = await gateway.accounts.team(split_ref(ref)[0])
    if delivery is None or delivery.status != "due" or team is None:
        await gateway.dispatch.drop_due("deliver", [ref])
        return
    body = message_body(delivery, base_url=gateway.settings.base_url)
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    attempt = await gateway.sender.send(
        delivery.url, message_id=delivery.id, body=body, secrets=[team.webhook_secret], now=now
    )
    crash_point("deliver.sent")
    await _record(gateway, ref, delivery, attempt, now_ms)


def message_body(delivery: Delivery, *, base_url: str) -> bytes:
    """The message: the same bytes in every attempt."""
    view = event_view(delivery.event, base_url=base_url)
    return json.dumps(view, ensure_ascii=False, separators=(",", ":")).encode()


async def _record(gateway: Gateway, ref: str, delivery: Delivery, attempt: Attempt, now_ms: int) -> None:
    made = DeliveryAttempt(
        at_ms=now_ms,
        status=attempt.status,
        duration_ms=attempt.duration_ms,
        outcome=attempt.outcome,
        error=attempt.error,
        answer=attempt.answer,
    )
    delay_s = next_delay(len(delivery.attempts) + 1, attempt.retry_after, random.uniform(-1, 1))  # noqa: S311  jitter
    if attempt.outcome == "delivered":
        await gateway.webhook_store.record_attempt(ref, made, status="delivered")
    elif attempt.outcome == "gone" or delay_s is None:
        crash_point("deliver.last")
        await gateway.webhook_store.record_attempt(ref, made, status="dead")
    else:
        await gateway.webhook_store.record_attempt(ref, made, status="due", delay_ms=delay_s * 1000)
    log.info(
        "webhook.attempt",
        delivery=delivery.id,
        job=delivery.event.job.id,
        outcome=attempt.outcome,
        status=attempt.status,
        error=attempt.error,
        attempt=len(delivery.attempts) + 1,
    )
