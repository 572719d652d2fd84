"""Events read the same as when they were written, although they store little: the rest is in the job's record."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from app.domain.jobs import Status
from app.store import keys
from tests.integration.older_records import rewrite_events
from tests.support.pipeline import Pipeline

pytestmark = pytest.mark.anyio
SECRET = "a-prompt-that-nobody-keeps"


class Ears:
    """Reads the feed after every step, and keeps each event's first content."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.events: list[dict[str, Any]] = []

    async def listen(self) -> None:
        """Read new events; earlier ones must not have changed."""
        now = await self.feed()
        assert now[: len(self.events)] == self.events
        assert len(now) > len(self.events)
        self.events = now

    async def feed(self) -> list[dict[str, Any]]:
        """All stored events."""
        reply = await self.pipeline.stack.api.get("/v1/events", params={"limit": 100})
        assert reply.status_code == 200
        found: list[dict[str, Any]] = reply.json()["data"]
        return found


@pytest.fixture
async def ears(pipeline: Pipeline) -> AsyncIterator[Ears]:
    """A listener; at the end every event still reads the same."""
    ears = Ears(pipeline)
    yield ears
    assert await ears.feed() == ears.events


async def succeeded(ears: Ears) -> None:
    """A job that succeeds, and is corrected afterwards."""
    pipeline = ears.pipeline
    job_id = await pipeline.admit(metadata={"a": "b"})
    await ears.listen()
    await pipeline.gateway.stores.slots.grant()
    await pipeline.submit(job_id)
    await ears.listen()
    await pipeline.completed(job_id)
    await ears.listen()
    job = await pipeline.finalized(job_id)
    await ears.listen()
    last = ears.events[-1]["data"]
    assert last["output"]["video"]
    assert (last["charged_usd"], last["status"]) == ("1.40", "succeeded")
    assert [event["data"]["output"] for event in ears.events[:-1]] == [None] * 4
    assert [event["data"]["submitted_at"] is None for event in ears.events] == [True, True, False, False, False]
    await pipeline.gateway.ledger.correct_job("test", pipeline.team, job.id, actual=0, reason="x")


async def disputed(ears: Ears) -> None:
    """A job whose charge is decided after its end."""
    job = await ears.pipeline.ended("[emu:422_content_policy]")
    await ears.listen()
    assert ears.events[-1]["data"]["charged_usd"] is None
    assert ears.events[-1]["data"]["error"]
    await ears.pipeline.gateway.stores.ledger.decide_dispute(ears.pipeline.ref(job.id), spend=True)
    assert (await ears.pipeline.job(job.id)).charged_micro


async def held(ears: Ears) -> None:
    """A job that is held, and resubmitted by an operator."""
    job = await ears.pipeline.bought("[emu:drop_after_accept]")
    assert job.status is Status.HELD
    await ears.listen()
    assert ears.events[-1]["data"]["held_reason"] == job.held_reason
    await ears.pipeline.gateway.operations.resolve("test", job.id, "resubmit")
    await ears.listen()
    assert ears.events[-1]["data"]["held_reason"] is None


async def cancelled(ears: Ears) -> None:
    """A job that is cancelled in line."""
    job_id = await ears.pipeline.admit()
    await ears.listen()
    await ears.pipeline.stack.api.post(f"/v1/jobs/{job_id}/cancel")
    await ears.listen()


@pytest.mark.parametrize("story", [succeeded, disputed, held, cancelled])
async def test_an_event_never_changes(ears: Ears, story: Callable[[Ears], Awaitable[None]]) -> None:
    """Whatever happens to the job: each event keeps its state, clip, error, charge and reason."""
    await story(ears)
    assert len(ears.events) > 1


async def test_an_event_holds_little(pipeline: Pipeline) -> None:
    """No prompt, no clip, no message: the stream has no second copy of the record."""
    job = await pipeline.ended(SECRET)
    rows = await pipeline.redis.xrange(keys.events(pipeline.team))
    assert [set(row) for _, row in rows] == [{"type", "job", "sequence", "charged", "held"}] * 5
    assert all(sum(map(len, row.values())) < 100 for _, row in rows)
    assert (job.output or {})["video"]["url"] not in str(rows)


async def test_an_erased_job_is_erased_in_its_past(pipeline: Pipeline) -> None:
    """Its events are still listed, without anything of its caller's."""
    job = await pipeline.ended(SECRET, metadata={"a": SECRET})
    assert (await pipeline.stack.api.delete(f"/v1/jobs/{job.id}")).status_code == 204
    feed = (await pipeline.stack.api.get("/v1/events")).json()["data"]
    assert [event["data"]["status"] for event in feed][-1] == "succeeded"
    assert all(event["data"]["output"] is None and not event["data"]["logs"] for event in feed)
    assert SECRET not in str(feed)


async def test_an_event_is_forgotten_with_its_job(pipeline: Pipeline) -> None:
    """When the record expires, its events do too; the cursor moves past them."""
    gone, there = await pipeline.ended(), await pipeline.ended()
    assert await pipeline.redis.delete(keys.job(pipeline.ref(gone.id)))
    feed = (await pipeline.stack.api.get("/v1/events")).json()
    assert {event["data"]["id"] for event in feed["data"]} == {there.id}
    newest = await pipeline.gateway.stores.events.newest_id(pipeline.team)
    assert (feed["next_cursor"], feed["has_more"]) == (newest, False)
    assert await pipeline.redis.xdel(keys.events(pipeline.team), newest)
    feed = (await pipeline.stack.api.get("/v1/events", params={"cursor": "0-0", "limit": 1})).json()
    assert (len(feed["data"]), feed["has_more"]) == (1, True)


async def test_events_of_an_older_version_are_read_and_erased(pipeline: Pipeline) -> None:
    """Each has the whole record in it: shown as before, and deleted when the job is erased."""
    job = await pipeline.ended(SECRET)
    other = await pipeline.ended()
    before = (await pipeline.stack.api.get("/v1/events")).json()["data"]
    output = '{"video":{"url":"https://v3.fal.media/files/a/old.mp4"}}'
    await rewrite_events(pipeline, job.id, output=output)
    now = (await pipeline.stack.api.get("/v1/events")).json()["data"]
    assert [event["id"] for event in now] == [event["id"] for event in before]
    assert now[4]["data"]["output"]["video"]["url"].endswith("old.mp4")
    assert (await pipeline.stack.api.delete(f"/v1/jobs/{job.id}")).status_code == 204
    left = await pipeline.redis.xrange(keys.events(pipeline.team))
    assert {row["job"] for _, row in left} == {other.id}
