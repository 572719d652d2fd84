"""Polls many jobs at once: takes those that are due, and records together when each is due next."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from app.domain.errors import StoreUnavailable
from app.domain.ids import ref_names
from app.gateway import Gateway
from app.metrics.table import STEP_FAULTS
from app.store.quarantine import Quarantined
from app.store.records import DuePoll
from app.tasks import cancel_and_wait
from workers.poll import poll
from workers.poll_plans import PollPlans
from workers.quarantine import alarm_quarantined

POLLS_AT_ONCE = 200
POLLS_A_SECOND = 1_500  # 10,000 jobs in 7 s; when more are due, all wait a little longer
BURST = POLLS_AT_ONCE  # after a slow turn
VISIBILITY_MS = 12_000  # longer than one status call
TURN_S = 0.05  # from one turn to the next, at least, and while polls run
IDLE_S = 1.0  # at most; the lane sees sooner when another process has made a poll due
AWAY_S = 0.25  # before another try, while the store is away

log = structlog.get_logger()


class Polling:
    """The polls of one slice of a lane. `on_end` is called when a job has left the step."""

    def __init__(self, gateway: Gateway, plans: PollPlans, *, on_end: Callable[[], object]) -> None:
        self.wake = asyncio.Event()  # something may be due
        self._gateway = gateway
        self._plans = plans
        self._on_end = on_end
        self._running: set[asyncio.Task[None]] = set()
        self._ended: list[tuple[str, int, int]] = []  # ref, until when it is hidden, when it is due next
        self._allowed = 0.0
        self._allowed_at = time.monotonic() - TURN_S
        self._stopping = False

    async def run(self) -> None:
        """Turns until `stop`, with a pause between them that a wake-up ends.

        It must not be cancelled: jobs that it has taken and not polled yet would stay hidden.
        """
        while not self._stopping:
            self.wake.clear()
            pause_s = AWAY_S
            with suppress(StoreUnavailable):
                pause_s = await self.turn()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.wake.wait(), pause_s)

    async def turn(self) -> float:
        """One turn; the seconds until there is something to do again, unless a wake-up says so before.

        1. record when the jobs of finished polls are due next, in one write
        2. write at which ages generations have ended, and renew the plans
        3. take what is due, and start its polls
        """
        await self._record()
        await self._plans.refresh()
        room = self._room()
        if room <= 0:
            return TURN_S
        now_ms, next_ms, due = await self._gateway.stores.jobs.take_polls(limit=room, visibility_ms=VISIBILITY_MS)
        self._allowed -= len(due)
        for one in due:
            task = asyncio.create_task(self._poll(one, now_ms))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        if self._running or self._ended:
            return TURN_S  # the next turn records when these are due
        return IDLE_S if next_ms is None else min(IDLE_S, max(TURN_S, (next_ms - now_ms) / 1000))

    def stop(self) -> None:
        """Take nothing more: `run` ends after its present turn."""
        self._stopping = True
        self.wake.set()

    async def finish(self, *, seconds: float) -> None:
        """Let running polls end; slower ones are cancelled, and become due again."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        await cancel_and_wait(*self._running)
        with suppress(StoreUnavailable):  # they become due again
            await self._record()

    def _room(self) -> int:
        """How many polls may be started now: so many at once, and so many a second."""
        now = time.monotonic()
        self._allowed = min(BURST, self._allowed + (now - self._allowed_at) * POLLS_A_SECOND)
        self._allowed_at = now
        return min(POLLS_AT_ONCE - len(self._running), int(self._allowed))

    async def _record(self) -> None:
        ended, self._ended = self._ended, []
        await self._gateway.stores.due.reschedule_hidden("poll", ended)

    async def _poll(self, due: DuePoll, now_ms: int) -> None:
        began, ref = time.monotonic(), due.ref
        try:
            async with self._gateway.stores.quarantine.counting_failures("poll", ref):
                wait_ms = await poll(self._gateway, due.job(), now_ms, self._plans)
            if wait_ms is None:
                self._on_end()
            else:
                due_ms = now_ms + wait_ms + round((time.monotonic() - began) * 1000)
                self._ended.append((ref, now_ms + VISIBILITY_MS, due_ms))
        except StoreUnavailable:
            pass  # it becomes due again; the outage has its own line
        except Quarantined as error:
            await alarm_quarantined(self._gateway, error)
        except Exception:
            STEP_FAULTS.add("poll")
            log.exception("poll.failed", **ref_names(ref))  # a failing job must not end the lane
