"""Records of ended jobs: packed into one small block of the store, and whole when they are read."""

import json
from dataclasses import replace

import pytest

from app.domain.errors import Conflict
from app.domain.jobs import Charge, JobError, Money, Status
from app.store import keys
from tests.support.hand import Hand

pytestmark = pytest.mark.anyio


async def test_an_ended_job_is_one_small_block(hand: Hand) -> None:
    """Its record is packed at its end, whatever end it is; what was in it is shown as before, and can be erased."""
    live = await hand.bought("a lake " * 20, metadata={"a": "b"})
    key = keys.job(hand.ref(live.id))
    before = await hand.redis.memory_usage(key, samples=0)
    await hand.completed(live.id)
    ended = await hand.finalized(live.id)
    canceled = await hand.admit("a lake")
    await hand.stack.api.post(f"/v1/jobs/{canceled}/cancel")
    for job_id in (live.id, canceled):
        assert await hand.redis.object("encoding", keys.job(hand.ref(job_id))) == "listpack"
        assert await hand.redis.pttl(keys.job(hand.ref(job_id))) > 0
    assert await hand.redis.memory_usage(key, samples=0) < before * 0.7
    assert (ended.input, ended.metadata) == (live.input, live.metadata)
    assert (ended.output or {})["video"]
    assert ended.logs
    assert ended.starts == live.starts != ""


async def test_a_long_record_is_packed_or_left_alone(hand: Hand) -> None:
    """A prompt of 2,500 characters and a record of twenty thousand are whole after the end."""
    prompt = "".join(chr(0x4E00 + number * 7) for number in range(2_400))
    for job_id, text in {await hand.grant(prompt): prompt, await hand.grant("x"): "y" * 20_000}.items():
        if text != prompt:
            await hand.write(job_id, input=json.dumps({"prompt": text}))
        job = await hand.job(job_id)
        assert await hand.store.end(
            job, (Status.QUEUED,), Status.FAILED, charge=Charge.RELEASE, error=JobError("x", "y")
        )
        ended = await hand.job(job_id)
        assert text in (ended.input or {})["prompt"]
        assert ended.error == JobError("x", "y")


async def test_a_fact_that_changed_while_the_job_ended_counts(hand: Hand) -> None:
    """Whoever ends a job may have read it a moment ago: what its record says by then stays."""
    seen = await hand.bought()
    await hand.write(seen.id, trace_id="newer")
    assert await hand.store.end(seen, (Status.RUNNING,), Status.FAILED, charge=Charge.SPEND)
    ended = await hand.job(seen.id)
    assert (ended.trace_id, ended.nonce, ended.model) == ("newer", seen.nonce, seen.model)
    assert "nonce" not in await hand.redis.hgetall(keys.job(hand.ref(seen.id)))


async def test_a_record_that_lost_a_fact_meanwhile_is_not_packed(hand: Hand) -> None:
    """What is gone from it does not come back."""
    seen = await hand.bought()
    await hand.redis.hdel(keys.job(hand.ref(seen.id)), "nonce")
    assert await hand.store.end(seen, (Status.RUNNING,), Status.FAILED, charge=Charge.SPEND)
    assert (await hand.job(seen.id)).nonce is None
    assert "z0" not in await hand.redis.hgetall(keys.job(hand.ref(seen.id)))


async def test_what_is_packed_is_found(hand: Hand) -> None:
    """By its model and by its request at fal; and a correction and an erasure leave the rest of the record."""
    job = await hand.ended()
    assert "model" not in await hand.redis.hgetall(keys.job(hand.ref(job.id)))
    for model, found in ((job.model, [job.id]), ("fal-ai/kling-video/v1.6/pro/image-to-video", [])):
        listed = (await hand.stack.api.get("/v1/jobs", params={"model": model})).json()["data"]
        assert [one["id"] for one in listed] == found
    assert await hand.store.find_by_request(job.upstream_request_id or "") == hand.ref(job.id)
    await hand.gateway.ledger.correct_job("test", hand.team, job.id, actual=1, reason="x")
    corrected = await hand.job(job.id)
    assert (corrected, corrected.starts) == (replace(job, charged_micro=1), job.starts)
    assert (await hand.stack.api.delete(f"/v1/jobs/{job.id}")).status_code == 204
    erased = await hand.job(job.id)
    assert erased.starts == job.starts
    assert erased == replace(corrected, input=None, images={}, output=None, logs=[], metadata={}, erased=True)


async def test_a_correction_that_is_refused_leaves_the_record_packed(hand: Hand) -> None:
    """Less than nothing would be spent: not a field is another."""
    job = await hand.ended()
    await hand.gateway.ledger.correct("test", hand.team, micro=-1, reason="x")
    before = await hand.redis.hgetall(keys.job(hand.ref(job.id)))
    with pytest.raises(Conflict):
        await hand.gateway.ledger.correct_job("test", hand.team, job.id, actual=0, reason="x")
    assert await hand.redis.hgetall(keys.job(hand.ref(job.id))) == before


async def test_a_dispute_of_a_packed_job_is_decided(hand: Hand) -> None:
    """By scripts, which find in its record what they need."""
    job = await hand.ended("[emu:422_content_policy]")
    assert job.money is Money.DISPUTED
    assert await hand.gateway.stores.ledger.decide_dispute(hand.ref(job.id), spend=True)
    assert await hand.entries(job.id) == ["reserve", "dispute", "settle"]
    assert (await hand.gateway.ledger.verify()).differences == []
