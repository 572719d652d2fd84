"""Admission in the store: one script, all or nothing."""

import base64
import hashlib
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Literal

from app.domain.accounts import Caller
from app.domain.ids import join_ref, new_id
from app.domain.jobs import Job, Order, Priority, Submission
from app.domain.limits import DAY_MS, KEPT_MS, LimitState
from app.store import keys, scripts
from app.store.client import Client
from app.store.clock import ClockEstimate
from app.store.connection import store_errors
from app.store.limits import PeriodArguments, read_states, with_periods
from app.store.reads import pairs
from app.store.records import read_fields, write_fields
from app.store.replicas import require_confirmation, unconfirmed

IDEMPOTENCY_MS = 7 * DAY_MS
SUMS_KEPT = " ".join(f"{window}={kept_ms}" for window, kept_ms in KEPT_MS.items())
ACCEPTED = {"admitted", "repeated"}  # replies that promise a job
# A high job counts as an hour older in its user's line, a low one as an hour younger, so that none waits forever.
PRIORITY_OFFSETS_MS = {Priority.HIGH: -3_600_000, Priority.NORMAL: 0, Priority.LOW: 3_600_000}
ORDER_FIELDS = tuple(field.name for field in fields(Order))
read_order = attrgetter(*ORDER_FIELDS)


@dataclass(frozen=True, slots=True)
class Admitted:
    """The job was written; `rank` is its place in its user's own line, 0 for the first.

    `limits` has the state of every limit, this job included; `alarms` has a sentence for each money limit of the
    gateway that passed a threshold with it.
    """

    job: Job
    rank: int | None
    limits: tuple[LimitState, ...]
    alarms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Repeated:
    """The idempotency key was used before with the same body, for this job."""

    job_id: str
    limits: tuple[LimitState, ...]


@dataclass(frozen=True, slots=True)
class KeyReusedFor:
    """The idempotency key was used before with another body, for this job."""

    job_id: str


@dataclass(frozen=True, slots=True)
class OverLimits:
    """At least one limit is exceeded, and has `over`; only the rates have counted the attempt."""

    limits: tuple[LimitState, ...]


@dataclass(frozen=True, slots=True)
class CredentialEnded:
    """The key or token was revoked or has expired since it was read."""


@dataclass(frozen=True, slots=True)
class BeingAnswered:
    """Another process may be answering an equal submission; it was asked at `now_ms`. Nothing was admitted."""

    now_ms: int


@dataclass(frozen=True, slots=True)
class EqualAnswers:
    """What a process knows of the answers to equal submissions.

    `open` are the ids of those that it is giving; `asked_ms` is when another process was first asked about one, and
    without `patience` that one counts as lost.
    """

    open: tuple[str, ...] = ()
    asked_ms: int | None = None
    patience: bool = True

    @property
    def text(self) -> str:
        """As the script reads it."""
        return " ".join((str(self.asked_ms or 0), str(int(self.patience)), *self.open))


AdmissionOutcome = Admitted | Repeated | KeyReusedFor | OverLimits | CredentialEnded
AnswerState = Literal["whole", "lost", "open", "withdrawn"]  # as `record_answer.lua` explains them


