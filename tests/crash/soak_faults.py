"""The faults of a soak, one a minute. Each leaves everything running, or to be restarted by the caretaker."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.receiver import Reply

if TYPE_CHECKING:
    from tests.crash.soak import Soak

FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))  # the command would be a parent process
AN_HOUR_AHEAD = ("FAKETIME=+3600s", "FAKETIME_DONT_FAKE_MONOTONIC=1")
HOLDS_S = 10.0
SHORT_S = 4.0

Fault = Callable[["Soak"], Awaitable[None]]


async def kill(queue: str, soak: "Soak") -> None:
    """SIGKILL one worker of a queue, or the keeper."""
    soak.lab.kill_worker(queue)


async def supervisor_killed(soak: "Soak") -> None:
    """SIGKILL; its children end with it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(soak.lab.workers.pid, signal.SIGKILL)


async def api_killed(soak: "Soak") -> None:
    """SIGKILL; callers use the other API."""
    await asyncio.to_thread(soak.lab.serve.kill)


async def all_replaced(soak: "Soak") -> None:
    """SIGTERM for API and workers, as a deployment does it."""
    codes = [await asyncio.to_thread(process.stop) for process in (soak.lab.serve, soak.lab.workers)]
    if codes != [0, 0]:
        soak.wrong.append(f"exit codes after SIGTERM: {codes}")


async def store_killed(soak: "Soak") -> None:
    """SIGKILL; the caretaker starts it again."""
    await asyncio.to_thread(soak.lab.redis.kill)


async def store_frozen(soak: "Soak") -> None:
    """Its connections stay open without an answer."""
    soak.lab.redis.freeze()
    await asyncio.sleep(SHORT_S)
    soak.lab.redis.thaw()


async def store_full(soak: "Soak") -> None:
    """No memory is left: no job is accepted."""
    soak.lab.redis.apply("CONFIG", "SET", "maxmemory", "1")
    await asyncio.sleep(HOLDS_S)
    soak.lab.redis.apply("CONFIG", "SET", "maxmemory", "0")


async def receiver_hangs(soak: "Soak") -> None:
    """A customer's server takes a minute for each answer, or answers 500."""
    soak.lab.receiver.answers([Reply(delay=60), Reply(500)] * 20)
    await asyncio.sleep(HOLDS_S)
    soak.lab.receiver.recovers()


async def fal_fails(soak: "Soak") -> None:
    """Fal refuses, is slow, answers 500 or hangs up, in the middle of a submission too."""
    soak.tags[:] = [
        "[emu:429_direct:2]",
        "[emu:submit_500:1]",
        "[emu:webhook_late]",
        "[emu:drop_after_accept:1]",
        "",
    ]
    await asyncio.sleep(HOLDS_S)
    soak.tags[:] = [""]


async def fal_away(soak: "Soak") -> None:
    """Fal does not answer at all."""
    soak.emulator_signal(signal.SIGSTOP)
    await asyncio.sleep(SHORT_S)
    soak.emulator_signal(signal.SIGCONT)


async def clock_ahead(soak: "Soak") -> None:
    """One host's clock is an hour ahead for a while; without libfaketime, the host is only restarted."""
    ahead = ("env", f"LD_PRELOAD={FAKETIME[0]}", *AN_HOUR_AHEAD) if FAKETIME else ()
    soak.note("" if ahead else "  there is no libfaketime: the clock is right")
    await soak.restart_with(ahead)
    await asyncio.sleep(HOLDS_S)
    await soak.restart_with(())


async def storage_gone(soak: "Soak") -> None:
    """The folder of the clips cannot be written to."""
    aside = soak.storage.with_name("aside")
    soak.storage.rename(aside)
    soak.storage.write_text("no folder")
    await asyncio.sleep(HOLDS_S)
    soak.storage.unlink()
    aside.rename(soak.storage)


FAULTS: dict[str, Fault] = {
    "worker_killed": partial(kill, "work"),
    "store_killed": store_killed,
    "receiver_hangs": receiver_hangs,
    "lane_killed": partial(kill, "lanes"),
    "fal_fails": fal_fails,
    "api_killed": api_killed,
    "store_frozen": store_frozen,
    "keeper_killed": partial(kill, "keeper"),
    "fal_away": fal_away,
    "store_full": store_full,
    "clock_ahead": clock_ahead,
    "storage_gone": storage_gone,
    "deliveries_killed": partial(kill, "deliveries"),
    "storage_killed": partial(kill, "storage"),
    "supervisor_killed": supervisor_killed,
    "all_replaced": all_replaced,
}
