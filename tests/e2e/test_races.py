"""Limits hold exactly: three API processes, one store, two hundred concurrent clients."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import TypeAlias

import pytest

from app.domain.limits import CALENDAR, GATEWAY, Limit, Unit, Window, periods
from app.services.tokens import TokenRequest
from app.store import keys
from tests.e2e.races import MINUTE_MS, Races, Reply, open_races
from tests.support.checks import store_faults
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

Say: TypeAlias = Callable[[str], None]
CLIENTS = 200
FIT = 20
PRICE = 1_400_000  # micro-dollars, and
SECONDS = 5  # of video: the size of each job in these races
SIZE = {Unit.JOBS: 1, Unit.USD: PRICE, Unit.VIDEO_SECONDS: SECONDS, Unit.SUBMITS: 1}
COUNTED = (Unit.JOBS, Unit.USD, Unit.VIDEO_SECONDS)
EXACT = [
    *((unit, window) for window in (*CALENDAR, Window.TOTAL) for unit in COUNTED),
    (Unit.JOBS, Window.CONCURRENT),
    (Unit.JOBS, Window.QUEUED),
    (Unit.SUBMITS, Window.HOUR),
]


@pytest.fixture(scope="module")
def shared_store() -> Iterator[RedisServer]:
    """One store for all races."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
async def races(shared_store: RedisServer) -> AsyncIterator[Races]:
    """Three API processes for all races; each race has a new team. At the end the ledger balances."""
    async with open_races(shared_store, processes=3, clients=CLIENTS) as made:
        yield made
        assert await store_faults(made.redis) == []


@pytest.fixture
def rounds(full: bool) -> int:  # noqa: FBT001  a fixture's value
    """How many rounds each race has."""
    return 10 if full else 2


def fits(unit: Unit, window: Window, jobs: int = FIT) -> Limit:
    """A limit with room for exactly this many jobs."""
    return Limit(unit, window, jobs * SIZE[unit])


def statuses(replies: list[Reply]) -> dict[int, int]:
    """How many replies had each status."""
    return dict(Counter(reply.status for reply in replies))


async def assert_counts(races: Races, team: str, owner: str, jobs: int) -> None:
    """Sums, reservations, ledger, places and the line agree: this owner has exactly this many jobs."""
    state = await races.counts(team, owner)
    assert state.total == {f"held:{unit}": jobs * SIZE[unit] for unit in COUNTED}
    assert list(state.reserved.values()) == [PRICE] * jobs
    assert state.entries == {"reserve": jobs}
    assert (state.live, state.queued, state.line) == (jobs, jobs, jobs)


def assert_refusals(replies: list[Reply], unit: Unit, owner: str) -> None:
    """Each refusal has its limit's status, names the limit, and says when to retry."""
    for reply in replies:
        if reply.status == 202:
            continue
        (limit,) = reply.body["limits"]
        assert (limit["owner"], limit["unit"]) == (owner, unit.value)
        assert limit["left"] == ("0.00" if unit is Unit.USD else 0)
        assert reply.status == (402 if unit is Unit.USD else 429)
        assert ("Retry-After" in reply.headers) == (reply.status == 429)


@pytest.mark.parametrize(("unit", "window"), EXACT, ids=lambda word: word.value)
async def test_a_limit_for_twenty_admits_exactly_twenty_of_two_hundred(
    races: Races, rounds: int, say: Say, unit: Unit, window: Window
) -> None:
    """In every round, for a team and a user in turn: 20 accepted, 180 refused, and the ledger has 20."""
    for number in range(rounds):
        owner = ("team", "user")[number % 2]
        account = await races.account(**{owner: [fits(unit, window)]})
        owner_id = account.team.id if owner == "team" else account.user.id
        began_ms = await races.fresh_minute()
        replies = await races.rush([account.key] * CLIENTS)
        assert (await races.now_ms()) // MINUTE_MS == began_ms // MINUTE_MS, "the race lasted over its minute"
        assert statuses(replies) == {202: FIT, 402 if unit is Unit.USD else 429: CLIENTS - FIT}
        assert_refusals(replies, unit, owner)
        await assert_counts(races, account.team.id, owner_id, FIT)
        for name, period in periods(began_ms, "UTC").items():
            sums = await races.redis.hgetall(keys.period(name, period.start_ms, owner_id))
            assert sums["held:usd"] == str(FIT * PRICE)
    say(f"{unit}/{window}: {FIT} of {CLIENTS} clients accepted, in {rounds} rounds of {rounds}")


async def test_a_rate_of_twenty_a_minute_admits_twenty_and_one_more_each_three_seconds(
    races: Races, rounds: int
) -> None:
    """At least 20, and at most as many as the time between both reads of the store's clock allows."""
    for number in range(rounds):
        owner = ("team", "user")[number % 2]
        account = await races.account(**{owner: [fits(Unit.SUBMITS, Window.MINUTE)]})
        began_ms = await races.now_ms()
        replies = await races.rush([account.key] * CLIENTS)
        passed_ms = await races.now_ms() - began_ms
        accepted = statuses(replies)[202]
        assert FIT <= accepted <= FIT + passed_ms * FIT // MINUTE_MS
        assert_refusals(replies, Unit.SUBMITS, owner)
        await assert_counts(
            races, account.team.id, account.team.id if owner == "team" else account.user.id, accepted
        )


