"""Whatever happens to jobs, limits and the store, in whatever order: money, slots and states stay right."""

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.errors import FlakyStrategyDefinition
from hypothesis.stateful import rule, run_state_machine_as_test

from app.domain.jobs import TERMINAL_STATES, Money
from app.domain.ledger import Correction
from app.domain.limits import CALENDAR, GATEWAY, Limit, Unit, Window
from app.domain.starts import Starts
from app.gateway import Gateway
from app.services.tokens import TokenRequest
from app.store import keys
from app.store.limits import read_limits
from tests.integration.any_order.faulty_store import FaultyStore, Loss
from tests.integration.any_order.job_steps import HOUR_MS, LOSSES, NUMBERS, USERS, JobSteps, some_jobs
from tests.integration.any_order.model import NEVER, Adjustment, Model, names_of, starts_at
from tests.integration.any_order.state_machine import ACTOR, Tally

MINUTE_MS = 60_000
EDGE_MS = 5_000
COUNTING = (*CALENDAR, Window.TOTAL)
COUNTS = (0, 1, 2, 5, 9, 20)
LIMITS = {  # windows and amounts of one more limit; half of them are low
    Unit.USD: (COUNTING, (0, 1_400_000, 2_799_999, 2_800_000, 7_000_000, 14_000_000, 30_000_000)),
    Unit.JOBS: ((*COUNTING, Window.CONCURRENT, Window.QUEUED), COUNTS),
    Unit.VIDEO_SECONDS: (COUNTING, (0, 5, 9, 10, 45, 90)),
    Unit.SUBMITS: ((Window.MINUTE, Window.HOUR), (0, 1, 3, 30)),
}
ANY_LIMIT = st.one_of(
    *(
        st.builds(Limit, st.just(unit), st.sampled_from(windows), st.sampled_from(amounts))
        for unit, (windows, amounts) in LIMITS.items()
    )
)


