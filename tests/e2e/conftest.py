"""A separate store for each test, and a gateway in this process for the tests of the command."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, open_stack


@pytest.fixture
def store() -> Iterator[RedisServer]:
    """A real store, empty, with `appendfsync always`."""
    with RedisServer() as server:
        yield server


@pytest.fixture
async def stack(store: RedisServer) -> AsyncIterator[Stack]:
    """A gateway without workers, and a fast fal: tests call the steps."""
    emulator = await Emulator.start("--queue-seconds", "0", "--run-seconds", "0", "--no-clips")
    async with open_stack(store, emulator) as made:
        yield made
    await emulator.stop()
