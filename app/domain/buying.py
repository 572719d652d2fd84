"""May we buy now? The breaker on submissions, the number of slots, and administrators' pauses."""

from dataclasses import dataclass
from typing import Literal

ALL = "all"
EPOCH = "epoch"  # a pause of its own: the store has gone back in time
HELD_SENTENCE = (
    "More than half of the slots at fal hold jobs whose outcome is unknown; they must be resolved first."
)
SILENT_MS = 10_000  # a lane that was killed is followed by another within three seconds
SILENT_SENTENCE = "No worker has been seen at work for a while; nothing is bought until workers are back."
SubmitOutcome = Literal["accepted", "rejected", "busy", "account", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Buying:
    """Whether buying goes on.

    `breaker` is its sentence while it is open, `until_ms` when it tries again by itself, None where a person has to
    act; `trying` that it is half open; `last_failure` the sentence of the last of its `failures` in a row. `slots`
    is how many there may be now, `used` how many are taken, `held` how many of those by jobs whose outcome is
    unknown; `pauses` are administrators' sentences by team, `all` for everybody.
    """

    breaker: str | None
    until_ms: int | None
    trying: bool
    failures: int
    last_failure: str | None
    slots: int
    configured: int
    hosts: dict[str, int]
    silent_ms: int | None
    used: int
    held: int
    pauses: dict[str, str]

    @property
    def silent(self) -> bool:
        """True when workers have been at work, and no lane of theirs has been seen for a while."""
        return self.silent_ms is not None and self.silent_ms > SILENT_MS

    @property
    def stopped(self) -> str | None:
        """A sentence while nothing is bought for anybody, whatever administrators say."""
        return self.breaker or (HELD_SENTENCE if self.held * 2 > self.slots else None)

    def reason_for(self, team: str) -> str | None:
        """Why nothing is bought for this team just now, or None."""
        paused = self.stopped or self.pauses.get(EPOCH) or self.pauses.get(ALL) or self.pauses.get(team)
        return paused or (SILENT_SENTENCE if self.silent else None)
