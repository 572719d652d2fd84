"""Messages about alarms to the operators' receiver: what they say, and when one is due.

An alarm is told once when it is raised, again while it is active, and at its end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from app.domain.alarms import Alarm, severity_of

AlertEvent: TypeAlias = Literal["alarm.raised", "alarm.repeated", "alarm.resolved", "alarm.test"]
AlertForm: TypeAlias = Literal["standard", "slack"]

HOUR_MS = 3_600_000
REPEAT_MS = {"page": HOUR_MS, "ticket": 24 * HOUR_MS, "note": 24 * HOUR_MS}
WORSE_MS = 300_000  # an alarm that has become worse is told again, but not more often
ATTEMPT_S = 8.0
FIRST_BACKOFF_MS = 1_000
MAX_BACKOFF_MS = 60_000
MAX_RETRY_AFTER_MS = HOUR_MS
REFUSALS = frozenset({400, 413, 422})  # of this message, not of the receiver as a whole
REFUSED_TIMES = 5  # in a row; then the message is given up


@dataclass(frozen=True, slots=True)
class ActiveAlarm:
    """An active alarm and what was told of it: how often, when (ms), and how bad it was then."""

    id: str
    alarm: Alarm
    level: int
    sent: int = 0
    sent_ms: int = 0
    sent_level: int = 0


@dataclass(frozen=True, slots=True)
class AlertMessage:
    """One message. Its id is the same in each attempt, so that a receiver can tell a repeated attempt.

    `raised_ms` is when the alarm was raised; the alarm's own time is that of the event. `sent` counts the messages
    before this one.
    """

    id: str
    event: AlertEvent
    alarm: Alarm
    raised_ms: int
    sent: int = 0


@dataclass(frozen=True, slots=True)
class Receiver:
    """How the receiver answers: failures in a row, since when (ms), the last one, and when it is tried again.

    `refused` counts how often in a row it has refused the message with this id for its content.
    """

    failures: int = 0
    since_ms: int | None = None
    error: str | None = None
    next_ms: int = 0
    message: str = ""
    refused: int = 0


def after_failure(
    before: Receiver, message_id: str, *, now_ms: int, status: int | None, error: str, retry_after_s: int | None
) -> Receiver:
    """The receiver after one more failure, with this status (None: no answer)."""
    earlier = before.refused if before.message == message_id else 0
    return Receiver(
        failures=before.failures + 1,
        since_ms=before.since_ms or now_ms,
        error=error,
        next_ms=now_ms + backoff_ms(before.failures + 1, retry_after_s),
        message=message_id,
        refused=earlier + 1 if status in REFUSALS else 0,
    )


def due_messages(active: Sequence[ActiveAlarm], now_ms: int) -> list[tuple[ActiveAlarm, AlertMessage]]:
    """What is to be told about active alarms now, the oldest alarm first."""
    return [(one, _message(one)) for one in sorted(active, key=_raised_ms) if _is_due(one, now_ms)]


def _raised_ms(one: ActiveAlarm) -> int:
    return one.alarm.at_ms


def _is_due(one: ActiveAlarm, now_ms: int) -> bool:
    if one.sent == 0:
        return True
    pause_ms = WORSE_MS if one.level > one.sent_level else REPEAT_MS[severity_of(one.alarm.kind)]
    return now_ms - one.sent_ms >= pause_ms


def _message(one: ActiveAlarm) -> AlertMessage:
    event: AlertEvent = "alarm.repeated" if one.sent else "alarm.raised"
    return AlertMessage(f"alarm_{one.id}.{one.sent}", event, one.alarm, one.alarm.at_ms, one.sent)


def backoff_ms(failures: int, retry_after_s: int | None) -> int:
    """How long the receiver is left alone after this many failures in a row."""
    doubled = min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS << min(failures - 1, 10))
    return max(doubled, min((retry_after_s or 0) * 1000, MAX_RETRY_AFTER_MS))
