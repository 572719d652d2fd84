"""May we buy now? The breaker on submissions, the number of slots, and administrators' pauses."""

from dataclasses import dataclass
from typing import Literal

ALL_TEAMS = "all"
EPOCH = "epoch"  # the pause while the store has gone back in time
HELD_SENTENCE = (
    "More than half of the slots at fal hold jobs whose outcome is unknown; they must be resolved first."
)
SILENT_MS = 10_000  # a lane that was killed is replaced within three seconds
SILENT_SENTENCE = "No worker has been seen at work for a while; nothing is bought until workers are back."
SubmitOutcome = Literal["accepted", "rejected", "busy", "account", "failed", "unknown"]


def breaker_sentence(reason: str, *, waits_for_person: bool) -> str:
    """What the alarm of an open breaker says."""
    until = "until an administrator resumes" if waits_for_person else "and tried again every 30 s"
    return f"Buying is stopped, {until}: {reason}"


@dataclass(frozen=True, slots=True)
class Buying:
    """The state of buying: breaker, slots, pauses.

    Attributes:
        breaker: the reason while the breaker is open, as a sentence.
        until_ms: when an open breaker tries again; None where a person has to act.
        half_open: one submission tries whether fal works again.
        failures: in a row; `last_failure` is the sentence of the newest.
        slots: how many there may be now; `used` of them are occupied, `held` by jobs whose outcome is unknown.
        configured: the lowest number that a host was given; `hosts` has each one's.
        silent_ms: since a lane last ran; None where none ever did.
        bought_ms: when fal last accepted a submission, or refused one for its content; None where it never did.
        pauses: administrators' reasons by team, `all` for everybody.
    """

    breaker: str | None
    until_ms: int | None
    half_open: bool
    failures: int
    last_failure: str | None
    slots: int
    configured: int
    hosts: dict[str, int]
    silent_ms: int | None
    bought_ms: int | None
    used: int
    held: int
    pauses: dict[str, str]

    @property
    def silent(self) -> bool:
        """True when lanes have run, and none has for longer than SILENT_MS."""
        return self.silent_ms is not None and self.silent_ms > SILENT_MS

    @property
    def stopped(self) -> str | None:
        """The reason while the breaker or held jobs stop buying for every team; None otherwise."""
        return self.breaker or (HELD_SENTENCE if self.held * 2 > self.slots else None)

    def reason_for(self, team: str) -> str | None:
        """The reason why nothing is bought for this team now, or None."""
        paused = self.stopped or self.pauses.get(EPOCH) or self.pauses.get(ALL_TEAMS) or self.pauses.get(team)
        return paused or (SILENT_SENTENCE if self.silent else None)
