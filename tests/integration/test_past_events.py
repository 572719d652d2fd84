"""Events are read as they were told, although they hold little: the rest is taken from the job's record."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from app.domain.jobs import Status
from app.store import keys
from tests.support.hand import Hand
from tests.support.older import rewrite_events

pytestmark = pytest.mark.anyio
SECRET = "a-prompt-that-nobody-keeps"


class Ears:
    """Reads the feed after every step, and keeps what each event said at first."""

    def __init__(self, hand: Hand) -> None:
        self.hand = hand
        self.told: list[dict[str, Any]] = []

    async def listen(self) -> None:
        """Hear what is new; nothing of what was told before may read otherwise now."""
        now = await self.feed()
        assert now[: len(self.told)] == self.told
        assert len(now) > len(self.told)
        self.told = now

    async def feed(self) -> list[dict[str, Any]]:
        """Everything that is remembered."""
        reply = await self.hand.stack.api.get("/v1/events", params={"limit": 100})
        assert reply.status_code == 200
        found: list[dict[str, Any]] = reply.json()["data"]
        return found


@pytest.fixture
async def ears(hand: Hand) -> AsyncIterator[Ears]:
    """A listener; at the end everything still reads as it did."""
    ears = Ears(hand)
    yield ears
    assert await ears.feed() == ears.told


async def succeeded(ears: Ears) -> None:
    """One that succeeds, and is corrected afterwards."""
    hand = ears.hand
    job_id = await hand.admit(metadata={"a": "b"})
    await ears.listen()
    await hand.gateway.stores.slots.grant()
    await hand.submit(job_id)
    await ears.listen()
    await hand.completed(job_id)
    await ears.listen()
    job = await hand.finalized(job_id)
    await ears.listen()
    last = ears.told[-1]["data"]
    assert last["output"]["video"]
    assert (last["charged_usd"], last["status"]) == ("1.40", "succeeded")
    assert [event["data"]["output"] for event in ears.told[:-1]] == [None] * 4
    assert [event["data"]["submitted_at"] is None for event in ears.told] == [True, True, False, False, False]
    await hand.gateway.ledger.correct_job("test", hand.team, job.id, actual=0, reason="x")


async def disputed(ears: Ears) -> None:
    """One whose charge is decided after its end."""
    job = await ears.hand.ended("[emu:422_content_policy]")
    await ears.listen()
    assert ears.told[-1]["data"]["charged_usd"] is None
    assert ears.told[-1]["data"]["error"]
    await ears.hand.gateway.stores.ledger.decide_dispute(ears.hand.ref(job.id), spend=True)
    assert (await ears.hand.job(job.id)).charged_micro


async def held(ears: Ears) -> None:
    """One that is held, and sent again by an operator's word."""
    job = await ears.hand.bought("[emu:drop_after_accept]")
    assert job.status is Status.HELD
    await ears.listen()
    assert ears.told[-1]["data"]["held_reason"] == job.held_reason
    await ears.hand.gateway.operations.resolve("test", job.id, "resubmit")
    await ears.listen()
    assert ears.told[-1]["data"]["held_reason"] is None


async def cancelled(ears: Ears) -> None:
    """One that is cancelled in line."""
    job_id = await ears.hand.admit()
    await ears.listen()
    await ears.hand.stack.api.post(f"/v1/jobs/{job_id}/cancel")
    await ears.listen()


@pytest.mark.parametrize("story", [succeeded, disputed, held, cancelled])
async def test_what_an_event_said_it_says_for_ever(ears: Ears, story: Callable[[Ears], Awaitable[None]]) -> None:
    """Whatever becomes of the job: each event reads as on the day, with state, clip, error, charge and reason."""
    await story(ears)
    assert len(ears.told) > 1


async def test_an_event_holds_little(hand: Hand) -> None:
    """No prompt, no clip, no words: what is in the stream is not there twice."""
    job = await hand.ended(SECRET)
    rows = await hand.redis.xrange(keys.events(hand.team))
    assert [set(row) for _, row in rows] == [{"type", "job", "sequence", "charged", "held"}] * 5
    assert all(sum(map(len, row.values())) < 100 for _, row in rows)
    assert (job.output or {})["video"]["url"] not in str(rows)


async def test_an_erased_job_is_erased_in_its_past(hand: Hand) -> None:
    """Its events are told on, with nothing of its caller's in them."""
    job = await hand.ended(SECRET, metadata={"a": SECRET})
    assert (await hand.stack.api.delete(f"/v1/jobs/{job.id}")).status_code == 204
    told = (await hand.stack.api.get("/v1/events")).json()["data"]
    assert [event["data"]["status"] for event in told][-1] == "succeeded"
    assert all(event["data"]["output"] is None and not event["data"]["logs"] for event in told)
    assert SECRET not in str(told)


async def test_an_event_is_forgotten_with_its_job(hand: Hand) -> None:
    """A record that has expired takes its events along; the cursor passes over them."""
    gone, there = await hand.ended(), await hand.ended()
    assert await hand.redis.delete(keys.job(hand.ref(gone.id)))
    told = (await hand.stack.api.get("/v1/events")).json()
    assert {event["data"]["id"] for event in told["data"]} == {there.id}
    newest = await hand.gateway.stores.events.newest_id(hand.team)
    assert (told["next_cursor"], told["has_more"]) == (newest, False)
    assert await hand.redis.xdel(keys.events(hand.team), newest)
    told = (await hand.stack.api.get("/v1/events", params={"cursor": "0-0", "limit": 1})).json()
    assert (len(told["data"]), told["has_more"]) == (1, True)


async def test_events_of_an_older_version_are_read_and_erased(hand: Hand) -> None:
    """Each has a whole record in it: shown as ever, and deleted when the job is erased."""
    job = await hand.ended(SECRET)
    other = await hand.ended()
    before = (await hand.stack.api.get("/v1/events")).json()["data"]
    output = '{"video":{"url":"https://v3.fal.media/files/a/old.mp4"}}'
    await rewrite_events(hand, job.id, output=output)
    now = (await hand.stack.api.get("/v1/events")).json()["data"]
    assert [event["id"] for event in now] == [event["id"] for event in before]
    assert now[4]["data"]["output"]["video"]["url"].endswith("old.mp4")
    assert (await hand.stack.api.delete(f"/v1/jobs/{job.id}")).status_code == 204
    left = await hand.redis.xrange(keys.events(hand.team))
    assert {row["job"] for _, row in left} == {other.id}
