"""What callers and workers can do to jobs, in any order: rules for the property test of the ledger."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from app.domain.accounts import Caller
from app.domain.jobs import LIVE, TERMINAL_STATES, TRANSITIONS, Charge, Job, JobError, Priority, Status, Submission
from app.store import keys
from app.store.jobs import NOW
from tests.integration.any_order.faulty_store import Loss
from tests.integration.any_order.model import Bill, Model
from tests.integration.any_order.state_machine import CALM, StateMachine, nothing
from tests.integration.submissions import PLAIN
from tests.support.tcp_proxy import Moment
from workers.lane import expire

PRICES = (1_400_000, 2_800_000, 4_200_000, 333_333, 1)
HOUR_MS = 3_600_000
MOST_JOBS = 30
NUMBERS = st.integers(0, 11)
USERS = st.integers(0, 3)
VIEWS = st.none() | st.integers(0, 30)
LOSSES: st.SearchStrategy[Loss | None] = st.sampled_from(
    [None] * 20
    + [Loss(Moment.AFTER), Loss(Moment.AFTER, nth=2), Loss(Moment.BEFORE)]
    + [Loss(moment, kills=True) for moment in Moment]
)
Turn = Literal["on", "hold", "back", "lose"]
TURNS: st.SearchStrategy[Turn] = st.sampled_from(("on", "on", "on", "hold", "back", "lose"))
PATHS = st.lists(TURNS, min_size=5, max_size=10)
ENDINGS: dict[Turn, tuple[Charge, Literal[Status.SUCCEEDED, Status.FAILED, Status.CANCELED]]] = {
    "on": (Charge.SPEND, Status.SUCCEEDED),
    "hold": (Charge.DISPUTE, Status.FAILED),
    "back": (Charge.RELEASE, Status.FAILED),
    "lose": (Charge.DISPUTE, Status.CANCELED),
}
SIZES = st.fixed_dictionaries({"micro": st.sampled_from(PRICES), "seconds": st.sampled_from([5, 10])})
KEYS = st.none() | st.sampled_from("ab")
room = precondition(lambda machine: len(machine.model.bills) < MOST_JOBS)
some_jobs = precondition(lambda machine: bool(machine.model.bills))


CHARGES: dict[Charge, Callable[[Bill], None]] = {
    Charge.SPEND: lambda bill: bill.close(spend=True),
    Charge.RELEASE: lambda bill: bill.close(spend=False),
    Charge.DISPUTE: Bill.dispute,
}


def new_job(caller: Caller, *, micro: int, seconds: int, **more: Any) -> Submission:
    """What a caller submits with their key."""
    new = replace(PLAIN, team=caller.team, user=caller.user, key=caller.key, digest=caller.digest, zone=caller.zone)
    return replace(new, quoted_micro=micro, seconds=seconds, webhook_url="https://example.com/hook", **more)


def always(_: object) -> bool:
    """Count every answer as done."""
    return True


class JobSteps(StateMachine):
    """Every step that callers and workers can take, including stale and interrupted ones."""

    def __init__(self) -> None:
        super().__init__()
        self._old: list[Job] = []  # records as workers read them earlier
        self._pushed: str | None = None  # the job that `push` moves
        self._submitted: list[Submission] = []  # submissions with an idempotency key

    def _view(self, number: int, stale: int | None, *sources: Status) -> Job:
        """A current job in one of these states, or any job if there is none; or a job as it was read earlier."""
        if stale is not None and self._old:
            return self._old[stale % len(self._old)]
        if self._pushed is not None:
            number, sources = list(self.model.bills).index(self._pushed), tuple(Status)
        job = self.job(number, lambda bill: bill.status in sources)
        self._old.append(job)
        return job

    def _attempt(self, number: int, stale: int | None, *sources: Status) -> tuple[Job, str]:
        """The same, with the nonce of the job's attempt; a stale view has an earlier attempt's, if any."""
        bills = self.model.bills
        late = [
            old
            for old in self._old
            if old.nonce and bills[old.id].status in sources and bills[old.id].nonce != old.nonce
        ]
        job = late[stale % len(late)] if stale is not None and late else self._view(number, stale, *sources)
        return job, job.nonce or "of no attempt"

    # --- callers -----------------------------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        """Every user has a job."""
        for caller in self.callers:
            self.submit(new_job(caller, micro=PRICES[0], seconds=5), None)

    @room
    @rule(user=USERS, size=SIZES, priority=st.sampled_from(Priority), key=KEYS, loss=LOSSES)
    def admit(self, user: int, size: Any, priority: Priority, key: str | None, loss: Loss | None) -> None:
        """A submission, perhaps with an idempotency key that was already used."""
        new = new_job(self.callers[user], **size, priority=priority, idempotency_key=key)
        if key is not None:
            self._submitted.append(new)
        self.submit(new, loss)

    @room
    @precondition(lambda machine: bool(machine.tokens))
    @rule(number=NUMBERS, size=SIZES, key=KEYS, loss=LOSSES)
    def admit_by_token(self, number: int, size: Any, key: str | None, loss: Loss | None) -> None:
        """A submission with a browser token."""
        token = list(self.tokens)[number % len(self.tokens)]
        caller, token_digest = self.tokens[token]
        new = new_job(caller, **size, idempotency_key=key, token=token)
        self.submit(replace(new, digest=token_digest), loss)

    @precondition(lambda machine: bool(machine._submitted))
    @rule(number=NUMBERS, fingerprint=st.sampled_from(["one", "two"]), loss=LOSSES)
    def admit_again(self, number: int, fingerprint: str, loss: Loss | None) -> None:
        """The same idempotency key, with the same body or a different one."""
        self.submit(replace(self._submitted[number % len(self._submitted)], fingerprint=fingerprint), loss)

    @some_jobs
    @rule(number=NUMBERS, loss=LOSSES)
    def cancel(self, number: int, loss: Loss | None) -> None:
        """A caller's cancellation: immediate while the job is queued, recorded while it is at fal."""
        job = self.job(number)
        if job.status is Status.QUEUED:
            way = ((Status.QUEUED,), Status.CANCELED)
            self.advance(
                job,
                lambda gateway: gateway.stores.jobs.cancel_queued(job),
                loss,
                way,
                money=CHARGES[Charge.RELEASE],
            )
            return
        self.step(
            lambda gateway: gateway.stores.jobs.update(job, LIVE, delay_ms=0, cancel_requested_ms=NOW),
            loss,
            nothing if job.status in LIVE else None,
        )

    # --- workers -----------------------------------------------------------------------------------------------

    @rule(loss=LOSSES)
    def grant(self, loss: Loss | None = None) -> None:
        """A lane grants free slots."""
        self.step(lambda gateway: gateway.stores.slots.grant(), loss, nothing, always)

    @some_jobs
    @rule(number=NUMBERS, turns=PATHS)
    def push(self, number: int, turns: list[Turn]) -> None:
        """Move one job several steps through the pipeline, with every detour that its state allows."""
        self._pushed = self.job(number, lambda bill: bill.status not in TERMINAL_STATES).id
        for turn in turns:
            job = self._view(0, None)
            match job.status, turn:
                case Status.QUEUED, _ if job.ref not in self.snapshot.get(keys.SLOTS):
                    self.grant(None)
                case Status.QUEUED, _:
                    self.claim(0, None, None)
                case Status.SUBMITTING, "hold":
                    self.hold(0, None, None)
                case Status.SUBMITTING | Status.HELD, "lose":
                    self.adopt(0, 0, None)  # a worker of an earlier attempt wakes up
                case Status.SUBMITTING | Status.HELD, "back":
                    self.requeue(0, None, 0, None)
                case Status.SUBMITTING | Status.HELD, _:
                    self.adopt(0, None, None)
                case Status.RUNNING, _:
                    self.complete(0, None, None)
                case Status.FINALIZING, _:
                    charge, end = ENDINGS[turn]
                    self.end(0, None, end, charge, None)
            self.the_ledger_is_right()
        self._pushed = None

    @some_jobs
    @rule(number=NUMBERS, turns=PATHS)
    def push_another(self, number: int, turns: list[Turn]) -> None:
        """The same rule again, so that it is chosen twice as often."""
        self.push(number, turns)

    @some_jobs
    @rule(number=NUMBERS, stale=VIEWS, loss=LOSSES)
    def claim(self, number: int, stale: int | None, loss: Loss | None) -> None:
        """A worker claims the job, perhaps from an old task."""
        job = self._view(number, stale, Status.QUEUED)
        way = ((Status.QUEUED,), Status.SUBMITTING)
        self.advance(job, lambda gateway: gateway.stores.jobs.claim(job), loss, way)

    @some_jobs
    @rule(number=NUMBERS, stale=VIEWS, loss=LOSSES)
    def adopt(self, number: int, stale: int | None, loss: Loss | None) -> None:
        """Fal's id becomes known."""
        job, nonce = self._attempt(number, stale, Status.SUBMITTING, Status.HELD)
        way = ((Status.SUBMITTING, Status.HELD), Status.RUNNING)
        self.advance(
            job,
            lambda gateway: gateway.stores.jobs.adopt(job, nonce=nonce, upstream_request_id="fal-1", poll_ms=0),
            loss,
            way,
            nonce=nonce,
        )

    @some_jobs
    @rule(number=NUMBERS, stale=VIEWS, loss=LOSSES)
    def hold(self, number: int, stale: int | None, loss: Loss | None) -> None:
        """The outcome of the submission becomes unknown."""
        job, nonce = self._attempt(number, stale, Status.SUBMITTING)
        way = ((Status.SUBMITTING,), Status.HELD)
        self.advance(
            job, lambda gateway: gateway.stores.jobs.hold(job, nonce=nonce, reason="test"), loss, way, nonce=nonce
        )

    @some_jobs
    @rule(number=NUMBERS, stale=VIEWS, wait_ms=st.sampled_from([0, 60_000]), loss=LOSSES)
    def requeue(self, number: int, stale: int | None, wait_ms: int, loss: Loss | None) -> None:
        """Fal refuses it temporarily, or an operator resubmits it; a job with a requested cancellation ends."""
        job, nonce = self._attempt(number, stale, Status.SUBMITTING, Status.HELD)
        wanted = self.snapshot.jobs()[job.ref].cancel_requested_ms is not None
        way = ((Status.SUBMITTING, Status.HELD), Status.CANCELED if wanted else Status.QUEUED)
        self.advance(
            job,
            lambda gateway: gateway.stores.jobs.requeue(job, nonce=nonce, wait_ms=wait_ms),
            loss,
            way,
            nonce=nonce,
            money=CHARGES[Charge.RELEASE],
        )

    @some_jobs
    @rule(number=NUMBERS, stale=VIEWS, loss=LOSSES)
    def complete(self, number: int, stale: int | None, loss: Loss | None) -> None:
        """A poll finds the end."""
        job = self._view(number, stale, Status.RUNNING)
        way = ((Status.RUNNING,), Status.FINALIZING)
        self.advance(
            job,
            lambda gateway: gateway.stores.jobs.complete_upstream(job, upstream_status="COMPLETED", logs=[]),
            loss,
            way,
        )

    @some_jobs
    @rule(
        number=NUMBERS,
        stale=VIEWS,
        end=st.sampled_from([Status.SUCCEEDED, Status.FAILED, Status.CANCELED]),
        charge=st.sampled_from([Charge.SPEND, Charge.RELEASE, Charge.DISPUTE]),
        loss=LOSSES,
    )
    def end(self, number: int, stale: int | None, end: Any, charge: Charge, loss: Loss | None) -> None:
        """End the job from any state in which the graph allows it."""
        job = self._view(number, stale, *(before for before in Status if end in TRANSITIONS[before]))
        if end in TRANSITIONS[job.status]:
            sources, error = (job.status,), JobError("test", "A sentence.")
            self.advance(
                job,
                lambda gateway: gateway.stores.jobs.end(job, sources, end, charge=charge, error=error),
                loss,
                (sources, end),
                money=CHARGES[charge],
            )

    @some_jobs
    @rule(number=NUMBERS, loss=LOSSES)
    def expire(self, number: int, loss: Loss | None) -> None:
        """One job's start deadline passes; the others' are far away."""
        job = self.job(number)
        ref = job.ref
        for other in self.snapshot.get(keys.due("expire")):
            due_ms = 1 if other == ref else self.snapshot.now_ms + HOUR_MS
            self.faulty_store.command("ZADD", keys.due("expire"), due_ms, other)
        self.read_store()

        def change(model: Model) -> None:
            model.bills[job.id].status = Status.FAILED
            model.bills[job.id].close(spend=False)

        may = job.status is Status.QUEUED and ref in self.snapshot.get(keys.due("expire"))
        self.step(expire, loss, change if may else nothing, always)

    @rule(what=st.sampled_from([keys.SLOTS, keys.LATER]))
    def time_passes(self, what: str) -> None:
        """Leases of slots and waits expire."""
        for ref, score in self.snapshot.get(what).items():
            if score != float("inf"):
                self.faulty_store.command("ZADD", what, 1, ref)
        self.read_store()

    @precondition(lambda machine: machine.calm >= CALM)
    @rule()
    def the_store_dies(self) -> None:
        """The store is killed between two operations."""
        self.crash()
