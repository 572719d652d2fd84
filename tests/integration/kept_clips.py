"""Steps of tests about kept clips."""

import httpx

from app.domain.jobs import Job
from tests.support.pipeline import Pipeline
from workers.keep import keep


async def kept(pipeline: Pipeline, job_id: str) -> Job:
    """The keep step, due now; the job afterwards."""
    await pipeline.make_due("keep", pipeline.ref(job_id))
    await keep(pipeline.gateway, pipeline.ref(job_id))
    return await pipeline.job(job_id)


async def address_of(pipeline: Pipeline, job_id: str) -> str:
    """The address of the job's clip, as its caller sees it."""
    video: dict[str, str] = (await pipeline.stack.job(job_id))["output"]["video"]
    return video["url"]


async def anybody(pipeline: Pipeline, url: str, method: str = "GET", **headers: str) -> httpx.Response:
    """A call without a key."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await pipeline.stack.api.request(method, url, headers={"Authorization": "", **named})
