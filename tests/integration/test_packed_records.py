"""Records of ended jobs: packed into one small block of memory, and complete when they are read."""

import json
from dataclasses import replace

import pytest

from app.domain.errors import Conflict
from app.domain.jobs import Charge, JobError, Money, Status
from app.store import keys
from tests.support.pipeline import Pipeline

pytestmark = pytest.mark.anyio


async def test_an_ended_job_is_one_small_block(pipeline: Pipeline) -> None:
    """Its record is packed at its end, whatever the end; it is shown as before, and can be erased."""
    live = await pipeline.bought("a lake " * 20, metadata={"a": "b"})
    key = keys.job(pipeline.ref(live.id))
    before = await pipeline.redis.memory_usage(key, samples=0)
    await pipeline.completed(live.id)
    ended = await pipeline.finalized(live.id)
    canceled = await pipeline.admit("a lake")
    await pipeline.stack.api.post(f"/v1/jobs/{canceled}/cancel")
    for job_id in (live.id, canceled):
        assert await pipeline.redis.object("encoding", keys.job(pipeline.ref(job_id))) == "listpack"
        assert await pipeline.redis.pttl(keys.job(pipeline.ref(job_id))) > 0
    assert await pipeline.redis.memory_usage(key, samples=0) < before * 0.7
    assert (ended.input, ended.metadata) == (live.input, live.metadata)
    assert (ended.output or {})["video"]
    assert ended.logs
    assert ended.starts == live.starts != ""


async def test_a_long_record_is_packed_or_left_alone(pipeline: Pipeline) -> None:
    """A prompt of 2,500 characters and a record of twenty thousand are complete after the end."""
    prompt = "".join(chr(0x4E00 + number * 7) for number in range(2_400))
    for job_id, text in {await pipeline.grant(prompt): prompt, await pipeline.grant("x"): "y" * 20_000}.items():
        if text != prompt:
            await pipeline.write(job_id, input=json.dumps({"prompt": text}))
        job = await pipeline.job(job_id)
        assert await pipeline.store.end(
            job, (Status.QUEUED,), Status.FAILED, charge=Charge.RELEASE, error=JobError("x", "y")
        )
        ended = await pipeline.job(job_id)
        assert text in (ended.input or {})["prompt"]
        assert ended.error == JobError("x", "y")


async def test_a_fact_that_changed_while_the_job_ended_counts(pipeline: Pipeline) -> None:
    """A process that ends a job may have read it earlier: what its record has by then is kept."""
    seen = await pipeline.bought()
    await pipeline.write(seen.id, trace_id="newer")
    assert await pipeline.store.end(seen, (Status.RUNNING,), Status.FAILED, charge=Charge.SPEND)
    ended = await pipeline.job(seen.id)
    assert (ended.trace_id, ended.nonce, ended.model) == ("newer", seen.nonce, seen.model)
    assert "nonce" not in await pipeline.redis.hgetall(keys.job(pipeline.ref(seen.id)))


async def test_a_record_that_lost_a_fact_meanwhile_is_not_packed(pipeline: Pipeline) -> None:
    """A deleted field does not come back."""
    seen = await pipeline.bought()
    await pipeline.redis.hdel(keys.job(pipeline.ref(seen.id)), "nonce")
    assert await pipeline.store.end(seen, (Status.RUNNING,), Status.FAILED, charge=Charge.SPEND)
    assert (await pipeline.job(seen.id)).nonce is None
    assert "z0" not in await pipeline.redis.hgetall(keys.job(pipeline.ref(seen.id)))


async def test_what_is_packed_is_found(pipeline: Pipeline) -> None:
    """By its model and by its request at fal; a correction and an erasure keep the rest of the record."""
    job = await pipeline.ended()
    assert "model" not in await pipeline.redis.hgetall(keys.job(pipeline.ref(job.id)))
    for model, found in ((job.model, [job.id]), ("fal-ai/kling-video/v1.6/pro/image-to-video", [])):
        listed = (await pipeline.stack.api.get("/v1/jobs", params={"model": model})).json()["data"]
        assert [one["id"] for one in listed] == found
    request = job.upstream_request_id or ""
    assert await pipeline.store.find_by_requests([request]) == {request: pipeline.ref(job.id)}
    await pipeline.gateway.ledger.correct_job("test", pipeline.team, job.id, actual=1, reason="x")
    corrected = await pipeline.job(job.id)
    assert (corrected, corrected.starts) == (replace(job, charged_micro=1), job.starts)
    assert (await pipeline.stack.api.delete(f"/v1/jobs/{job.id}")).status_code == 204
    erased = await pipeline.job(job.id)
    assert erased.starts == job.starts
    assert erased == replace(corrected, input=None, images={}, output=None, logs=[], metadata={}, erased=True)


async def test_a_correction_that_is_refused_leaves_the_record_packed(pipeline: Pipeline) -> None:
    """The spent amount would go below zero: no field changes."""
    job = await pipeline.ended()
    await pipeline.gateway.ledger.correct("test", pipeline.team, micro=-1, reason="x")
    before = await pipeline.redis.hgetall(keys.job(pipeline.ref(job.id)))
    with pytest.raises(Conflict):
        await pipeline.gateway.ledger.correct_job("test", pipeline.team, job.id, actual=0, reason="x")
    assert await pipeline.redis.hgetall(keys.job(pipeline.ref(job.id))) == before


async def test_a_dispute_of_a_packed_job_is_decided(pipeline: Pipeline) -> None:
    """By scripts, which find everything they need in its record."""
    job = await pipeline.ended("[emu:422_content_policy]")
    assert job.money is Money.DISPUTED
    assert await pipeline.gateway.stores.ledger.decide_dispute(pipeline.ref(job.id), spend=True)
    assert await pipeline.entries(job.id) == ["reserve", "dispute", "settle"]
    assert (await pipeline.gateway.ledger.verify()).differences == []
