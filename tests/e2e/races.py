"""Races for a limit: real API processes on one real store, and many clients that submit at the same time."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp

from app.domain.limits import Limit
from app.gateway import Gateway, open_gateway
from app.services.administration import NewAccount
from app.settings import load_settings
from app.store import keys
from tests.support.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.server import Server
from tests.support.stack import environment
from tests.support.waiting import wait_until

MINUTE_MS = 60_000
MAX_SHED = 20  # times
NEEDED_MS = 10_000  # a race's longest duration, so that no calendar window ends during it


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: when it was requested (`asked`) and began (`at`), in seconds of the monotonic clock."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]
    asked: float
    at: float


@dataclass(frozen=True, slots=True)
class OwnerState:
    """One owner's jobs in every key of the store that counts them.

    `total` is the hash of its sums; `reserved` the team's open reservations, `entries` its ledger by kind.
    """

    total: dict[str, int]
    reserved: dict[str, int]
    entries: Counter[str]
    live: int
    queued: int
    line: int


class Races:
    """API processes, one store, and connections to all of them. `gateway` administers from this process."""

    def __init__(self, gateway: Gateway, urls: Sequence[str], web: aiohttp.ClientSession, image: str) -> None:
        self.gateway = gateway
        self.redis: Any = gateway.stores.redis
        self.urls = urls
        self._web = web
        self._body = {"input": {"prompt": "a quiet lake", "image_url": image}}

    async def account(self, *, team: Sequence[Limit] = (), user: Sequence[Limit] = ()) -> NewAccount:
        """A new team with one user and one key, each with these limits."""
        made = await self.gateway.administration.add_team("test", name="races", limits=team)
        return await self.member(made.id, user)

    async def member(self, team_id: str, limits: Sequence[Limit] = ()) -> NewAccount:
        """One more user of a team, with a key."""
        administration = self.gateway.administration
        user = await administration.add_user("test", team=team_id, name="racer", limits=limits)
        made = await administration.add_key("test", user=user.id)
        return NewAccount(await administration.team(team_id), user, made.key)

    async def submit(self, key: str, lane: int = 0, **headers: str) -> Reply:
        """One submission; `lane` selects the process; repeated while a busy machine sheds load."""
        for _ in range(MAX_SHED):
            reply = await self._send("POST", "/v1/jobs", key, lane, json=self._body, headers=headers)
            if reply.status != HTTPStatus.SERVICE_UNAVAILABLE:
                break
            await asyncio.sleep(float(reply.headers["Retry-After"]) * random.uniform(0.5, 1))  # noqa: S311  jitter
        return reply

    async def read(self, path: str, key: str, lane: int = 0) -> Reply:
        """One read."""
        return await self._send("GET", path, key, lane, headers={})

    async def _send(self, method: str, path: str, key: str, lane: int, **rest: Any) -> Reply:
        headers = {"Authorization": f"Bearer {key}", **rest.pop("headers")}
        url = self.urls[lane % len(self.urls)] + path
        asked = time.monotonic()
        async with self._web.request(method, url, headers=headers, **rest) as reply:
            at = time.monotonic()
            return Reply(reply.status, reply.headers, await reply.json(content_type=None), asked, at)

    async def rush(self, callers: Sequence[str], **headers: str) -> list[Reply]:
        """One submission for each of these keys, all at the same time, spread over the processes."""
        return await asyncio.gather(*(self.submit(key, lane, **headers) for lane, key in enumerate(callers)))

    @asynccontextmanager
    async def load(self, key: str, replies: dict[str, list[Reply]], *, clients: int) -> AsyncIterator[None]:
        """This many clients submit and read `/v1/me` in turn, without a pause; `replies` gets every answer."""
        stop = asyncio.Event()

        async def client(lane: int) -> None:
            while not stop.is_set():
                replies["submit"].append(await self.submit(key, lane))
                replies["read"].append(await self.read("/v1/me", key, lane + 1))

        async with asyncio.TaskGroup() as running:
            for lane in range(clients):
                running.create_task(client(lane))
            try:
                yield
            finally:
                stop.set()

    async def warm(self, count: int) -> None:
        """Open this many connections, to the store too: the race is between submissions, not handshakes."""
        await asyncio.gather(*(self._send("GET", "/livez", "none", lane, headers={}) for lane in range(count)))
        key = (await self.account()).key
        await asyncio.gather(*(self.read("/v1/me", key, lane) for lane in range(count)))

    async def now_ms(self) -> int:
        """The store's clock."""
        return await self.gateway.stores.clock.now_ms()

    async def fresh_minute(self) -> int:
        """Wait until the store's current minute has time left for a race; the store's time (ms)."""

        async def has_time() -> bool:
            return await self.now_ms() % MINUTE_MS < MINUTE_MS - NEEDED_MS

        await wait_until(has_time, "a minute with time for a race", timeout=NEEDED_MS / 1000 + 5)
        return await self.now_ms()

    async def counts(self, team: str, owner: str) -> OwnerState:
        """The counts of the owner (the team itself, its user, a token), and of the whole team."""
        total = await self.redis.hgetall(keys.total(owner))
        line = await self.redis.zrange(keys.LINE, 0, -1)
        return OwnerState(
            total={name: int(value) for name, value in total.items() if not name.startswith("told:")},
            reserved=await self.gateway.stores.ledger.reservations(team),
            entries=Counter(entry.type for entry in await self.gateway.stores.ledger.entries(team)),
            live=int(await self.redis.scard(keys.live(owner))),
            queued=int(await self.redis.scard(keys.queued(owner))),
            line=sum(ref.startswith(f"{team}/") for ref in line),
        )


@asynccontextmanager
async def open_races(redis: RedisServer, *, processes: int, clients: int) -> AsyncIterator[Races]:
    """This many API processes on this store, without workers, and connections for this many clients."""
    async with AsyncExitStack() as closing:
        emulator = await Emulator.start("--no-clips")
        closing.push_async_callback(emulator.stop)
        env = environment(redis, emulator)
        gateway = await closing.enter_async_context(open_gateway(load_settings(env), process="test"))
        servers = [Server(env).start() for _ in range(processes)]
        for server in servers:
            closing.push_async_callback(asyncio.to_thread, server.stop)
        await asyncio.gather(*(server.ready() for server in servers))
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)  # the API ends idle connections after 5 s
        web = await closing.enter_async_context(aiohttp.ClientSession(connector=connector))
        races = Races(gateway, [server.url for server in servers], web, emulator.sample_image)
        await races.warm(clients)
        yield races