class AnyOrder(JobSteps):
    """Every step of workers, callers, operators and administrators, including stale and interrupted ones."""

    # --- money -------------------------------------------------------------------------------------------------

    @some_jobs
    @rule(number=NUMBERS, spend=st.booleans(), loss=LOSSES)
    def decide(self, number: int, spend: bool, loss: Loss | None) -> None:  # noqa: FBT001  drawn
        """A day passes."""
        job = self.job(number, lambda bill: bill.money is Money.DISPUTED)
        self.step(
            lambda gateway: gateway.stores.ledger.decide_dispute(job.ref, spend=spend),
            loss,
            (lambda model: model.bills[job.id].close(spend=spend)) if job.money is Money.DISPUTED else None,
        )

    @some_jobs
    @rule(number=NUMBERS, factor=st.sampled_from([0, 1, 2, 0.5]), loss=LOSSES)
    def correct(self, number: int, factor: float, loss: Loss | None) -> None:
        """A job's real cost becomes known: nothing, the charged amount, more, or less."""
        job = self.job(number, lambda bill: not bill.open)
        actual = int((job.charged_micro or job.quoted_micro) * factor)
        after = deepcopy(self.model)
        after.bills[job.id].correct(actual)
        same = after.bills[job.id].entries == self.model.bills[job.id].entries
        below = any(value < 0 for sums in after.sums().values() for value in sums.values())
        changes = job.status in TERMINAL_STATES and not same and not below
        self.step(
            lambda gateway: gateway.ledger.correct_job(ACTOR, job.team, job.id, actual=actual, reason="a test"),
            loss,
            (lambda model: model.bills[job.id].correct(actual)) if changes else None,
            lambda answer: answer in {Correction.DECIDED, Correction.CORRECTED},
        )

    @rule(
        user=USERS,
        kind=st.sampled_from(["credit", "correction"]),
        micro=st.sampled_from([1, 1_000_000, 5_000_000, -1, -1_000_000, -1_399_999]),
        loss=LOSSES,
    )
    def adjust(self, user: int, kind: Literal["credit", "correction"], micro: int, loss: Loss | None) -> None:
        """An administrator adds a credit, or a correction that belongs to no job; neither goes below zero."""
        team = self.callers[user].team
        now_ms = self.faulty_store.now_ms()
        if now_ms % MINUTE_MS > MINUTE_MS - EDGE_MS:  # the answer does not show in which minute it happened
            return

        def change(model: Model) -> None:
            _, entry = self.snapshot.get(keys.ledger(team))[-1]
            frozen = Starts.read(entry["starts"])
            model.adjustments.append(Adjustment(team, kind, micro, frozen))

        def call(gateway: Gateway) -> Awaitable[None]:
            write = gateway.ledger.credit if kind == "credit" else gateway.ledger.correct
            return write(ACTOR, team, micro=micro, reason="a test")

        fits = self._stays_above_zero(team, kind, micro, now_ms)
        self.step(call, loss, change if fits else None, lambda answer: answer is None)

    def _stays_above_zero(self, team: str, kind: str, micro: int, now_ms: int) -> bool:
        """Whether every sum that the adjustment changes has enough to subtract."""
        sums = self.model.sums()
        starts = starts_at(now_ms, self.model.zones[team]) if kind == "credit" else NEVER
        field = "credit:usd" if kind == "credit" else "used:usd"
        owners = [team] if kind == "credit" else [team, GATEWAY]
        names = [name for owner in owners for name in names_of(owner, starts)]
        return all(sums.get(name, Counter())[field] + min(0, micro) >= 0 for name in names)

    # --- limits ------------------------------------------------------------------------------------------------

    def _owner(self, number: int) -> str:
        owners = [GATEWAY, *self.model.zones, *(caller.user for caller in self.callers)]
        return owners[number % len(owners)]

    @rule(
        owner=NUMBERS,
        limits=st.lists(ANY_LIMIT, min_size=1, max_size=4, unique_by=lambda limit: limit.name),
        loss=LOSSES,
    )
    def replace_limits(self, owner: int, limits: list[Limit], loss: Loss | None) -> None:
        """An administrator sets other limits, perhaps lower ones."""
        name = self._owner(owner)
        self.step(
            lambda gateway: gateway.limits.replace(ACTOR, name, limits),
            loss,
            lambda model: model.limits.update({name: {limit.name: limit for limit in limits}}),
            lambda answer: answer is None,
        )

    @rule(owner=NUMBERS, number=NUMBERS, loss=LOSSES)
    def raise_limit(self, owner: int, number: int, loss: Loss | None) -> None:
        """An administrator raises a limit for an hour."""
        name = self._owner(owner)
        if not (known := list(self.model.limits[name].values())):
            return
        limit = known[number % len(known)]
        more = Limit(limit.unit, limit.window, 2 * limit.amount + 1)

        def change(model: Model) -> None:
            (stored,) = [one for one in read_limits(self.snapshot.get(keys.limits(name))) if one.name == limit.name]
            until = stored.raised_until_ms
            model.limits[name][limit.name] = replace(limit, raised_to=more.amount, raised_until_ms=until)

        self.step(
            lambda gateway: gateway.limits.raise_for(ACTOR, name, more, seconds=HOUR_MS // 1000),
            loss,
            change,
            lambda answer: isinstance(answer, Limit),
        )

    @rule()
    def raises_end(self) -> None:
        """An hour passes."""
        for owner, limits in self.model.limits.items():
            for name, limit in limits.items():
                if limit.raised_to is not None:
                    self.faulty_store.command("HSET", keys.limits(owner), f"raise:{name}", f"{limit.raised_to} 1")
                    limits[name] = replace(limit, raised_until_ms=1)
        self.read_store()

    @rule(user=USERS, zone=st.sampled_from(["UTC", "Asia/Kathmandu", "Pacific/Kiritimati"]), loss=LOSSES)
    def move(self, user: int, zone: str, loss: Loss | None) -> None:
        """A team's time zone changes: new periods begin, existing jobs keep theirs, and old windows still apply."""
        team = self.callers[user].team

        def change(model: Model) -> None:
            if model.zones[team] != zone:
                model.moved.add(team)
            model.zones[team] = zone

        self.step(lambda gateway: gateway.administration.change_team(ACTOR, team, time_zone=zone), loss, change)

    @rule(
        user=USERS,
        jobs=st.none() | st.sampled_from(COUNTS),
        micro=st.none() | st.sampled_from(LIMITS[Unit.USD][1]),
        loss=LOSSES,
    )
    def mint(self, user: int, jobs: int | None, micro: int | None, loss: Loss | None) -> None:
        """A user creates a browser token with caps."""
        caller = self.callers[user]

        def change(model: Model) -> None:
            ((name, row),) = [
                (name, row) for name, row in self.snapshot.named(keys.token("")) if row["id"] not in model.tokens
            ]
            caps = [Limit(Unit.JOBS, Window.TOTAL, jobs)] if jobs is not None else []
            caps += [Limit(Unit.USD, Window.TOTAL, micro)] if micro is not None else []
            model.tokens[row["id"]] = caller.user
            model.limits[row["id"]] = {cap.name: cap for cap in caps}
            self.tokens[row["id"]] = (caller, name)

        self.step(lambda gateway: gateway.tokens.mint(caller, TokenRequest(600, jobs, micro)), loss, change)


SETTINGS = settings(
    max_examples=12,
    stateful_step_count=60,
    deadline=None,
    database=None,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.timeout(1800)  # hypothesis shrinks a failure before it reports it, and the long form takes minutes
def test_any_order_of_operations_keeps_the_books(full: bool, say: Callable[[str], None]) -> None:  # noqa: FBT001  a fixture
    """600 random operations with crashes and lost answers, 10,000 with --full: exact to a micro-dollar."""
    counted = Tally()

    class Here(AnyOrder):
        tally = counted
        faulty_store = FaultyStore()

    def everything_happened() -> bool:
        kinds = (counted.crashes, counted.lost, counted.refused, counted.admitted, counted.repeated, counted.closed)
        return min(kinds) > 0

    promised = 10_000 if full else 600
    try:
        # Some steps of a run have nothing to do, and a short run may lack a kind.
        while counted.operations < promised or not (everything_happened() or counted.operations > 3 * promised):
            with suppress(FlakyStrategyDefinition):  # time passed: the same steps admit what was refused before
                run_state_machine_as_test(Here, settings=SETTINGS)
    finally:
        Here.faulty_store.close()
        say(str(counted))
    assert counted.operations >= promised
    assert everything_happened()
