"""What a team sees of its webhooks: an endpoint's health, one delivery by its id, and who sees addresses."""

import json
from typing import Any

import httpx
import pytest

from app.domain.deliveries import BREAKER_FAILURES
from app.services.endpoints import TEST_EVENTS_PER_MINUTE
from app.store import keys
from tests.integration.refusals import assert_problem
from tests.support.endpoints import change, endpoint, sent, team_admin
from tests.support.pipeline import Pipeline
from tests.support.receiver import Receiver, Reply

pytestmark = pytest.mark.anyio


async def read(api: httpx.AsyncClient, path: str, **query: Any) -> dict[str, Any]:
    """A reply with status 200."""
    reply = await api.get(path, params=query)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def test_an_endpoint_shows_how_its_attempts_go(pipeline: Pipeline, receiver: Receiver) -> None:
    """Consecutive failures, since when, and the next probe; deliveries behind the breaker are not due before it."""
    receiver.answers([500] * BREAKER_FAILURES)
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, receiver.url, events=["job.queued"])
        path = f"/v1/webhook-endpoints/{made['id']}"
        names = ("failures_in_a_row", "failing_since", "next_probe_at")
        assert [made[name] for name in names] == [0, None, None]
        for _ in range(BREAKER_FAILURES + 1):
            await pipeline.admit()
        while await sent(pipeline):
            pass
        view = await read(api, path)
        assert (view["status"], view["failures_in_a_row"]) == ("active", BREAKER_FAILURES)
        assert view["failing_since"] < view["next_probe_at"]
        assert (await read(api, "/v1/webhook-endpoints"))["data"] == [view]
        (untried,) = [one for one in (await read(api, f"{path}/deliveries"))["data"] if not one["attempts"]]
        assert untried["next_attempt_at"] == view["next_probe_at"]
        await change(api, made["id"], paused=True)
        assert (await read(api, path))["next_probe_at"] is None


async def test_a_delivery_is_found_by_its_id(pipeline: Pipeline, receiver: Receiver) -> None:
    """The id in a test event's reply leads to its attempts; an unknown id is not found."""
    receiver.answers([Reply(200, body=b"hello")])
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, receiver.url)
        delivery_id = (await api.post(f"/v1/webhook-endpoints/{made['id']}/test")).json()["delivery"]
        await sent(pipeline)
        found = await read(api, f"/v1/deliveries/{delivery_id}")
        (attempt,) = found["attempts"]
        assert (found["id"], found["status"], attempt["answer"]) == (delivery_id, "delivered", "hello")
        assert_problem(await api.get("/v1/deliveries/msg_0"), 404, "not_found")


async def test_a_delivery_says_which_job_it_was(pipeline: Pipeline) -> None:
    """Its model and its prompt's beginning, in one line; of a job whose record is gone its model."""
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, "https://consumer.example/hook", events=["job.queued"])
        await api.post(f"/v1/webhook-endpoints/{made['id']}/test")
        job_id = await pipeline.admit("a lake\nat night, " + "very " * 40)
        newest, test = (await read(api, "/v1/deliveries"))["data"]
        assert (test["model"], test["prompt"]) == (None, None)
        assert newest["model"] == (await pipeline.job(job_id)).model
        assert newest["prompt"] == "a lake at night, " + "very " * 20 + "ve…"
        for path in (f"/v1/deliveries/{newest['id']}", f"/v1/webhook-endpoints/{made['id']}/deliveries"):
            found = await read(api, path)
            assert found.get("data", [found])[0] == newest
        own = (await read(pipeline.stack.api, f"/v1/jobs/{job_id}/deliveries"))["data"]
        assert [one["prompt"] for one in own] == [newest["prompt"]]
        await pipeline.redis.rename(keys.job(pipeline.ref(job_id)), "aside")
        gone = await read(api, f"/v1/deliveries/{newest['id']}")
        await pipeline.redis.rename("aside", keys.job(pipeline.ref(job_id)))
        assert (gone["model"], gone["prompt"]) == (newest["model"], None)


async def test_an_attempt_has_its_url(pipeline: Pipeline, receiver: Receiver) -> None:
    """When the endpoint's URL changes between two attempts, each attempt has its own."""
    receiver.answers([500, 200])
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, f"{receiver.url}/old", events=["job.queued"])
        await pipeline.admit()
        await sent(pipeline)
        await change(api, made["id"], url=f"{receiver.url}/new")
        ((ref, *_),) = [(one["id"],) for one in (await read(api, "/v1/deliveries"))["data"]]
        await api.post(f"/v1/deliveries/{ref}/replay")
        await sent(pipeline)
        attempts = (await read(api, f"/v1/deliveries/{ref}"))["attempts"]
    assert [one["url"] for one in attempts] == [f"{receiver.url}/old", f"{receiver.url}/new"]


