"""Alarms about buying: held jobs, quarantined steps, the breaker, the epoch, and nothing being bought."""

from dataclasses import dataclass

from app.domain.buying import ALL_TEAMS, EPOCH, Buying, breaker_sentence
from app.domain.counting import counted
from app.domain.ids import split_ref
from app.domain.times import iso
from app.services.checks.finding import Finding
from app.services.epoch import stopped_sentence
from app.store.buying import BuyingStore
from app.store.epoch import EpochStore
from app.store.line import LineStore
from app.store.quarantine import QuarantineStore

NOTHING_BOUGHT_MS = 300_000  # while slots are free
SLOTS_FULL_MS = 1_800_000  # while all are taken: the longest generations take a quarter of an hour


@dataclass(frozen=True, slots=True)
class BuyingCheck:
    """The alarms that say why jobs do not get on."""

    line: LineStore
    quarantine: QuarantineStore
    buying: BuyingStore
    epoch: EpochStore
    kinds: frozenset[str] = frozenset({"held", "quarantined", "breaker_opened", "epoch_stopped", "not_buying"})
    every_s: float = 2.0

    async def findings(self) -> list[Finding]:
        """All that holds now."""
        state = await self.buying.state()
        return [
            *await self._held(),
            *await self._quarantined(),
            *_breaker(state),
            *await self._epoch(),
            *await self._not_buying(state),
        ]

    async def _held(self) -> list[Finding]:
        count, oldest = await self.line.held()
        if oldest is None:
            return []
        job = split_ref(oldest[0])[1]
        are = counted(count, "job is", "jobs are")
        sentence = f"{are} held: the submission's outcome is unknown. The oldest is {job}, since {iso(oldest[1])}."
        return [Finding("held", sentence, job=job, level=count)]

    async def _quarantined(self) -> list[Finding]:
        steps = await self.quarantine.steps()
        if not steps:
            return []
        step, ref, at_ms = steps[-1]
        name = split_ref(ref)[1]
        are = counted(len(steps), "step is", "steps are")
        sentence = f"{are} set aside after failures. The newest is {step} of {name}, since {iso(at_ms)}."
        return [Finding("quarantined", sentence, job=name if step != "deliver" else "", level=len(steps))]

    async def _epoch(self) -> list[Finding]:
        epoch = await self.epoch.state()
        return [] if epoch.stopped is None else [Finding("epoch_stopped", stopped_sentence(epoch.cause))]

    async def _not_buying(self, state: Buying) -> list[Finding]:
        """Nothing bought for long, although jobs wait, and no breaker, epoch or pause says why."""
        paused = [team for team in state.pauses if team not in {ALL_TEAMS, EPOCH}]
        waiting, since_ms, now_ms = await self.line.waiting(paused)
        if since_ms is None or not {ALL_TEAMS, EPOCH}.isdisjoint(state.pauses):
            return []
        if state.breaker is not None or state.half_open:
            return []
        quiet_ms = max(since_ms, state.bought_ms or 0)
        free = max(0, state.slots - state.used)
        if now_ms - quiet_ms < (NOTHING_BOUGHT_MS if free else SLOTS_FULL_MS):
            return []
        why = state.reason_for("") or ("slots are free" if free else "all slots are taken")
        sentence = f"Jobs wait ({waiting}), and nothing has been bought since {iso(quiet_ms)}: {why.rstrip('.')}."
        return [Finding("not_buying", sentence)]


def _breaker(state: Buying) -> list[Finding]:
    """Also while it is half open: then one job tries whether fal works again."""
    if state.breaker is None and not state.half_open:
        return []
    reason = state.breaker or state.last_failure or "fal fails"
    waits = state.breaker is not None and state.until_ms is None
    return [Finding("breaker_opened", breaker_sentence(reason, waits_for_person=waits))]
