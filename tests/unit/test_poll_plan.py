"""When polls come, from the ages at which earlier generations ended."""

from collections import Counter

import pytest

from app.domain.poll_plan import BINS, EDGES_S, LONGEST_S, PollPlan, bin_of

FIRST_S = 1.0
FROM_S, TO_S = 225.0, 255.0


def ages(count: int, start_s: float = FROM_S, end_s: float = TO_S) -> list[float]:
    """Ages (s), spread evenly."""
    return [start_s + (end_s - start_s) * (number + 0.5) / count for number in range(count)]


def plan_for(*ends_s: float, first_s: float = FIRST_S) -> PollPlan:
    """The plan after these ends."""
    return PollPlan(Counter(bin_of(age_s * 1000) for age_s in ends_s), first_s=first_s)


def polls_until(plan: PollPlan, end_s: float) -> tuple[int, float]:
    """How many polls a generation of this age takes, and how late its end is noticed (s)."""
    at_s, count = FIRST_S, 1
    while at_s < end_s:
        at_s += plan.wait_ms(at_s * 1000) / 1000
        count += 1
    return count, at_s - end_s


@pytest.mark.parametrize("known", [30, 1000])
def test_four_minutes_take_forty_polls_and_the_end_is_noticed_at_once(known: int) -> None:
    """Few polls before ends are likely, dense ones while they are."""
    plan = plan_for(*ages(known))
    found = [polls_until(plan, end_s) for end_s in ages(200)]
    counts, lags = sorted(count for count, _ in found), sorted(lag for _, lag in found)
    assert counts[100] <= 40
    assert (lags[100] < 0.7, lags[198] < 1.4) == (True, True)


@pytest.mark.parametrize("end_s", [3, 20, 100, 180, 400, 1000, 3000])
def test_an_end_at_an_age_that_was_never_seen_is_noticed_soon(end_s: float) -> None:
    """Within fifteen seconds at any age, and within its own age in the first seconds."""
    _, lag = polls_until(plan_for(*ages(500)), end_s)
    assert lag <= min(LONGEST_S, end_s) + 0.01


def test_two_groups_of_ends_are_both_polled_densely_and_not_what_lies_between() -> None:
    """Refused inputs end after seconds, clips after minutes."""
    plan = plan_for(*ages(100, 5, 8), *ages(900))
    assert plan.wait_ms(6_000) < 1_500
    assert plan.wait_ms(60_000) > 10_000
    assert plan.wait_ms(240_000) < 1_500


@pytest.mark.parametrize("first_s", [0.05, 1, 10, 60])
def test_no_poll_comes_sooner_than_the_first_interval(first_s: float) -> None:
    """An operator who polls rarely still does."""
    plan = plan_for(*ages(500), first_s=first_s)
    waits = [plan.wait_ms(1000 * first_s + age_s * 1000) for age_s in ages(500, 1, 600)]
    assert min(waits) >= first_s * 1000 - 1
    assert max(waits) <= max(LONGEST_S, first_s) * 1000 + 1


def test_a_wait_before_the_ends_does_not_pass_over_the_first_of_them() -> None:
    """A long interval ends where the dense ones begin."""
    plan = plan_for(*ages(500))
    assert max(polls_until(plan, end_s)[1] for end_s in ages(300, FROM_S - 2, FROM_S + 5)) < 2


def test_every_age_has_a_bin() -> None:
    """From nothing to more than an hour; what is later is in the last one."""
    assert [bin_of(0), bin_of(999), bin_of(10**9)] == [0, 0, BINS - 1]
    assert EDGES_S[BINS - 1] > 3600
    assert all(bin_of(edge_s * 1000 + 1) == number for number, edge_s in enumerate(EDGES_S[:BINS]))
