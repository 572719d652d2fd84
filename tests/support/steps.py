"""Pushes a job forward by hand, one step at a time, where a test wants it in a certain state."""

from tests.support.stack import Stack
from tests.support.waiting import wait_until
from workers.finalize import finalize
from workers.poll import poll
from workers.submit import submit


class Steps:
    """The workers' steps on one job of the stack's own team."""

    def __init__(self, stack: Stack, job_id: str) -> None:
        self._gateway = stack.gateway
        self._ref = f"{stack.account.team.id}/{job_id}"

    async def claim(self) -> None:
        """Queued → submitting, and no further: as if the worker were in the middle of its call."""
        await self._gateway.dispatch.grant()
        job = await self._gateway.job_store.get(self._ref)
        assert job is not None
        assert await self._gateway.job_store.claim(job)

    async def submit(self) -> None:
        """Queued → running; held when the prompt asks the emulator for an unclear answer."""
        await self._gateway.dispatch.grant()
        await submit(self._gateway, self._ref)

    async def poll(self) -> None:
        """Running → finalizing, as soon as fal has completed it."""

        async def left_running() -> bool:
            job = await self._gateway.job_store.get(self._ref)
            assert job is not None
            await poll(self._gateway, job, await self._gateway.dispatch.now_ms())
            now = await self._gateway.job_store.get(self._ref)
            assert now is not None
            return now.status.value != "running"

        await wait_until(left_running, "fal has completed the job")

    async def finalize(self) -> None:
        """Finalizing → one of the ends; a result that fal has lost is read a few times."""

        async def ended() -> bool:
            await finalize(self._gateway, self._ref)
            job = await self._gateway.job_store.get(self._ref)
            return job is not None and job.status.ended

        await wait_until(ended, "the job has ended")

    async def to(self, status: str) -> None:
        """From queued, all the way to this state."""
        if status == "submitting":
            await self.claim()
        if status in {"running", "held", "finalizing", "succeeded", "failed"}:
            await self.submit()
        if status in {"finalizing", "succeeded", "failed"}:
            await self.poll()
        if status in {"succeeded", "failed"}:
            await self.finalize()


PROMPTS = {"held": "[emu:submit_502_accepted] a lake", "failed": "[emu:500_downstream] a lake"}


async def job_in(stack: Stack, status: str) -> str:
    """The id of a new job in this state."""
    job = await stack.submit(PROMPTS.get(status, "a quiet lake"))
    job_id: str = job["id"]
    if status == "canceled":
        assert (await stack.api.post(f"/v1/jobs/{job_id}/cancel")).status_code == 202
    else:
        await Steps(stack, job_id).to(status)
    assert (await stack.job(job_id))["status"] == status
    return job_id