async def test_the_log_is_filtered_as_a_replay_is(pipeline: Pipeline) -> None:
    """By endpoint and by event types, in the team's list; one page leads to the next with the same filter."""
    async with team_admin(pipeline.stack) as api:
        ours = [await endpoint(api, f"https://consumer.example/{n}", events=["job.queued"]) for n in range(2)]
        for made in ours:
            await api.post(f"/v1/webhook-endpoints/{made['id']}/test")
        await pipeline.admit()
        queued = (await read(api, "/v1/deliveries", event="job.queued"))["data"]
        assert {one["event"] for one in queued} == {"job.queued"}
        assert len(queued) == 2
        both = ["job.queued", "endpoint.test"]
        first = await api.get("/v1/deliveries", params={"endpoint": ours[0]["id"], "event": both, "limit": 1})
        rest = await api.get(first.links["next"]["url"])
        found = first.json()["data"] + rest.json()["data"]
        assert [one["event"] for one in found] == both
        assert {one["endpoint"] for one in found} == {ours[0]["id"]}
        assert_problem(await api.get("/v1/deliveries", params={"event": "job.quened"}), 422, "invalid_input")
        assert_problem(await api.get("/v1/deliveries", params={"endpoint": "ep_0"}), 404, "not_found")


async def test_addresses_and_answers_of_endpoints_are_the_teams(pipeline: Pipeline, receiver: Receiver) -> None:
    """A user sees that an event was delivered, but not the URL or the answer; the job's own URL is shown."""
    receiver.answers([Reply(200, body=b"for the team")] * 2)
    async with team_admin(pipeline.stack) as api:
        await endpoint(api, f"{receiver.url}/secret-path", events=["job.queued", "job.canceled"])
        job_id = await pipeline.admit(webhook_url=f"{receiver.url}/own")
        await sent(pipeline)
        await pipeline.stack.api.post(f"/v1/jobs/{job_id}/cancel")
        seen = (await read(pipeline.stack.api, f"/v1/jobs/{job_id}/deliveries"))["data"]
        own = [one["url"] for one in seen if one["endpoint"] is None]
        others = [one for one in seen if one["endpoint"] is not None]
        assert own == [f"{receiver.url}/own"]
        assert [one["url"] for one in others] == [None, None]
        (attempt,) = [attempt for one in others for attempt in one["attempts"]]
        assert (attempt["status"], attempt["url"], attempt["answer"]) == (200, None, "")
        assert "secret-path" not in str(await read(pipeline.stack.api, f"/v1/deliveries/{others[0]['id']}"))
        assert "secret-path" in str(await read(api, f"/v1/jobs/{job_id}/deliveries"))


async def test_test_events_are_so_many_a_minute(pipeline: Pipeline) -> None:
    """Then 429 with `Retry-After`."""
    async with team_admin(pipeline.stack) as api:
        path = f"/v1/webhook-endpoints/{(await endpoint(api, 'https://consumer.example/hook'))['id']}/test"
        replies = [await api.post(path) for _ in range(TEST_EVENTS_PER_MINUTE + 1)]
    assert [reply.status_code for reply in replies] == [202] * TEST_EVENTS_PER_MINUTE + [429]
    assert 1 <= int(replies[-1].headers["retry-after"]) <= 60 // TEST_EVENTS_PER_MINUTE


async def test_no_body_is_an_empty_one(pipeline: Pipeline) -> None:
    """Where every member is optional; a body that is no JSON is still refused."""
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, "https://consumer.example/hook")
        rotate = f"/v1/webhook-endpoints/{made['id']}/rotate-secret"
        rotated = await api.post(rotate)
        assert (rotated.status_code, len(rotated.json()["older_secrets_until"])) == (200, 1)
        assert (await api.post("/v1/webhook-secret/rotate")).status_code == 200
        assert (await api.post("/v1/deliveries/replay")).json()["replayed"] == 0
        assert_problem(await api.post(rotate, content=b"{}"), 415, "unsupported_media_type")


async def test_a_secret_that_has_ended_is_not_listed(pipeline: Pipeline) -> None:
    """It no longer signs anything."""
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, "https://consumer.example/hook")
        path = f"/v1/webhook-endpoints/{made['id']}"
        await api.post(f"{path}/rotate-secret", json={"overlap_seconds": 3600})
        assert len((await read(api, path))["older_secrets_until"]) == 1
        record = json.loads(await pipeline.redis.hget(keys.endpoints(pipeline.team), made["id"]))
        assert record["secrets"][1][1] is not None
        record["secrets"][1][1] = await pipeline.gateway.stores.clock.now_ms()
        await pipeline.redis.hset(keys.endpoints(pipeline.team), made["id"], json.dumps(record))
        assert (await read(api, path))["older_secrets_until"] == []