async def test_two_users_under_one_team_get_exactly_the_teams_amount(races: Races, rounds: int, say: Say) -> None:
    """Each user has room for 20, their team for 30: together 30, and neither more than 20."""
    for number in range(rounds):
        unit = COUNTED[number % 3]
        first = await races.account(team=[fits(unit, Window.DAY, 30)], user=[fits(unit, Window.TOTAL)])
        second = await races.member(first.team.id, [fits(unit, Window.TOTAL)])
        await races.fresh_minute()
        replies = await races.rush([first.key, second.key] * (CLIENTS // 2))
        both = [statuses(replies[start::2])[202] for start in (0, 1)]
        say(f"two users under one team's limit of 30 ({unit}): {both[0]} + {both[1]}")
        assert sum(both) == 30
        assert max(both) <= FIT
        held = [(await races.counts(first.team.id, one.user.id)).total["held:jobs"] for one in (first, second)]
        assert held == both
        team = await races.counts(first.team.id, first.team.id)
        assert (team.total["held:usd"], len(team.reserved)) == (30 * PRICE, 30)


async def test_two_teams_under_the_gateways_limit_get_exactly_its_amount(
    races: Races, rounds: int, say: Say
) -> None:
    """Each team has room for 15, the whole gateway for 20: together 20, and neither more than 15."""
    limits = races.gateway.limits
    for _ in range(rounds):
        teams = [await races.account(team=[fits(Unit.JOBS, Window.TOTAL, 15)]) for _ in range(2)]
        held_before = (await races.counts(GATEWAY, GATEWAY)).total.get("held:usd", 0)
        await limits.replace("test", GATEWAY, [Limit(Unit.USD, Window.TOTAL, held_before + FIT * PRICE)])
        try:
            replies = await races.rush([team.key for team in teams] * (CLIENTS // 2))
        finally:
            await limits.replace("test", GATEWAY, [])
        both = [statuses(replies[start::2])[202] for start in (0, 1)]
        say(f"two teams under the gateway's limit of 20: {both[0]} + {both[1]}")
        assert sum(both) == FIT
        assert max(both) <= 15
        for team, jobs in zip(teams, both, strict=True):
            await assert_counts(races, team.team.id, team.team.id, jobs)
        assert (await races.counts(GATEWAY, GATEWAY)).total["held:usd"] == held_before + FIT * PRICE


@pytest.mark.parametrize(
    ("unit", "caps"),
    [(Unit.JOBS, TokenRequest(max_jobs=5)), (Unit.USD, TokenRequest(max_usd_micro=5 * PRICE))],
    ids=["max_jobs", "max_usd"],
)
async def test_a_browser_tokens_cap_holds_under_a_hundred_clients(
    races: Races, rounds: int, unit: Unit, caps: TokenRequest
) -> None:
    """Room for five: exactly five accepted, whatever its team's limits."""
    for _ in range(rounds):
        account = await races.account(team=[fits(Unit.JOBS, Window.TOTAL)])
        caller = await races.gateway.accounts.authenticate(account.key)
        minted = await races.gateway.tokens.mint(caller, caps)
        replies = await races.rush([minted.token] * 100)
        assert statuses(replies) == {202: 5, 402 if unit is Unit.USD else 429: 95}
        assert_refusals(replies, unit, "token")
        sums = (await races.counts(account.team.id, minted.record.id)).total
        assert sums == {f"held:{unit}": 5 * SIZE[unit] for unit in COUNTED}
        await assert_counts(races, account.team.id, account.team.id, 5)


async def test_one_idempotency_key_two_hundred_times_is_one_job(races: Races, rounds: int) -> None:
    """One reservation; the other 199 replies have the same job, are marked as repeats, and meet no limit."""
    for _ in range(rounds):
        account = await races.account(team=[fits(Unit.JOBS, Window.TOTAL, 1)])
        replies = await races.rush([account.key] * CLIENTS, **{"Idempotency-Key": "once"})
        assert statuses(replies) == {202: CLIENTS}
        assert len({reply.body["id"] for reply in replies}) == 1
        assert sum("Idempotent-Replayed" in reply.headers for reply in replies) == CLIENTS - 1
        assert sum(reply.body["repeated"] for reply in replies) == CLIENTS - 1
        await assert_counts(races, account.team.id, account.team.id, 1)


async def test_a_revoked_key_is_refused_by_every_process_within_a_second(
    races: Races, rounds: int, say: Say
) -> None:
    """Under load: no later submission is accepted, and no read succeeds a second later."""
    for _ in range(rounds):
        account = await races.account()
        ((key, _),) = await races.gateway.administration.keys(user=account.user.id)
        seen: dict[str, list[Reply]] = {"submit": [], "read": []}
        async with races.load(account.key, seen, clients=20):
            # Every process has just cached the key, so it stays cached for the longest time.
            await wait_until(partial(at_least, seen, 20), "twenty answers of each kind", interval=0.001)
            began = time.monotonic()  # before the act, so that no figure is too low
            await races.gateway.administration.revoke_key("test", key.id)
            done = time.monotonic()
            await wait_until(partial(all_after, seen, done + 1.5), "answers long after the revocation")
        for kind, good in (("submit", 202), ("read", 200)):
            others = {reply.status for reply in seen[kind]} - {429}  # many bad keys of one address are throttled
            assert others == {good, 401}
            last = max(reply.at for reply in seen[kind] if reply.status == good) - began
            say(f"revoked under load: the last accepted {kind} began {last * 1000:.0f} ms after the revocation")
            assert last <= 1
        assert not [reply for reply in seen["submit"] if reply.status == 202 and reply.asked > done]
        accepted = sum(reply.status == 202 for reply in seen["submit"])
        await assert_counts(races, account.team.id, account.team.id, accepted)


async def at_least(seen: dict[str, list[Reply]], count: int) -> bool:
    """This many answers of each kind have arrived."""
    return min(map(len, seen.values())) >= count


async def all_after(seen: dict[str, list[Reply]], moment: float) -> bool:
    """The newest answer of each kind was requested after this time."""
    return all(replies[-1].asked > moment for replies in seen.values())
