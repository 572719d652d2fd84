"""May we buy now? The breaker on submissions, the number of slots, and administrators' pauses."""

from dataclasses import dataclass
from typing import Literal

from app.store import keys
from app.store.audit import Command
from app.store.connection import Client, store_errors
from app.store.scripts import script

FAILURES = 5  # in a row, until the breaker opens
OPEN_MS = 30_000
QUIET_MS = 15_000  # without a 429, until one slot is added again
ALL = "all"
HELD_SENTENCE = (
    "More than half of the slots at fal hold jobs whose outcome is unknown; they must be resolved first."
)

Outcome = Literal["accepted", "busy", "account", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Buying:
    """Whether buying goes on.

    `stopped` is a sentence while nothing is bought; `until_ms` when the breaker tries again by itself, None where
    a person has to act; `pauses` are administrators' sentences by team, `all` for everybody.
    """

    stopped: str | None
    until_ms: int | None
    slots: int
    failures: int
    pauses: dict[str, str]

    def reason_for(self, team: str) -> str | None:
        """Why nothing is bought for this team just now, or None."""
        return self.stopped or self.pauses.get(ALL) or self.pauses.get(team)


class BuyingStore:
    """Reads and reports what decides about buying; `lua/grant.lua` obeys it."""

    def __init__(self, redis: Client, *, concurrency: int) -> None:
        self._redis = redis
        self._concurrency = concurrency

    async def report(self, outcome: Outcome, reason: str = "") -> Literal["opened", "closed", ""]:
        """What came of a submission; whether the breaker opened or closed by it."""
        with store_errors():
            changed: Literal["opened", "closed", ""] = await script("report").run(
                self._redis,
                keys={"breaker": keys.BREAKER, "slots": keys.SLOTS},
                args={
                    "outcome": outcome,
                    "reason": reason,
                    "concurrency": self._concurrency,
                    "failures": FAILURES,
                    "open_ms": OPEN_MS,
                    "quiet_ms": QUIET_MS,
                },
            )
        return changed

    async def state(self) -> Buying:
        """How it stands now."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=True)
            pipe.hgetall(keys.BREAKER)
            pipe.hgetall(keys.PAUSES)
            pipe.zintercard(2, [keys.HELD, keys.SLOTS])
            pipe.time()
            breaker, pauses, held, (seconds, micro) = await pipe.execute()
        now_ms = int(seconds) * 1000 + int(micro) // 1000
        until = breaker.get("until_ms")
        is_open = until == "inf" or (until is not None and int(until) > now_ms)
        stopped = breaker.get("reason", "") if is_open else None
        if stopped is None and held * 2 > self._concurrency:
            stopped = HELD_SENTENCE
        return Buying(
            stopped=stopped,
            until_ms=int(until) if is_open and until != "inf" else None,
            slots=min(self._concurrency, int(breaker.get("slots", self._concurrency))),
            failures=int(breaker.get("failures", 0)),
            pauses=pauses,
        )

    @staticmethod
    def pause(team: str, reason: str) -> list[Command]:
        """The writes that pause buying for a team, or for `all`."""
        return [("HSET", keys.PAUSES, team, reason)]

    @staticmethod
    def resume(team: str) -> list[Command]:
        """The writes that let it go on; for `all`, the breaker closes too."""
        return [("HDEL", keys.PAUSES, team), *([("DEL", keys.BREAKER)] if team == ALL else [])]
