"""The base of the property test of the ledger: a faulty store, the model, and their comparison."""

from collections import Counter
from collections.abc import Awaitable, Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine, invariant

from app.domain.accounts import USER_SCOPES, Caller, digest
from app.domain.ids import join_ref
from app.domain.jobs import TERMINAL_STATES, TRANSITIONS, Job, Money, Status, Submission
from app.domain.limits import CALENDAR, GATEWAY, Limit, Owner, Unit, Window
from app.domain.starts import Starts
from app.gateway import Gateway
from app.store import keys
from app.store.admission import AdmissionOutcome, Admitted, KeyReusedFor, OverLimits, Repeated
from tests.integration.any_order.faulty_store import CONCURRENCY, FaultyStore, Loss, Lost
from tests.integration.any_order.model import Bill, Model, Quote, starts_at
from tests.support.checks import book_faults, immortals, misplaced_slots
from tests.support.snapshot import Snapshot

Change = Callable[[Model], None]
ACTOR = "tester"
CALM = 6  # operations between two crashes: a crash takes as long as they do
RATES = keys.rate("", "")[:-1]
NOTED = (RATES, keys.AUDIT)  # keys that may change although the operation changed nothing in the ledger
PLACE_OF = {Status.RUNNING: "poll", Status.FINALIZING: "finalize"}
FIRST_LIMITS = {  # most of the first submissions fit
    "gateway": (
        Limit(Unit.USD, Window.DAY, 22_000_000),
        Limit(Unit.JOBS, Window.CONCURRENT, 8),
        Limit(Unit.VIDEO_SECONDS, Window.TOTAL, 110),
    ),
    "team": (
        Limit(Unit.USD, Window.MONTH, 9_800_000),
        Limit(Unit.JOBS, Window.MINUTE, 12),
        Limit(Unit.JOBS, Window.QUEUED, 4),
    ),
    "user": (
        Limit(Unit.USD, Window.TOTAL, 5_600_000),
        Limit(Unit.VIDEO_SECONDS, Window.HOUR, 35),
        Limit(Unit.SUBMITS, Window.MINUTE, 20),
    ),
}


def nothing(_: Model) -> None:
    """A change that does not affect the ledger."""


@dataclass
class Tally:
    """Counts of what was done, over all runs of one test."""

    operations: int = 0
    admitted: int = 0
    refused: int = 0
    repeated: int = 0
    closed: int = 0
    lost: int = 0
    crashes: int = 0
    runs: int = 0
    moves: Counter[str] = field(default_factory=Counter)


