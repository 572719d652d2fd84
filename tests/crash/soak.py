"""`./dev soak`: a whole installation under load for many minutes, with a fault every minute.

Two APIs and two hosts of workers share one store. Faults befall one of each and what both share: store, fal, a
customer's server, the storage. The others live through it all, and are measured. At the end nothing may be lost,
bought twice, without an expiry, or grow, and every clip is in the storage.
"""

import argparse
import asyncio
import contextlib
import itertools
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from app.domain.errors import StoreUnavailable
from app.tasks import cancel_and_wait
from tests.crash.crash_installation import CrashInstallation, open_crash_installation
from tests.crash.followers import EventWatcher, Readers
from tests.crash.soak_clips import clip_faults
from tests.crash.soak_faults import FAULTS
from tests.crash.soak_figures import Figures
from tests.support.processes import free_port
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.workers import Workers

PACE_S = 0.5  # between two submissions
LABEL = "soak"
WATCHERS = 6
OPERATOR_S = 10.0  # between two looks of the operator at held jobs
LOOKS = 2  # until fal has certainly shown what it accepted
SAMPLE_S = 5.0
SETTLE_S = 240.0
GOES_ON_S = 45.0
START_S = 120.0  # on a busy machine
FAL = ("--plain-clips", "--queue-seconds", "0.2", "--run-seconds", "2", "--concurrency", "200")
SETTINGS = {"FILMGATE_UPSTREAM_CONCURRENCY": "60", "FILMGATE_WORKERS": "2"}


@dataclass
class Soak:
    """The installation, and what happened to it. `tags` are added to prompts in turn; fal's emulator obeys them."""

    lab: CrashInstallation
    steady_api: Server
    steady_workers: Workers
    storage: Path
    figures: Figures
    acknowledged: dict[str, float] = field(default_factory=dict)
    tags: list[str] = field(default_factory=lambda: [""])
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def note(self, text: str) -> None:
        """Print a line with the time since the start."""
        if text:
            seconds = time.monotonic() - self.began
            print(f"{seconds / 60:6.1f} min  {text}", flush=True)  # noqa: T201  a program

    def emulator_signal(self, number: signal.Signals) -> None:
        """A signal for fal."""
        os.kill(self.lab.emulator.pid, number)

    async def restart_with(self, prefix: Sequence[str]) -> None:
        """Start the host's API and workers again behind this command, such as one that changes its clock."""
        for process in (self.lab.serve, self.lab.workers):
            process.prefix = tuple(prefix)
            await asyncio.to_thread(process.stop)

    # --- what goes on all the time -----------------------------------------------------------------------------

    async def submit(self) -> None:
        """Two submissions a second, to both APIs in turn, each repeated until one accepts it."""
        calls: set[asyncio.Task[None]] = set()
        try:
            for number in itertools.count():
                task = asyncio.create_task(self._submit_one(number))
                calls.add(task)
                task.add_done_callback(calls.discard)
                await asyncio.sleep(PACE_S)
        finally:
            await asyncio.gather(*calls)

    async def _submit_one(self, number: int) -> None:
        tag = self.tags[number % len(self.tags)]
        prompt = f"{LABEL} {number} {tag}".strip()
        body = {
            "input": {"prompt": prompt, "image_url": self.lab.emulator.sample_image},
            "metadata": {"round": LABEL},
            "webhook_url": self.lab.receiver.url,
        }
        urls = (self.steady_api.url, self.lab.serve.url)
        headers = {"Idempotency-Key": prompt, "Authorization": self.lab.api.headers["Authorization"]}
        async with httpx.AsyncClient(trust_env=False, timeout=10, headers=headers) as web:
            for url in itertools.islice(itertools.cycle(urls), number % 2, None):
                with contextlib.suppress(httpx.TransportError):
                    reply = await web.post(f"{url}/v1/jobs", json=body)
                    self.answers[str(reply.status_code)] += 1
                    if reply.status_code == httpx.codes.ACCEPTED:
                        self.acknowledged[reply.json()["id"]] = time.monotonic()
                        return
                    if reply.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                        self.wrong.append(f"a submission was answered {reply.status_code}: {reply.text[:200]}")
                        return
                await asyncio.sleep(PACE_S)

    async def operate(self) -> None:
        """An operator who decides held jobs, as the runbook says."""
        seen: dict[str, int] = {}
        while True:
            await asyncio.sleep(OPERATOR_S)
            with contextlib.suppress(StoreUnavailable, httpx.TransportError):
                for job in [job for job in await self.lab.jobs(round=LABEL) if job["status"] == "held"]:
                    seen[job["id"]] = seen.get(job["id"], 0) + 1
                    await self.lab.resolve(job, sure=seen[job["id"]] > LOOKS)

    async def care(self) -> None:
        """Restart what has died, as a service manager does."""
        while True:
            await asyncio.sleep(0.2)
            if not self.lab.redis.running:
                self.lab.redis.start()
            for name, process in (("API", self.lab.serve), ("workers", self.lab.workers)):
                if not process.running:
                    self.note(f"  the {name} ended with {process.exit_code}, and are started again")
                    process.start()

    async def measure(self) -> None:
        """Sample the processes that no fault ends."""
        while True:
            await asyncio.to_thread(self.figures.sample)
            await asyncio.sleep(SAMPLE_S)

    # --- the run -----------------------------------------------------------------------------------------------

    async def run(self, *, minutes: float, every_s: float) -> None:
        """Load and faults until the time is over; then wait until everything has ended."""
        account = self.lab.api.headers["Authorization"].removeprefix("Bearer ")
        readers = Readers(self.steady_api.url, account)
        watchers = [EventWatcher(self.steady_api.url, account) for _ in range(WATCHERS)]
        works = (self.operate(), self.care(), self.measure(), readers.run(), *(one.run() for one in watchers))
        tasks = [asyncio.create_task(work) for work in works]
        await wait_until(lambda: all(one.is_open for one in watchers), "the streams are open", timeout=30)
        submitting = asyncio.create_task(self.submit())
        try:
            await self._suffer(until=self.began + minutes * 60, every_s=every_s)
            await cancel_and_wait(submitting)
            self.note(f"no more submissions; {len(self.acknowledged)} are acknowledged")
            await self._settled()
        finally:
            await cancel_and_wait(submitting, *tasks)
        self.note(f"{readers.count} reads; answers to submissions: {dict(self.answers)}")
        ids = self.acknowledged.keys()
        for one in watchers:
            missed, several = ids - one.ended.keys(), [job for job, count in one.ended.items() if count > 1]
            if missed or several:
                self.wrong.append(f"an event stream missed {len(missed)} ends and had {len(several)} twice")

    async def _suffer(self, *, until: float, every_s: float) -> None:
        for name in itertools.cycle(FAULTS):
            if time.monotonic() + every_s > until:
                break
            begins = time.monotonic()
            await asyncio.sleep(every_s / 2)
            self.note(f"{name} ({len(self.acknowledged)} acknowledged)")
            await FAULTS[name](self)
            await self._goes_on(name, since=len(self.acknowledged))
            await asyncio.sleep(max(0.0, begins + every_s - time.monotonic()))
        await asyncio.sleep(max(0.0, until - time.monotonic()))

    async def _goes_on(self, name: str, *, since: int) -> None:
        """A job is acknowledged soon after the fault, or that is wrong."""
        try:
            await wait_until(lambda: len(self.acknowledged) > since, "a job is acknowledged", timeout=GOES_ON_S)
        except AssertionError:
            self.wrong.append(f"nothing was acknowledged in the {GOES_ON_S:g} s after {name}")

    async def _settled(self) -> None:
        """Every acknowledged job has ended, and its webhook has arrived."""
        left: set[str] = set()

        async def all_ended() -> bool:
            left.clear()
            left.update(self.acknowledged.keys() - self.lab.messages(self.lab.receiver).keys())
            return not left

        try:
            await wait_until(all_ended, "every end is heard", timeout=SETTLE_S, interval=1)
        except AssertionError:
            states = Counter(job["status"] for job in await self.lab.jobs(round=LABEL) if job["id"] in left)
            self.wrong.append(f"{len(left)} ends were never heard; these jobs are {dict(states)}")

    async def store_figures(self) -> str:
        """Memory and keys of the store, in all and for each job."""
        memory, keys = (await self.lab.store.info("memory"))["used_memory"], await self.lab.store.dbsize()
        jobs = max(1, len(self.acknowledged))
        each = f"{memory / jobs / 1000:.1f} KB and {keys / jobs:.1f} keys a job"
        return f"store: {memory / 1e6:.1f} MB, {keys} keys; {each}"

    async def verdict(self) -> list[str]:
        """What is wrong, after everything; empty when nothing is."""
        whole, faults = await clip_faults(self.lab, self.storage, label=LABEL)
        self.note(f"{whole} clips are kept whole, and were read back")
        self.wrong += faults
        listed = {job["id"] for job in await self.lab.jobs(round=LABEL)}
        if lost := self.acknowledged.keys() - listed:
            self.wrong.append(f"{len(lost)} acknowledged jobs are lost: {sorted(lost)[:5]}")
        if twice := await self.lab.bought_twice():
            self.wrong.append(f"bought twice: {twice[:5]}")
        self.wrong += (await self.lab.faults())[:10]
        self.wrong += [f"{name} grows: {found}" for name, found in self.figures.growth().items() if found.grows]
        self.wrong += [f"{name} ended, and was started again" for name in self.figures.replaced()]
        return self.wrong


