"""The store's epoch: its id, and whether it still has what a witness outside remembers of it."""

from dataclasses import dataclass
from typing import Literal, cast

from app.domain.buying import EPOCH
from app.domain.ids import new_nonce
from app.store import keys, scripts
from app.store.audit import AuditStore
from app.store.client import Client
from app.store.connection import store_errors
from app.store.replicas import unconfirmed
from app.store.witness import WitnessRecord

REFRESH_MS = 10_000
KEEP_EARLIER = 100  # ids of earlier epochs, which a host that was away may still have in its witness
GONE_BACK = (
    "The store has gone back in time; nothing is bought until it is known what was bought before, or an "
    "administrator says `filmgate epoch accept`."
)

Cause = Literal["empty", "other", "forgotten", "restored"]


@dataclass(frozen=True, slots=True)
class Compared:
    """The result of a comparison: why the store has gone back in time (None: it has not), and its present record.

    `stopped` is True while nothing is bought, whichever comparison found it.
    """

    cause: Cause | None
    record: WitnessRecord
    stopped: bool


@dataclass(frozen=True, slots=True)
class Epoch:
    """The epoch of the store. `stopped` is the sentence for callers while nothing is bought.

    `cause`, `since_ms` and `good_ms` are those of the last stop: why, when it was found, and the time (ms) up to
    which the store is known to be complete; None when there never was a stop.
    """

    id: str | None
    claims: int
    stopped: str | None
    cause: Cause | None
    since_ms: int | None
    good_ms: int | None


class EpochStore:
    """Compares the store with a witness, and ends the stop of buying."""

    def __init__(self, redis: Client, audit: AuditStore) -> None:
        self._redis = redis
        self._audit = audit

    async def compare(self, record: WitnessRecord | None) -> Compared:
        """Compare the store with the witness's record; a store that has gone back in time stops buying at once.

        Where replicas are expected it also writes, so that they confirm this and all earlier writes, such as the
        present claim. Unconfirmed where they do not: the store's state may be lost with the primary, so no witness
        may remember it, and no claim in it may be bought.
        """
        known = record or WitnessRecord("", 0, "", 0)
        with store_errors():
            answer, confirmed = await scripts.compare_epoch(
                self._redis,
                id=known.id,
                claim_number=known.number,
                claim_nonce=known.nonce,
                admission_number=known.admitted,
                admission_job=known.job,
                seen_ms=known.seen_ms,
                given_cause="restored" if known.restored else "",
                new_id=new_nonce(),
                sentence=GONE_BACK,
                keep_earlier=KEEP_EARLIER,
                seen_every_ms=0 if self._redis.replicas else REFRESH_MS,
            )
        if not confirmed:
            raise unconfirmed()
        cause, store_id, now_ms, stopped, claims, claim, admissions, admission = answer
        nonce, job = claim.partition(" ")[2], admission.partition(" ")[2]
        current = WitnessRecord(store_id, claims, nonce, now_ms, admitted=admissions, job=job)
        return Compared(cause or None, current, stopped=bool(stopped))

    async def state(self) -> Epoch:
        """The present state."""
        with store_errors():
            pipe = self._redis.together()
            pipe.hmget(keys.EPOCH, "id", "claims", "cause", "since_ms", "good_ms")
            pipe.hget(keys.PAUSES, EPOCH)
            (store_id, claims, cause, since, good), stopped = await pipe.execute()
        return Epoch(
            id=store_id,
            claims=int(claims or 0),
            stopped=stopped,
            cause=cast("Cause", cause) if cause else None,
            since_ms=int(since) if since else None,
            good_ms=int(good) if good else None,
        )

    async def may_be_queued(self) -> list[str]:
        """Refs of every job that may be queued: in line, delayed, or with a slot that is not claimed yet."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=True)
            for name in (keys.LINE, keys.LATER, keys.SLOTS):
                pipe.zrange(name, 0, -1)
            return sorted({ref for refs in await pipe.execute() for ref in refs})

    async def close(self, epoch_id: str) -> bool:
        """End this epoch's stop of buying; False when it has ended, or the store went back again since."""
        with store_errors():
            return await scripts.close_epoch(self._redis, id=epoch_id)

    async def accept(self, actor: str, epoch: Epoch) -> None:
        """End the stop by an administrator who was shown this epoch."""
        details = {"cause": epoch.cause, "since_ms": epoch.since_ms, "good_ms": epoch.good_ms}
        writes = [("HDEL", keys.PAUSES, EPOCH)]
        await self._audit.act(actor, "epoch.accept", epoch.id or "", details, writes=writes)
