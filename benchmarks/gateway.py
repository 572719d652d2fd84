"""A Filmgate to be measured: real store, API process, one key; `working` adds workers and an emulated fal."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import aiohttp

from app.domain.limits import Limit, Unit, Window
from app.domain.money import MICRO
from app.gateway import Gateway, open_gateway
from app.settings import load_settings
from benchmarks.load import bodies
from benchmarks.processes import NotMeasured, cpu_of, environment, free_port, listening, running, tree
from tests.support.accounts import new_account
from tests.support.redis_server import RedisServer

MODEL = "fal-ai/kling-video/v2/master/image-to-video"
START_SECONDS = 30.0
PAGE = 100
TEAM_LIMIT = Limit(Unit.USD, Window.MONTH, 9_000_000 * MICRO)  # these two are high: admission checks them, and
USER_LIMIT = Limit(Unit.JOBS, Window.DAY, 1_000_000)  # no row reaches them


def http_request(method: str, port: int, target: str, key: str, body: str = "", *fields: str) -> str:
    """A request as a usual client writes it; `fields` are further lines of its head."""
    lines = [
        f"{method} {target} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "User-Agent: filmgate-bench",
        "Accept: */*",
        "Accept-Encoding: gzip, deflate",
        "Connection: keep-alive",
        f"Authorization: Bearer {key}",
        *fields,
    ]
    if method != "GET":
        lines += [f"Content-Length: {len(body)}", *(["Content-Type: application/json"] if body else [])]
    return "\r\n".join([*lines, "", body])


@dataclass(frozen=True, slots=True)
class Served:
    """The gateway under test; `inside` is a gateway of this process on the same store."""

    url: str
    key: str
    team: str
    user: str
    api: asyncio.subprocess.Process
    store: RedisServer
    inside: Gateway
    env: dict[str, str]

    @property
    def port(self) -> int:
        """The port of the API."""
        return int(self.url.rpartition(":")[2])

    @property
    def authorization(self) -> dict[str, str]:
        """The header with the key."""
        return {"Authorization": f"Bearer {self.key}"}

    def client(self) -> aiohttp.ClientSession:
        """A client with the key, to be closed."""
        return aiohttp.ClientSession(self.url, headers=self.authorization)

    def request(self, method: str, target: str, body: str = "", *, key: str = "") -> str:
        """A request to the API, for `flood`."""
        return http_request(method, self.port, target, key or self.key, body)

    async def submit(self, count: int) -> list[str]:
        """The ids of so many new jobs, which stay queued when there are no workers."""
        found = []
        async with self.client() as web:
            for body in bodies("known", count):
                async with web.post("/v1/jobs", json=body) as answer:
                    answer.raise_for_status()
                    found.append((await answer.json())["id"])
        return found


@asynccontextmanager
async def serving(folder: Path, **settings: str) -> AsyncIterator[Served]:
    """A store with `appendfsync always` and `filmgate serve` on it, for the length of the block.

    The key's team has a limit on dollars in a month, its user one on jobs in a day.
    """
    async with AsyncExitStack() as stack:
        store = stack.enter_context(RedisServer())
        port = free_port()
        settings["FILMGATE_DATA_DIR"] = str(folder / "data")  # not that of the checkout's gateway
        env = environment(FILMGATE_REDIS_URL=store.url, FILMGATE_PORT=str(port), **settings)
        inside = await stack.enter_async_context(open_gateway(load_settings(env), process="benchmark"))
        account = await new_account(inside.administration, team_name="benchmark", user_name="load")
        await inside.limits.replace("benchmark", account.team.id, [TEAM_LIMIT])
        await inside.limits.replace("benchmark", account.user.id, [USER_LIMIT])
        log = folder / "api.log"
        api = await stack.enter_async_context(running("app.cli", "serve", env=env, log=log))
        await listening(api, port, log)
        url = f"http://127.0.0.1:{port}"
        yield Served(url, account.key, account.team.id, account.user.id, api, store, inside, env)


@dataclass(frozen=True, slots=True)
class Working:
    """A gateway with one lane, its workers, and an emulated fal."""

    served: Served
    fal: str
    emulator: asyncio.subprocess.Process
    supervisor: asyncio.subprocess.Process
    web: aiohttp.ClientSession  # to the emulator, without a key

    async def pids(self, role: str) -> list[int]:
        """The process ids of the workers with this role: lanes, work, deliveries, supervisor."""
        beating = await self.served.inside.stores.heartbeats.workers()
        return [int(name.rpartition(":")[2]) for name, its in beating.items() if its == role]

    def cpu_seconds(self) -> float:
        """CPU of all processes of Filmgate and of its store."""
        return cpu_of([*tree(self.served.api.pid), *tree(self.supervisor.pid), self.served.store.pid])

    async def requests(self) -> list[dict[str, Any]]:
        """Every request that fal has accepted."""
        async with self.web.get(f"{self.fal}/emulator/requests") as answer:
            answer.raise_for_status()
            return cast("list[dict[str, Any]]", (await answer.json())["requests"])

    async def load_models_of_fal(self) -> None:
        """Let the emulator read its table of models, for which its first submission would wait."""
        async with self.web.get(f"{self.fal}/v1/models") as answer:
            answer.raise_for_status()

    async def time_of_fal(self, word: str) -> None:
        """`pause` or `resume` emulated time."""
        async with self.web.post(f"{self.fal}/emulator/{word}") as answer:
            answer.raise_for_status()

    async def jobs(self) -> list[dict[str, Any]]:
        """Every job, as `GET /v1/jobs` shows it."""
        found: list[dict[str, Any]] = []
        query = {"limit": str(PAGE)}
        async with self.served.client() as web:
            while True:
                async with web.get("/v1/jobs", params=query) as answer:
                    answer.raise_for_status()
                    page = await answer.json()
                found += page["data"]
                if not page["has_more"]:
                    return found
                query["cursor"] = page["next_cursor"]


@asynccontextmanager
async def working(
    folder: Path, *, emulator: Iterable[str] = (), in_flight: int = 100, webhooks: bool = False, **settings: str
) -> AsyncIterator[Working]:
    """`serving`, with one lane and default workers, and the emulator with these options as fal.

    So many jobs may be in flight; `webhooks`: fal sends them.
    """
    async with AsyncExitStack() as stack:
        port = free_port()
        fal = f"http://127.0.0.1:{port}"
        log = folder / "emulator.log"
        options = ("--no-clips", "--concurrency", str(2 * in_flight), *emulator)
        process = await stack.enter_async_context(
            running("app.emulator", "--port", str(port), *options, env=environment(), log=log)
        )
        await listening(process, port, log)
        served = await stack.enter_async_context(
            serving(
                folder,
                FAL_KEY="benchmark:key",
                FILMGATE_FAL_QUEUE_URL=fal,
                FILMGATE_FAL_REST_URL=fal,
                FILMGATE_UPSTREAM_CONCURRENCY=str(in_flight),
                FILMGATE_FAL_WEBHOOKS="on" if webhooks else "off",
                **settings,
            )
        )
        web = await stack.enter_async_context(aiohttp.ClientSession())
        supervisor = await stack.enter_async_context(running("workers", env=served.env, log=folder / "workers.log"))
        found = Working(served, fal, process, supervisor, web)
        await _all_started(found)
        yield found


async def _all_started(working: Working) -> None:
    """Waits for the heartbeats of every worker: two for the lane, one of them its spare."""
    settings = working.served.inside.settings
    wanted = {"lanes": settings.lanes + 1, "work": settings.workers, "deliveries": settings.deliverers}
    end = time.monotonic() + START_SECONDS
    while any([len(await working.pids(role)) < count for role, count in wanted.items()]):
        if time.monotonic() > end:
            raise NotMeasured(f"The workers did not start within {START_SECONDS:.0f} s.")
        await asyncio.sleep(0.1)
