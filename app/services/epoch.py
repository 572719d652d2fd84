"""Store epochs: a store that has gone back in time buys nothing until somebody knows what was bought before.

A restored backup, a failover that lost writes, a cut append-only file, FLUSHALL, another store behind the same
address: in each of them jobs that were bought may stand in line again.
"""

import asyncio
from dataclasses import dataclass

import structlog

from app.domain.errors import Conflict, StoreUnavailable
from app.store.alarms import AlarmStore
from app.store.epoch import Cause, Epoch, EpochStore
from app.store.witness import Witness, WitnessRecord

CAUSES: dict[Cause, str] = {
    "empty": "it is empty, and it was not",
    "other": "it is another store than before, or an older copy of it",
    "forgotten": "it no longer knows a claim or a job that was made in it",
    "restored": "a backup was put in its place",
}

WATCH_S = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class EpochState:
    """How it stands, for administrators.

    `stopped` is the sentence that callers see while nothing is bought, `why` the reason, `since_ms` when it was
    found, `good_ms` the last time up to which the store is known to be whole; None while there is no stop.
    `witness` is what this host remembers; None when it remembers nothing.
    """

    id: str | None
    claims: int
    stopped: str | None
    why: str | None
    since_ms: int | None
    good_ms: int | None
    witness: WitnessRecord | None


class EpochService:
    """Compares the store with this host's witness, and says whether buying may go on."""

    def __init__(self, store: EpochStore, witness: Witness, *, alarms: AlarmStore) -> None:
        self._store = store
        self._witness = witness
        self._alarms = alarms
        self._seen: WitnessRecord | None = None  # by this process, where there is no file to remember it
        self._warned: set[str] = set()

    async def confirm(self) -> bool:
        """May what was claimed be bought? Asked between each claim and its POST, and each second by every process.

        1. read the witness, and compare the store with it; one that has gone back stops all buying in the same step
        2. remember what the store is now: on disk before the answer, so that the claim in hand is never forgotten
        3. a store that went back is an alarm

        StoreUnavailable when it does not answer, or its replicas do not confirm what it knows.
        """
        record = await asyncio.to_thread(self._witness.read) or self._seen
        seen = await self._store.compare(record)
        if not await asyncio.to_thread(self._witness.keep, record, seen.record):
            self._seen = seen.record
            self._warn("epoch.unguarded", "it cannot be written; set FILMGATE_DATA_DIR to a directory that can be")
        if record is None and seen.record.number > 0:
            self._warn("epoch.no_witness", "none was there; what the store forgot until now is not known")
        if seen.cause is not None:
            why = CAUSES[seen.cause]
            log.error("epoch.stopped", why=why, remedy="fal's history decides, or `filmgate epoch accept`")
            await self._alarms.raise_alarm(
                "epoch_stopped", f"The store has gone back in time ({why}); nothing is bought."
            )
        return not seen.stopped

    async def run(self) -> None:
        """Compare once a second, for ever: an API process may have acknowledged what no worker has seen."""
        while True:
            try:
                await self.confirm()
            except StoreUnavailable:
                pass  # nothing is acknowledged meanwhile
            except Exception:
                log.exception("epoch.failed")  # the next look may succeed; without one nobody would notice a loss
            await asyncio.sleep(WATCH_S)

    def _warn(self, event: str, remedy: str) -> None:
        """Once a process: a store that goes back in time would not be noticed here."""
        if event not in self._warned:
            self._warned.add(event)
            log.warning(event, file=str(self._witness.path), remedy=remedy)

    async def state(self) -> EpochState:
        """How it stands now."""
        epoch = await self._store.state()
        stopped = epoch.stopped is not None
        return EpochState(
            id=epoch.id,
            claims=epoch.claims,
            stopped=epoch.stopped,
            why=CAUSES[epoch.cause] if stopped and epoch.cause else None,
            since_ms=epoch.since_ms if stopped else None,
            good_ms=epoch.good_ms if stopped else None,
            witness=await asyncio.to_thread(self._witness.read),
        )

    async def stop(self) -> Epoch | None:
        """The stop that is in force, or None."""
        epoch = await self._store.state()
        return epoch if epoch.stopped is not None else None

    async def may_be_queued(self) -> list[str]:
        """Refs of every job that may be queued."""
        return await self._store.may_be_queued()

    async def leave(self, stop: Epoch, found: str) -> bool:
        """Let buying go on, because it is known what was bought; `found` is the alarm's sentence."""
        if stop.id is None or not await self._store.leave(stop.id):
            return False
        log.warning("epoch.left", found=found)
        await self._alarms.raise_alarm("epoch_left", found)
        return True

    async def accept(self, *, actor: str) -> EpochState:
        """An administrator says that buying may go on; Conflict when it does already."""
        before = await self._store.state()
        if before.stopped is None:
            raise Conflict("Buying is not stopped: the store is the one that was seen last.")
        await self._store.accept(actor, before)
        return await self.state()
