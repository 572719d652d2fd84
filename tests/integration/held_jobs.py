"""Jobs whose outcome is unknown, and fal's history of them."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from app.domain.jobs import Job, Status
from app.fal.errors import UnusableAnswer
from app.store import keys
from tests.integration.uploads import uploaded
from tests.support.emulator import Emulator, running_emulator
from tests.support.pipeline import Pipeline
from tests.support.redis_server import RedisServer
from tests.support.stack import open_stack
from tests.support.waiting import wait_until
from workers.reconcile import resolve

ADMIN_KEY = "admin-key-of-the-tests"
_numbers = count(1)


@asynccontextmanager
async def running_historian() -> AsyncIterator[Emulator]:
    """A fast fal that shows its history only to an admin key."""
    quick = ("--queue-seconds", "0.05", "--run-seconds", "0.05", "--no-clips", "--concurrency", "50")
    async with running_emulator(*quick, "--admin-key", ADMIN_KEY) as emulator:
        yield emulator


@asynccontextmanager
async def pipeline_on(store: RedisServer, historian: Emulator, **more: str) -> AsyncIterator[Pipeline]:
    """A pipeline with an admin key that may read the history, unless `more` has another."""
    settings = {"FAL_ADMIN_KEY": ADMIN_KEY, "FILMGATE_FAL_API_URL": historian.url, **more}
    async with open_stack(store, historian, **settings) as stack:
        yield Pipeline(stack)
    await historian.trouble_platform()


def listed(*rows: dict[str, Any], **more: Any) -> str:
    """A listing in fal's format."""
    return json.dumps({"items": rows, "has_more": False, "next_cursor": None, **more})


async def bought(pipeline: Pipeline, tag: str, *, image: str = "", **more: Any) -> Job:
    """Submit a job once, with an image uploaded here unless one is given; the job afterwards."""
    given = {"prompt": f"{tag} a lake {next(_numbers)}", "image_url": image or await uploaded(pipeline.stack.api)}
    job = await pipeline.stack.submit(input=given, **more)
    await pipeline.gateway.stores.slots.grant()
    return await pipeline.submit(job["id"])


async def held(pipeline: Pipeline, tag: str = "[emu:drop_after_accept:1]", **more: Any) -> Job:
    """The same with an unknown outcome; fal's history already has it, if fal accepted it."""
    job = await bought(pipeline, tag, **more)
    assert job.status is Status.HELD
    await known_to_fal(pipeline, job)
    return job


async def known_to_fal(pipeline: Pipeline, job: Job) -> None:
    """Wait until every request with this job's prompt has started: fal's history lists no others."""

    async def started() -> bool:
        return all(one["started_at"] is not None for one in await at_fal(pipeline, job))

    await wait_until(started, f"fal lists {job.id}", interval=0.02)


async def at_fal(pipeline: Pipeline, job: Job) -> list[dict[str, Any]]:
    """The requests with this job's prompt that fal accepted, oldest first."""
    prompt = (job.input or {})["prompt"]
    return [one for one in await pipeline.stack.emulator.requests() if one["prompt"] == prompt]


async def charges(pipeline: Pipeline, job: Job) -> int:
    """How often fal charged this job's prompt."""
    prompt = (job.input or {})["prompt"]
    return len([one for one in (await pipeline.stack.emulator.ledger())["charges"] if one["prompt"] == prompt])


async def resolve_once(pipeline: Pipeline, job: Job, *, after_ms: int | None = None) -> UnusableAnswer | int | None:
    """Resolve this job once, as if this much time had passed since its claim."""
    now_ms = await pipeline.gateway.stores.clock.now_ms()
    if after_ms is not None:
        now_ms = (job.claimed_ms or 0) + after_ms
    return await resolve(pipeline.gateway, pipeline.ref(job.id), now_ms)


async def due_in_ms(pipeline: Pipeline, job: Job) -> float | None:
    """Milliseconds until the job is due in `resolve`; None when it is not due."""
    score: float | None = await pipeline.redis.zscore(keys.due("resolve"), pipeline.ref(job.id))
    return None if score is None else score - await pipeline.gateway.stores.clock.now_ms()


async def alarms(pipeline: Pipeline) -> list[tuple[str, str, str]]:
    """Kind, job and fal's request of every alarm, oldest first."""
    return [
        (one.kind, one.job, one.upstream_request_id)
        for one in reversed(await pipeline.gateway.stores.alarms.newest(50))
    ]


async def assert_succeeds(pipeline: Pipeline, job: Job) -> Job:
    """The job ends with a clip and one charge; the job afterwards."""
    await pipeline.completed(job.id)
    ended = await pipeline.finalized(job.id)
    assert (ended.status, await charges(pipeline, job)) == (Status.SUCCEEDED, 1)
    assert await pipeline.entries(job.id) == ["reserve", "settle"]
    return ended


async def canary(pipeline: Pipeline, **more: Any) -> Job:
    """Another job of ours that fal's history shows."""
    job = await bought(pipeline, "", **more)
    await known_to_fal(pipeline, job)
    return job


async def resolve_at(pipeline: Pipeline, job: Job, after_ms: Sequence[int]) -> None:
    """Resolve the job as if at each of these times since its claim."""
    for moment_ms in after_ms:
        await resolve_once(pipeline, job, after_ms=moment_ms)
