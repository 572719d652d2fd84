"""Webhooks replayed by hand: the same message and id, a new schedule, spread over time, and limited."""

from itertools import pairwise
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from app.domain.accounts import USER_SCOPES, Scope
from app.domain.deliveries import (
    BULK_REPLAYS_PER_MINUTE,
    EARLIER_ATTEMPTS_KEPT,
    REPLAY_SPACING_MS,
    REPLAYS_KEPT,
    REPLAYS_PER_MINUTE,
)
from app.store import keys
from app.store.delivery_log import REPLAYS_PER_SCRIPT
from tests.integration.refusals import assert_problem, nothing_changes
from tests.support.callers import calling, colleague
from tests.support.endpoints import acquired, change, endpoint, later, sent, team_admin
from tests.support.pipeline import Pipeline
from tests.support.receiver import Receiver, Reply
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

SLACK_MS = 60_000
ABORT = Reply(500, {"webhook-delivery": "abort-message"})


async def log(api: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    """The newest of the team's deliveries."""
    found: list[dict[str, Any]] = (await api.get("/v1/deliveries", params={"limit": 100, **query})).json()["data"]
    return found


async def replay(api: httpx.AsyncClient, **asked: Any) -> dict[str, Any]:
    """The reply to a replay of many."""
    reply = await api.post("/v1/deliveries/replay", json=asked)
    assert reply.status_code == 202, reply.text
    done: dict[str, Any] = reply.json()
    assert done.keys() == {"replayed", "skipped", "more", "next_cursor"}
    assert done["more"] == (done["next_cursor"] is not None)
    return done


async def replay_one(api: httpx.AsyncClient, delivery_id: str) -> dict[str, Any]:
    """The delivery after its replay."""
    reply = await api.post(f"/v1/deliveries/{delivery_id}/replay")
    assert reply.status_code == 202, reply.text
    shown: dict[str, Any] = reply.json()
    return shown


async def test_a_replay_is_the_same_message_with_a_new_signature(pipeline: Pipeline, receiver: Receiver) -> None:
    """The same `webhook-id` and body, verified with the secret; recorded after the earlier attempts."""
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, receiver.url)
        job = await pipeline.ended()
        await sent(pipeline)
        (before,) = await log(api)
        shown = await replay_one(api, before["id"])
        assert (shown["status"], shown["attempts"]) == ("due", before["attempts"])
        (noted,) = shown["replays"]
        assert (noted["by"], noted["replayed_from"]) == (pipeline.stack.account.user.id, "delivered")
        assert await sent(pipeline) == 1
        (after,) = await log(api)
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == before["id"]
    assert first.body == second.body
    assert Webhook(made["secret"]).verify(second.body, dict(second.headers))["data"]["id"] == job.id
    assert (after["status"], len(after["attempts"])) == ("delivered", 2)
    assert after["attempts"][0] == before["attempts"][0]
    line = (await pipeline.gateway.audit.page(before=None, count=1))[0]
    assert (line.action, line.target) == ("delivery.replay", before["id"])


async def test_a_replay_restarts_the_schedule(pipeline: Pipeline, receiver: Receiver) -> None:
    """A delivery that failed three times fails once more, and its next attempt is after five seconds again."""
    receiver.answers([500] * 3 + [ABORT, 500])
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, receiver.url, events=["job.queued"])
        await pipeline.admit()
        (ref,) = await pipeline.due("deliver")
        for _ in range(4):
            await sent(pipeline)
            await later(pipeline, made["id"], ms=4_000_000)
        (dead,) = await log(api, status="dead")
        await replay_one(api, dead["id"])
        assert await log(api, status="dead") == []
        assert await sent(pipeline) == 1
        assert 3_000 < await pipeline.due_in_ms(ref) <= 6_000
        (shown,) = await log(api)
        assert [attempt["status"] for attempt in shown["attempts"]] == [500] * 5
        assert (shown["replays"][0]["replayed_from"], shown["dead_at"]) == ("dead", None)


async def test_what_waits_for_its_next_attempt_can_be_sent_now(pipeline: Pipeline, receiver: Receiver) -> None:
    """A consumer that works again need not wait for hours."""
    receiver.answers([500])
    async with team_admin(pipeline.stack) as api:
        await endpoint(api, receiver.url, events=["job.queued"])
        await pipeline.admit()
        await sent(pipeline)
        assert await sent(pipeline) == 0
        await replay_one(api, (await log(api))[0]["id"])
        assert await sent(pipeline) == 1
        assert (await log(api))[0]["status"] == "delivered"


