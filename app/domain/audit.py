"""The audit log: who did what, each line chained to the previous one by its hash."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One line. `hash` is SHA-256 over the hash of the previous line, a line feed, and `text`, the line as JSON."""

    id: str
    number: int
    hash: str
    text: str

    @property
    def entry(self) -> dict[str, Any]:
        """`{number, at_ms, actor, action, target, details}`."""
        read: dict[str, Any] = json.loads(self.text)
        return read


def chain(previous: str, text: str) -> str:
    """The hash of a line."""
    return hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()
