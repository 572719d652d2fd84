"""Installations of separate processes that many tests share; each test has a round of jobs of its own."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.tasks import cancel_and_wait
from tests.crash.crash_installation import CrashSite, open_crash_site
from tests.support.installation import Site, open_site
from tests.support.redis_server import RedisServer

ROUNDS = 2
ROUNDS_IN_FULL = 12


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `seed` runs once for each."""
    if "seed" in metafunc.fixturenames:
        full = bool(metafunc.config.getoption("--full"))
        metafunc.parametrize("seed", range(ROUNDS_IN_FULL if full else ROUNDS))


@pytest.fixture(scope="module")
async def installation() -> AsyncIterator[Site]:
    """Store, emulator, API and workers; a generation takes a second, twelve run at once."""
    options = ("--queue-seconds", "0.1", "--run-seconds", "1", "--concurrency", "20")
    settings: Any = {"FILMGATE_UPSTREAM_CONCURRENCY": "12", "FILMGATE_WORKERS": "2"}
    with RedisServer() as store:
        async with open_site(store, *options, **settings) as made:
            yield made


@pytest.fixture
async def site(installation: Site) -> AsyncIterator[Site]:
    """The installation, ready for work; after the test nothing may be bought twice, lost or leaked."""
    await installation.ready()
    yield installation
    assert await installation.bought_twice() == []
    assert await installation.faults() == []


@pytest.fixture(scope="session")
async def crash_site() -> AsyncIterator[CrashSite]:
    """A generation takes a third of a second; the emulator has room for all."""
    options = ("--queue-seconds", "0.05", "--run-seconds", "0.3", "--concurrency", "60")
    settings = {"FILMGATE_UPSTREAM_CONCURRENCY": "20", "FILMGATE_WORKERS": "3", "FILMGATE_DELIVERERS": "2"}
    async with open_crash_site(*options, **settings) as made:
        made.gone.answers([410] * 5000)
        yield made


@pytest.fixture
async def here(crash_site: CrashSite) -> AsyncIterator[CrashSite]:
    """The installation while its caretaker watches."""
    crash_site.complaints()  # what a test before this one left in the logs is not about this one
    caring = asyncio.create_task(crash_site.care())
    yield crash_site
    await cancel_and_wait(caring)
    crash_site.disarm()