async def test_the_past_of_a_delivery_does_not_grow_without_end(pipeline: Pipeline, receiver: Receiver) -> None:
    """After many replays only the newest attempts and replays are kept."""
    async with team_admin(pipeline.stack) as api:
        await endpoint(api, receiver.url, events=["job.queued"])
        await pipeline.admit()
        await sent(pipeline)
        (one,) = await log(api)
        total = EARLIER_ATTEMPTS_KEPT + 3
        for _ in range(total):
            assert await pipeline.gateway.delivery_log.store.replay(
                pipeline.team, [one["id"]], by="user_1", spread=False
            )
            await sent(pipeline)
        (shown,) = await log(api)
        record = await pipeline.redis.hgetall(keys.delivery(pipeline.ref(one["id"])))
    assert (len(shown["attempts"]), len(shown["replays"])) == (EARLIER_ATTEMPTS_KEPT + 1, REPLAYS_KEPT)
    assert sum(name.startswith("earlier:") for name in record) == EARLIER_ATTEMPTS_KEPT
    assert sum(name.startswith("replay:") for name in record) == REPLAYS_KEPT
    times = [attempt["at"] for attempt in shown["attempts"]]
    assert times == sorted(times)


async def test_dead_letters_are_replayed_by_endpoint_and_type(pipeline: Pipeline, receiver: Receiver) -> None:
    """Only dead letters by default, and of these only the filtered ones."""
    kinds = ["job.queued", "job.canceled"]
    async with team_admin(pipeline.stack) as api:
        one = await endpoint(api, f"{receiver.url}/one", events=kinds)
        await endpoint(api, f"{receiver.url}/two", events=kinds)
        receiver.answers([ABORT] * 4)
        job_id = await pipeline.admit()
        await pipeline.store.cancel_queued(await pipeline.job(job_id))
        while await sent(pipeline):
            pass
        await pipeline.admit()
        await sent(pipeline)
        assert [len(await log(api, status=status)) for status in ("dead", "delivered")] == [4, 2]
        asked = {"endpoint": one["id"], "events": ["job.canceled"]}
        assert await replay(api, **asked) == {"replayed": 1, "skipped": 0, "more": False, "next_cursor": None}
        assert await replay(api, **asked) == {"replayed": 0, "skipped": 0, "more": False, "next_cursor": None}
        assert (await replay(api, status="dead"))["replayed"] == 3
        assert (await replay(api))["replayed"] == 0
        assert (await replay(api, status="delivered", endpoint=one["id"]))["replayed"] == 1


async def test_a_range_of_time_is_replayed_by_parts_and_in_order(pipeline: Pipeline, receiver: Receiver) -> None:
    """Delivered or dead, each once, oldest first; each part has the cursor of the next."""
    async with team_admin(pipeline.stack) as api:
        await endpoint(api, receiver.url, events=["job.queued"])
        jobs = []
        for number in range(6):
            receiver.answers([ABORT if number % 2 else 200])
            jobs.append(await pipeline.admit())
            await sent(pipeline)
        written = {one["job"]: one["created_at"] for one in await log(api)}
        asked: dict[str, Any] = {"from": written[jobs[1]], "to": written[jobs[5]], "limit": 3}
        first = await replay(api, **asked)
        assert (first["replayed"], first["more"]) == (3, True)
        second = await replay(api, **asked, cursor=first["next_cursor"])
        assert (second["replayed"], second["more"]) == (1, False)
        ids = {one["job"]: one["id"] for one in await log(api, status="due")}
        waiting = await pipeline.redis.zrange(
            keys.waiting((await pipeline.redis.zrange(keys.due("deliver"), 0, 0))[0]), 0, -1
        )
        assert [ref.partition("/")[2] for ref in waiting] == [ids[job] for job in jobs[1:5]]


