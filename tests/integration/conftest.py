"""Real parts for integration tests: one store and one emulator for each test process, emptied between tests."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.integration.admin import Administrator, administrator
from tests.integration.held_jobs import running_historian
from tests.support.azure_server import AzureServer
from tests.support.checks import store_faults
from tests.support.emulator import Emulator, FalCaller, running_emulator
from tests.support.pipeline import Pipeline
from tests.support.receiver import Receiver
from tests.support.redis_server import RedisServer
from tests.support.s3_server import S3Server
from tests.support.server import Server, running_server
from tests.support.stack import Stack, environment, open_stack


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A real store with `appendfsync always`."""
    with RedisServer() as server:
        yield server


@pytest.fixture
async def store(redis_server: RedisServer) -> AsyncIterator[RedisServer]:
    """The store, empty; afterwards no key may lack its expiry, no money be misplaced, no slot be leaked."""
    redis_server.flush()
    yield redis_server
    async with redis_server.client() as redis:
        assert await store_faults(redis) == []


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A real S3 server."""
    with S3Server() as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server) -> Iterator[S3Server]:
    """The same with an empty bucket; a test may kill it, and start it with another secret."""
    s3.empty()
    yield s3
    s3.restore()


@pytest.fixture(scope="session")
def azure() -> Iterator[AzureServer]:
    """A real server of Azure's storage."""
    AzureServer.install()
    with AzureServer() as server:
        yield server


@pytest.fixture(scope="session")
async def emulator() -> AsyncIterator[Emulator]:
    """A fal that takes 0.2 s; its records are shared by all tests of this process."""
    running = await Emulator.start("--queue-seconds", "0.1", "--run-seconds", "0.2", "--plain-clips")
    yield running
    await running.stop()


@pytest.fixture(scope="session")
async def fal() -> AsyncIterator[Emulator]:
    """An emulator with short times and many slots; its records are shared too."""
    async with running_emulator("--speed", "20", "--no-clips", "--concurrency", "100") as emulator:
        yield emulator


@pytest.fixture
async def caller(fal: Emulator) -> AsyncIterator[FalCaller]:
    """A client of that emulator."""
    async with FalCaller(fal.url) as one:
        yield one


@pytest.fixture
async def stack(store: RedisServer, emulator: Emulator) -> AsyncIterator[Stack]:
    """A gateway without workers: a test calls steps itself, or `stack.workers()` starts real ones."""
    async with open_stack(store, emulator) as made:
        yield made


@pytest.fixture
async def fragile(emulator: Emulator) -> AsyncIterator[Stack]:
    """A gateway with its own store, which a test may kill, fill or break."""
    with RedisServer() as redis:
        async with open_stack(redis, emulator) as made:
            yield made


@pytest.fixture(scope="module")
async def server(redis_server: RedisServer, emulator: Emulator) -> AsyncIterator[Server]:
    """An API process on these tests' store and emulator."""
    async with running_server(environment(redis_server, emulator)) as running:
        yield running


@pytest.fixture(scope="module")
async def historian() -> AsyncIterator[Emulator]:
    """A fast fal that shows its history and its bill only to an admin key."""
    async with running_historian() as running:
        yield running


@pytest.fixture
async def admin(stack: Stack) -> AsyncIterator[Administrator]:
    """The administrator."""
    async with administrator(stack) as one:
        yield one


@pytest.fixture
def pipeline(stack: Stack) -> Pipeline:
    """The jobs of `stack`, moved step by step; fal takes ten at once."""
    return Pipeline(stack)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A customer's server on loopback that receives webhooks."""
    async with Receiver() as listening:
        yield listening
