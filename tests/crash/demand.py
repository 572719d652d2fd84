"""Callers who submit two jobs a second to two APIs, use the other API when one fails, and count the results."""

import asyncio
import contextlib
import itertools
import math
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx

from app.tasks import cancel_and_wait
from tests.support.emulator import Emulator
from tests.support.waiting import wait_until

PACE_S = 0.5
AGAIN_S = 0.5
PATIENCE_S = 90.0  # a partition of 56 s, and the 10 s after it in which Sentinels merge two primaries into one
CALL_S = 5.0
CHECK_S = 0.1
SETTLED_S = 60.0
ENDS = {"succeeded", "failed", "canceled", "held"}


@dataclass
class Outcome:
    """The result of one fault. Gaps are the longest time without an acknowledged job, and without one sent to fal.

    `back_s`: at the end of the first gap, the time from the first acknowledged job until fal got one.
    `stalled` has what did not recover after the fault; `answers` counts the replies other than 202.
    """

    fault: str = ""
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    held: int = 0
    bought_twice: list[str] = field(default_factory=list)
    admission_gap_s: float = 0
    buying_gap_s: float = 0
    back_s: float = 0
    given_up: int = 0
    stalled: str = ""
    answers: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return (
            f"{self.fault}: {self.acknowledged} acknowledged, lost {len(self.lost)}, "
            f"bought twice {len(self.bought_twice)}, held {self.held}, given up {self.given_up}, "
            f"gaps: admission {self.admission_gap_s:.1f} s, buying {self.buying_gap_s:.1f} s, "
            f"bought {self.back_s:.1f} s after the first that was acknowledged again; "
            f"{self.answers}{self.stalled}"
        )

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


class Demand:
    """The callers. `during` counts as one run; prompts begin with its name."""

    def __init__(self, urls: list[str], account: str, fal: Emulator, *, call_s: float = CALL_S) -> None:
        self._web = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {account}"}, timeout=call_s, trust_env=False
        )
        self._urls = urls
        self._fal = fal
        self.acknowledged: dict[str, float] = {}  # job id to time
        self.bought: list[float] = []
        self._answers: Counter[str] = Counter()
        self._given_up = 0
        self._stalled = ""
        self._calls: set[asyncio.Task[None]] = set()
        self._flows: list[asyncio.Task[None]] = []
        self._began = 0.0
        self._name = ""

    async def begin(self, name: str) -> None:
        """Start the callers; they run until `end`."""
        self._name = name
        self.acknowledged, self.bought, self._answers, self._given_up = {}, [], Counter(), 0
        self._stalled = ""
        self._began = time.monotonic()
        self._flows = [asyncio.create_task(self._send()), asyncio.create_task(self._watch())]

    async def flowing(self, *, since: float, seconds: float = 3) -> None:
        """Wait until jobs are acknowledged and bought again, or record that they are not; then wait `seconds`."""

        async def both() -> bool:
            newest = max(self.acknowledged.values(), default=0), max(self.bought, default=0)
            return min(newest) > since

        try:
            await wait_until(both, "jobs are acknowledged and bought", timeout=SETTLED_S, details=self._details)
        except AssertionError as error:
            self._stalled = str(error)
        await asyncio.sleep(seconds)

    async def end(self) -> Outcome:
        """Stop the callers, wait for the end of every acknowledged job, and return the result."""
        until = time.monotonic()
        await cancel_and_wait(self._flows[0])
        await asyncio.gather(*self._calls)
        states = await self._settled()
        await cancel_and_wait(self._flows[1])
        prompts = Counter(one["prompt"] for one in await self._fal.requests())
        charged = Counter(one["prompt"] for one in (await self._fal.ledger())["charges"])
        gap_s, back = _gap([self._began, *self.acknowledged.values(), until])
        return Outcome(
            fault=self._name,
            acknowledged=len(self.acknowledged),
            lost=sorted(job for job, status in states.items() if status not in ENDS),
            held=sum(status == "held" for status in states.values()),
            bought_twice=sorted(
                prompt for prompt, n in (prompts | charged).items() if n > 1 and prompt.startswith(self._name)
            ),
            admission_gap_s=gap_s,
            buying_gap_s=_gap([self._began, *self.bought])[0],
            back_s=min((at for at in self.bought if at >= back), default=math.inf) - back,
            given_up=self._given_up,
            stalled=self._stalled,
            answers=dict(self._answers),
        )

    async def close(self) -> None:
        """Stop the callers."""
        for flow in (*self._flows, *self._calls):
            await cancel_and_wait(flow)
        await self._web.aclose()

    async def _send(self) -> None:
        for number in itertools.count():
            task = asyncio.create_task(self._call(number))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
            await asyncio.sleep(PACE_S)

    async def _call(self, number: int) -> None:
        """Submit one job with its own Idempotency-Key until an API accepts it."""
        name = f"{self._name} {number}"
        image = self._fal.sample_image
        began = time.monotonic()
        for url in itertools.islice(itertools.cycle(self._urls), number % len(self._urls), None):
            try:
                reply = await self._web.post(
                    f"{url}/v1/jobs",
                    json={"input": {"prompt": name, "image_url": image}},
                    headers={"Idempotency-Key": name},
                )
            except httpx.TransportError as error:
                self._answers[type(error).__name__] += 1
            else:
                if reply.status_code == httpx.codes.ACCEPTED:
                    self.acknowledged[reply.json()["id"]] = time.monotonic()
                    return
                self._answers[f"{reply.status_code} {code_of(reply)}"] += 1
            if time.monotonic() - began > PATIENCE_S:
                self._given_up += 1
                return
            await asyncio.sleep(AGAIN_S)

    async def _watch(self) -> None:
        """Record when fal gets a job."""
        known = len(await self._fal.requests())
        while True:
            count = len(await self._fal.requests())
            self.bought += [time.monotonic()] * (count - known)
            known = count
            await asyncio.sleep(CHECK_S)

    async def _settled(self) -> dict[str, str]:
        """Status by job id once all have ended, or the current ones when the time is up."""
        states: dict[str, str] = dict.fromkeys(self.acknowledged, "unknown")

        async def all_ended() -> bool:
            for job in [job for job, status in states.items() if status not in ENDS]:
                states[job] = await self._status(job)
            return all(status in ENDS for status in states.values())

        with contextlib.suppress(AssertionError):
            await wait_until(all_ended, "every job ends", timeout=SETTLED_S, interval=0.3)
        return states

    async def _status(self, job: str) -> str:
        for url in self._urls:
            with contextlib.suppress(httpx.TransportError):
                reply = await self._web.get(f"{url}/v1/jobs/{job}")
                return str(reply.json()["status"]) if reply.is_success else str(reply.status_code)
        return "no reply"

    async def _details(self) -> str:
        return f"{self._name}: {len(self.acknowledged)} acknowledged, {len(self.bought)} bought, {self._answers}"


def _gap(times: list[float]) -> tuple[float, float]:
    """The longest of the gaps, and when it ended."""
    return max(((after - before, after) for before, after in itertools.pairwise(sorted(times))), default=(0.0, 0.0))


def code_of(reply: httpx.Response) -> str:
    """The error's code; empty for an answer that is not ours."""
    try:
        return str(reply.json()["code"])
    except (ValueError, KeyError, TypeError):
        return ""
