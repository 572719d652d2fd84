"""Row C26 of the crash matrix: every process, the store too, is killed at any moment, and at last all at once."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Callable

import pytest

from tests.crash.crash_installation import CrashSite

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

ROUNDS, ROUNDS_IN_FULL = 3, 100
COUNT = 8
KILLS = 6
VICTIMS = ("work", "work", "lanes", "deliveries", "api", "store", "supervisor")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each round has a number, which is its seed."""
    if "number" in metafunc.fixturenames:
        full = bool(metafunc.config.getoption("--full"))
        metafunc.parametrize("number", range(ROUNDS_IN_FULL if full else ROUNDS))


async def test_everything_may_die_at_any_moment(here: CrashSite, number: int, say: Callable[[str], None]) -> None:
    """Six kills of anything within some three seconds, then one of everything: the oracle is content."""
    await here.site.ready()
    chance = random.Random(number)  # noqa: S311  a seed, so that a round can be run again
    since = await here.newest_event()
    label = f"random-{number}"
    late = "[emu:webhook_late]" if number % 2 else ""
    submitting = asyncio.gather(
        *(here.submit(f"{label}-{clip} a clip {late}", label=label, url=here.receiver.url) for clip in range(COUNT))
    )
    victims = chance.sample(VICTIMS, KILLS)
    for victim in victims:
        await asyncio.sleep(chance.uniform(0, 0.6))  # any moment is as good as another
        kill(here, victim, chance)
    here.kill_everything()
    here.tally.kills["everything"] += 1
    ids = await submitting
    jobs = await here.settled(label, COUNT)
    assert {job["status"] for job in jobs} == {"succeeded"}, jobs
    await here.judge(ids, jobs, since=since, told=here.receiver, store_died=True)
    await here.quiet()
    here.tally.rounds += 1
    if number + 1 in {ROUNDS, ROUNDS_IN_FULL}:
        say(f"after {number + 1} random rounds, {here.tally}")


def kill(here: CrashSite, victim: str, chance: random.Random) -> None:
    """SIGKILL one process; none where it is dead already."""
    site = here.site
    here.tally.kills[victim] += 1
    if victim == "api":
        site.serve.kill()
    elif victim == "store":
        site.redis.kill()
    elif victim == "supervisor":
        with contextlib.suppress(ProcessLookupError):
            os.kill(site.workers.pid, signal.SIGKILL)
    else:
        site.kill_worker(victim, chance.randrange(3))
