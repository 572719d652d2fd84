"""The account at the emulated fal: requests, concurrency and charges."""

import asyncio
import dataclasses
import math
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from app.emulator.bills import Bill
from app.emulator.clock import Clock
from app.emulator.generation import COMPLETED, IN_PROGRESS, IN_QUEUE, Generation, prompt_of
from app.emulator.journal import Journal
from app.emulator.replies import CANCELLED, INTERNAL, NOT_STARTED_IN_TIME, Reply
from app.emulator.scenarios import plan_for

JOURNALED = (
    "id", "endpoint", "app", "payload", "headers", "tags", "store_io", "webhook", "base", "asked",
    "queue_seconds", "run_seconds", "start_deadline", "received_at",
)  # fmt: skip  # one list, not fourteen lines


class FalAccount:
    """At most `concurrency` requests run; the others wait in the order of their submits.

    `produce` makes a request's reply and starts with its run; `announce` is called once at its end. `estimate` is
    the bill of a request that is charged although it was not produced.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        journal: Journal,
        concurrency: int,
        produce: Callable[[Generation], Awaitable[Reply]],
        announce: Callable[[Generation], None],
        estimate: Callable[[Generation], Bill],
    ) -> None:
        self.requests: dict[str, Generation] = {}
        self.charges: list[dict[str, Any]] = []
        self.refused: list[dict[str, Any]] = []
        self._clock = clock
        self._journal = journal
        self._concurrency = concurrency
        self._produce = produce
        self._announce = announce
        self._estimate = estimate
        self._waiting: dict[str, Generation] = {}
        self._ready: dict[str, Generation] = {}
        self._running: dict[str, Generation] = {}
        self._positions: dict[str, int] | None = None

    def submit(self, generation: Generation) -> None:
        """Adds a request to the queue, and to the journal before the caller gets its reply."""
        self._journal.write("submitted", **{name: getattr(generation, name) for name in JOURNALED})
        self._enter(generation)

    def cancel(self, generation: Generation) -> str:
        """Cancels a request; returns fal's status word."""
        if generation.status == COMPLETED:
            return "ALREADY_COMPLETED"
        generation.cancelled = True
        self._journal.write("cancelled", id=generation.id)
        if not generation.plan.cancel_ignored:
            self._end(generation, CANCELLED.reply())
        return "CANCELLATION_REQUESTED"

    def find(self, app: str, request_id: str) -> Generation | None:
        """The request, or None if it is unknown or another application's."""
        generation = self.requests.get(request_id)
        return generation if generation is not None and generation.app == app else None

    def position(self, generation: Generation) -> int:
        """The number of requests in front of this one."""
        if self._positions is None:
            self._positions = {request_id: number for number, request_id in enumerate(self._waiting)}
        return self._positions.get(generation.id, 0)

    @property
    def waiting(self) -> int:
        """The number of requests in the queue."""
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """True when every slot of the account is taken."""
        return len(self._running) >= self._concurrency

    def _enter(self, generation: Generation, *, waited: float = 0) -> None:
        self.requests[generation.id] = self._waiting[generation.id] = generation
        self._positions = None
        now = self._clock.now() - waited
        self._clock.at(now + generation.queue_seconds, lambda: self._become_ready(generation))
        self._clock.at(now + generation.start_deadline, lambda: self._miss_deadline(generation))

    def _become_ready(self, generation: Generation) -> None:
        if generation.status != IN_QUEUE:
            return
        if generation.plan.never_starts and generation.plan.fault is not None:
            self._end(generation, generation.plan.fault.reply(generation.payload))
            return
        self._ready[generation.id] = generation
        self._fill_slots()

    def _miss_deadline(self, generation: Generation) -> None:
        if generation.status == IN_QUEUE:
            self._end(generation, NOT_STARTED_IN_TIME.reply())

    def _fill_slots(self) -> None:
        while self._ready and not self.is_full:
            generation = self._ready.pop(next(iter(self._ready)))
            generation.started_at = time.time()
            self._journal.write("started", id=generation.id, at=generation.started_at)
            self._start(generation)

    def _start(self, generation: Generation, *, ran: float = 0) -> None:
        self._waiting.pop(generation.id, None)
        self._positions = None
        self._running[generation.id] = generation
        generation.status = IN_PROGRESS
        generation.started = self._clock.now() - ran
        generation.work = asyncio.ensure_future(self._produce(generation))
        generation.pulse()
        self._clock.at(generation.started + generation.run_seconds, lambda: self._run_out(generation))

    def _run_out(self, generation: Generation) -> None:
        """Ends a run whose time is over, as soon as its clip is ready."""
        if generation.work is not None and generation.status == IN_PROGRESS:
            generation.work.add_done_callback(lambda work: self._take_reply(generation, work))

    def _take_reply(self, generation: Generation, work: asyncio.Task[Reply]) -> None:
        if work.cancelled() or generation.status == COMPLETED:
            return
        error = work.exception()
        if error is not None:
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"request {generation.id} could not be produced", "exception": error}
            )
        self._end(generation, INTERNAL.reply(generation.payload) if error else work.result())

    def _end(self, generation: Generation, reply: Reply) -> None:
        if generation.work is not None:
            generation.work.cancel()
            generation.work = None
        for requests in (self._waiting, self._ready, self._running):
            requests.pop(generation.id, None)
        self._positions = None
        generation.status = COMPLETED
        generation.reply = reply
        generation.completed_at = time.time()
        charge = self._charge_for(generation, reply)
        self._journal.write(
            "ended",
            id=generation.id,
            at=generation.completed_at,
            reply=dataclasses.asdict(reply),
            charge=charge,
        )
        self._record_charge(charge)
        generation.pulse()
        self._announce(generation)
        self._fill_slots()

    def _charge_for(self, generation: Generation, reply: Reply) -> dict[str, Any] | None:
        """The charge for a clip, or for a refusal after a runner's work; None when nothing is charged."""
        asked = generation.plan.bill
        worked = generation.plan.charged is True and reply.status != CANCELLED.status
        if reply.status != 200 and not worked and asked is None:  # noqa: PLR2004  # HTTP OK
            return None
        bill = generation.bill or self._estimate(generation)
        cost = bill.micro if asked is None else int(asked)
        return {
            "request_id": generation.id,
            "endpoint": generation.endpoint,
            "seconds": _number(bill.seconds),
            "input_seconds": _number(bill.input_seconds),
            "unit_micro": bill.unit_micro,
            "cost_micro": cost,
            "events": [cost // 3, cost - cost // 3] if generation.plan.bill_split else [cost],
            "at": generation.completed_at,
            "prompt": generation.prompt,
            "tags": generation.tags,
        }

    def _record_charge(self, charge: dict[str, Any] | None) -> None:
        if charge is not None:
            self.charges.append(charge)
            self.requests[charge["request_id"]].charged_micro += charge["cost_micro"]

    def restore(self) -> None:
        """Reads the journal; unfinished requests continue by the wall clock."""
        for line in self._journal.read():
            self._replay(line)
        for generation in list(self.requests.values()):
            elapsed = (time.time() - (generation.started_at or generation.received_at)) * self._clock.speed
            if generation.status == IN_PROGRESS:
                self._start(generation, ran=elapsed)
            elif generation.status == IN_QUEUE:
                self._enter(generation, waited=elapsed)
        self._journal.open()

    def _replay(self, line: dict[str, Any]) -> None:
        if line["event"] == "submitted":
            generation = Generation(**{name: line[name] for name in JOURNALED})
            generation.plan = plan_for(prompt_of(generation.payload), generation.asked or None)
            self.requests[generation.id] = generation
        else:
            generation = self.requests[line["id"]]
            if line["event"] == "cancelled":
                generation.cancelled = True
            elif line["event"] == "started":
                generation.status, generation.started_at = IN_PROGRESS, line["at"]
            else:
                generation.status, generation.completed_at = COMPLETED, line["at"]
                generation.reply = Reply(**line["reply"])
                self._record_charge(line["charge"])


def _number(seconds: Decimal) -> float:
    """A whole number where it is one."""
    return int(seconds) if seconds == int(seconds) else float(seconds)


def deadline_of(text: str | None) -> float:
    """Seconds of an `X-Fal-Request-Timeout` header; infinity unless it is a positive number."""
    try:
        seconds = float(text) if text else math.inf
    except ValueError:
        return math.inf
    return seconds if seconds > 0 else math.inf
