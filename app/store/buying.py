"""Whether jobs may be bought: the breaker on submissions, the number of slots, and administrators' pauses."""

import time
from dataclasses import dataclass
from typing import Literal

from app.domain.buying import ALL_TEAMS, Buying, SubmitOutcome
from app.store import keys, scripts
from app.store.audit import AuditStore
from app.store.client import Client
from app.store.clock import milliseconds
from app.store.commands import Command, team_exists
from app.store.connection import store_errors
from app.store.jobs import GIVE_UP_MS
from app.store.recent import Recent

FAILURES_TO_OPEN = 5  # in a row
OPEN_MS = 30_000
CACHE_S = 0.5  # every list of jobs asks
SWEEP_S = 60.0
FAR_MS = 300_000  # polls are a minute apart at most, and leases of submissions and results are shorter

_CLOSE_BREAKER: Command = ("HDEL", keys.BREAKER, "until_ms", "reason", "failures", "last", "probe", "probe_ms")


@dataclass(frozen=True, slots=True)
class SweepResult:
    """Refs of jobs that lost their slot, that got one, and that were made due again."""

    freed: list[str]
    granted: list[str]
    rescheduled: list[str]


class BuyingStore:
    """Reads and changes the state of buying, which `grant_slots.lua` and every claim (`advance.lua`) obey."""

    def __init__(self, redis: Client, audit: AuditStore, *, concurrency: int) -> None:
        self._redis = redis
        self._audit = audit
        self._concurrency = concurrency
        self._recent = Recent(self.state, seconds=CACHE_S)
        self._sweep_at = 0.0

    async def report(self, outcome: SubmitOutcome, reason: str = "") -> Literal["opened", "closed", ""]:
        """Record a submission's outcome; whether the breaker opened or closed by it."""
        with store_errors():
            return await scripts.record_outcome(
                self._redis,
                outcome=outcome,
                reason=reason,
                own_concurrency=self._concurrency,
                max_weight=FAILURES_TO_OPEN,
                open_ms=OPEN_MS,
            )

    async def state(self) -> Buying:
        """The present state."""
        with store_errors():
            pipe = self._redis.together()
            pipe.hgetall(keys.BREAKER)
            pipe.hgetall(keys.PAUSES)
            pipe.zintercard(2, [keys.HELD, keys.SLOTS])
            pipe.zcard(keys.SLOTS)
            pipe.hgetall(keys.CONCURRENCY)
            pipe.get(keys.LAST_LANE)
            pipe.time()
            breaker, pauses, held, used, hosts, last_lane, now = await pipe.execute()
        most = int(hosts.get("all", self._concurrency))
        now_ms = milliseconds(*now)
        until = breaker.get("until_ms")
        is_open = until == "inf" or (until is not None and int(until) > now_ms)
        return Buying(
            breaker=breaker.get("reason", "") if is_open else None,
            until_ms=int(until) if is_open and until != "inf" else None,
            half_open=until is not None and not is_open,
            failures=int(breaker.get("failures", 0)),
            last_failure=breaker.get("last"),
            slots=min(most, int(breaker.get("slots", most))),
            configured=most,
            hosts={name[5:]: int(value.split()[0]) for name, value in hosts.items() if name.startswith("host ")},
            silent_ms=now_ms - int(last_lane) if last_lane else None,
            bought_ms=int(breaker["bought_ms"]) if "bought_ms" in breaker else None,
            used=used,
            held=held,
            pauses=pauses,
        )

    async def reason_for(self, team: str) -> str | None:
        """Why nothing is bought for this team, or None; up to half a second old."""
        return (await self._recent.get()).reason_for(team)

    def forget(self) -> None:
        """Drop the cached state, because this process has just changed it."""
        self._recent.forget()

    async def sweep(self) -> SweepResult:
        """Compare the slots with the jobs' states, and correct what differs."""
        with store_errors():
            freed, granted, rescheduled = await scripts.sweep_slots(
                self._redis,
                give_up_ms=GIVE_UP_MS,
                far_ms=FAR_MS,
            )
        return SweepResult(freed, granted, rescheduled)

    async def sweep_if_due(self) -> SweepResult:
        """The same, once a minute in each process."""
        if time.monotonic() < self._sweep_at:
            return SweepResult([], [], [])
        self._sweep_at = time.monotonic() + SWEEP_S
        return await self.sweep()

    async def pause(self, actor: str, team: str | None, reason: str) -> None:
        """Pause buying for a team, or for all; an administrative act."""
        writes: list[Command] = [("HSET", keys.PAUSES, team or ALL_TEAMS, reason)]
        await self._act(actor, "buying.pause", team, {"reason": reason}, writes)

    async def resume(self, actor: str, team: str | None, reason: str | None) -> None:
        """End the pause of a team; without one, end the pause of all and close the breaker.

        The number of slots stays as fal's 429s have lowered it. A store that has gone back in time stays
        stopped, because it would buy again what it has lost: that takes `filmgate epoch accept`.
        """
        details = {} if reason is None else {"reason": reason}
        await self._act(actor, "buying.resume", team, details, resume_writes(team or ALL_TEAMS))

    async def _act(
        self, actor: str, action: str, team: str | None, details: dict[str, str], writes: list[Command]
    ) -> None:
        require = [] if team is None else [team_exists(team)]
        await self._audit.act(actor, action, team or ALL_TEAMS, details, writes=writes, require=require)
        self.forget()


def resume_writes(team: str) -> list[Command]:
    """The writes that end the pause of a team, or of `all`."""
    return [("HDEL", keys.PAUSES, team), *([_CLOSE_BREAKER] if team == ALL_TEAMS else [])]