@asynccontextmanager
async def open_soak() -> AsyncIterator[Soak]:
    """The installation, ready."""
    with TemporaryDirectory(prefix="filmgate-soak-") as folder:
        storage, data = Path(folder) / "clips", Path(folder) / "data"
        settings = {**SETTINGS, "FILMGATE_STORAGE": f"local:{storage}"}
        async with open_crash_installation(*FAL, **settings) as lab:
            own = {**lab.settings, "FILMGATE_DATA_DIR": str(data)}
            log = Path(folder) / "log"
            api, workers = Server(own, port=free_port(), log=log).start(), Workers(own, log=log).start()
            try:
                await api.ready(timeout=START_S)
                yield Soak(lab, api, workers, storage, Figures(api, workers))
            finally:
                api.stop()
                workers.stop()


async def soak(*, minutes: float, every_s: float) -> int:
    """Run it and print the figures; 0 when nothing is wrong."""
    async with open_soak() as made:
        made.note(f"{minutes:g} minutes, a fault every {every_s:g} s")
        await made.run(minutes=minutes, every_s=every_s)
        wrong = await made.verdict()
        made.note(f"{await made.store_figures()}")
        for name, growth in made.figures.growth().items():
            made.note(f"{name:<12} {growth}")
        for sentence in wrong:
            made.note(f"WRONG: {sentence}")
        made.note("nothing is wrong" if not wrong else f"{len(wrong)} things are wrong")
    return int(bool(wrong))


def main(words: Sequence[str]) -> int:
    """`./dev soak [--minutes 20] [--every 60]`."""
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20, help="how long jobs are submitted (20)")
    parser.add_argument("--every", type=float, default=60, metavar="SECONDS", help="between two faults (60)")
    given = parser.parse_args(words)
    if not 0 < given.every <= given.minutes * 60:
        parser.error("--every must be positive, and not longer than the whole")
    return asyncio.run(soak(minutes=given.minutes, every_s=given.every))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
