"""Many jobs in flight on one lane: how they get there, and how late their ends are noticed."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import datetime
from statistics import mean
from typing import Any

from app.domain.poll_plan import bin_of
from benchmarks.figures import percentile
from benchmarks.gateway import MODEL, Working
from benchmarks.load import Order, bodies, send
from benchmarks.processes import NotMeasured, cpu_of, say

SECONDS = 5  # of each clip
EARLIER = 200  # ends that the store knows
CHUNK = 2_000  # submissions of one call of the load generator
SUBMIT_SECONDS = 300.0
GRACE_SECONDS = 60.0
SETTLE_SECONDS = 3.0  # after the burst of submissions


@dataclass(frozen=True, slots=True)
class Plan:
    """So many jobs, whose run times are evenly spread from `shortest` to `longest` seconds."""

    jobs: int
    shortest: float
    longest: float

    def bodies(self) -> list[dict[str, Any]]:
        """The submissions; each prompt sets its run time in the emulator."""
        made = bodies("lag", self.jobs)
        step = (self.longest - self.shortest) / self.jobs
        for number, body in enumerate(made):
            body["input"]["prompt"] += f" [emu:run:{self.shortest + number * step:.3f}]"
            body["input"]["duration"] = str(SECONDS)  # one length, whose run times can be learned
        return made


@dataclass(frozen=True, slots=True)
class Lags:
    """Seconds from the end at fal to ours, ascending; and of each ended job its seconds at fal and its polls."""

    seconds: list[float]
    polls: list[tuple[float, int]]

    def polls_around(self, seconds: float, *, within: float) -> float:
        """The mean number of polls of the jobs that took about so long."""
        return mean(count for took, count in self.polls if abs(took - seconds) <= within)

    def p(self, share: float) -> float:
        """The lag below which this share lies."""
        return percentile(self.seconds, share)


@dataclass
class Meter:
    """CPU of the processes by role, read twice: the cores between two readings."""

    pids: dict[str, list[int]]
    _before: dict[str, float] = field(default_factory=dict)
    _began: float = 0.0

    def start(self) -> None:
        """The first reading."""
        self._before = self._read()
        self._began = time.monotonic()

    def cores(self) -> dict[str, float]:
        """Cores used by each role since `start`."""
        seconds = time.monotonic() - self._began
        return {role: (used - self._before[role]) / seconds for role, used in self._read().items()}

    def _read(self) -> dict[str, float]:
        return {role: cpu_of(pids) for role, pids in self.pids.items()}


async def meter(working: Working) -> Meter:
    """A meter for the lane and its spare, the work processes, the store and the emulator."""
    return Meter(
        {
            "the lane": await working.pids("lanes"),
            "the work processes": await working.pids("work"),
            "the store": [working.served.store.pid],
            "the emulator": [working.emulator.pid],
        }
    )


async def learn(working: Working, plan: Plan, *, queue_s: float) -> None:
    """Have the store know earlier ends, as if jobs of these run times had ended here before."""
    step = (plan.longest - plan.shortest) / EARLIER
    ages_s = [queue_s + plan.shortest + number * step for number in range(EARLIER)]
    bins = [bin_of(1000 * age_s) for age_s in ages_s]
    await working.served.inside.stores.end_ages.count(MODEL, SECONDS, bins)


async def fill_paused(working: Working, plan: Plan) -> None:
    """Submits everything while fal's clock stands still: none ends before all are in flight."""
    await working.time_of_fal("pause")
    await fill(working, plan)
    await asyncio.sleep(SETTLE_SECONDS)
    await working.time_of_fal("resume")


async def fill(working: Working, plan: Plan) -> float:
    """Submits everything, and waits until all are in flight; the seconds that it took.

    Raises:
        NotMeasured: they are not after some minutes, or the outcome of a submission is unknown.
    """
    say(f"submitting {plan.jobs:,} jobs")
    began = time.monotonic()
    made = plan.bodies()
    for first in range(0, plan.jobs, CHUNK):
        requests: list[tuple[str, dict[str, Any] | None]] = [
            ("/v1/jobs", body) for body in made[first : first + CHUNK]
        ]
        await send(Order(working.served.url, requests, working.served.key))
    while (counts := await working.served.inside.stores.due.counts())["due_poll"] < plan.jobs:
        if time.monotonic() - began > SUBMIT_SECONDS or counts["held"]:
            raise NotMeasured(f"After {time.monotonic() - began:.0f} s the jobs are not all in flight: {counts}")
        await asyncio.sleep(0.25)
    say(f"all in flight after {time.monotonic() - began:.0f} s")
    return time.monotonic() - began


async def until_ended(working: Working, plan: Plan, *, leave: int = 0) -> None:
    """Waits until all but `leave` jobs have ended; checks once a second.

    Raises:
        NotMeasured: they have not within a minute after the longest run time.
    """
    end = time.monotonic() + plan.longest + GRACE_SECONDS
    while True:
        counts = await working.served.inside.stores.due.counts()
        left = counts["due_poll"] + counts["due_finalize"]
        if left <= leave:
            return
        if time.monotonic() > end:
            raise NotMeasured(f"{left} jobs had not ended {GRACE_SECONDS:.0f} s after their time: {counts}")
        await asyncio.sleep(1)


async def lags(working: Working, *, expected: int) -> Lags:
    """The lag of every job that has ended; both clocks are this machine's.

    Raises:
        NotMeasured: a job failed, or fewer than `expected` have ended.
    """
    jobs = await working.jobs()  # first: more end meanwhile
    at_fal = {one["prompt"]: one for one in await working.requests()}
    found, polls = [], []
    for job in jobs:
        if job["completed_at"] is None:
            continue
        if job["status"] != "succeeded":
            raise NotMeasured(f"A job ended as {job['status']}: {job['error']}")
        request = at_fal[job["input"]["prompt"]]
        found.append(datetime.fromisoformat(job["completed_at"]).timestamp() - request["completed_at"])
        polls.append((request["completed_at"] - request["received_at"], request["polls"]))
    if len(found) < expected:
        raise NotMeasured(f"Only {len(found)} of {expected} jobs have ended.")
    return Lags(sorted(found), polls)
