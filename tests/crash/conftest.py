"""Installations of separate processes that many tests share; each test submits its own jobs."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.tasks import cancel_and_wait
from tests.crash.crash_installation import CrashInstallation, open_crash_installation
from tests.support.installation import Installation, open_installation
from tests.support.redis_server import RedisServer

ROUNDS = 2
ROUNDS_IN_FULL = 12


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with a `seed` argument once for each seed."""
    if "seed" in metafunc.fixturenames:
        full = bool(metafunc.config.getoption("--full"))
        metafunc.parametrize("seed", range(ROUNDS_IN_FULL if full else ROUNDS))


@pytest.fixture(scope="module")
async def shared_installation() -> AsyncIterator[Installation]:
    """Store, emulator, API and workers; a generation takes a second, twelve run at once."""
    options = ("--queue-seconds", "0.1", "--run-seconds", "1", "--concurrency", "20")
    settings: Any = {"FILMGATE_UPSTREAM_CONCURRENCY": "12", "FILMGATE_WORKERS": "2"}
    with RedisServer() as store:
        async with open_installation(store, *options, **settings) as made:
            yield made


@pytest.fixture
async def installation(shared_installation: Installation) -> AsyncIterator[Installation]:
    """The installation, ready; after the test nothing may be bought twice, lost or leaked."""
    await shared_installation.ready()
    yield shared_installation
    assert await shared_installation.bought_twice() == []
    assert await shared_installation.faults() == []


@pytest.fixture(scope="session")
async def crash_installation() -> AsyncIterator[CrashInstallation]:
    """A generation takes a third of a second; the emulator runs all of them at once."""
    options = ("--queue-seconds", "0.05", "--run-seconds", "0.3", "--concurrency", "60")
    settings = {"FILMGATE_UPSTREAM_CONCURRENCY": "20", "FILMGATE_WORKERS": "3", "FILMGATE_DELIVERERS": "2"}
    async with open_crash_installation(*options, **settings) as made:
        made.gone.answers([410] * 5000)
        yield made


@pytest.fixture
async def supervised(crash_installation: CrashInstallation) -> AsyncIterator[CrashInstallation]:
    """The installation, restarted by its caretaker."""
    crash_installation.errors_logged()  # drop what earlier tests logged
    caring = asyncio.create_task(crash_installation.restart_dead())
    yield crash_installation
    await cancel_and_wait(caring)
    crash_installation.disarm()
