"""An installation on six hosts: APIs on `a` and `b`, workers on `c` and `d`, the store on `e` and `f`.

A Sentinel each on `e`, `f` and `x`, which is this process; with it are fal and the callers. Everything is real: the
servers, the Sentinels, the APIs and workers as they are deployed, and the network between them.
"""

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.gateway import open_gateway
from app.settings import load_settings
from tests.crash.netns import Network
from tests.support.emulator import Emulator
from tests.support.processes import COMMAND, clean_environment
from tests.support.redis_server import engine_under_test
from tests.support.repo import ROOT
from tests.support.stack import EMULATOR_KEY
from tests.support.tcp_proxy import TcpProxy
from tests.support.waiting import wait_until

APIS, WORKERS, STORES = ("a", "b"), ("c", "d"), ("e", "f")
SENTINELS = (*STORES, "x")
PORT, STORE_PORT, SENTINEL_PORT = 8000, 6379, 26379
START_SECONDS = 90
FAL = ("--plain-clips", "--queue-seconds", "0.1", "--run-seconds", "0.3", "--concurrency", "50")
STATE = "flags", "num-slaves", "num-other-sentinels"


@dataclass
class Hosts:
    """The running installation; `primary` and `replica` are names of hosts."""

    folder: Path
    down_after_ms: int
    network: Network
    fal: Emulator
    account: str = ""
    running: dict[tuple[str, str], subprocess.Popen[bytes]] = field(default_factory=dict)

    # --- what runs where --------------------------------------------------------------------------------------

    def start_store(self, host: str, *, primary: str = STORES[0]) -> None:
        """A data server, on its disk's data; a replica, unless this host is the primary's."""
        data = self._data(host, "store")
        config = data / "server.conf"
        of = "" if host == primary else f"replicaof {self.network.back(primary)} {STORE_PORT}\n"
        if config.exists():  # Sentinels write its last role into it
            kept = [line for line in config.read_text().splitlines() if not line.startswith("replicaof ")]
            config.write_text("\n".join(kept) + f"\n{of}")
        else:
            config.write_text(
                f"bind 0.0.0.0\nport {STORE_PORT}\nprotected-mode no\ndir {data}\nlogfile {data}/log\n"
                "appendonly yes\nappendfsync always\nmaxmemory-policy noeviction\nsave ''\n"
                "min-replicas-to-write 1\nmin-replicas-max-lag 10\n"
                f"repl-diskless-sync-delay 0\nrepl-ping-replica-period 1\n{of}"
            )
        self._run(host, "store", str(engine_under_test().path), str(config))

    async def restart_store(self, host: str) -> None:
        """As a deployment starts it: first ask the Sentinels which primary it replicates."""
        self.start_store(host, primary=await self.primary())

    def start_sentinel(self, host: str) -> None:
        """One of the three that watch the store; two must agree."""
        data = self._data(host, "sentinel")
        config = data / "sentinel.conf"
        config.write_text(
            f"bind 0.0.0.0\nport {SENTINEL_PORT}\nprotected-mode no\ndir {data}\nlogfile {data}/log\n"
            f"sentinel monitor films {self.network.back(STORES[0])} {STORE_PORT} 2\n"
            f"sentinel down-after-milliseconds films {self.down_after_ms}\nsentinel failover-timeout films 4000\n"
        )
        self._run(host, "sentinel", str(engine_under_test().path), str(config), "--sentinel")

    def start_api(self, host: str) -> None:
        """`filmgate serve`, for callers of any host."""
        self._run(host, "api", *COMMAND, "serve")

    def start_workers(self, host: str) -> None:
        """`filmgate worker`."""
        self._run(host, "workers", sys.executable, "-m", "workers")

    def signal(self, host: str, name: str, number: signal.Signals) -> None:
        """Send this signal to one process."""
        self.running[host, name].send_signal(number)
        if number == signal.SIGKILL:
            self.running.pop((host, name)).wait()

    def kill_host(self, host: str) -> None:
        """Kill every process of the host at once."""
        self.network.signal(host, signal.SIGKILL)
        for process in [process for process in self.running if process[0] == host]:
            self.running.pop(process).wait()

    def environment(self, host: str) -> dict[str, str]:
        """The settings of an API or worker on this host."""
        sentinels = ",".join(f"{self.network.back(where)}:{SENTINEL_PORT}" for where in SENTINELS)
        return clean_environment(
            FILMGATE_REDIS_URL=f"sentinel://{sentinels}/films",
            FAL_KEY=EMULATOR_KEY,
            FILMGATE_FAL_QUEUE_URL=self.fal.url,
            FILMGATE_FAL_REST_URL=self.fal.url,
            FILMGATE_FAL_WEBHOOKS="off",
            FILMGATE_HOST="0.0.0.0",
            FILMGATE_PORT=str(PORT),
            FILMGATE_PUBLIC_URL="http://filmgate.test",
            FILMGATE_UPSTREAM_CONCURRENCY="50",
            FILMGATE_POLL_INTERVAL="0.2",
            FILMGATE_WORKERS="1",
            FILMGATE_LOG_FORMAT="json",
            FILMGATE_DATA_DIR=str(self._data(host, "filmgate")),
        )

    def _run(self, host: str, name: str, *words: str) -> None:
        command = list(words) if host == "x" else self.network.command(host, words)
        with (self.folder / f"{host}-{name}.log").open("ab") as log:
            self.running[host, name] = subprocess.Popen(  # noqa: S603  our own words
                command, cwd=ROOT, env=self.environment(host), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _data(self, host: str, name: str) -> Path:
        data = self.folder / f"{host}-{name}"
        data.mkdir(mode=0o700, exist_ok=True)
        return data

    # --- its state --------------------------------------------------------------------------------------------

    async def primary(self) -> str:
        """The host of the primary, as the third Sentinel names it."""
        async with Redis(port=SENTINEL_PORT, decode_responses=True) as sentinel:
            state: Any = await sentinel.sentinel_master("films")
        address = state["ip"]
        return next(host for host in STORES if self.network.back(host) == address)

    async def replica(self) -> str:
        """The other host of the store."""
        primary = await self.primary()
        return next(host for host in STORES if host != primary)

    async def whole(self) -> None:
        """Wait for all of it: a replica in sync, Sentinels that see each other, APIs that are ready."""
        await self.whole_store()
        async with httpx.AsyncClient(trust_env=False, timeout=5) as web:

            async def ready() -> bool:
                with contextlib.suppress(httpx.TransportError):
                    replies = [await web.get(f"{self.url(host)}/readyz") for host in APIS]
                    return all(one.is_success and "workers_missing" not in one.json() for one in replies)
                return False

            await wait_until(ready, "both APIs and workers are ready", timeout=START_SECONDS, interval=0.2)

    async def whole_store(self) -> None:
        """The primary has its replica, and the Sentinels see both and each other."""
        await wait_until(self._store_is_whole, "the store has its replica", timeout=START_SECONDS, interval=0.1)

    def url(self, host: str) -> str:
        """The API's URL on this host, for callers."""
        return f"http://{self.network.front(host)}:{PORT}"

    async def _store_is_whole(self) -> bool:
        with contextlib.suppress(OSError, RedisError, KeyError, StopIteration):
            host = self.network.back(await self.primary())
            async with (
                asyncio.timeout(2),
                Redis(host=host, port=STORE_PORT) as store,
                Redis(port=SENTINEL_PORT, decode_responses=True) as sentinel,
            ):
                facts: Any = await store.info("replication")
                state: Any = await sentinel.sentinel_master("films")
            kept_up = facts.get("role") == "master" and facts.get("slave0", {}).get("state") == "online"
            return kept_up and [state[name] for name in STATE] == ["master", 1, 2]
        return False


@asynccontextmanager
async def open_hosts(folder: Path, *, down_after_ms: int) -> AsyncIterator[Hosts]:
    """The installation, ready for work, with one account; logs and data are in the folder."""
    network = Network((*APIS, *WORKERS, *STORES))
    fal = await Emulator.start(*FAL)
    hosts = Hosts(folder, down_after_ms, network, fal)
    ways = [TcpProxy(fal.port, listening=network.listen(host, fal.port)) for host in (*APIS, *WORKERS)]
    for way in ways:
        await way.start()
    try:
        for host in STORES:
            hosts.start_store(host)
        for host in SENTINELS:
            hosts.start_sentinel(host)
        await hosts.whole_store()
        async with open_gateway(load_settings(own_settings(hosts.environment("x"))), process="lab") as gateway:
            made = await gateway.administration.first_account(team_name="films", user_name="caller")
        hosts.account = made.key
        for host in APIS:
            hosts.start_api(host)
        for host in WORKERS:
            hosts.start_workers(host)
        await hosts.whole()
        yield hosts
    finally:
        for way in ways:
            await way.stop()
        for process in hosts.running.values():
            process.kill()
            process.wait()
        await fal.stop()


def own_settings(environment: dict[str, str]) -> dict[str, str]:
    """The settings among these variables."""
    return {name: value for name, value in environment.items() if name.startswith(("FILMGATE_", "FAL_"))}
