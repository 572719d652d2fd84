"""Row C26 of the crash matrix: every process and the store are killed at random moments, finally all at once."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Callable

import pytest

from tests.crash.crash_installation import CrashInstallation

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

ROUNDS, ROUNDS_IN_FULL = 3, 100
COUNT = 8
KILLS = 6
VICTIMS = ("work", "work", "lanes", "deliveries", "keeper", "api", "store", "supervisor")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each round has a number, which is its seed."""
    if "number" in metafunc.fixturenames:
        full = bool(metafunc.config.getoption("--full"))
        metafunc.parametrize("number", range(ROUNDS_IN_FULL if full else ROUNDS))


async def test_everything_may_die_at_any_moment(
    supervised: CrashInstallation, number: int, say: Callable[[str], None]
) -> None:
    """Six random kills within some three seconds, then one of everything: every condition holds."""
    await supervised.ready()
    chance = random.Random(number)  # noqa: S311  a seed, so that a round can be run again
    since = await supervised.newest_event()
    label = f"random-{number}"
    late = "[emu:webhook_late]" if number % 2 else ""
    submitting = asyncio.gather(
        *(
            supervised.submit_in_round(f"{label}-{clip} a clip {late}", label=label, url=supervised.receiver.url)
            for clip in range(COUNT)
        )
    )
    victims = chance.sample(VICTIMS, KILLS)
    for victim in victims:
        await asyncio.sleep(chance.uniform(0, 0.6))  # a random moment
        kill(supervised, victim, chance)
    supervised.kill_everything()
    supervised.tally.kills["everything"] += 1
    ids = await submitting
    jobs = await supervised.until_ended(label, COUNT)
    assert {job["status"] for job in jobs} == {"succeeded"}, jobs
    await supervised.check(ids, jobs, since=since, receiver=supervised.receiver, store_died=True)
    await supervised.until_delivered()
    supervised.tally.rounds += 1
    if number + 1 in {ROUNDS, ROUNDS_IN_FULL}:
        say(f"after {number + 1} random rounds, {supervised.tally}")


def kill(supervised: CrashInstallation, victim: str, chance: random.Random) -> None:
    """SIGKILL one process, unless it is dead already."""
    supervised.tally.kills[victim] += 1
    if victim == "api":
        supervised.serve.kill()
    elif victim == "store":
        supervised.redis.kill()
    elif victim == "supervisor":
        with contextlib.suppress(ProcessLookupError):
            os.kill(supervised.workers.pid, signal.SIGKILL)
    else:
        supervised.kill_worker(victim, chance.randrange(3))
