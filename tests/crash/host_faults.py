"""Eight temporary faults of an installation on six hosts.

`python -m tests.crash.host_faults FOLDER short|long NAME…` makes the hosts and causes one fault after the other
while callers submit. It prints a line of JSON for each, and exits with its input, as do its processes.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from tests.crash.demand import Demand, Outcome
from tests.crash.hosts import APIS, WORKERS, Hosts, open_hosts
from tests.crash.netns import isolated
from tests.support.processes import piped

CALM_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """Durations: until Sentinels consider a server down, and of each fault."""

    down_after_ms: int
    holds_s: float
    partition_s: float
    behind_s: float


FORMS = {
    "short": Form(down_after_ms=1000, holds_s=4, partition_s=8, behind_s=4),
    "long": Form(down_after_ms=5000, holds_s=30, partition_s=56, behind_s=20),
}


async def primary_killed(hosts: Hosts, form: Form) -> None:
    """`kill -9`; it comes back as the replica."""
    primary = await hosts.primary()
    hosts.signal(primary, "store", signal.SIGKILL)
    await asyncio.sleep(form.holds_s)
    await hosts.restart_store(primary)


async def primary_frozen(hosts: Hosts, form: Form) -> None:
    """Its connections stay open without an answer; when it continues it still acts as the primary."""
    primary = await hosts.primary()
    hosts.signal(primary, "store", signal.SIGSTOP)
    await asyncio.sleep(form.holds_s)
    hosts.signal(primary, "store", signal.SIGCONT)


async def primary_cut(hosts: Hosts, form: Form) -> None:
    """The primary's host is cut off, together with its Sentinel."""
    primary = await hosts.primary()
    hosts.network.part(primary)
    await asyncio.sleep(form.holds_s)
    hosts.network.mend(primary)


async def partition(hosts: Hosts, form: Form) -> None:
    """The primary and an API that callers still reach are on one side, all others on the other."""
    primary = await hosts.primary()
    hosts.network.part(primary, APIS[0])
    await asyncio.sleep(form.partition_s)
    hosts.network.mend(primary, APIS[0])


async def replica_behind(hosts: Hosts, form: Form) -> None:
    """The replica's host is cut off for a while; as soon as it is back the primary is killed."""
    primary, replica = await hosts.primary(), await hosts.replica()
    hosts.network.part(replica)
    await asyncio.sleep(form.behind_s)
    hosts.signal(primary, "store", signal.SIGKILL)
    hosts.network.mend(replica)
    await asyncio.sleep(form.holds_s)
    await hosts.restart_store(primary)


async def both_killed(hosts: Hosts, form: Form) -> None:
    """No store at all for a while."""
    both = await hosts.primary(), await hosts.replica()
    for host in both:
        hosts.signal(host, "store", signal.SIGKILL)
    await asyncio.sleep(form.holds_s)
    for host in both:
        await hosts.restart_store(host)


async def workers_killed_and_frozen(hosts: Hosts, form: Form) -> None:
    """One host of workers is down; when it is back, the other one is stopped for a while."""
    gone, still = WORKERS
    hosts.kill_host(gone)
    await asyncio.sleep(form.holds_s)
    hosts.start_workers(gone)
    hosts.network.signal(still, signal.SIGSTOP)
    await asyncio.sleep(form.holds_s)
    hosts.network.signal(still, signal.SIGCONT)


async def api_killed(hosts: Hosts, form: Form) -> None:
    """One of the two API hosts is down."""
    hosts.kill_host(APIS[1])
    await asyncio.sleep(form.holds_s)
    hosts.start_api(APIS[1])


FAULTS: dict[str, Callable[[Hosts, Form], Awaitable[None]]] = {
    made.__name__: made
    for made in (
        primary_killed,
        primary_frozen,
        primary_cut,
        partition,
        replica_behind,
        both_killed,
        workers_killed_and_frozen,
        api_killed,
    )
}


async def suffer(hosts: Hosts, name: str, form: Form, demand: Demand) -> Outcome:
    """One fault while callers submit: before it, during it, and until jobs are bought again."""
    await demand.begin(name)
    await demand.flowing(since=0, seconds=CALM_S)
    await FAULTS[name](hosts, form)
    await demand.flowing(since=time.monotonic(), seconds=CALM_S)
    outcome = await demand.end()
    await hosts.whole()
    return outcome


async def suffer_all(folder: Path, form: Form, names: Sequence[str], output: TextIO) -> None:
    """Each fault, with a line for it."""
    async with open_hosts(folder, down_after_ms=form.down_after_ms) as hosts:
        demand = Demand([hosts.url(host) for host in APIS], hosts.account, hosts.fal)
        try:
            for name in names:
                outcome = await suffer(hosts, name, form, demand)
                output.write(f"{json.dumps(outcome.plain())}\n")
                output.flush()
        finally:
            await demand.close()


async def faults(folder: Path, form: str, names: Sequence[str]) -> AsyncIterator[Outcome]:
    """The result of each fault, on hosts that exist only for this block."""
    command = isolated(sys.executable, "-m", "tests.crash.host_faults", str(folder), form, *names)
    async with piped(*command) as program:  # its first process dies with it, and all others with that one
        async for line in program.stdout:
            yield Outcome(**json.loads(line))
        errors = await program.stderr.read()
        assert await program.process.wait() == 0, errors.decode()[-4000:]


def end_with_input() -> None:
    """For a thread: exit when whoever started this program is gone."""
    while os.read(sys.stdin.fileno(), 1):  # without a lock, for which the exit of the process would wait
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=end_with_input, daemon=True).start()
    with contextlib.redirect_stdout(sys.stderr):  # logs must not mix with the results
        asyncio.run(suffer_all(Path(sys.argv[1]), FORMS[sys.argv[2]], sys.argv[3:], sys.__stdout__ or sys.stdout))
