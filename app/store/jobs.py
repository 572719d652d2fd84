"""Jobs in the store: reading, and every change of state."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import structlog

from app.domain.clips import is_kept
from app.domain.ids import join_ref, new_id, new_nonce, split_ref
from app.domain.jobs import CANCELED, TRANSITIONS, Charge, Job, JobError, Status
from app.domain.limits import DAY_MS
from app.metrics.table import ENDED, HELD
from app.store import keys, scripts
from app.store.client import Client
from app.store.connection import store_errors
from app.store.events import forget_copies
from app.store.packing import FIELDS, unpacked
from app.store.reads import pairs, read_hashes
from app.store.records import (
    MADE_FIELDS,
    POLLED_FIELDS,
    DuePoll,
    Made,
    Packed,
    due_poll,
    facts_of,
    packed_fields,
    read_job,
    write_fields,
)

SUBMIT_LEASE_MS = 45_000  # a submission is one POST of at most 30 s; after this, its worker is gone
HELD_SLOT_MS = 600_000
DISPUTE_MS = DAY_MS
GIVE_UP_MS = 3_600_000  # after its deadline, a running job without an end at fal is given up
MAX_ABSENCES = 100
REQUEST_REMEMBERED_MS = 2 * DAY_MS
PAGE = 1000  # records read at once
BILLING_MS = 60_000  # fal's billing events come a little late

NOW = "@now"  # in a field: the store's time (ms)
UNTIL = "@until"  # in a field of an end: when the record is deleted (ms), by the team's days

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """A job at the store's time `now_ms`, and its place in its user's own line, 0 for the first.

    `dedup_digest` is the digest of the idempotency key derived from the request; None once the job was polled.
    `asked_ms` is when another process last asked whether a held call waits for the job; 0 if it never did.
    """

    job: Job
    rank: int | None
    now_ms: int
    dedup_digest: str | None
    asked_ms: int


class JobStore:
    """Reads jobs, and changes their state by compare-and-set. False means that another change came first.

    `billed`: ended jobs are to be compared with fal's bill.
    """

    def __init__(self, redis: Client, *, retention_ms: int, billed: bool = False) -> None:
        self._redis = redis
        self._retention_ms = retention_ms
        self._billed = billed

    async def get(self, ref: str) -> Job | None:
        """The job, or None."""
        with store_errors():
            record = await self._redis.hgetall(keys.job(ref))
        return read_job(record) if record else None

    async def get_visible(self, ref: str, visible: tuple[str, str] | None) -> Job | None:
        """The job, if it has this value in this field (`visibility_filter`); None otherwise."""
        field, value = _condition(ref, visible)
        with store_errors():
            flat = await scripts.read_visible(self._redis, record=keys.job(ref), field=field, value=value)
        return read_job(pairs(flat)) if flat else None

    async def read_for_poll(self, ref: str, visible: tuple[str, str] | None) -> JobSnapshot | None:
        """The job for a poll, in one round trip; None as above."""
        field, value = _condition(ref, visible)
        with store_errors():
            now_ms, rank, flat = await scripts.read_for_poll(
                self._redis, job=keys.job(ref), ref=ref, field=field, value=value
            )
        if not flat:
            return None
        record = pairs(flat)
        dedup_digest = record.get("repost") if "repost_polled" not in record else None
        asked_ms = int(record.get("repost_asked_ms", 0))
        return JobSnapshot(read_job(record), rank, now_ms, dedup_digest, asked_ms)

    async def get_many(self, refs: Sequence[str]) -> list[Job | None]:
        """The jobs in the order of `refs`, None where there is none."""
        records = await read_hashes(self._redis, map(keys.job, refs))
        return [read_job(record) if record else None for record in records]

    async def take_polls(self, *, limit: int, visibility_ms: int) -> tuple[int, int | None, list[DuePoll]]:
        """The store's time (ms), when the first of the others is due, and those that are due now, at most `limit`.

        These are hidden for `visibility_ms`. None when no job is polled.
        """
        with store_errors():
            now_ms, next_ms, rows = await scripts.take_polls(
                self._redis, limit=limit, visibility_ms=visibility_ms, rest=POLLED_FIELDS
            )
        return now_ms, next_ms, [due_poll(*row) for row in rows]

    async def claim(
        self, job: Job, *, nonce: str | None = None, start_timeout_ms: int = 0, until_ms: int | None = None
    ) -> str | None:
        """Queued → submitting: the intention is stored before the call. The attempt's nonce, or None.

        None too while nothing may be bought for the job; its slot expires then, and it is in line again.
        `start_timeout_ms` is the start timeout sent to fal, 0 for none; the proof of an absence needs it.
        After StoreUnavailable it may be made until `until_ms`; `requeue` with the nonce undoes it.
        """
        nonce = nonce or new_nonce()
        fields = {"nonce": nonce, "start_timeout_ms": start_timeout_ms}
        states, delay_ms = (Status.QUEUED,), SUBMIT_LEASE_MS
        done = await self._advance(
            job, states, Status.SUBMITTING, delay_ms=delay_ms, fields=fields, until_ms=until_ms
        )
        return nonce if done else None

    async def adopt(self, job: Job, *, nonce: str, upstream_request_id: str, poll_ms: int) -> bool:
        """Submitting or held → running: fal's id of the generation is known."""
        fields = {"upstream_request_id": upstream_request_id, "upstream_status": "IN_QUEUE", "misses": 0}
        states = (Status.SUBMITTING, Status.HELD)
        return await self._advance(job, states, Status.RUNNING, nonce=nonce, delay_ms=poll_ms, fields=fields)

    async def adopt_forgotten(self, job: Job, *, nonce: str, upstream_request_id: str) -> bool:
        """Queued → running: fal has the marker of an attempt that we thought refused, or have forgotten."""
        fields = {"upstream_request_id": upstream_request_id, "upstream_status": "IN_QUEUE", "misses": 0}
        return await self._advance(job, (Status.QUEUED,), Status.RUNNING, fields={**fields, "nonce": nonce})

    async def requeue(self, job: Job, *, nonce: str, wait_ms: int, reason: str = "") -> bool:
        """Submitting or held → queued: fal did certainly not accept it; in line again after `wait_ms`.

        `reason` is a word for its history. If its caller has asked for its cancellation, it becomes canceled
        instead, and its money is released.
        """
        states = (Status.SUBMITTING, Status.HELD)
        return await self._advance(job, states, Status.QUEUED, nonce=nonce, delay_ms=wait_ms, reason=reason)

    async def hold(self, job: Job, *, nonce: str, reason: str) -> bool:
        """Submitting → held: the outcome is unknown; the money stays reserved and nothing is sent again."""
        states, fields = (Status.SUBMITTING,), {"held_reason": reason}
        return await self._advance(
            job,
            states,
            Status.HELD,
            nonce=nonce,
            delay_ms=HELD_SLOT_MS,
            fields=fields,
            reason=reason,
        )

    async def complete_upstream(self, job: Job, *, upstream_status: str, logs: list[dict[str, Any]]) -> bool:
        """Running → finalizing: the generation has ended at fal, in whatever way; the slot is free."""
        fields = {"upstream_status": upstream_status, "logs": logs or None, "misses": 0}
        return await self._advance(job, (Status.RUNNING,), Status.FINALIZING, fields=fields)

    async def cancel_queued(self, job: Job) -> bool:
        """Queued → canceled: it was never bought, so its money is released."""
        return await self.end(job, (Status.QUEUED,), Status.CANCELED, charge=Charge.RELEASE, error=CANCELED)

    async def end(
        self,
        job: Job,
        from_states: tuple[Status, ...],
        status: Literal[Status.SUCCEEDED, Status.FAILED, Status.CANCELED],
        *,
        charge: Charge,
        nonce: str = "",
        error: JobError | None = None,
    ) -> bool:
        """A terminal state without anything made, with the settlement of its money, in one script."""
        change = {"charge": charge, "delay_ms": DISPUTE_MS, "fields": {"error": error}}
        return await self._advance(job, from_states, status, nonce=nonce, **change)

    async def finish(
        self,
        job: Job,
        status: Literal[Status.SUCCEEDED, Status.FAILED, Status.CANCELED],
        *,
        charge: Charge,
        error: JobError | None,
        made: Made,
    ) -> Literal["", "ended", "told_failed"]:
        """Finalizing → a terminal state, as `end`, with what was made, whose files are then to be copied.

        Empty when it was refused; `told_failed` for a success that fal's webhook has called a failure.
        """
        reached = await self._move(
            job,
            (Status.FINALIZING,),
            status,
            charge=charge,
            delay_ms=DISPUTE_MS,
            fields={"error": error, **{name: getattr(made, name) for name in MADE_FIELDS}},
            keep=made.clip_secret is not None and not is_kept(made.output),
        )
        return "" if reached is None else "told_failed" if reached == "told_failed" else "ended"

    async def _advance(self, job: Job, from_states: tuple[Status, ...], status: Status, **change: Any) -> bool:
        return await self._move(job, from_states, status, **change) is not None

    async def _move(
        self,
        job: Job,
        from_states: tuple[Status, ...],
        status: Status,
        *,
        nonce: str = "",
        charge: Charge = Charge.KEEP,
        delay_ms: int = 0,
        fields: Mapping[str, Any] | None = None,
        keep: bool = False,
        until_ms: int | None = None,
        reason: str = "",
    ) -> str | None:
        if any(status not in TRANSITIONS[before] for before in from_states):
            raise ValueError(f"no way leads from {', '.join(from_states)} to {status}")
        closes = charge in {Charge.SPEND, Charge.RELEASE}  # disputes are decided by scripts, which read facts
        packed = packed_fields(job, fields or {}, facts=closes) if status.ended else Packed(b"", [], [])
        with store_errors():
            reached = await scripts.advance(
                self._redis,
                job=keys.job(job.ref),
                reservations=keys.reservations(job.team),
                ledger=keys.ledger(job.team),
                events=keys.events(job.team),
                durations=keys.durations(job.model),
                ref=job.ref,
                from_states=",".join(from_states),
                nonce=nonce,
                status=status.value,
                charge=charge.value,
                until_ms=until_ms,
                delay_ms=delay_ms,
                give_up_ms=GIVE_UP_MS,
                billing_ms=BILLING_MS if self._billed else None,
                keep_ms=0 if keep else None,
                retention_ms=self._retention_ms,
                delivery_id=new_id("msg"),
                cancel_error=write_fields({"error": CANCELED})[1],
                notify=status is Status.HELD or status.ended,
                reason=reason,
                packed=packed.content,
                packed_names=",".join(packed.names),
                packed_facts="\n".join(packed.facts),
                rest=write_fields(fields or {}),
            )
        if reached is not None:
            now = Status.SUCCEEDED if reached == "told_failed" else Status(reached)
            _note(job, now, charge if status.ended else Charge.RELEASE, fields or {})
        return reached

    async def update(
        self,
        job: Job,
        states: tuple[Status, ...],
        *,
        due_step: str = "poll",
        delay_ms: int | None = None,
        **fields: Any,
    ) -> bool:
        """Write fields without a change of state, and make the step due after `delay_ms` where given.

        With 0 it is due at once, before all that is due already, and a lane wakes.
        """
        with store_errors():
            return await scripts.update_job(
                self._redis,
                job=keys.job(job.ref),
                due=keys.due(due_step),
                ref=job.ref,
                from_states=",".join(states),
                delay_ms=delay_ms,
                rest=write_fields(fields),
            )

    async def record_absence(self, job: Job, at_ms: int) -> list[int]:
        """Record that fal's complete history did not contain this attempt; all times (ms) of that so far."""
        name = keys.absences(job.ref, job.nonce or "")
        with store_errors():
            pipe = self._redis.pipeline(transaction=True)
            pipe.rpush(name, at_ms)
            pipe.ltrim(name, -MAX_ABSENCES, -1)
            pipe.pexpire(name, DAY_MS)
            pipe.lrange(name, 0, -1)
            return [int(text) for text in (await pipe.execute())[-1]]

    async def erase(self, job: Job, files: Sequence[str] = ()) -> bool:
        """Delete the caller's content of an ended job; `files`, names in the storage, become due for deletion.

        Its error keeps its code and sentence and fal's status and type: fal's text may repeat the prompt.
        """
        await forget_copies(self._redis, job)
        error = write_fields({"error": None if job.error is None else job.error.without_upstream_text()})
        with store_errors():
            erased = await scripts.erase_job(
                self._redis,
                job=keys.job(job.ref),
                deliveries=keys.deliveries(job.ref),
                team=job.team,
                personal_fields=" ".join(name for name in FIELDS if name != "error"),
                error=error[1] if error else "",
                files=" ".join(files),
                rest=facts_of(job),
            )
            for pair in job.metadata.items():
                await self._redis.zrem(keys.metadata_jobs(job.team, *pair), job.id)
        return erased

    async def held_since(self, refs: Sequence[str]) -> dict[str, int]:
        """Since when (ms) each of these jobs is held; other jobs are left out."""
        if not refs:
            return {}
        with store_errors():
            scores = await self._redis.zmscore(keys.HELD, list(refs))
        return {ref: int(at_ms) for ref, at_ms in zip(refs, scores, strict=True) if at_ms is not None}

    async def find_by_requests(self, upstream_request_ids: Iterable[str]) -> dict[str, str]:
        """Refs of the jobs of any team, ended ones too, that have these requests of fal's, by request.

        There is no index of fal's ids: every stored record is read, until all are found.
        """
        wanted, found = set(upstream_request_ids), dict[str, str]()
        with store_errors():
            for team in sorted(await self._redis.smembers(keys.TEAMS)):
                ids = await self._redis.zrange(keys.team_jobs(team), 0, -1, desc=True)
                refs = [join_ref(team, job_id) for job_id in ids]
                for page in (refs[start : start + PAGE] for start in range(0, len(refs), PAGE)):
                    if not wanted:
                        return found
                    records = await read_hashes(self._redis, map(keys.job, page))
                    for ref, record in zip(page, records, strict=True):
                        request = unpacked(record).get("upstream_request_id")
                        if request in wanted:
                            wanted.discard(request)
                            found[request] = ref
        return found

    async def claim_request(self, job: Job, upstream_request_id: str) -> str | None:
        """Remember for two days that this job has this request; the ref of the job that had it before, or None."""
        name = keys.request(upstream_request_id)
        with store_errors():
            before = await self._redis.set(name, job.ref, nx=True, get=True, px=REQUEST_REMEMBERED_MS)
        return None if before == job.ref else before

    async def held(self) -> list[str]:
        """Refs of all held jobs, the oldest first."""
        with store_errors():
            return list(await self._redis.zrange(keys.HELD, 0, -1))

    async def find(self, job_id: str) -> Job | None:
        """The job with this id in any team, for operators, who do not know the team."""
        with store_errors():
            teams = await self._redis.smembers(keys.TEAMS)
        for job in await self.get_many([join_ref(team, job_id) for team in sorted(teams)]):
            if job is not None:
                return job
        return None


def _note(job: Job, status: Status, charge: Charge, fields: Mapping[str, Any]) -> None:
    """Count a change to this state with these fields, for the metrics; log each end, however it comes."""
    if status.ended:
        error = fields.get("error")
        unsaid = "canceled" if status is Status.CANCELED else "none"  # by a requeue that found a cancel request
        ENDED.add(status, unsaid if error is None else error.code)
        log.info("job.ended", **job.names, status=status.value, money=charge.value, code=error and error.code)
    elif status is Status.HELD:
        HELD.add(fields["held_reason"])


def _condition(ref: str, visible: tuple[str, str] | None) -> tuple[str, str]:
    """The field of the record to compare, and its value; an id may be packed, so it is compared with the ref."""
    return ("", "") if visible is None or visible == ("id", split_ref(ref)[1]) else visible
