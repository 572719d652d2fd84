"""One installation of separate processes for all tests of a module; each test has a round of jobs of its own."""

from collections.abc import AsyncIterator, Callable

import pytest

from tests.support.redis_server import RedisServer
from tests.support.site import Site, open_site

ROUNDS = 2
ROUNDS_IN_FULL = 12


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `seed` runs once for each."""
    if "seed" in metafunc.fixturenames:
        full = bool(metafunc.config.getoption("--full"))
        metafunc.parametrize("seed", range(ROUNDS_IN_FULL if full else ROUNDS))


@pytest.fixture(scope="module")
async def installation() -> AsyncIterator[Site]:
    """Store, emulator, API and workers; a generation takes a second, ten run at once."""
    with RedisServer() as store:
        options = ("--queue-seconds", "0.1", "--run-seconds", "1", "--concurrency", "20")
        async with open_site(store, *options, FILMGATE_UPSTREAM_CONCURRENCY="12") as made:
            yield made


@pytest.fixture
async def site(installation: Site) -> AsyncIterator[Site]:
    """The installation, ready for work; after the test nothing may be bought twice, lost or leaked."""
    await installation.ready()
    yield installation
    assert await installation.bought_twice() == []
    assert await installation.faults() == []


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints a figure to the terminal of whoever runs the tests."""

    def print_it(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}")  # noqa: T201  that is its purpose

    return print_it
