"""The crash matrix, rows C1 to C25: a process or the store dies at a named point; nothing is lost or bought twice.

Each round submits a few jobs, lets one of them meet the armed point, and asks the oracle of the matrix when all
have ended: O1 every acknowledged job ended, O2 none was bought twice, O3 the books balance, O4 one end each and its
message arrived, O6 nobody complained. (O5 needs several teams: tests/integration/test_ownership.py.) Waits for
leases are cut short by the test; how long they are is shown in test_kills.py and tests/integration.
"""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Callable

import httpx
import pytest

from tests.crash.crash_installation import CrashSite
from tests.crash.crash_points import EVERY, POINTS, WIRE, interleaved
from tests.support.receiver import Receiver
from tests.support.server import EventReader
from tests.support.tcp_proxy import Cut, owner_of
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

SEEDS, SEEDS_IN_FULL = 2, 20  # a round takes three to five seconds on two cores: half an hour for all points
STORE_SEEDS_IN_FULL = 5
# Where the store dies in the suite: before and after each of the writes that money hangs on.
STORE_POINTS = (
    "admit.after",
    "submit.after_claim",
    "submit.answered",
    "finalize.read",
    "deliver.sent",
    "lane.taken",
)
RECOVERED_S, RECOVERED_IN_FULL_S = 10.0, 2.0  # callers are answered again; the suite shares its machine
RESUMED_S = 3.0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every point with every seed; all points once before the second round of any."""
    full = bool(metafunc.config.getoption("--full"))
    if "point" in metafunc.fixturenames:
        cases = [(name, turn) for turn in range(SEEDS_IN_FULL if full else SEEDS) for name in interleaved()]
        metafunc.parametrize(("point", "turn"), cases)
    if "store_point" in metafunc.fixturenames:
        names = tuple(POINTS) if full else STORE_POINTS
        rounds = STORE_SEEDS_IN_FULL if full else 1
        metafunc.parametrize(("store_point", "turn"), [(name, turn) for turn in range(rounds) for name in names])


class Round:
    """A few jobs of one point and seed."""

    def __init__(self, here: CrashSite, point: str, seed: int, *, what: str = "") -> None:
        self.here = here
        self.point = point
        self.what = EVERY[point]
        self.chance = random.Random(f"{point} {seed}")  # noqa: S311  a seed, so that a round can be run again
        self.count = self.chance.randint(2, 4)
        self.label = f"{what}{point}-{seed}"
        # Then fal's webhook adopts nothing in time, and held jobs wait for fal's history, or the operator.
        self.late = (bool(seed % 2) and not self.what.on_time) or self.what.needs == "held"
        self.nth = self.chance.randrange(self.count) if self.what.each else 0

    @property
    def told(self) -> Receiver:
        """Who hears of these jobs."""
        return self.here.gone if self.what.needs == "gone" else self.here.receiver

    async def submit(self) -> list[str]:
        """Submit all at once; their ids, which are all different."""
        tags = "[emu:webhook_late] " if self.late else ""
        tags += {"cancel": "[emu:run:20]", "held": "[emu:submit_garbage]"}.get(self.what.needs, "")
        image = await self.here.image() if self.what.needs in {"upload", "held"} else None
        via = self.here.front.url if self.point == Cut.REPLY_HALF.value else None
        prompts = [f"{self.label}-{number} a clip {tags}" for number in range(self.count)]
        ids = await asyncio.gather(
            *(
                self.here.submit(prompt, label=self.label, url=self.told.url, image=image, via=via)
                for prompt in prompts
            )
        )
        assert len(set(ids)) == self.count
        if self.what.needs == "cancel":
            await self._running(ids)
            await asyncio.gather(*map(self.here.cancel, ids))
        return list(ids)

    async def _running(self, ids: list[str]) -> None:
        async def all_run() -> bool:
            return {job["status"] for job in await self.here.site.jobs(round=self.label)} == {"running"}

        await wait_until(all_run, f"{ids} are running", timeout=30)

    async def ended(self, ids: list[str], since: str, *, store_died: bool = False) -> None:
        """All end, and the oracle is content."""
        jobs = await self.here.settled(self.label, self.count)
        expected = "canceled" if self.what.needs == "cancel" else "succeeded"
        assert {job["status"] for job in jobs} == {expected}, jobs
        await self.here.judge(ids, jobs, since=since, told=self.told, store_died=store_died)
        await self.here.quiet()
        self.here.tally.rounds += 1


async def cut(this: Round) -> None:
    """Arm the relay: it cuts one exchange, and kills the process at its end."""
    here = this.here
    where = Cut(this.point)

    def kill(port: int) -> None:
        pids = here.site.workers.pids("work")
        if where is Cut.REPLY_HALF:
            here.site.serve.kill()
        else:
            os.kill(owner_of(port, pids), signal.SIGKILL)
        here.tally.kills[this.what.process] += 1

    front = here.front if where is Cut.REPLY_HALF else here.wire
    start = b"POST /v1/jobs" if where is Cut.REPLY_HALF else b"POST /fal-ai/"
    front.cut(where, start, nth=this.nth + 1, kill=kill)


async def test_a_process_may_die_at_any_point(here: CrashSite, point: str, turn: int) -> None:
    """Kill -9 at the point: all jobs end well, each was bought once, the books balance, callers are told."""
    await here.site.ready()
    this = Round(here, point, turn)
    since = await here.newest_event()
    before, killed = len(here.signalled()), here.tally.kills.total()
    if point in WIRE:
        await cut(this)
    else:
        here.arm(point, nth=this.nth)
    ids = await this.submit()
    if point in WIRE:

        async def died() -> bool:
            return here.tally.kills.total() > killed

        await wait_until(died, "the exchange was cut", timeout=30)
    else:
        await here.until_signalled(before)
        here.tally.kills[this.what.process] += 1
    await this.ended(ids, since)


async def test_the_store_may_die_at_any_point(here: CrashSite, store_point: str, turn: int, *, full: bool) -> None:
    """C25: kill -9 of the store when a process passes the point; callers are answered soon after its start."""
    await here.site.ready()
    this = Round(here, store_point, turn, what="store-")
    since = await here.newest_event()
    before, outages = len(here.signalled()), len(here.tally.outages)
    here.arm(store_point, nth=this.nth, pid=here.site.redis.pid)
    ids = await this.submit()
    await here.until_signalled(before)

    async def back() -> bool:
        return len(here.tally.outages) > outages

    await wait_until(back, "the store is back", timeout=30)
    here.tally.kills["store"] += 1
    assert here.tally.outages[-1] <= (RECOVERED_IN_FULL_S if full else RECOVERED_S)
    await this.ended(ids, since, store_died=True)


async def test_while_the_store_is_away_callers_hear_503(crash_site: CrashSite, *, full: bool) -> None:
    """Every request is answered at once: 503 with Retry-After, never 500; soon after its return all is well."""
    site = crash_site.site
    await site.ready()
    site.redis.kill()
    replies = [await site.api.get("/v1/me") for _ in range(5)]
    assert {reply.status_code for reply in replies} == {503}
    assert all(int(reply.headers["retry-after"]) > 0 for reply in replies)
    site.redis.start()
    waited = await crash_site._until_answered()
    assert waited <= (RECOVERED_IN_FULL_S if full else RECOVERED_S)
    assert not crash_site.complaints(store_died=True)


async def test_a_live_stream_goes_on_where_it_broke(here: CrashSite) -> None:
    """C4: the API dies with a stream open; the client comes back with Last-Event-ID and misses nothing."""
    await here.site.ready()
    job_id = await here.submit("c4-stream a clip [emu:run:2]", label="c4", url=here.receiver.url)
    path = f"/v1/jobs/{job_id}/events"
    async with here.site.api.stream("GET", path) as stream:
        reader = EventReader(stream)
        seen = [await reader.event(), await reader.event()]
        here.site.serve.kill()
        with contextlib.suppress(httpx.TransportError):
            seen += await reader.rest()
    await here._until_answered()
    back = time.monotonic()
    async with here.site.api.stream("GET", path, headers={"Last-Event-ID": (seen[-1] or {})["id"]}) as stream:
        resumed_s = time.monotonic() - back
        seen += await EventReader(stream).rest()
    events = [event for event in seen if event is not None]
    sequences = [event["data"]["sequence"] for event in events]
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))
    assert events[-1]["event"] == "job.succeeded"
    assert resumed_s <= RESUMED_S
    here.tally.kills["api"] += 1
    here.tally.rounds += 1


async def test_the_count_of_rounds(crash_site: CrashSite, say: Callable[[str], None]) -> None:
    """After all rounds: none lost, none bought twice, no error in the books; the figures are printed."""
    tally = crash_site.tally
    longest = max(tally.outages, default=0)
    say(f"{tally}\nthe store came back {len(tally.outages)} times; recovery took {longest:.1f} s at most")
    assert (tally.lost, tally.doubles, tally.ledger_errors) == (0, 0, 0)
