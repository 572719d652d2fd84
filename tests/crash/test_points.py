"""The crash matrix, rows C1 to C25: a process or the store dies at a named point; nothing is lost or bought twice.

Each round submits a few jobs, lets one of them reach the armed point, and checks the matrix's conditions when all
have ended: O1 every acknowledged job ended, O2 none was bought twice, O3 the ledger balances, O4 each has one end
whose message arrived, O6 no error was logged. (O5 needs several teams: tests/integration/test_ownership.py.) The
test cuts leases short; their lengths are shown in test_kills.py and tests/integration.
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

from tests.crash.crash_installation import CrashInstallation
from tests.crash.crash_points import EVERY, POINTS, WIRE, interleaved
from tests.support.receiver import Receiver
from tests.support.server import EventReader
from tests.support.tcp_proxy import Cut, owner_of
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

SEEDS, SEEDS_IN_FULL = 2, 20  # a round takes three to five seconds on two cores: half an hour for all points
STORE_SEEDS_IN_FULL = 5
# Where the store dies in the suite: before and after each of the writes that matter for money.
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

    def __init__(self, supervised: CrashInstallation, point: str, seed: int, *, what: str = "") -> None:
        self.supervised = supervised
        self.point = point
        self.what = EVERY[point]
        self.chance = random.Random(f"{point} {seed}")  # noqa: S311  a seed, so that a round can be run again
        self.count = self.chance.randint(2, 4)
        self.label = f"{what}{point}-{seed}"
        # Then fal's webhook adopts nothing in time, and held jobs wait for fal's history or the operator.
        self.late = (bool(seed % 2) and not self.what.on_time) or self.what.needs == "held"
        self.nth = self.chance.randrange(self.count) if self.what.each else 0

    @property
    def receiver(self) -> Receiver:
        """The receiver of these jobs' webhooks."""
        return self.supervised.gone if self.what.needs == "gone" else self.supervised.receiver

    async def submit(self) -> list[str]:
        """Submit all at once; their ids, which are all different."""
        tags = "[emu:webhook_late] " if self.late else ""
        tags += {"cancel": "[emu:run:20]", "held": "[emu:submit_garbage]"}.get(self.what.needs, "")
        image = await self.supervised.image() if self.what.needs in {"upload", "held"} else None
        via = self.supervised.api_proxy.url if self.point == Cut.REPLY_HALF.value else ""
        prompts = [f"{self.label}-{number} a clip {tags}" for number in range(self.count)]
        ids = await asyncio.gather(
            *(
                self.supervised.submit_in_round(
                    prompt, label=self.label, url=self.receiver.url, image=image, via=via
                )
                for prompt in prompts
            )
        )
        assert len(set(ids)) == self.count
        if self.what.needs == "cancel":
            await self._running(ids)
            await asyncio.gather(*map(self.supervised.cancel, ids))
        return list(ids)

    async def _running(self, ids: list[str]) -> None:
        async def all_run() -> bool:
            return {job["status"] for job in await self.supervised.jobs(round=self.label)} == {"running"}

        await wait_until(all_run, f"{ids} are running", timeout=30)

    async def ended(self, ids: list[str], since: str, *, store_died: bool = False) -> None:
        """All jobs end, and every condition holds."""
        jobs = await self.supervised.until_ended(self.label, self.count)
        expected = "canceled" if self.what.needs == "cancel" else "succeeded"
        assert {job["status"] for job in jobs} == {expected}, jobs
        await self.supervised.check(ids, jobs, since=since, receiver=self.receiver, store_died=store_died)
        await self.supervised.until_delivered()
        self.supervised.tally.rounds += 1


async def cut(this: Round) -> None:
    """Arm the proxy: it cuts one exchange, and kills the process at its end."""
    supervised = this.supervised
    where = Cut(this.point)

    def kill(port: int) -> None:
        pids = supervised.workers.pids("work")
        if where is Cut.REPLY_HALF:
            supervised.serve.kill()
        else:
            os.kill(owner_of(port, pids), signal.SIGKILL)
        supervised.tally.kills[this.what.process] += 1

    front = supervised.api_proxy if where is Cut.REPLY_HALF else supervised.fal_proxy
    start = b"POST /v1/jobs" if where is Cut.REPLY_HALF else b"POST /fal-ai/"
    front.cut(where, start, nth=this.nth + 1, kill=kill)


