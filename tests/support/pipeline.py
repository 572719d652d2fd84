"""The pipeline, step by step: a test calls each step, and moves due times instead of waiting for them."""

from itertools import count
from typing import Any

from app.domain.events import Event
from app.domain.ids import join_ref
from app.domain.jobs import Job, Status
from app.store import keys
from tests.support.stack import Stack
from tests.support.waiting import wait_until
from workers.finalize import finalize
from workers.lane import expire
from workers.poll import poll
from workers.poll_plans import PollPlans
from workers.submit import submit

DAY_MS = 86_400_000
_numbers = count(1)


class Pipeline:
    """One stack's jobs, moved step by step. A job is given by its id; `redis` is a direct client of the store."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.gateway = stack.gateway
        self.store = stack.gateway.stores.jobs
        self.redis: Any = stack.gateway.stores.redis
        self.team = stack.account.team.id
        self.plans = PollPlans(stack.gateway.stores.end_ages, first_s=stack.settings.poll_interval)

    def ref(self, job_id: str) -> str:
        """`team/job`."""
        return join_ref(self.team, job_id)

    async def job(self, job_id: str) -> Job:
        """The current record."""
        job = await self.store.get(self.ref(job_id))
        assert job is not None
        return job

    # --- one step each ---------------------------------------------------------------------------------------

    async def admit(self, prompt: str = "a quiet lake", **more: Any) -> str:
        """A queued job; each prompt is used once, because the emulator counts by prompt."""
        job = await self.stack.submit(f"{prompt} {next(_numbers)}", **more)
        job_id: str = job["id"]
        return job_id

    async def grant(self, prompt: str = "a quiet lake", **more: Any) -> str:
        """A queued job that has its slot."""
        job_id = await self.admit(prompt, **more)
        await self.gateway.stores.slots.grant()
        assert await self.slot(job_id) is not None
        return job_id

    async def submit(self, job_id: str) -> Job:
        """The submit step; the job afterwards."""
        await submit(self.gateway, self.ref(job_id))
        return await self.job(job_id)

    async def bought(self, prompt: str = "a quiet lake", **more: Any) -> Job:
        """Admitted, granted and submitted once; the job afterwards."""
        return await self.submit(await self.grant(prompt, **more))

    async def poll(self, job_id: str, *, later_ms: int = 0) -> int | None:
        """The poll step, as if it were `later_ms` later; its result."""
        now_ms = await self.gateway.stores.clock.now_ms() + later_ms
        return await poll(self.gateway, await self.job(job_id), now_ms, self.plans)

    async def completed(self, job_id: str, *, later_ms: int = 0) -> Job:
        """Poll until fal has ended."""

        async def done() -> bool:
            return await self.poll(job_id, later_ms=later_ms) is None

        await wait_until(done, f"{job_id} is completed at fal", interval=0.05)
        job = await self.job(job_id)
        assert job.status is Status.FINALIZING
        return job

    async def finalize(self, job_id: str) -> Job:
        """The finalize step, due now; the job afterwards."""
        await self.make_due("finalize", self.ref(job_id))
        await finalize(self.gateway, self.ref(job_id))
        return await self.job(job_id)

    async def finalized(self, job_id: str) -> Job:
        """Finalize repeatedly, at most ten times, until the job has ended."""
        for _ in range(10):
            job = await self.finalize(job_id)
            if job.status.ended:
                return job
        raise AssertionError(f"{job_id} has not ended after ten reads of its result")

    async def ended(self, prompt: str = "a quiet lake", **more: Any) -> Job:
        """A job at its end, however often its result must be read."""
        job = await self.bought(prompt, **more)
        await self.completed(job.id)
        return await self.finalized(job.id)

    async def to(self, job_id: str, status: str) -> None:
        """Bring a queued job to this state; to `held` if the prompt makes fal do so."""
        await self.gateway.stores.slots.grant()
        if status == "submitting":  # as if the worker were in the middle of its call
            assert await self.store.claim(await self.job(job_id))
        elif status != "queued":
            await self.submit(job_id)
        if status in {"finalizing", "succeeded", "failed"}:
            await self.completed(job_id)
        if status in {"succeeded", "failed"}:
            await self.finalized(job_id)

    async def expire(self, job_id: str) -> Job:
        """The housekeeping that ends late jobs, with this job due in it now; the job afterwards."""
        await self.make_due("expire", self.ref(job_id))
        await expire(self.gateway)
        return await self.job(job_id)

    # --- the store's time and content ------------------------------------------------------------------------

    async def make_due(self, step: str, ref: str) -> None:
        """Make a ref due now, if it is due at all in this step."""
        if step == "deliver":
            destination = await self.gateway.stores.deliveries.destination(ref)
            if destination is not None:
                now_ms = await self.gateway.stores.clock.now_ms()
                if await self.redis.zadd(keys.waiting(destination), {ref: now_ms}, xx=True, ch=True):
                    await self.redis.zadd(keys.due(step), {destination: now_ms})
            return
        await self.redis.zadd(keys.due(step), {ref: await self.gateway.stores.clock.now_ms()}, xx=True)

    async def write(self, job_id: str, **fields: str | int) -> None:
        """Rewrite fields of the record, as if time had passed."""
        await self.redis.hset(keys.job(self.ref(job_id)), mapping=fields)

    async def slot(self, job_id: str) -> float | None:
        """When the job's slot expires, or None."""
        score: float | None = await self.redis.zscore(keys.SLOTS, self.ref(job_id))
        return score

    async def due(self, step: str) -> list[str]:
        """Every ref in this step's due set, due now or later."""
        refs: list[str] = await self.redis.zrange(keys.due(step), 0, -1)
        if step == "deliver":  # these are destinations; deliveries wait at each
            return [ref for name in refs for ref in await self.redis.zrange(keys.waiting(name), 0, -1)]
        return refs

    async def due_in_ms(self, ref: str) -> float:
        """The time until the delivery is due."""
        destination = await self.gateway.stores.deliveries.destination(ref)
        due_ms: float = await self.redis.zscore(keys.waiting(destination or ""), ref)
        return due_ms - await self.gateway.stores.clock.now_ms()

    async def entries(self, job_id: str) -> list[str]:
        """The types of the job's ledger entries, in order: `reserve`, then `settle`, `release` or `dispute`."""
        return [entry.type for entry in await self.gateway.stores.ledger.entries(self.team) if entry.job == job_id]

    async def job_events(self) -> list[Event]:
        """The team's events about jobs, in order."""
        stretch = await self.gateway.stores.events.after(self.team, "0")
        return [event for event in stretch.events if isinstance(event, Event)]

    async def money(self) -> tuple[int, int]:
        """Reserved and spent, in micro-dollars."""
        balance = await self.gateway.stores.ledger.balance(self.team)
        return balance.reserved, balance.spent

    async def posts(self) -> int:
        """Submits that fal received, accepted or not, over all tests of this process."""
        return len(await self.stack.emulator.requests()) + len(await self.stack.emulator.refused())


PROMPTS = {"held": "[emu:submit_502_accepted] a lake", "failed": "[emu:500_downstream] a lake"}


async def job_in(stack: Stack, status: str) -> str:
    """The id of a new job in this state."""
    job_id: str = (await stack.submit(PROMPTS.get(status, "a quiet lake")))["id"]
    if status == "canceled":
        assert (await stack.api.post(f"/v1/jobs/{job_id}/cancel")).status_code == 202
    elif status != "queued":
        await Pipeline(stack).to(job_id, status)
    assert (await stack.job(job_id))["status"] == status
    return job_id
