"""Alarms for administrators."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm: a stable word, a sentence, and the job and the request of fal's that it is about, or ""."""

    at_ms: int
    kind: str
    message: str
    job: str
    upstream_request_id: str
