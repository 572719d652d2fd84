"""A rolling deployment on three hosts behind HAProxy, under load.

`python -m tests.crash.rolling FOLDER short|long` makes the hosts, each with an API and workers, and replaces one
host after the other while callers submit, read and follow events through the balancer, which repeats nothing. It
prints one line of JSON, and exits with its input, as do its processes.
"""

import asyncio
import contextlib
import csv
import io
import json
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from app.domain.heartbeats import READY_FILE
from app.tasks import cancel_and_wait
from tests.crash.demand import Demand
from tests.crash.followers import EventWatcher, Readers
from tests.crash.host_faults import end_with_input
from tests.crash.lab import PORT, START_SECONDS, STORE_PORT, Lab, data_server_lines, network_with_fal
from tests.crash.netns import isolated
from tests.support.processes import piped
from tests.support.redis_server import engine_under_test
from tests.support.waiting import wait_until

HOSTS = ("h1", "h2", "h3")
BALANCER_PORT = 9000
CALM_S = 1.0
STATISTICS = "/balancer"
WATCHERS = 4
CALL_S = 20.0  # a busy machine is slow; what is refused is refused sooner
BUSY = ("store_unavailable", "overloaded")  # codes


@dataclass(frozen=True, slots=True, kw_only=True)
class RollingForm:
    """How long an API drains; how often the balancer looks, and how many looks must fail; how many rounds."""

    drain_s: float
    every_ms: int
    fall: int
    rounds: int


FORMS = {
    "short": RollingForm(drain_s=3, every_ms=200, fall=2, rounds=1),
    "long": RollingForm(drain_s=8, every_ms=2000, fall=3, rounds=3),  # the defaults of both
}
BALANCER = """
defaults
    mode http
    retries 0
    timeout connect 5s
    timeout check 5s
    timeout client 120s
    timeout server 120s
frontend callers
    bind 127.0.0.1:{port}
    stats enable
    stats uri {statistics}
    default_backend apis
backend apis
    balance roundrobin
    option httpchk GET /readyz
    default-server check inter {every_ms}ms fall {fall} rise 1 pool-purge-delay 2s
{servers}
"""


@dataclass
class RollingOutcome:
    """What callers saw. `refused` counts every reply and error that a caller should not get, by kind.

    `busy` are an API's own answers on a machine that is too busy for its store; they may come without a deployment.
    `balancer` are HAProxy's own counts of failed connections and replies; `missed` and `repeated` are ends of jobs
    that an event stream did not send, or sent twice; `stops` are exit codes and seconds by process.
    """

    acknowledged: int = 0
    reads: int = 0
    reconnected: int = 0
    lost: list[str] = field(default_factory=list)
    bought_twice: list[str] = field(default_factory=list)
    held: int = 0
    given_up: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    busy: dict[str, int] = field(default_factory=dict)
    balancer: dict[str, int] = field(default_factory=dict)
    missed: int = 0
    repeated: int = 0
    stalled: str = ""
    stops: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    def faults(self) -> dict[str, Any]:
        """What should be empty and is not; the exit codes other than 0, and stops of more than 30 s."""
        slow = {name: found for name, found in self.stops.items() if any(code or s > 30 for code, s in found)}
        names = ("lost", "bought_twice", "given_up", "refused", "balancer", "missed", "repeated", "stalled")
        return {name: found for name in names if (found := getattr(self, name))} | ({"stops": slow} if slow else {})


@dataclass(kw_only=True)
class Cluster(Lab):
    """The running installation."""

    form: RollingForm
    url: str = f"http://127.0.0.1:{BALANCER_PORT}"

    def start(self, host: str, name: str) -> None:
        """Start `api` or `workers` on a host."""
        (self.start_api if name == "api" else self.start_workers)(host)

    def start_store(self) -> None:
        """One data server, on this host."""
        data = self.data("x", "store")
        config = data / "server.conf"
        config.write_text(data_server_lines(data))
        self.run("x", "store", str(engine_under_test().path), str(config))

    def start_balancer(self) -> None:
        """HAProxy, on this host."""
        config = self.data("x", "balancer") / "haproxy.cfg"
        servers = "\n".join(f"    server {host} {self.network.front(host)}:{PORT}" for host in HOSTS)
        settings = {"port": BALANCER_PORT, "statistics": STATISTICS, "servers": servers}
        config.write_text(BALANCER.format(**settings, every_ms=self.form.every_ms, fall=self.form.fall))
        self.run("x", "balancer", shutil.which("haproxy") or "/usr/sbin/haproxy", "-db", "-f", str(config))

    async def replace(self, host: str, name: str) -> tuple[int, float]:
        """Stop one process as a deployment does, and start it again: its exit code and how long it took to stop."""
        process = self.running[host, name]
        began = time.monotonic()
        process.terminate()
        code = await asyncio.to_thread(process.wait, 60)
        seconds = time.monotonic() - began
        self.start(host, name)
        await self.ready(host, name)
        return code, round(seconds, 1)

    async def ready(self, host: str, name: str) -> None:
        """Wait as a deployment does: for the balancer's view of an API, for the file of workers."""
        file = self.data(host, "filmgate") / READY_FILE

        async def is_ready() -> bool:
            if name == "workers":
                return file.exists()
            return (await self.statistics())[host]["status"].startswith("UP")

        what = f"{name} of {host} are ready"
        await wait_until(is_ready, what, timeout=START_SECONDS, interval=0.1)

    async def statistics(self) -> dict[str, dict[str, str]]:
        """HAProxy's counts, by server."""
        try:
            async with httpx.AsyncClient(trust_env=False) as web:
                text = (await web.get(f"{self.url}{STATISTICS};csv")).text
        except httpx.TransportError:
            return {host: {"status": "no balancer"} for host in HOSTS}
        rows = csv.DictReader(io.StringIO(text.removeprefix("# ")))
        return {row["svname"]: row for row in rows if row["pxname"] == "apis"}

    async def balancer_errors(self) -> dict[str, int]:
        """Connections and replies that failed between HAProxy and the APIs."""
        rows = await self.statistics()
        names = ("econ", "eresp", "wretr", "wredis", "hrsp_5xx")
        sums = {name: sum(int(rows[host].get(name) or 0) for host in HOSTS) for name in names}
        return {name: count for name, count in sums.items() if count}


