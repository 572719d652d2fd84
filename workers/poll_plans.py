"""What a worker process knows about when generations end: a plan of polls for each model and length."""

import time
from collections import defaultdict

from app.domain.jobs import Job
from app.domain.poll_plan import ENOUGH, PollPlan, bin_of
from app.store.end_ages import EndAgeStore

NEW_ENDS_S = 1.0  # until new ends are in the store, and in the plan
STALE_S = 30.0  # until the ends that other processes have counted are in the plan
MAX_PLANS = 200
MAX_COUNTS = 20_000

Kind = tuple[str, int]  # model, length (s)


class PollCounts:
    """How often this process has polled each job; kept for spans, and only while they are recorded."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def count(self, job: Job) -> None:
        """One more; the job that was first of too many is forgotten."""
        self._counts[job.id] = self._counts.get(job.id, 0) + 1
        if len(self._counts) > MAX_COUNTS:
            del self._counts[next(iter(self._counts))]

    def take(self, job: Job) -> int:
        """The number, which is forgotten."""
        return self._counts.pop(job.id, 0)


class PollPlans:
    """The plans of one process. `first_s` is the interval before the first poll."""

    def __init__(self, store: EndAgeStore, *, first_s: float) -> None:
        self._store = store
        self._first_s = first_s
        self._plans: dict[Kind, PollPlan | None] = {}  # None: too few ends are known
        self._new_ends: defaultdict[Kind, list[int]] = defaultdict(list)
        self._read_at: dict[Kind, float] = {}
        self._count_at = 0.0
        self.polls = PollCounts()

    def wait_ms(self, job: Job, age_ms: int) -> int | None:
        """From a poll at this age until the next; None while too little is known."""
        plan = self._plans.get(self._kind_of(job))
        return None if plan is None else plan.wait_ms(age_ms)

    def add_end(self, job: Job, age_ms: int) -> None:
        """A generation ended by itself at this age."""
        kind = self._kind_of(job)
        if kind in self._plans:
            self._new_ends[kind].append(bin_of(age_ms))

    def _kind_of(self, job: Job) -> Kind:
        """The job's kind, which has a place among the plans from now on, while there is room."""
        kind = (job.model, job.seconds)
        if len(self._plans) < MAX_PLANS:
            self._plans.setdefault(kind, None)
        return kind

    async def refresh(self) -> None:
        """Write new ends once a second, and read what other processes have written now and then."""
        now = time.monotonic()
        if now < self._count_at:
            return
        self._count_at = now + NEW_ENDS_S
        for kind in list(self._plans):
            if self._new_ends.get(kind) or now >= self._read_at.get(kind, 0.0):
                counts = await self._store.count(*kind, self._new_ends.pop(kind, []))
                self._plans[kind] = (
                    PollPlan(counts, first_s=self._first_s) if sum(counts.values()) >= ENOUGH else None
                )
                self._read_at[kind] = now + STALE_S
