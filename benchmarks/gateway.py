"""A Filmgate to be measured: a real store, the API as a process, one key."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from app.gateway import Gateway, open_gateway
from app.settings import load_settings
from benchmarks.processes import environment, free_port, listening, running
from tests.support.redis_server import RedisServer


@dataclass(frozen=True, slots=True)
class Served:
    """The gateway under test; `inside` is a gateway of this process on the same store."""

    url: str
    key: str
    api: asyncio.subprocess.Process
    store: RedisServer
    inside: Gateway
    env: dict[str, str]


@asynccontextmanager
async def serving(folder: Path, **settings: str) -> AsyncIterator[Served]:
    """A store with `appendfsync always` and `filmgate serve` on it, for the length of the block."""
    async with AsyncExitStack() as stack:
        store = stack.enter_context(RedisServer())
        port = free_port()
        settings["FILMGATE_DATA_DIR"] = str(folder / "data")  # not that of the checkout's gateway
        env = environment(FILMGATE_REDIS_URL=store.url, FILMGATE_PORT=str(port), **settings)
        inside = await stack.enter_async_context(open_gateway(load_settings(env), process="benchmark"))
        account = await inside.administration.first_account(team_name="benchmark", user_name="load")
        log = folder / "api.log"
        api = await stack.enter_async_context(running("app.cli", "serve", env=env, log=log))
        await listening(api, port, log)
        yield Served(f"http://127.0.0.1:{port}", account.key, api, store, inside, env)
