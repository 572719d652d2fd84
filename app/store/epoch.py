"""The store's epoch: which store this is, and whether it still knows what a witness outside has seen."""

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

SEEN_EVERY_MS = 10_000
SENTENCE = (
    "The store has gone back in time; nothing is bought until it is known what was bought before, or an "
    "administrator says `filmgate epoch accept`."
)

Cause = Literal["empty", "other", "forgotten", "restored"]


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of a comparison: why the store was found to have gone back (None: it has not), and what it is now.

    `stopped` is True while nothing is bought, whoever found it and whenever.
    """

    cause: Cause | None
    record: WitnessRecord
    stopped: bool


@dataclass(frozen=True, slots=True)
class Epoch:
    """How it stands. `stopped` is the sentence for callers while nothing is bought.

    `cause`, `since_ms` and `good_ms` tell of the last stop: why, when it was found, and the last time (ms) up to
    which the store is known to be whole; None when there never was one.
    """

    id: str | None
    claims: int
    stopped: str | None
    cause: Cause | None
    since_ms: int | None
    good_ms: int | None


class EpochStore:
    """Compares, and ends the stop."""

    def __init__(self, redis: Client, audit: AuditStore) -> None:
        self._redis = redis
        self._audit = audit

    async def compare(self, record: WitnessRecord | None) -> Compared:
        """Compare the store with what the witness remembers; one that has gone back stops buying at once.

        Where replicas are expected it writes, so that they confirm this and all that was written before, the claim
        in hand among it. Unconfirmed where they do not: what this store knows may be lost with it, and nobody shall
        remember it, nor buy what was claimed in it.
        """
        with store_errors():
            answer, confirmed = await scripts.compare_epoch(
                self._redis,
                epoch=keys.EPOCH,
                pauses=keys.PAUSES,
                id=record.id if record else "",
                claim_number=record.number if record else 0,
                claim_nonce=record.nonce if record else "",
                admission_number=record.admitted if record else 0,
                admission_job=record.job if record else "",
                seen_ms=record.seen_ms if record else 0,
                given_cause="restored" if record and record.restored else "",
                new_id=new_nonce(),
                sentence=SENTENCE,
                seen_every_ms=0 if self._redis.replicas else SEEN_EVERY_MS,
            )
        if not confirmed:
            raise unconfirmed()
        cause, store_id, now_ms, stopped, claims, claim, admissions, admission = answer
        return Compared(
            cause=cause or None,
            record=WitnessRecord(
                store_id,
                claims,
                claim.partition(" ")[2],
                now_ms,
                admitted=admissions,
                job=admission.partition(" ")[2],
            ),
            stopped=bool(stopped),
        )

    async def state(self) -> Epoch:
        """How it stands now."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=False)  # a transaction is refused where memory is used up
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
        """Refs of every job that may be queued: in line, put off, or with a slot that nobody claimed yet."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=True)
            for name in (keys.LINE, keys.LATER, keys.SLOTS):
                pipe.zrange(name, 0, -1)
            return sorted({ref for refs in await pipe.execute() for ref in refs})

    async def leave(self, epoch_id: str) -> bool:
        """Let buying go on; False when it already does, or the store went back once more since this epoch."""
        with store_errors():
            return await scripts.close_epoch(self._redis, epoch=keys.EPOCH, pauses=keys.PAUSES, id=epoch_id)

    async def accept(self, actor: str, epoch: Epoch) -> None:
        """An administrator, who was shown this, lets buying go on."""
        details = {"cause": epoch.cause, "since_ms": epoch.since_ms, "good_ms": epoch.good_ms}
        writes = [("HDEL", keys.PAUSES, EPOCH)]
        await self._audit.act(actor, "epoch.accept", epoch.id or "", details, writes=writes)
