"""Whatever happens to jobs, in whatever order: money, slots and states stay right."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from app.domain.ids import join_ref
from app.domain.jobs import ENDS, NEXT, Job, JobError, Money, Priority, Status
from app.store import keys
from app.store.admission import AdmissionStore, Admitted, NewJob
from app.store.connection import connect
from app.store.dispatch import DispatchStore
from app.store.jobs import LIVE, NOW, Charge, JobStore
from app.store.ledger import LedgerStore
from app.store.limits import Clock
from tests.support.checks import immortal_keys, ledger_faults, slot_faults
from tests.support.redis_server import RedisServer

T = TypeVar("T")
TEAM, USER = "team_1", "user_1"
CREDENTIAL = keys.key("digest")
PRICE = 1_400_000
CONCURRENCY = 3
RETENTION_MS = 30 * 86_400_000
PLACE_OF = {
    Status.RUNNING: "poll",
    Status.FINALIZING: "finalize",
}


class Pipeline(RuleBasedStateMachine):
    """A few jobs, and every step that workers, callers and operators can take, stale ones too."""

    server: RedisServer

    def __init__(self) -> None:
        super().__init__()
        self.server.flush()
        self._loop = asyncio.new_event_loop()
        self._redis = connect(self.server.url)
        self._patient = connect(self.server.url, patience=1)
        self._jobs = JobStore(self._redis, retention_ms=RETENTION_MS)
        self._admission = AdmissionStore(self._redis, Clock(), retention_ms=RETENTION_MS)
        self._dispatch = DispatchStore(self._redis, patient=self._patient, concurrency=CONCURRENCY)
        self._ledger = LedgerStore(self._redis)
        self._known: list[tuple[str, Status]] = []  # every job, and the state it was last seen in
        self._old: list[Job] = []  # records that somebody still has in hand
        self._run(self._redis.sadd(keys.TEAMS, TEAM))
        self._run(self._redis.hset(CREDENTIAL, "id", "key_1"))

    def _run(self, step: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(step)

    def _job(self, number: int) -> Job:
        """A job as it is now."""
        job = self._run(self._jobs.get(join_ref(TEAM, self._known[number % len(self._known)][0])))
        assert job is not None
        return job

    def _view(self, number: int, stale: int | None) -> Job:
        """A job as it is now, or as somebody saw it earlier."""
        if stale is not None and self._old:
            return self._old[stale % len(self._old)]
        job = self._job(number)
        self._old.append(job)
        return job

    some_jobs = precondition(lambda self: bool(self._known))
    numbers = st.integers(0, 7)
    views = st.none() | st.integers(0, 30)

    @rule(priority=st.sampled_from(Priority), key=st.none() | st.sampled_from("abc"))
    def admit(self, priority: Priority, key: str | None) -> None:
        """A submission, perhaps a repeated one."""
        if len(self._known) > 8:
            return
        new = NewJob(
            team=TEAM,
            user=USER,
            key="key_1",
            credential=CREDENTIAL,
            model="model",
            input={"prompt": "x"},
            quoted_micro=PRICE,
            seconds=5,
            price_version="x",
            deadline_ms=3_600_000,
            start_ms=None,
            priority=priority,
            metadata={},
            images={},
            webhook_url="https://example.com/hook",
            trace_id=None,
            idempotency_key=key,
            fingerprint="same",
        )
        answer = self._run(self._admission.admit(new))
        if isinstance(answer, Admitted):
            self._known.append((answer.job.id, Status.QUEUED))

    @rule()
    def grant(self) -> None:
        """A lane grants free slots."""
        self._run(self._dispatch.grant())

    @some_jobs
    @rule(number=numbers, stale=views)
    def claim(self, number: int, stale: int | None) -> None:
        """A worker claims, perhaps from an old doorbell."""
        self._run(self._jobs.claim(self._view(number, stale)))

    @some_jobs
    @rule(number=numbers, stale=views)
    def adopt(self, number: int, stale: int | None) -> None:
        """Fal's id is known."""
        job = self._view(number, stale)
        if job.nonce is not None:
            self._run(self._jobs.adopt(job, nonce=job.nonce, upstream_request_id="fal-1", poll_ms=0))

    @some_jobs
    @rule(number=numbers, stale=views)
    def hold(self, number: int, stale: int | None) -> None:
        """Nobody knows."""
        job = self._view(number, stale)
        if job.nonce is not None:
            self._run(self._jobs.hold(job, nonce=job.nonce, reason="test"))

    @some_jobs
    @rule(number=numbers, stale=views, wait_ms=st.sampled_from([0, 60_000]))
    def requeue(self, number: int, stale: int | None, wait_ms: int) -> None:
        """Fal refused it for now, or an operator sends it again."""
        job = self._view(number, stale)
        if job.nonce is not None:
            self._run(self._jobs.requeue(job, nonce=job.nonce, wait_ms=wait_ms))

    @some_jobs
    @rule(number=numbers, stale=views)
    def complete(self, number: int, stale: int | None) -> None:
        """A poll saw the end."""
        self._run(self._jobs.complete_upstream(self._view(number, stale), upstream_status="COMPLETED", logs=[]))

    @some_jobs
    @rule(
        number=numbers,
        stale=views,
        end=st.sampled_from([Status.SUCCEEDED, Status.FAILED, Status.CANCELED]),
        charge=st.sampled_from([Charge.SPEND, Charge.RELEASE, Charge.DISPUTE]),
    )
    def end(self, number: int, stale: int | None, end: Any, charge: Charge) -> None:
        """An end from wherever the graph allows it."""
        job = self._view(number, stale)
        if end in NEXT[job.status]:
            error = JobError("test", "A sentence.")
            self._run(self._jobs.end(job, (job.status,), end, charge=charge, error=error))

    @some_jobs
    @rule(number=numbers)
    def cancel(self, number: int) -> None:
        """A caller's wish."""
        job = self._job(number)
        self._run(self._jobs.note(job, LIVE, due_step="poll", delay_ms=0, cancel_requested_ms=NOW))

    @rule(what=st.sampled_from([keys.SLOTS, keys.LATER]))
    def time_passes(self, what: str) -> None:
        """Slots that end by themselves, and waits, run out."""
        for ref, score in self._run(self._redis.zrange(what, 0, -1, withscores=True)):
            if score != float("inf"):
                self._run(self._redis.zadd(what, {ref: 1}))

    @some_jobs
    @rule(number=numbers, spend=st.booleans())
    def decide(self, number: int, spend: bool) -> None:  # noqa: FBT001  drawn
        """A day after."""
        self._run(self._ledger.decide_dispute(join_ref(TEAM, self._job(number).id), spend=spend))

    @invariant()
    def the_books_are_right(self) -> None:
        """Sums, entries, reservations and slots agree, and no key is immortal."""
        assert self._run(ledger_faults(self._redis)) == []
        assert self._run(slot_faults(self._redis)) == []
        assert self._run(immortal_keys(self._redis)) == []

    @invariant()
    def every_job_is_in_its_place_and_came_there_by_the_graph(self) -> None:
        """State, money and places agree; no state was reached that the graph does not lead to."""
        for number, (job_id, before) in enumerate(self._known):
            job = self._job(number)
            reachable = {before}
            while more := {after for state in reachable for after in NEXT[state]} - reachable:
                reachable |= more
            assert job.status in reachable
            self._known[number] = (job_id, job.status)
            ref = join_ref(TEAM, job_id)
            places = {step for step in keys.STEPS if self._run(self._redis.zscore(keys.due(step), ref)) is not None}
            in_line = sum(
                self._run(self._redis.zscore(name, ref)) is not None for name in (keys.LINE, keys.LATER, keys.SLOTS)
            )
            if job.status is Status.QUEUED:
                assert in_line == 1, "in line, waiting, or granted: exactly one"
            if job.status in PLACE_OF:
                assert PLACE_OF[job.status] in places
            if job.status in ENDS:
                assert places <= {"dispute"}
                assert in_line == 0
                assert ("dispute" in places) == (job.money is Money.DISPUTED)
            else:
                assert job.money is Money.RESERVED

    @invariant()
    def no_more_are_granted_than_fal_takes(self) -> None:
        """Held jobs whose slot ran out may be adopted on top; nothing else exceeds the number."""
        waiting = self._run(self._redis.zrangebyscore(keys.SLOTS, "-inf", "(+inf"))
        if len(waiting) > CONCURRENCY:
            assert self._run(self._redis.zcard(keys.HELD)) > 0

    def teardown(self) -> None:
        """Close what was opened."""
        self._run(self._redis.aclose())
        self._run(self._patient.aclose())
        self._loop.close()


def test_any_order_of_steps_keeps_the_books(redis_server: RedisServer, full: bool) -> None:  # noqa: FBT001  a fixture
    """Some two hundred random steps, thousands with --full."""

    class Here(Pipeline):
        server = redis_server

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=60 if full else 6,
            stateful_step_count=100 if full else 40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
