"""What installations on several hosts share: programs on the hosts of a network, fal on this one, an account."""

import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from app.gateway import open_gateway
from app.settings import load_settings
from tests.crash.netns import Network
from tests.support.accounts import new_account
from tests.support.emulator import Emulator
from tests.support.processes import COMMAND, clean_environment
from tests.support.repo import ROOT
from tests.support.stack import EMULATOR_KEY
from tests.support.tcp_proxy import TcpProxy

PORT, STORE_PORT = 8000, 6379
START_SECONDS = 90
FAL = ("--plain-clips", "--queue-seconds", "0.1", "--run-seconds", "0.3", "--concurrency", "50")


@dataclass(kw_only=True)
class Lab:
    """An installation; logs and data are in the folder. `settings` are further ones of each API and worker."""

    folder: Path
    network: Network
    fal: Emulator
    store_url: str
    settings: dict[str, str] = field(default_factory=dict)
    account: str = ""
    running: dict[tuple[str, str], subprocess.Popen[bytes]] = field(default_factory=dict)

    def start_api(self, host: str) -> None:
        """`filmgate serve`, for callers of any host."""
        self.run(host, "api", *COMMAND, "serve")

    def start_workers(self, host: str) -> None:
        """`filmgate worker`."""
        self.run(host, "workers", sys.executable, "-m", "workers")

    async def make_account(self, *, patience: float) -> None:
        """A team with a user and its key, which is `account`; `patience` is for the store, in seconds."""
        own = load_settings(own_settings(self.environment("x")))
        async with open_gateway(own, process="lab", patience=patience) as gateway:
            made = await new_account(gateway.administration, team_name="films", user_name="caller")
        self.account = made.key

    def environment(self, host: str) -> dict[str, str]:
        """The settings of an API or worker on this host."""
        return clean_environment(
            FILMGATE_REDIS_URL=self.store_url,
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
            FILMGATE_DATA_DIR=str(self.data(host, "filmgate")),
            **self.settings,
        )

    def run(self, host: str, name: str, *words: str) -> None:
        """Start a program on a host; its output is in the folder."""
        command = list(words) if host == "x" else self.network.command(host, words)
        with (self.folder / f"{host}-{name}.log").open("ab") as log:
            self.running[host, name] = subprocess.Popen(  # noqa: S603  our own words
                command, cwd=ROOT, env=self.environment(host), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def data(self, host: str, name: str) -> Path:
        """A program's folder on a host's disk."""
        data = self.folder / f"{host}-{name}"
        data.mkdir(mode=0o700, exist_ok=True)
        return data

    def kill(self) -> None:
        """End every program."""
        for process in self.running.values():
            process.kill()
            process.wait()


@asynccontextmanager
async def network_with_fal(
    hosts: Sequence[str], *, callers: Sequence[str]
) -> AsyncIterator[tuple[Network, Emulator]]:
    """The network of these hosts, and fal, which `callers` reach on their own loopback."""
    network = Network(hosts)
    fal = await Emulator.start(*FAL)
    ways = [TcpProxy(fal.port, listening=network.listen(host, fal.port)) for host in callers]
    for way in ways:
        await way.start()
    try:
        yield network, fal
    finally:
        for way in ways:
            await way.stop()
        await fal.stop()


def data_server_lines(data: Path) -> str:
    """The configuration of a store's server with its data in this folder."""
    return (
        f"bind 0.0.0.0\nport {STORE_PORT}\nprotected-mode no\ndir {data}\nlogfile {data}/log\n"
        "appendonly yes\nappendfsync always\nmaxmemory-policy noeviction\nsave ''\n"
    )


def own_settings(environment: dict[str, str]) -> dict[str, str]:
    """The settings among these variables."""
    return {name: value for name, value in environment.items() if name.startswith(("FILMGATE_", "FAL_"))}