async def test_many_replays_are_spread_so_that_the_consumer_is_not_flooded(
    pipeline: Pipeline, receiver: Receiver
) -> None:
    """To one destination in turn, even over two requests; to another one in parallel."""
    count = REPLAYS_PER_SCRIPT // 2 + 10
    async with team_admin(pipeline.stack) as api:
        ours = [await endpoint(api, f"{receiver.url}/{n}", events=["job.queued"]) for n in range(2)]
        for _ in range(count):
            await pipeline.admit()
        await pipeline.redis.delete(keys.due("deliver"))  # so that none is sent meanwhile
        assert (await replay(api, status="due", limit=count))["replayed"] == count
        assert (await replay(api, status="due"))["replayed"] == 2 * count
        for made in ours:
            name = keys.waiting(f"{pipeline.team}/{made['id']}")
            due = [score for _, score in await pipeline.redis.zrange(name, 0, -1, withscores=True)]
            assert all(later - earlier >= REPLAY_SPACING_MS for earlier, later in pairwise(due))
        now_ms = await pipeline.gateway.stores.clock.now_ms()
        ahead_ms = max(due) - now_ms
        assert count * REPLAY_SPACING_MS - 5_000 < ahead_ms <= 2 * count * REPLAY_SPACING_MS


async def test_replays_are_limited_by_the_minute(pipeline: Pipeline) -> None:
    """Each kind separately, and a team's in total: 429 with the time to wait, and nothing changes."""
    async with team_admin(pipeline.stack) as api, team_admin(pipeline.stack) as other:
        await endpoint(api, "https://consumer.example/hook", events=["job.queued"])
        await pipeline.admit()
        (one,) = await log(api)
        before_ms = await pipeline.gateway.stores.clock.now_ms()
        assert (await replay(api))["replayed"] == 0
        await replay_one(api, one["id"])
        after_ms = await pipeline.gateway.stores.clock.now_ms()
        for what, number in (("replay", REPLAYS_PER_MINUTE), ("replays", BULK_REPLAYS_PER_MINUTE)):
            rate, turn_ms = keys.rate(pipeline.team, what), 60_000 / number
            assert before_ms + turn_ms - 1 <= int(await pipeline.redis.get(rate)) <= after_ms + turn_ms + 1
            # as if all the others were used up, and more, so that none is free again during the test
            await pipeline.redis.set(rate, after_ms + 60_000 + SLACK_MS, px=60_000 + SLACK_MS)
        async with nothing_changes(pipeline.stack):
            for reply in (
                await other.post("/v1/deliveries/replay", json={}),
                await other.post(f"/v1/deliveries/{one['id']}/replay"),
            ):
                assert_problem(reply, 429, "over_limit")
                assert 0 < int(reply.headers["retry-after"]) <= 60 // BULK_REPLAYS_PER_MINUTE + SLACK_MS // 1000


@pytest.mark.parametrize("state", ["paused", "disabled", "deleted"])
async def test_nothing_is_replayed_to_an_endpoint_that_gets_nothing(
    pipeline: Pipeline, receiver: Receiver, state: str
) -> None:
    """409 with a sentence for one delivery and for the endpoint; a replay of many skips it and says so."""
    receiver.answers([ABORT, ABORT])
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, f"{receiver.url}/closed", events=["job.queued"])
        await pipeline.admit()
        await sent(pipeline)
        if state == "paused":
            await change(api, made["id"], paused=True)
        elif state == "disabled":
            assert await pipeline.gateway.endpoints.disable(f"{pipeline.team}/{made['id']}", "It is gone.")
        else:
            await api.delete(f"/v1/webhook-endpoints/{made['id']}")
        (dead,) = await log(api, status="dead")
        async with nothing_changes(pipeline.stack):
            problem = assert_problem(
                await api.post(f"/v1/deliveries/{dead['id']}/replay"), 409, "endpoint_not_active"
            )
            assert state in problem["detail"]
            reply = await api.post("/v1/deliveries/replay", json={"endpoint": made["id"]})
            wanted = (404, "not_found") if state == "deleted" else (409, "endpoint_not_active")
            assert_problem(reply, *wanted)
        await endpoint(api, f"{receiver.url}/open", events=["job.queued"])
        await pipeline.admit()
        while await sent(pipeline):
            pass
        done = await replay(api)
        assert done == {"replayed": 1, "skipped": 1, "more": False, "next_cursor": None}
        assert (await log(api, status="dead"))[-1]["id"] == dead["id"]


