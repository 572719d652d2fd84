"""Admission in the store: one script, all or nothing."""

import hashlib
from dataclasses import dataclass
from typing import Any

from app.domain.ids import join_ref, new_id
from app.domain.jobs import Job, Priority, Status
from app.store import keys
from app.store.connection import Client, store_errors
from app.store.records import write_fields
from app.store.scripts import script

DAY_MS = 86_400_000
IDEMPOTENCY_MS = 7 * DAY_MS
BANDS = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}


@dataclass(frozen=True, slots=True)
class NewJob:
    """What a caller asked for, checked and priced; `deadline_ms` and `start_ms` count from admission."""

    team: str
    user: str
    key: str
    model: str
    input: dict[str, Any]
    quoted_micro: int
    seconds: int
    price_version: str
    deadline_ms: int
    start_ms: int | None
    priority: Priority
    metadata: dict[str, str]
    images: dict[str, dict[str, Any]]
    webhook_url: str | None
    trace_id: str | None
    idempotency_key: str | None
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """The job was written down; `position` is its place in line, 0 for the first."""

    job: Job
    position: int | None


@dataclass(frozen=True, slots=True)
class Repeated:
    """The idempotency key was used before with the same body, for this job."""

    job_id: str


@dataclass(frozen=True, slots=True)
class KeyReusedFor:
    """The idempotency key was used before with another body, for this job."""

    job_id: str


class AdmissionStore:
    """Writes down new jobs."""

    def __init__(self, redis: Client, *, retention_ms: int) -> None:
        self._redis = redis
        self._retention_ms = retention_ms

    async def admit(self, new: NewJob) -> Admitted | Repeated | KeyReusedFor:
        """Write down a job, all or nothing."""
        job_id = new_id("job")
        ref = join_ref(new.team, job_id)
        digest = hashlib.sha256((new.idempotency_key or "").encode()).hexdigest()
        record = {
            "id": job_id,
            "team": new.team,
            "user": new.user,
            "key": new.key,
            "model": new.model,
            "input": new.input,
            "quoted_micro": new.quoted_micro,
            "seconds": new.seconds,
            "price_version": new.price_version,
            "priority": new.priority.value,
            "metadata": new.metadata or None,
            "images": new.images or None,
            "webhook_url": new.webhook_url,
            "trace_id": new.trace_id,
        }
        with store_errors():
            answer = await script("admit").run(
                self._redis,
                keys={
                    "idem": keys.idempotency(new.team, new.user, digest),
                    "job": keys.job(ref),
                    "team_jobs": keys.team_jobs(new.team),
                    "user_jobs": keys.user_jobs(new.team, new.user),
                    "line": keys.LINE,
                    "due_expire": keys.due("expire"),
                    "reservations": keys.reservations(new.team),
                    "balance": keys.balance(new.team),
                    "ledger": keys.ledger(new.team),
                    "events": keys.events(new.team),
                    "wake": keys.WAKE,
                },
                args={
                    "ref": ref,
                    "id": job_id,
                    "idempotent": 1 if new.idempotency_key else 0,
                    "fingerprint": new.fingerprint,
                    "idem_ms": max(IDEMPOTENCY_MS, new.deadline_ms + DAY_MS),
                    "amount": new.quoted_micro,
                    "deadline_ms": new.deadline_ms,
                    "start_ms": "" if new.start_ms is None else new.start_ms,
                    "band": BANDS[new.priority],
                    "retention_ms": self._retention_ms,
                    "meta_prefix": keys.metadata_jobs(new.team, "", "")[:-1],
                    "meta_count": len(new.metadata),
                },
                rest=[*(f"{name}={value}" for name, value in new.metadata.items()), *write_fields(record)],
            )
        if answer[0] == "repeated":
            return Repeated(answer[1])
        if answer[0] == "reused":
            return KeyReusedFor(answer[1])
        now = int(answer[1])
        job = Job(
            id=job_id,
            team=new.team,
            user=new.user,
            key=new.key,
            model=new.model,
            input=new.input,
            status=Status.QUEUED,
            created_ms=now,
            deadline_ms=now + new.deadline_ms,
            start_deadline_ms=None if new.start_ms is None else now + new.start_ms,
            quoted_micro=new.quoted_micro,
            seconds=new.seconds,
            price_version=new.price_version,
            priority=new.priority,
            metadata=new.metadata,
            images=new.images,
            webhook_url=new.webhook_url,
            sequence=1,
        )
        return Admitted(job, answer[2])

    async def peek(self, team: str, user: str, idempotency_key: str) -> tuple[str, str] | None:
        """The job id and the fingerprint of an idempotency key seen before."""
        key_digest = hashlib.sha256(idempotency_key.encode()).hexdigest()
        with store_errors():
            found = await self._redis.hmget(keys.idempotency(team, user, key_digest), "job", "fingerprint")
        return (found[0], found[1]) if found[0] else None