async def test_a_process_may_die_at_any_point(supervised: CrashInstallation, point: str, turn: int) -> None:
    """Kill -9 at the point: all jobs succeed, each was bought once, the ledger balances, webhooks arrive."""
    await supervised.ready()
    this = Round(supervised, point, turn)
    since = await supervised.newest_event()
    before, killed = len(supervised.signalled()), supervised.tally.kills.total()
    if point in WIRE:
        await cut(this)
    else:
        supervised.arm(point, nth=this.nth)
    ids = await this.submit()
    if point in WIRE:
        await wait_until(lambda: supervised.tally.kills.total() > killed, "the exchange was cut", timeout=30)
    else:
        await supervised.until_signalled(before)
        supervised.tally.kills[this.what.process] += 1
    await this.ended(ids, since)


async def test_the_store_may_die_at_any_point(
    supervised: CrashInstallation, store_point: str, turn: int, *, full: bool
) -> None:
    """C25: kill -9 of the store when a process passes the point; callers are answered soon after its restart."""
    await supervised.ready()
    this = Round(supervised, store_point, turn, what="store-")
    since = await supervised.newest_event()
    before, outages = len(supervised.signalled()), len(supervised.tally.outages)
    supervised.arm(store_point, nth=this.nth, pid=supervised.redis.pid)
    ids = await this.submit()
    await supervised.until_signalled(before)
    await wait_until(lambda: len(supervised.tally.outages) > outages, "the store is back", timeout=30)
    supervised.tally.kills["store"] += 1
    assert supervised.tally.outages[-1] <= (RECOVERED_IN_FULL_S if full else RECOVERED_S)
    await this.ended(ids, since, store_died=True)


async def test_while_the_store_is_away_callers_hear_503(
    crash_installation: CrashInstallation, *, full: bool
) -> None:
    """Every request is answered at once: 503 with Retry-After, never 500; soon after its return all succeed."""
    await crash_installation.ready()
    crash_installation.redis.kill()
    replies = [await crash_installation.api.get("/v1/me") for _ in range(5)]
    assert {reply.status_code for reply in replies} == {503}
    assert all(int(reply.headers["retry-after"]) > 0 for reply in replies)
    crash_installation.redis.start()
    waited = await crash_installation._until_answered()
    assert waited <= (RECOVERED_IN_FULL_S if full else RECOVERED_S)
    assert not crash_installation.errors_logged(store_died=True)


async def test_a_live_stream_goes_on_where_it_broke(supervised: CrashInstallation) -> None:
    """C4: the API dies with a stream open; the client reconnects with Last-Event-ID and misses nothing."""
    await supervised.ready()
    job_id = await supervised.submit_in_round(
        "c4-stream a clip [emu:run:2]", label="c4", url=supervised.receiver.url
    )
    path = f"/v1/jobs/{job_id}/events"
    async with supervised.api.stream("GET", path) as stream:
        reader = EventReader(stream)
        seen = [await reader.event(), await reader.event()]
        supervised.serve.kill()
        with contextlib.suppress(httpx.TransportError):
            seen += await reader.rest()
    await supervised._until_answered()
    back = time.monotonic()
    async with supervised.api.stream("GET", path, headers={"Last-Event-ID": (seen[-1] or {})["id"]}) as stream:
        resumed_s = time.monotonic() - back
        seen += await EventReader(stream).rest()
    events = [event for event in seen if event is not None]
    sequences = [event["data"]["sequence"] for event in events]
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))
    assert events[-1]["event"] == "job.succeeded"
    assert resumed_s <= RESUMED_S
    supervised.tally.kills["api"] += 1
    supervised.tally.rounds += 1


async def test_the_count_of_rounds(crash_installation: CrashInstallation, say: Callable[[str], None]) -> None:
    """After all rounds: none lost, none bought twice, no error in the ledger; the figures are printed."""
    tally = crash_installation.tally
    longest = max(tally.outages, default=0)
    say(f"{tally}\nthe store came back {len(tally.outages)} times; recovery took {longest:.1f} s at most")
    assert (tally.lost, tally.doubles, tally.ledger_errors) == (0, 0, 0)
