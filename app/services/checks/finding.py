"""What a check has found: something that an alarm has to say."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault that holds now: the alarm's kind, its sentence, and how bad it is.

    `about` distinguishes several of one kind. The sentence must stay the same while nothing changes.
    """

    kind: str
    message: str
    about: str = ""
    job: str = ""
    level: int = 0


class Check(Protocol):
    """Looks at one part. `kinds` are the alarms that it alone decides; it is run every `every_s` seconds."""

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of its findings: an active alarm of these that is not found is over."""

    @property
    def every_s(self) -> float:
        """How often it is run, in seconds."""

    async def findings(self) -> list[Finding]:
        """All faults that hold now; StoreUnavailable when the store does not answer."""
