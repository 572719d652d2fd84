"""Which jobs' files are to be copied, and what has been."""

from typing import Any

from app.domain.jobs import Job, Money, Status
from app.store import keys, scripts
from app.store.client import Client
from app.store.connection import store_errors
from app.store.jobs import JobStore
from app.store.records import facts_of, packed_fields, to_json

UNCOPIED_AFTER = 3  # failures in a row
STATES = (Status.FINALIZING, Status.SUCCEEDED)


class CopyStore:
    """Records copies of jobs' files; the step is `keep`."""

    def __init__(self, redis: Client, jobs: JobStore) -> None:
        self._redis = redis
        self._jobs = jobs

    async def record(self, job: Job, output: dict[str, Any], *, expires_ms: int | None) -> bool:
        """Record the copies in this output: nothing is due any more, and a job that waits for them ends.

        False when the job is gone or erased: what was copied must be deleted.
        """
        closed = job.money in {Money.SPENT, Money.RELEASED}  # scripts read the facts of a dispute
        packed = packed_fields(job, {"output": output}, facts=closed)
        with store_errors():
            return await scripts.record_copies(
                self._redis,
                job=keys.job(job.ref),
                ref=job.ref,
                output=to_json(output),
                expires_ms=expires_ms,
                packed=packed.content,
                packed_names=",".join(packed.names),
                packed_facts="\n".join(packed.facts),
                rest=facts_of(job),
            )

    async def put_off(self, job: Job, *, delay_ms: int, failed: bool) -> int:
        """Try again after a delay; the failures of this job in a row, the present one included if it `failed`."""
        failures = job.copy_failures + int(failed)
        there = await self._jobs.update(job, STATES, due_step="keep", delay_ms=delay_ms, copy_failures=failures)
        if there and failed and failures >= UNCOPIED_AFTER:
            with store_errors():
                await self._redis.zadd(keys.UNCOPIED, {job.ref: failures})
        return failures

    async def drop(self, ref: str) -> None:
        """Nothing of this job is to be copied any more."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=True)
            pipe.zrem(keys.due("keep"), ref)
            pipe.zrem(keys.UNCOPIED, ref)
            await pipe.execute()

    async def uncopied(self) -> int:
        """How many jobs' files could not be copied several times in a row."""
        with store_errors():
            return int(await self._redis.zcard(keys.UNCOPIED))

    async def uncopied_refs(self, most: int) -> list[str]:
        """The refs of up to so many of these jobs; the last one has failed most often."""
        with store_errors():
            return list(await self._redis.zrange(keys.UNCOPIED, -most, -1))