class AdmissionStore:
    """Writes new jobs, and finds them by their idempotency keys."""

    def __init__(self, redis: Client, clock: ClockEstimate, *, retention_ms: int) -> None:
        self._redis = redis
        self._clock = clock
        self._retention_ms = retention_ms

    async def admit(
        self, new: Submission, equal: EqualAnswers = EqualAnswers()
    ) -> AdmissionOutcome | BeingAnswered:
        """Write a job, all or nothing; Unconfirmed when it was written, but may be lost with the primary."""
        job_id = new_id("job")
        ref, owner = join_ref(new.team, job_id), new.token or new.user
        digest = key_digest(new.idempotency_key or "")
        order = dict(zip(ORDER_FIELDS, read_order(new), strict=True))
        repost = digest if new.dedup_ms and new.answer is None else None
        # The script writes these unchanged, and adds times, state and periods.
        empty = {"metadata": new.metadata or None, "images": new.images or None}
        record = write_fields({"id": job_id, **order, **empty, "repost": repost})

        async def call(when: PeriodArguments) -> "scripts.AdmitReply":
            with store_errors():
                answer, confirmed = await scripts.admit(
                    self._redis,
                    idempotency=keys.idempotency(new.team, owner, digest),
                    idempotency_before=keys.idempotency_before(new.team, owner, digest),
                    answers=keys.answers(new.team, owner, digest),
                    credential=keys.credential(new.digest, token=new.token is not None),
                    team=keys.team(new.team),
                    job=keys.job(ref),
                    team_jobs=keys.team_jobs(new.team),
                    user_jobs=keys.user_jobs(new.team, new.user),
                    reservations=keys.reservations(new.team),
                    ledger=keys.ledger(new.team),
                    events=keys.events(new.team),
                    ref=ref,
                    id=job_id,
                    team_id=new.team,
                    user_id=new.user,
                    token_id=new.token,
                    idempotent=bool(new.idempotency_key),
                    fingerprint=new.fingerprint,
                    tag=_short_hash(new.fingerprint),
                    idempotency_ms=new.dedup_ms or max(IDEMPOTENCY_MS, new.deadline_s * 1000 + DAY_MS),
                    answer=new.answer,
                    equal=equal.text,
                    amount=new.quoted_micro,
                    seconds=new.seconds,
                    deadline_ms=new.deadline_s * 1000,
                    start_ms=None if new.start_deadline_s is None else round(new.start_deadline_s * 1000),
                    priority_ms=PRIORITY_OFFSETS_MS[new.priority],
                    retention_ms=self._retention_ms,
                    kept=SUMS_KEPT,
                    meta_count=len(new.metadata),
                    rest=[*(f"{name}={value}" for name, value in new.metadata.items()), *record],
                    **when,
                )
            if not confirmed and answer[0] in ACCEPTED:
                raise unconfirmed()
            return answer

        answer = await with_periods(self._clock, new.zone, call)
        if answer[0] == "admitted":
            _, now_ms, limits, rank, alarms, written = answer
            job = Job(id=job_id, **order, **read_fields(pairs(written)))
            return Admitted(job, rank, read_states(limits, now_ms), tuple(alarms))
        if answer[0] == "repeated":
            return Repeated(answer[3], read_states(answer[2], answer[1]))
        if answer[0] == "refused":
            return OverLimits(read_states(answer[2], answer[1]))
        if answer[0] == "answering":
            return BeingAnswered(answer[1])
        return KeyReusedFor(answer[2]) if answer[0] == "reused" else CredentialEnded()

    async def acknowledge(self, job: Job, *, digest: str, answered: bool = False, polled: bool = False) -> None:
        """The caller was answered, or polled the job by its id; after both, the same submission is a new job."""
        with store_errors():
            await scripts.acknowledge(
                self._redis,
                job=keys.job(job.ref),
                idempotency=keys.idempotency(job.team, job.token or job.user, digest),
                idempotency_before=keys.idempotency_before(job.team, job.token or job.user, digest),
                id=job.id,
                answered=answered,
                polled=polled,
            )

    async def record_answer(
        self, job: Job, answer: str, *, idempotency_key: str, state: AnswerState, kept_ms: int
    ) -> bool:
        """Record what became of the answer to a submission; False when it is not remembered any more."""
        with store_errors():
            return await scripts.record_answer(
                self._redis,
                answers=keys.answers(job.team, job.token or job.user, key_digest(idempotency_key)),
                answer=answer,
                job=job.id,
                state=state,
                kept_ms=kept_ms,
            )

    async def answers_owed(self, caller: Caller, idempotency_key: str) -> set[str]:
        """The ids of the answers to equal submissions that may be lost."""
        owner, digest = caller.token or caller.user, key_digest(idempotency_key)
        with store_errors():
            return set(await self._redis.hgetall(keys.answers(caller.team, owner, digest)))

    async def stop_deduplicating(self, job: Job) -> None:
        """The job's id was used outside the fal-compatible API: the same submission is a new job, not a retry."""
        with store_errors():
            digest = await self._redis.hget(keys.job(job.ref), "repost")
        if digest:
            await self.acknowledge(job, digest=digest, polled=True)

    async def confirm(self) -> None:
        """Unconfirmed when anything written so far may be lost with the primary."""
        with store_errors():
            await require_confirmation(self._redis)

    async def peek(self, caller: Caller, idempotency_key: str, fingerprint: str = "") -> tuple[str, bool] | None:
        """The job id of an idempotency key that the caller used before, and whether the request was the same."""
        owner, digest = caller.token or caller.user, key_digest(idempotency_key)
        with store_errors():
            found = await scripts.find_idempotent(
                self._redis,
                idempotency=keys.idempotency(caller.team, owner, digest),
                idempotency_before=keys.idempotency_before(caller.team, owner, digest),
                fingerprint=fingerprint,
                tag=_short_hash(fingerprint),
            )
            if not found:
                return None
            await require_confirmation(self._redis)
        return found[0], bool(found[1])


def _short_hash(fingerprint: str) -> str:
    """The hash of a request that is stored with its idempotency key: 72 bits, enough to recognise another body."""
    return base64.urlsafe_b64encode(hashlib.sha256(fingerprint.encode()).digest())[:12].decode()


def key_digest(idempotency_key: str) -> str:
    """The stored form of an idempotency key."""
    return hashlib.sha256(idempotency_key.encode()).hexdigest()
