"""Alarms: what an administrator must know."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm: a stable word, a sentence, the job if it is about one, fal's request if it names one."""

    at_ms: int
    kind: str
    message: str
    job: str
    upstream_request_id: str
