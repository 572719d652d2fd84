"""Sends alarms to the operators' receiver: one process for all hosts, each message until it is accepted."""

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import structlog

from app.domain.alarms import Alarm
from app.domain.alerts import (
    ATTEMPT_S,
    REFUSED_TIMES,
    AlertForm,
    AlertMessage,
    Receiver,
    after_failure,
    due_messages,
)
from app.domain.errors import Conflict, StoreUnavailable
from app.egress import EgressPolicy
from app.store.alerts import AlertStore
from app.store.clock import StoreClock
from app.store.leases import LeaseStore
from app.webhooks.alerts import alert_body
from app.webhooks.sender import Attempt, Sender
from app.webhooks.signing import headers

LEASE, LEASE_MS = "alerts", 20_000  # two thirds of it, which are left at least, are longer than one attempt takes
SAY_WANTED_S = 600.0
ANSWER_SHOWN = 200  # characters of the receiver's answer: a reason, and not a page of another service

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class AlertReceiver:
    """Where alarms are sent: the URL, which may be a secret itself, the secret that signs, the form of the body."""

    url: str
    secret: str | None
    form: AlertForm
    gateway: str
    policy: EgressPolicy


@dataclass(frozen=True, slots=True)
class AlertStatus:
    """For administrators: whether a process sends alarms, how many messages wait, and how the receiver answers."""

    sent: bool
    waiting: int
    receiver: Receiver


@dataclass(frozen=True, slots=True)
class AlertTest:
    """How the receiver answered a test message; `status` is None without an answer, `answer` is its beginning."""

    delivered: bool
    status: int | None
    error: str | None
    duration_ms: int
    answer: str


class Alerts:
    """Sends what is due. `receiver` is None when the operator has named none: then nothing is sent."""

    def __init__(
        self,
        store: AlertStore,
        leases: LeaseStore,
        clock: StoreClock,
        *,
        receiver: AlertReceiver | None,
    ) -> None:
        self._store = store
        self._leases = leases
        self._clock = clock
        self._receiver = receiver
        self._sender: Sender | None = None  # made at the first message: most processes send none
        self._said_at = 0.0

    async def send_due(self) -> None:
        """Send what is due, if this process is the one that sends. To be called about every second.

        1. take or renew the lease
        2. wait while the receiver is left alone after a failure
        3. send, one after the other: messages of the outbox, then active alarms that were not told, have become
           worse, or are to be repeated
        4. after a failure leave the receiver alone for a while, longer each time
        """
        if self._receiver is None or not await self._leases.take(LEASE, ms=LEASE_MS):
            return
        if time.monotonic() - self._said_at > SAY_WANTED_S:
            await self._store.want()
            self._said_at = time.monotonic()
        receiver, now_ms = await self._store.receiver(), await self._clock.now_ms()
        if now_ms < receiver.next_ms:
            return
        for queued in await self._store.queued():
            if not await self._send(self._receiver, queued.message, partial(self._store.remove, queued)):
                return
        for active, message in due_messages(await self._store.active(), now_ms):
            if not await self._send(self._receiver, message, partial(self._store.note_sent, active)):
                return

    async def test(self) -> AlertTest:
        """Send one message of the type `alarm.test`, now; Conflict when no receiver is set."""
        if self._receiver is None:
            raise Conflict("FILMGATE_ALERT_WEBHOOK is not set, so alarms are sent nowhere.")
        now_ms = await self._clock.now_ms()
        alarm = Alarm(now_ms, "test", "This is a test: alarms of this gateway arrive here.")
        message = AlertMessage(f"alarm_test.{now_ms}", "alarm.test", alarm, now_ms)
        attempt = await self._attempt(self._receiver, message, now_ms)
        delivered = attempt.outcome == "delivered"
        error = None if delivered else _error(attempt)
        return AlertTest(delivered, attempt.status, error, attempt.duration_ms, attempt.answer[:ANSWER_SHOWN])

    async def status(self) -> AlertStatus:
        """Whether alarms are sent, and whether they arrive."""
        sent = await self._leases.has_holder(LEASE)
        return AlertStatus(sent, await self._store.waiting(), await self._store.receiver())

    async def close(self) -> None:
        """Let another process send, and close the connections."""
        if self._receiver is not None:
            with suppress(StoreUnavailable):
                await self._leases.leave(LEASE)
        if self._sender is not None:
            await self._sender.aclose()

    async def _send(
        self, receiver: AlertReceiver, message: AlertMessage, done: Callable[[], Awaitable[object]]
    ) -> bool:
        """Send it and note the outcome; False when the receiver is left alone now, or another process sends."""
        attempt = await self._attempt(receiver, message, await self._clock.now_ms())
        before = await self._store.receiver()
        if attempt.outcome != "delivered":
            await self._note_failure(message, attempt, before, done)
            return False
        await done()
        if before.failures:
            log.warning("alerts.receiver_back", failures=before.failures)
            await self._store.note(Receiver())
        return await self._leases.take(LEASE, ms=LEASE_MS)

    async def _note_failure(
        self, message: AlertMessage, attempt: Attempt, before: Receiver, done: Callable[[], Awaitable[object]]
    ) -> None:
        """Leave the receiver alone for a while; give up a message that it has refused several times for itself."""
        error = _error(attempt)
        after = after_failure(
            before,
            message.id,
            now_ms=await self._clock.now_ms(),
            status=attempt.status,
            error=error,
            retry_after_s=attempt.retry_after,
        )
        if after.failures == 1:
            log.error("alerts.receiver_fails", error=error, remedy="`filmgate alerts test` shows its answer")
        if after.refused >= REFUSED_TIMES:
            shown = attempt.answer[:ANSWER_SHOWN]
            log.error("alerts.given_up", kind=message.alarm.kind, error=error, answer=shown)
            await done()
        await self._store.note(after)

    async def _attempt(self, receiver: AlertReceiver, message: AlertMessage, now_ms: int) -> Attempt:
        if self._sender is None:
            self._sender = Sender(receiver.policy, total_timeout=ATTEMPT_S)
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        body = alert_body(message, receiver.form, gateway=receiver.gateway, now_ms=now_ms)
        signature = {} if receiver.secret is None else headers([receiver.secret], message.id, now, body)
        return await self._sender.send(receiver.url, body=body, signature=signature, now=now)


def _error(attempt: Attempt) -> str:
    """What is wrong, in a word or two."""
    return attempt.error or f"status {attempt.status}"
