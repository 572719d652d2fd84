"""Records of ended jobs: packed into one small block of the store, and whole when they are read."""

import json

import pytest

from app.domain.jobs import JobError, Status
from app.store import keys
from app.store.jobs import Charge
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
    assert len(ended.periods.split()) == 8


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
