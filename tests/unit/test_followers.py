"""Followers: what wakes one, what one that does not read gets, and that many are woken over several turns."""

import asyncio
from itertools import pairwise

import pytest

from app.domain.events import EndpointNotice
from app.store.followers import AT_ONCE, BACKLOG, Follower, in_turns

pytestmark = pytest.mark.anyio


def notice(number: int) -> EndpointNotice:
    """An event with this number."""
    return EndpointNotice(f"{number}-0", "endpoint.test", number, "endpoint", "https://example.com", None)


@pytest.mark.parametrize("what", ["an event", "missed events", "a keep-alive", "its end"])
async def test_a_follower_sleeps_until_there_is_something(what: str) -> None:
    """Each of the four wakes it; when it is there already, it does not sleep."""
    follower = Follower()
    wake = {
        "an event": lambda: follower.offer([notice(1)]),
        "missed events": follower.miss,
        "a keep-alive": follower.remind,
        "its end": follower.end,
    }[what]
    sleeping = asyncio.create_task(follower.wait())
    await asyncio.sleep(0)
    assert not sleeping.done()
    wake()
    await asyncio.wait_for(sleeping, 10)
    await asyncio.wait_for(follower.wait(), 10)
    assert follower.read() == ([notice(1)] if what == "an event" else [], what == "missed events")
    assert follower.needs_keep_alive() == (what == "a keep-alive")
    assert follower.ended == (what == "its end")


async def test_a_follower_that_does_not_read_keeps_a_bounded_number_of_events() -> None:
    """One more than the bound, and all are dropped, which it learns when it reads; then it gets new ones."""
    follower = Follower()
    for number in range(BACKLOG):
        follower.offer([notice(number)])
    follower.offer([notice(BACKLOG)])
    assert follower.read() == ([], True)
    follower.offer([notice(1)])
    assert follower.read() == ([notice(1)], False)


async def test_other_work_runs_while_many_followers_are_woken() -> None:
    """No turn of the loop wakes more than a few."""
    followers = [Follower() for _ in range(3 * AT_ONCE)]
    sleeping = [asyncio.create_task(follower.wait()) for follower in followers]
    await asyncio.sleep(0)
    waking = asyncio.create_task(in_turns(followers, Follower.end))
    woken = [0]
    while not waking.done():
        await asyncio.sleep(0)
        woken.append(sum(follower.ended for follower in followers))
    assert max(after - before for before, after in pairwise(woken)) == AT_ONCE
    await asyncio.gather(*sleeping)
