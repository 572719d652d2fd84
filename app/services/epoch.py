"""Store epochs: when the store has gone back in time, buying stops until it is known what was bought since.

After a restored backup, a failover that lost writes, a truncated append-only file, FLUSHALL, or with another store
at the same address, jobs that were already bought may be queued again.
"""

import asyncio
import time
from dataclasses import dataclass

import structlog

from app.domain.errors import Conflict
from app.store.alarms import AlarmStore
from app.store.epoch import Cause, Epoch, EpochStore
from app.store.witness import Witness, WitnessRecord

CAUSES: dict[Cause, str] = {
    "empty": "it is empty, and it was not",
    "other": "it is another store than before, or an older copy of it",
    "forgotten": "it no longer knows a claim or a job that was made in it",
    "restored": "a backup was put in its place",
}

SAY_EVERY_S = 60.0
SHARED = " Another installation writes {}, too: give each its own FILMGATE_DATA_DIR."
DECIDES = "fal's history decides, or `filmgate epoch accept`"

log = structlog.get_logger()


def stopped_sentence(cause: Cause | None) -> str:
    """What the alarm of a store that has gone back in time says."""
    why = f" ({CAUSES[cause]})" if cause else ""
    return f"The store has gone back in time{why}; nothing is bought."


@dataclass(frozen=True, slots=True)
class EpochState:
    """The store's epoch, for administrators.

    While buying is stopped, and else None: `stopped` is the sentence that callers see, `why` the reason, `since_ms`
    when it was noticed, `good_ms` the last time until which nothing was lost. `witness` is this host's record of
    the store; None without one.
    """

    id: str | None
    claims: int
    witness: WitnessRecord | None
    stopped: str | None = None
    why: str | None = None
    since_ms: int | None = None
    good_ms: int | None = None


class EpochService:
    """Compares the store with this host's witness, and decides whether jobs may be bought."""

    def __init__(self, store: EpochStore, witness: Witness, *, alarms: AlarmStore) -> None:
        self._store = store
        self._witness = witness
        self._alarms = alarms
        self._last: WitnessRecord | None = None  # in place of the witness's file when that cannot be written
        self._kept = ""  # the store's id as this process has last read it
        self._said_s = -SAY_EVERY_S
        self._warned: set[str] = set()

    async def confirm(self) -> bool:
        """True when jobs may be bought. Called between each claim and its POST, and every second by each process.

        1. compare the store with the witness; a store that has gone back stops all buying in the same script
        2. write the store's state to the witness's file before returning, so that it has the present claim
        3. raise an alarm when the store has gone back; another installation with this witness looks like that each
           second, so the log has it once a minute

        StoreUnavailable when it does not answer, or its replicas do not confirm its state.
        """
        record = await asyncio.to_thread(self._witness.read) or self._last
        found = await self._store.compare(record)
        if not await asyncio.to_thread(self._witness.keep, record, found.record):
            self._last = found.record
            self._warn("epoch.unguarded", "it cannot be written; set FILMGATE_DATA_DIR to a writable directory")
        if record is None and found.record.number > 0:
            self._warn("epoch.no_witness", "there was none; what the store lost before now is unknown")
        is_shared = found.cause == "other" and record is not None and self._kept not in {"", record.id}
        self._kept = found.record.id
        if found.cause is not None:
            await self._report(found.cause, SHARED.format(self._witness.path) if is_shared else "")
        return not found.stopped

    async def _report(self, cause: Cause, shared: str) -> None:
        if time.monotonic() - self._said_s >= SAY_EVERY_S:
            self._said_s = time.monotonic()
            remedy = "give each installation its own FILMGATE_DATA_DIR" if shared else DECIDES
            log.error("epoch.stopped", why=f"{CAUSES[cause]}{shared}", remedy=remedy)
        await self._alarms.raise_alarm("epoch_stopped", f"{stopped_sentence(cause)}{shared}")

    def _warn(self, event: str, remedy: str) -> None:
        """Log once per process that this host could miss a store going back in time."""
        if event not in self._warned:
            self._warned.add(event)
            log.warning(event, file=str(self._witness.path), remedy=remedy)

    async def state(self) -> EpochState:
        """The store's epoch as it is now."""
        epoch, witness = await self._store.state(), await asyncio.to_thread(self._witness.read)
        if epoch.stopped is None:
            return EpochState(epoch.id, epoch.claims, witness)
        why = CAUSES[epoch.cause] if epoch.cause else None
        return EpochState(epoch.id, epoch.claims, witness, epoch.stopped, why, epoch.since_ms, epoch.good_ms)

    async def stop(self) -> Epoch | None:
        """The epoch whose buying is stopped, or None."""
        epoch = await self._store.state()
        return epoch if epoch.stopped is not None else None

    async def may_be_queued(self) -> list[str]:
        """Refs of every job that may be queued."""
        return await self._store.may_be_queued()

    async def leave(self, stop: Epoch, found: str) -> bool:
        """Resume buying, once it is known what was bought; `found` is why, as a sentence."""
        if stop.id is None or not await self._store.close(stop.id):
            return False
        log.warning("epoch.left", found=found)
        await self._alarms.resolve_alarm("epoch_stopped", found)
        return True

    async def accept(self, *, actor: str) -> EpochState:
        """Resume buying on an administrator's decision; Conflict when it is not stopped."""
        before = await self._store.state()
        if before.stopped is None:
            raise Conflict("Buying is not stopped: the store is the one that was seen last.")
        await self._store.accept(actor, before)
        await self._alarms.resolve_alarm("epoch_stopped", "An administrator accepted the store as it is.")
        return await self.state()
