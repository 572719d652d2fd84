"""What a job went through: the times of its states, and its attempts at fal.

The record has a time for each state that every job passes. What those do not tell is in `turns`, which few jobs
have: attempts after which the job was in line again, or held (`lua/lib/history.lua`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from app.domain.jobs import Job, Status

Outcome = Literal["sending", "accepted", "refused", "unknown"]
AFTER = {  # how an attempt ended, by the state that followed it
    Status.RUNNING: "accepted",
    Status.QUEUED: "refused",
    Status.FAILED: "refused",
    Status.CANCELED: "refused",
    Status.HELD: "unknown",
}


@dataclass(frozen=True, slots=True)
class Turn:
    """A state since this time (Unix ms), until the next one; why it is in line again, or held, in a word."""

    status: Status
    at_ms: int
    until_ms: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class SubmitAttempt:
    """One submission to fal: when it was claimed, how it ended and when; why it was refused or is unknown."""

    number: int
    at_ms: int
    outcome: Outcome
    ended_ms: int | None
    reason: str | None


def turns_of(job: Job) -> list[Turn]:
    """The states of a job in order; of very many attempts only the newest."""
    turns = [Turn(Status.QUEUED, job.created_ms), *_noted(job.turns)]
    last_claim = max((turn.at_ms for turn in turns if turn.status is Status.SUBMITTING), default=0)
    if job.status is not Status.QUEUED:
        if job.claimed_ms is not None and job.claimed_ms > last_claim:
            turns.append(Turn(Status.SUBMITTING, job.claimed_ms))
        times = {Status.RUNNING: job.submitted_ms, Status.FINALIZING: job.upstream_done_ms}
        turns += [Turn(status, at_ms) for status, at_ms in times.items() if at_ms is not None]
        if job.status.ended:
            turns.append(Turn(job.status, job.completed_ms or turns[-1].at_ms))
        elif turns[-1].status is not job.status:  # held by an older version, which noted nothing
            turns.append(Turn(job.status, turns[-1].at_ms, None, job.held_reason))
    until = [turn.at_ms for turn in turns[1:]]
    ends = zip(turns, [*until, None], strict=True)
    return [Turn(turn.status, turn.at_ms, until_ms, turn.reason) for turn, until_ms in ends]


def _noted(turns: str) -> Iterator[Turn]:
    """The turns in a record: `submitting=1795… held=1795…/reason`."""
    for word in turns.split():
        status, _, rest = word.partition("=")
        at_ms, _, reason = rest.partition("/")
        yield Turn(Status(status), int(at_ms), None, reason or None)


def attempts_of(job: Job, turns: Sequence[Turn]) -> list[SubmitAttempt]:
    """The attempts in these turns, numbered by the job's count of attempts."""
    found = list(_attempts(job, turns))
    first = max(1, job.attempt - len(found) + 1)
    return [
        SubmitAttempt(number, at_ms, outcome, ended_ms, reason)
        for number, (at_ms, outcome, ended_ms, reason) in enumerate(found, first)
    ]


def _attempts(job: Job, turns: Sequence[Turn]) -> Iterator[tuple[int, Outcome, int | None, str | None]]:
    refusal = None if job.error is None else job.error.code
    following = [*turns[1:], None, None]
    for number, turn in enumerate(turns):
        ended = following[number]
        if turn.status is Status.SUBMITTING and ended is None:
            yield turn.at_ms, "sending", None, None
        elif turn.status is Status.SUBMITTING and ended is not None:
            reason = ended.reason or (refusal if ended.status is Status.FAILED else None)
            outcome: Outcome = AFTER.get(ended.status, "unknown")  # type: ignore[assignment]
            decided = following[number + 1]
            if (
                ended.status is Status.HELD
                and decided is not None
                and decided.status in {Status.RUNNING, Status.QUEUED}
            ):
                ended, outcome = decided, AFTER[decided.status]  # type: ignore[assignment]
                reason = decided.reason or reason
            yield turn.at_ms, outcome, ended.at_ms, reason
        elif turn.status is Status.QUEUED and ended is not None and ended.status is Status.RUNNING:
            yield ended.at_ms, "accepted", ended.at_ms, None  # an attempt that fal had taken after all