@asynccontextmanager
async def open_cluster(folder: Path, form: RollingForm) -> AsyncIterator[Cluster]:
    """The installation, ready for work, with one account."""
    async with network_with_fal(HOSTS, callers=HOSTS) as (network, fal):
        cluster = Cluster(
            folder=folder,
            network=network,
            fal=fal,
            store_url=f"redis://{network.back('x')}:{STORE_PORT}/0",
            settings={"FILMGATE_DRAIN_SECONDS": str(form.drain_s)},
            form=form,
        )
        try:
            cluster.start_store()
            await cluster.make_account(patience=START_SECONDS)
            cluster.start_balancer()
            for host in HOSTS:
                cluster.start(host, "api")
                cluster.start(host, "workers")
            await asyncio.gather(*(cluster.ready(host, name) for host in HOSTS for name in ("api", "workers")))
            yield cluster
        finally:
            cluster.kill()


async def deploy(cluster: Cluster) -> RollingOutcome:
    """Replace every host's API and workers, one host after the other, while callers are served."""
    demand = Demand([cluster.url], cluster.account, cluster.fal, call_s=CALL_S)
    readers = Readers(cluster.url, cluster.account)
    watchers = [EventWatcher(cluster.url, cluster.account) for _ in range(WATCHERS)]
    stops: dict[str, list[tuple[int, float]]] = {}
    calls = [asyncio.create_task(readers.run()), *(asyncio.create_task(one.run()) for one in watchers)]
    try:
        await wait_until(lambda: all(one.is_open for one in watchers), "streams are open", timeout=30)
        await demand.begin("rolling")
        await demand.flowing(since=0, seconds=CALM_S)
        for _ in range(cluster.form.rounds):
            for host in HOSTS:
                names = ("api", "workers")
                for name, stop in zip(
                    names, await asyncio.gather(*(cluster.replace(host, n) for n in names)), strict=True
                ):
                    stops.setdefault(name, []).append(stop)
        await demand.flowing(since=time.monotonic(), seconds=CALM_S)
        found = await demand.end()
        with contextlib.suppress(AssertionError):  # counted as missed
            jobs = demand.acknowledged
            await wait_until(lambda: all(jobs.keys() <= one.ended.keys() for one in watchers), "all is seen")
    finally:
        await cancel_and_wait(*calls)
        await demand.close()
    answers = sum((one.refused for one in watchers), Counter(found.answers) + readers.refused)
    busy = {name: count for name, count in answers.items() if name.endswith(BUSY)}
    return RollingOutcome(
        acknowledged=found.acknowledged,
        reads=readers.count,
        reconnected=sum(one.reconnected for one in watchers),
        lost=found.lost,
        bought_twice=found.bought_twice,
        held=found.held,
        given_up=found.given_up,
        refused={name: count for name, count in answers.items() if name not in busy},
        busy=busy,
        balancer=await cluster.balancer_errors(),
        missed=sum(len(demand.acknowledged.keys() - one.ended.keys()) for one in watchers),
        repeated=sum(count > 1 for one in watchers for count in one.ended.values()),
        stalled=found.stalled,
        stops=stops,
    )


async def rolled(folder: Path, form: str) -> RollingOutcome:
    """The outcome, on hosts that exist only for this call."""
    command = isolated(sys.executable, "-m", "tests.crash.rolling", str(folder), form)
    async with piped(*command) as program:
        line = await program.stdout.readline()
        errors = await program.stderr.read()
        assert line, errors.decode()[-4000:]
        return RollingOutcome(**json.loads(line))


async def main(words: Sequence[str]) -> None:
    """One deployment, with a line for it."""
    folder, form = Path(words[0]), FORMS[words[1]]
    output = sys.__stdout__ or sys.stdout
    async with open_cluster(folder, form) as cluster:
        outcome = await deploy(cluster)
        output.write(f"{json.dumps(outcome.plain())}\n")
        output.flush()


if __name__ == "__main__":
    threading.Thread(target=end_with_input, daemon=True).start()
    with contextlib.redirect_stdout(sys.stderr):  # logs must not mix with the result
        asyncio.run(main(sys.argv[1:]))
