"""An installation on six hosts: APIs on `a` and `b`, workers on `c` and `d`, the store on `e` and `f`.

A Sentinel each on `e`, `f` and `x`, which is this process; with it are fal and the callers. Everything is real: the
servers, the Sentinels, the APIs and workers as they are deployed, and the network between them.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.crash.lab import PORT, START_SECONDS, STORE_PORT, Lab, data_server_lines, network_with_fal
from tests.support.redis_server import engine_under_test
from tests.support.waiting import wait_until

APIS, WORKERS, STORES = ("a", "b"), ("c", "d"), ("e", "f")
SENTINELS = (*STORES, "x")
SENTINEL_PORT = 26379
STATE = "flags", "num-slaves", "num-other-sentinels"


@dataclass(kw_only=True)
class Hosts(Lab):
    """The running installation; `primary` and `replica` are names of hosts."""

    down_after_ms: int

    # --- what runs where --------------------------------------------------------------------------------------

    def start_store(self, host: str, *, primary: str = STORES[0]) -> None:
        """A data server, on its disk's data; a replica, unless this host is the primary's."""
        data = self.data(host, "store")
        config = data / "server.conf"
        of = "" if host == primary else f"replicaof {self.network.back(primary)} {STORE_PORT}\n"
        if config.exists():  # Sentinels write its last role into it
            kept = [line for line in config.read_text().splitlines() if not line.startswith("replicaof ")]
            config.write_text("\n".join(kept) + f"\n{of}")
        else:
            config.write_text(
                f"{data_server_lines(data)}"
                "min-replicas-to-write 1\nmin-replicas-max-lag 10\n"
                f"repl-diskless-sync-delay 0\nrepl-ping-replica-period 1\n{of}"
            )
        self.run(host, "store", str(engine_under_test().path), str(config))

    async def restart_store(self, host: str) -> None:
        """As a deployment starts it: first ask the Sentinels which primary it replicates."""
        self.start_store(host, primary=await self.primary())

    def start_sentinel(self, host: str) -> None:
        """One of the three that watch the store; two must agree."""
        data = self.data(host, "sentinel")
        config = data / "sentinel.conf"
        config.write_text(
            f"bind 0.0.0.0\nport {SENTINEL_PORT}\nprotected-mode no\ndir {data}\nlogfile {data}/log\n"
            f"sentinel monitor films {self.network.back(STORES[0])} {STORE_PORT} 2\n"
            f"sentinel down-after-milliseconds films {self.down_after_ms}\nsentinel failover-timeout films 4000\n"
        )
        self.run(host, "sentinel", str(engine_under_test().path), str(config), "--sentinel")

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

            async def answers() -> str:
                asked = (web.get(f"{self.url(host)}/readyz") for host in APIS)
                found = await asyncio.gather(*asked, return_exceptions=True)
                return "; ".join(one.text if isinstance(one, httpx.Response) else repr(one) for one in found)

            what = "both APIs and workers are ready"
            await wait_until(ready, what, timeout=START_SECONDS, interval=0.2, details=answers)

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
    async with network_with_fal((*APIS, *WORKERS, *STORES), callers=(*APIS, *WORKERS)) as (network, fal):
        sentinels = ",".join(f"{network.back(where)}:{SENTINEL_PORT}" for where in SENTINELS)
        hosts = Hosts(
            folder=folder,
            network=network,
            fal=fal,
            store_url=f"sentinel://{sentinels}/films",
            down_after_ms=down_after_ms,
        )
        try:
            for host in STORES:
                hosts.start_store(host)
            for host in SENTINELS:
                hosts.start_sentinel(host)
            await hosts.whole_store()
            await hosts.make_account(patience=0)
            for host in APIS:
                hosts.start_api(host)
            for host in WORKERS:
                hosts.start_workers(host)
            await hosts.whole()
            yield hosts
        finally:
            hosts.kill()