async def test_what_is_on_its_way_is_not_replayed(pipeline: Pipeline) -> None:
    """An attempt is in progress: 409, and a replay of many skips it."""
    async with team_admin(pipeline.stack) as api:
        await endpoint(api, "https://consumer.example/hook", events=["job.queued"])
        await pipeline.admit()
        ((ref, _),) = await acquired(pipeline)
        reply = await api.post(f"/v1/deliveries/{ref.partition('/')[2]}/replay")
        assert_problem(reply, 409, "conflict")
        assert await replay(api, status="due") == {"replayed": 0, "skipped": 1, "more": False, "next_cursor": None}


async def test_a_user_replays_what_their_own_job_named(pipeline: Pipeline, receiver: Receiver) -> None:
    """Their job's own webhook; the team's endpoint needs `team:admin`; a key that only reads replays nothing."""
    reader = await colleague(pipeline.stack, scopes=USER_SCOPES | {Scope.TEAM_READ})
    async with team_admin(pipeline.stack) as api, calling(pipeline.stack, reader.key) as reads:
        await endpoint(api, f"{receiver.url}/teams")
        job = await pipeline.ended(webhook_url=f"{receiver.url}/own")
        while await sent(pipeline):
            pass
        shown = (await pipeline.stack.api.get(f"/v1/jobs/{job.id}/deliveries")).json()["data"]
        own, teams = sorted(shown, key=lambda one: one["endpoint"] or "")
        assert (await replay_one(pipeline.stack.api, own["id"]))["status"] == "due"
        async with nothing_changes(pipeline.stack):
            path = f"/v1/deliveries/{teams['id']}/replay"
            assert_problem(await pipeline.stack.api.post(path), 403, "forbidden")
            assert_problem(await reads.post(path), 403, "forbidden")
            assert_problem(await reads.post("/v1/deliveries/replay", json={}), 403, "forbidden")
            assert_problem(await pipeline.stack.api.post("/v1/deliveries/replay", json={}), 403, "forbidden")
        while await sent(pipeline):
            pass
        assert [request.target for request in receiver.requests].count("/own") == 2


async def test_a_replay_is_delivered_by_the_workers(stack: Stack, receiver: Receiver) -> None:
    """From the request to the consumer, without steps by hand."""
    async with team_admin(stack) as api, stack.workers():
        await endpoint(api, receiver.url, events=["job.queued"])
        await stack.submit()
        await receiver.wait_for(1)
        (one,) = await wait_until(lambda: log(api, status="delivered"), "it is delivered")
        assert (await replay(api, **{"from": one["created_at"]}))["replayed"] == 1
        first, second = (await receiver.wait_for(2))[:2]
        assert first.headers["webhook-id"] == second.headers["webhook-id"]


WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"endpoint": "ep_" + "0" * 32}, 404, "not_found"),
    ({"endpoint": 1}, 422, "wrong_type"),
    ({"status": "lost"}, 422, "invalid_input"),
    ({"events": []}, 422, "invalid_input"),
    ({"events": ["job.lost"]}, 422, "invalid_input"),
    ({"from": "yesterday"}, 422, "invalid_input"),
    ({"from": 1_700_000_000}, 422, "invalid_input"),
    ({"to": "2026-11-22T12:00:00"}, 422, "invalid_input"),
    ({"from": "2026-11-22T12:00:00Z", "to": "2026-11-22T12:00:00Z"}, 422, "invalid_input"),
    ({"limit": 0}, 422, "out_of_range"),
    ({"limit": 1001}, 422, "out_of_range"),
    ({"limit": "5"}, 422, "wrong_type"),
    ({"cursor": "x"}, 400, "invalid_cursor"),
    ({"since": "2026-11-22T12:00:00Z"}, 422, "unknown_field"),
    ({"start": "2026-11-22T12:00:00Z"}, 422, "unknown_field"),
]


@pytest.mark.parametrize(("asked", "status", "code"), WRONG)
async def test_a_wrong_replay_changes_nothing(stack: Stack, asked: dict[str, Any], status: int, code: str) -> None:
    """It is refused with a sentence, and does not count against the limit."""
    async with team_admin(stack) as api:
        await api.get("/v1/jobs")
        async with nothing_changes(stack):
            assert_problem(await api.post("/v1/deliveries/replay", json=asked), status, code)
