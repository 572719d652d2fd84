"""A store that is killed and restarted, and two gateways: one receives every answer, the other loses some."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from app.domain.errors import FilmgateError, StoreUnavailable
from app.gateway import Gateway, open_gateway
from app.settings import load_settings
from app.store.script_loader import load, script_names
from tests.support.redis_server import RedisServer
from tests.support.snapshot import Snapshot
from tests.support.tcp_proxy import Moment, StoreProxy

T = TypeVar("T")
CONCURRENCY = 6


@dataclass(frozen=True)
class Loss:
    """How the nth change of an operation fails: the connection is closed, and perhaps the store was killed."""

    moment: Moment
    nth: int = 1
    kills: bool = False


class Lost(Enum):
    """The outcome for a caller whose connection was closed."""

    LOST = "the outcome is unknown"


class FaultyStore:
    """A store for one test, emptied for each run. Synchronous, because hypothesis is.

    The gateways are kept, because opening one takes longer than a crash; each crash gives them new connections.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._server = RedisServer().start()
        self._proxy = StoreProxy(self._server.port)
        self._redis: Any = self._server.client()
        self._open = AsyncExitStack()
        self.crashes = 0
        self.run(self._connect())

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine."""
        return self._loop.run_until_complete(step)

    async def _connect(self) -> None:
        await self._proxy.start()
        self.gateway = await self._open.enter_async_context(_gateway(self._server.url))
        self._unsure = await self._open.enter_async_context(_gateway(self._proxy.url))

    def reset(self) -> None:
        """Empty the store, and delete the file that would make each crash take longer than the last."""
        self._server.kill()
        shutil.rmtree(self._server.dir / "appendonlydir")
        self._restart()

    def crash(self) -> None:
        """Kill the store and restart it on its data; every connection is new."""
        self.crashes += 1
        self._server.kill()
        self._restart()

    def _restart(self) -> None:
        self._server.start()
        self.run(self._reconnect())

    async def _reconnect(self) -> None:
        """Open new connections and load every script, so that each change is one request."""
        await self._redis.connection_pool.disconnect()
        for gateway in (self.gateway, self._unsure):
            await gateway.stores.renew_connections()
        for name in script_names():
            await self._redis.script_load(load(name).text)

    def act(self, call: Callable[[Gateway], Awaitable[T]], loss: Loss | None) -> T | FilmgateError | Lost:
        """Run one operation: its answer or its error; LOST when the connection was closed before the answer."""
        if loss is None:
            return self.run(_answer(call, self.gateway))
        self._proxy.cut(loss.moment, nth=loss.nth, then=self._server.kill if loss.kills else lambda: None)
        answer = self.run(_answer(call, self._unsure))
        self._proxy.mend()
        if not self._server.running:
            self.crashes += 1
            self._restart()
        return Lost.LOST if isinstance(answer, StoreUnavailable) else answer

    def snapshot(self) -> Snapshot:
        """Everything in the store."""
        return self.run(Snapshot.read(self._redis))

    def now_ms(self) -> int:
        """The store's time."""
        return self.run(self.gateway.stores.clock.now_ms())

    def command(self, *words: str | float) -> Any:
        """Run one plain command, such as one that makes time pass for the store."""
        return self.run(self._redis.execute_command(*words))

    def close(self) -> None:
        """Stop everything and delete the data."""
        self.run(self._open.aclose())
        self.run(self._redis.aclose())
        self.run(self._proxy.stop())
        self._server.stop()
        self._loop.close()


def _gateway(url: str) -> AbstractAsyncContextManager[Gateway]:
    settings = load_settings({"FILMGATE_REDIS_URL": url, "FILMGATE_UPSTREAM_CONCURRENCY": str(CONCURRENCY)})
    return open_gateway(settings, process="test")


async def _answer(call: Callable[[Gateway], Awaitable[T]], gateway: Gateway) -> T | FilmgateError:
    try:
        return await call(gateway)
    except FilmgateError as error:
        return error