class StateMachine(RuleBasedStateMachine):
    """Two teams with two users each, a store, and the ledger as it must be; subclasses add the rules.

    Attributes:
        tally: counts over all runs; a class attribute of the subclass, as is `shaken`.
        books: the model.
        seen: the store's content after the last operation.
        callers: the four users' keys.
        tokens: by id, the caller and the digest of each browser token.
    """

    tally: Tally
    faulty_store: FaultyStore

    def __init__(self) -> None:
        super().__init__()
        self.tally.runs += 1
        self.faulty_store.reset()
        self.model = Model(limits={GATEWAY: _by_name(FIRST_LIMITS["gateway"])})
        self.callers: list[Caller] = []
        self.tokens: dict[str, tuple[Caller, str]] = {}
        self.calm = 0  # operations since the store was killed
        self._reached: dict[str, Status] = {}
        self.faulty_store.run(self._set_up(self.faulty_store.gateway))
        self.snapshot: Snapshot
        self.read_store()

    async def _set_up(self, gateway: Gateway) -> None:
        await gateway.limits.replace(ACTOR, GATEWAY, FIRST_LIMITS["gateway"])
        for zone in ("UTC", "Asia/Kathmandu"):
            team = await gateway.administration.add_team(
                ACTOR, name="team", time_zone=zone, limits=FIRST_LIMITS["team"]
            )
            self.model.zones[team.id] = zone
            self.model.limits[team.id] = _by_name(FIRST_LIMITS["team"])
            for name in ("one", "two"):
                user = await gateway.administration.add_user(
                    ACTOR, team=team.id, name=name, limits=FIRST_LIMITS["user"]
                )
                made = await gateway.administration.add_key(ACTOR, user=user.id)
                self.model.limits[user.id] = _by_name(FIRST_LIMITS["user"])
                self.callers.append(
                    Caller(team.id, user.id, made.record.id, USER_SCOPES, digest=digest(made.key), zone=zone)
                )

    # --- operations --------------------------------------------------------------------------------------------

    def read_store(self) -> Snapshot:
        """Read the store again."""
        self.snapshot = self.faulty_store.snapshot()
        return self.snapshot

    def step(
        self,
        call: Callable[[Gateway], Awaitable[Any]],
        loss: Loss | None,
        change: Change | None,
        happened: Callable[[Any], bool] = bool,
    ) -> None:
        """Run one operation. `change` is its effect on the ledger; None when it must be refused.

        `happened` interprets an answer. When the answer is lost, either outcome is allowed.
        """
        before = self.snapshot
        answer = self._act(call, loss)
        if answer is Lost.LOST:
            self._adopt(change)
            return
        assert happened(answer) == (change is not None), f"{answer!r} is not what the books say"
        if change is None:
            assert self.snapshot.without(*NOTED) == before.without(*NOTED), "what is refused changes nothing"
        else:
            change(self.model)

    def _act(self, call: Callable[[Gateway], Awaitable[Any]], loss: Loss | None) -> Any:
        self.tally.operations += 1
        self.calm += 1
        if self.calm < CALM:
            loss = None
        crashes = self.faulty_store.crashes
        answer = self.faulty_store.act(call, loss)
        self.tally.lost += answer is Lost.LOST
        if self.faulty_store.crashes > crashes:
            self.tally.crashes += 1
            self.calm = 0
        self.read_store()
        return answer

    def _adopt(self, change: Change | None) -> None:
        """The answer was lost: the store shows whether it happened, and no state in between is allowed."""
        unless = self.model.faults(self.snapshot)
        if not unless:
            return
        assert change is not None, f"it must have been refused: {unless}"
        after = deepcopy(self.model)
        change(after)
        assert after.faults(self.snapshot) == [], f"it neither happened nor not: {unless}"
        self.model = after

    def crash(self) -> None:
        """The store is killed and restarted, with everything that it ever acknowledged."""
        before = self.snapshot
        self.tally.operations += 1
        self.tally.crashes += 1
        self.calm = 0
        self.faulty_store.crash()
        assert self.read_store().values == before.values

    # --- admission ---------------------------------------------------------------------------------------------

    def submit(self, new: Submission, loss: Loss | None) -> None:
        """One submission: accepted exactly when every limit has room; the reply has the state of each."""
        quote = Quote(new.team, new.user, new.token, new.quoted_micro, new.seconds)
        known = self.model.repeats.get((new.team, new.token or new.user, new.idempotency_key or ""))
        before = self.snapshot
        answer: AdmissionOutcome | Lost = self._act(lambda gateway: gateway.jobs.admission.admit(new), loss)
        if answer is Lost.LOST:
            self._adopt(None if known else partial(self._write_down, new, quote))
            self.model.take_rates(quote, self.snapshot.now_ms, surely=False)
        elif known:
            self.tally.repeated += 1
            same = known[1] == new.fingerprint
            assert isinstance(answer, Repeated if same else KeyReusedFor)
            assert answer.job_id == known[0]
            assert self.snapshot.values == before.values, "a repeated submission changes nothing"
        else:
            assert isinstance(answer, Admitted | OverLimits)
            self._compare(quote, answer)
            if isinstance(answer, Admitted):
                self.tally.admitted += 1
                self._write_down(new, quote, self.model)
            else:
                self.tally.refused += 1
                assert self.snapshot.without(RATES) == before.without(RATES), "a refused submission changes nothing"

    def _compare(self, quote: Quote, answer: Admitted | OverLimits) -> None:
        """Compare the limits that admission reported, and its decision, with the model."""
        admitted = isinstance(answer, Admitted)
        now_ms = answer.job.created_ms if isinstance(answer, Admitted) else answer.limits[0].now_ms
        expected = self.model.states(quote, now_ms)
        if admitted:
            expected = [replace(one, held=one.held + quote.need(one.unit)) for one in expected]
        found = [one for one in answer.limits if one.unit is not Unit.SUBMITS]
        for one, here in zip(found, expected, strict=True):
            if quote.team in self.model.moved and here.window in CALENDAR and here.owner is not Owner.GATEWAY:
                same = replace(one, amount=here.amount, used=here.used, held=here.held, over=here.over)
                assert same == here
                assert one.used + one.held >= here.used + here.held, "what was used before the change counts too"
            else:
                assert one == here
        rates = [one for one in answer.limits if one.unit is Unit.SUBMITS]
        for reported, (kind, owner, limit) in zip(rates, self.model.rates_of(quote), strict=True):
            assert (reported.owner, reported.window) == (kind, limit.window)
            assert self.model.rate_is_over(owner, limit, now_ms) in {reported.over, None}
        assert admitted == (not any(one.over for one in answer.limits))
        if not any(one.over for one in rates):
            self.model.take_rates(quote, now_ms)

    def _write_down(self, new: Submission, quote: Quote, model: Model) -> None:
        """A new job is in the store: with the current periods, and only if it fits."""
        (job,) = [job for job in self.snapshot.jobs().values() if job.id not in model.bills]
        frozen = Starts.read(job.starts)
        assert frozen == starts_at(job.created_ms, model.zones[new.team])
        for limit in model.states(quote, job.created_ms):
            if quote.team in model.moved and limit.window in CALENDAR:
                continue  # a credit of a window that a zone change cut short counts too: tests/unit/test_zones.py
            assert limit.used + limit.held + quote.need(limit.unit) <= limit.amount
        model.bills[job.id] = Bill(quote, frozen, entries=[("reserve", quote.micro)])
        if new.idempotency_key is not None:
            model.repeats[new.team, new.token or new.user, new.idempotency_key] = (job.id, new.fingerprint)

    # --- a job's way -------------------------------------------------------------------------------------------

    def job(self, number: int, wanted: Callable[[Bill], bool] = lambda _: True) -> Job:
        """A current job; one of the wanted ones, if there is any."""
        bills = self.model.bills
        ids = [job_id for job_id, bill in bills.items() if wanted(bill)] or list(bills)
        job_id = ids[number % len(ids)]
        return self.snapshot.jobs()[join_ref(bills[job_id].quote.team, job_id)]

    def advance(
        self,
        job: Job,
        call: Callable[[Gateway], Awaitable[Any]],
        loss: Loss | None,
        way: tuple[tuple[Status, ...], Status],
        *,
        nonce: str = "",
        money: Callable[[Bill], None] = lambda _: None,
    ) -> None:
        """A step between states: succeeds exactly when the job is in a source state and the nonce matches."""
        sources, target = way
        ref = job.ref
        bill = self.model.bills[job.id]
        may = bill.status in sources and nonce in {"", bill.nonce}
        may = may and (target is not Status.SUBMITTING or ref in self.snapshot.get(keys.SLOTS))

        def change(model: Model) -> None:
            bill = model.bills[job.id]
            self.tally.moves[f"{bill.status} to {target}"] += 1
            bill.status = target
            if target is Status.SUBMITTING:
                bill.nonce = self.snapshot.jobs()[ref].nonce
                assert bill.nonce not in {None, job.nonce}
            elif target is Status.QUEUED:
                bill.nonce = None
            elif target in TERMINAL_STATES:
                money(bill)

        self.step(call, loss, change if may else None)

    # --- after every step --------------------------------------------------------------------------------------

    @invariant()
    def the_ledger_is_right(self) -> None:
        """The store equals the model; sums, entries, reservations, places and slots agree."""
        assert self.model.faults(self.snapshot) == []
        assert book_faults(self.snapshot) == []
        assert misplaced_slots(self.snapshot) == []
        assert immortals(self.snapshot) == []

    @invariant()
    def every_job_is_in_its_place_and_came_there_by_the_graph(self) -> None:
        """State, money and places agree; every state was reached by a transition of the graph."""
        for ref, job in self.snapshot.jobs().items():
            reachable = {self._reached.get(job.id, Status.QUEUED)}
            while more := {after for state in reachable for after in TRANSITIONS[state]} - reachable:
                reachable |= more
            assert job.status in reachable
            self._reached[job.id] = job.status
            places = {step for step in keys.STEPS if ref in self.snapshot.get(keys.due(step))}
            in_line = sum(ref in self.snapshot.get(name) for name in (keys.LINE, keys.LATER, keys.SLOTS))
            if job.status is Status.QUEUED:
                assert in_line == 1, "in line, waiting, or granted: exactly one"
            if job.status in PLACE_OF:
                assert PLACE_OF[job.status] in places
            if job.status in TERMINAL_STATES:
                assert places <= {"dispute"}
                assert in_line == 0
                assert ("dispute" in places) == (job.money is Money.DISPUTED)
            else:
                assert job.money is Money.RESERVED

    @invariant()
    def no_more_are_granted_than_fal_takes(self) -> None:
        """Held jobs whose slot expired may exceed the number when they are adopted; nothing else may."""
        slots = self.snapshot.get(keys.SLOTS)
        if sum(score < float("inf") for score in slots.values()) > CONCURRENCY:
            assert self.snapshot.get(keys.HELD)

    def teardown(self) -> None:
        """Count what was done."""
        self.tally.closed += sum(not bill.open for bill in self.model.bills.values())


def _by_name(limits: tuple[Limit, ...]) -> dict[str, Limit]:
    return {limit.name: limit for limit in limits}
