"""The marker of one submission attempt: fal stores it with the request, so that its history shows the outcome.

It is `job.nonce.mac`; the mac is HMAC-SHA256 over job and nonce with the installation's secret, cut to 128 bits. A
valid marker proves that the request was sent by us, for this job and this attempt.
"""

import hmac
import re
from dataclasses import dataclass

from app.domain.ids import mac

JOB = re.compile(r"job_[0-9a-f]{32}")
NONCE = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Marker:
    """One attempt of one job."""

    job: str
    nonce: str
    mac: str

    def __str__(self) -> str:
        return f"{self.job}.{self.nonce}.{self.mac}"


def make_marker(secret: str, job: str, nonce: str) -> Marker:
    """The marker of this attempt."""
    return Marker(job, nonce, mac(secret, job, nonce))


def is_ours(secret: str, marker: Marker) -> bool:
    """True when this installation made the marker; compared in constant time."""
    if not JOB.fullmatch(marker.job) or not NONCE.fullmatch(marker.nonce) or not marker.mac.isascii():
        return False
    return hmac.compare_digest(mac(secret, marker.job, marker.nonce), marker.mac)


def read_marker(secret: str, text: str) -> Marker | None:
    """The marker in `text`, or None when this installation did not make it."""
    parts = text.split(".")
    if len(parts) != 3:  # noqa: PLR2004  job, nonce, mac
        return None
    marker = Marker(*parts)
    return marker if is_ours(secret, marker) else None
