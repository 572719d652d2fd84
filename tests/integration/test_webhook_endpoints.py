"""Webhook endpoints over HTTP: created, listed, changed, paused, tested, deleted; and their signing secrets."""

import json
from typing import Any

import httpx
import pytest

from app.domain.endpoints import DEFAULT_EVENTS, MAX_ENDPOINTS_PER_TEAM
from app.domain.events import EVENT_TYPES
from app.store import keys
from tests.integration.refusals import assert_problem
from tests.support.endpoints import change, endpoint, sent, team_admin
from tests.support.pipeline import Pipeline
from tests.support.receiver import Receiver
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio

MODEL = "fal-ai/kling-video/v2/master/image-to-video"
URL = "https://consumer.example/hook"


async def rotated(api: httpx.AsyncClient, address: str, **body: Any) -> httpx.Response:
    """The reply to the request for a new secret."""
    return await api.post(address, json=body)


async def test_an_endpoint_is_made_with_a_secret_that_is_shown_once(stack: Stack) -> None:
    """201 with `whsec_…`; neither the list nor the endpoint itself shows it again."""
    async with team_admin(stack) as api:
        made = await endpoint(
            api, URL, description="our shop", models=["fal-ai/kling-video/v2/master/image-to-video"]
        )
        assert made["id"].startswith("ep_")
        assert made["secret"].startswith("whsec_")
        assert made["events"] == list(DEFAULT_EVENTS)
        assert (made["url"], made["status"], made["description"]) == (URL, "active", "our shop")
        assert "public_key" not in made
        shown = {name: value for name, value in made.items() if name != "secret"}
        assert (await api.get(f"/v1/webhook-endpoints/{made['id']}")).json() == shown
        assert (await api.get("/v1/webhook-endpoints")).json() == {"data": [shown]}


async def test_an_endpoint_that_wants_v1a_is_shown_our_public_key(stack: Stack) -> None:
    """`whpk_…`, the same for all endpoints of the installation."""
    async with team_admin(stack) as api:
        keys_shown = {(await endpoint(api, URL, asymmetric=True))["public_key"] for _ in range(2)}
    (key,) = keys_shown
    assert key.startswith("whpk_")


async def test_what_is_given_changes_and_the_rest_stays(stack: Stack) -> None:
    """PATCH: url, events, models, description, paused; null is the defaults; a second pause changes nothing."""
    async with team_admin(stack) as api:
        made = await endpoint(api, URL, events=["job.running"], description="first")
        changed = await change(api, made["id"], url=f"{URL}/2", description="second", paused=True)
        assert (changed["url"], changed["description"], changed["status"]) == (f"{URL}/2", "second", "paused")
        assert changed["events"] == ["job.running"]
        assert (await change(api, made["id"], paused=True))["paused_at"] == changed["paused_at"]
        changed = await change(api, made["id"], events=None, models=None, paused=False)
        assert (changed["events"], changed["models"], changed["status"]) == (list(DEFAULT_EVENTS), None, "active")
        assert (await api.get(f"/v1/webhook-endpoints/{made['id']}")).json() == changed


async def test_a_deleted_endpoint_is_gone_with_its_secret(stack: Stack) -> None:
    """204, then 404; the store keeps nothing of it."""
    pipeline = Pipeline(stack)
    async with team_admin(stack) as api:
        made = await endpoint(api, URL)
        assert (await api.delete(f"/v1/webhook-endpoints/{made['id']}")).status_code == 204
        assert_problem(await api.get(f"/v1/webhook-endpoints/{made['id']}"), 404, "not_found")
        assert_problem(await api.delete(f"/v1/webhook-endpoints/{made['id']}"), 404, "not_found")
    assert await pipeline.redis.exists(keys.endpoints(pipeline.team)) == 0


WRONG: dict[str, tuple[dict[str, Any], int, str]] = {
    "http": ({"url": "http://consumer.example/hook"}, 422, "url_scheme"),
    "another scheme": ({"url": "ftp://consumer.example/hook"}, 422, "url_scheme"),
    "metadata service": ({"url": "https://169.254.169.254/latest"}, 422, "url_not_allowed"),
    "private address": ({"url": "https://10.0.0.1/"}, 422, "url_not_allowed"),
    "a password": ({"url": "https://a:b@consumer.example/"}, 422, "url_not_allowed"),
    "another port": ({"url": "https://consumer.example:22/"}, 422, "url_not_allowed"),
    "no url": ({}, 422, "invalid_input"),
    "an unknown type": ({"url": URL, "events": ["job.done"]}, 422, "invalid_input"),
    "no types": ({"url": URL, "events": []}, 422, "invalid_input"),
    "a type twice": ({"url": URL, "events": ["job.held", "job.held"]}, 422, "invalid_input"),
    "a model nobody has": ({"url": URL, "models": ["fal-ai/veo"]}, 404, "model_not_found"),
    "an unknown member": ({"url": URL, "secret": "whsec_x"}, 422, "invalid_input"),
    "two lines": ({"url": URL, "description": "a\nb"}, 422, "invalid_input"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_endpoint_is_refused_with_a_sentence(stack: Stack, name: str) -> None:
    """On creation and on change; nothing is written."""
    body, status, code = WRONG[name]
    async with team_admin(stack) as api:
        assert_problem(await api.post("/v1/webhook-endpoints", json=body), status, code)
        assert (await api.get("/v1/webhook-endpoints")).json() == {"data": []}
        if "url" in body:
            made = await endpoint(api, URL)
            assert_problem(await api.patch(f"/v1/webhook-endpoints/{made['id']}", json=body), status, code)
            assert (await api.get(f"/v1/webhook-endpoints/{made['id']}")).json()["url"] == URL


async def test_every_event_type_may_be_asked_for(stack: Stack) -> None:
    """All documented ones."""
    async with team_admin(stack) as api:
        assert (await endpoint(api, URL, events=list(EVENT_TYPES)))["events"] == list(EVENT_TYPES)


async def test_a_team_has_fifty_endpoints_at_most(stack: Stack) -> None:
    """The next is 409, and another team's do not count."""
    async with team_admin(stack) as api:
        for number in range(MAX_ENDPOINTS_PER_TEAM):
            await endpoint(api, f"{URL}/{number}")
        assert_problem(await api.post("/v1/webhook-endpoints", json={"url": URL}), 409, "too_many_endpoints")
        listed = (await api.get("/v1/webhook-endpoints")).json()["data"]
    assert [one["url"] for one in listed] == [f"{URL}/{number}" for number in range(MAX_ENDPOINTS_PER_TEAM)]


async def test_every_act_is_a_line_in_the_audit_log_without_the_secret(stack: Stack) -> None:
    """Creation, change, test, rotation and deletion."""
    async with team_admin(stack) as api:
        made = await endpoint(api, URL)
        await change(api, made["id"], description="new")
        new = (await rotated(api, f"/v1/webhook-endpoints/{made['id']}/rotate-secret")).json()["secret"]
        await api.post(f"/v1/webhook-endpoints/{made['id']}/test")
        await api.delete(f"/v1/webhook-endpoints/{made['id']}")
        team = (await rotated(api, "/v1/webhook-secret/rotate")).json()["secret"]
    lines = [line async for line in stack.gateway.audit.audit.lines()]
    found = [line.entry for line in lines if line.entry["actor"] == stack.account.user.id]
    assert [line["action"] for line in found] == [
        "endpoint.add",
        "endpoint.change",
        "endpoint.rotate_secret",
        "endpoint.test",
        "endpoint.remove",
        "team.rotate_webhook_secret",
    ]
    text = json.dumps(found)
    assert not any(secret in text for secret in (made["secret"], new, team))


@pytest.mark.parametrize("of", ["endpoint", "team"])
async def test_three_secrets_sign_and_a_fourth_is_refused(stack: Stack, of: str) -> None:
    """Two rotations with overlap leave three; the next is 409 until one ends, or ends them all with overlap 0."""
    async with team_admin(stack) as api:
        made = await endpoint(api, URL)
        address = {
            "endpoint": f"/v1/webhook-endpoints/{made['id']}/rotate-secret",
            "team": "/v1/webhook-secret/rotate",
        }
        secrets = []
        for overlap in ({"overlap_days": 7}, {"overlap_seconds": 60}):
            reply = await rotated(api, address[of], **overlap)
            assert reply.status_code == 200
            assert reply.headers["cache-control"] == "no-store"
            secrets.append(reply.json()["secret"])
        assert len(reply.json()["older_secrets_until"]) == 2
        assert_problem(await rotated(api, address[of]), 409, "too_many_secrets")
        last = (await rotated(api, address[of], overlap_seconds=0)).json()
    assert last["older_secrets_until"] == []
    assert last["secret"] not in secrets


@pytest.mark.parametrize(
    "body",
    [
        {"overlap_days": 8},
        {"overlap_seconds": 604_801},
        {"overlap_days": -1},
        {"overlap_days": 1, "overlap_seconds": 1},
    ],
)
async def test_a_wrong_overlap_is_refused(stack: Stack, body: dict[str, int]) -> None:
    """0 to 7 days, in one of the two units."""
    async with team_admin(stack) as api:
        assert_problem(await rotated(api, "/v1/webhook-secret/rotate", **body), 422, "invalid_input")


async def test_the_teams_secret_is_its_administrators(stack: Stack) -> None:
    """With it, messages about colleagues' jobs can be signed, so a user's key neither reads nor rotates it."""
    assert_problem(await stack.api.get("/v1/webhook-secret"), 403, "forbidden")
    assert_problem(await rotated(stack.api, "/v1/webhook-secret/rotate"), 403, "forbidden")
    async with team_admin(stack) as api:
        before = (await api.get("/v1/webhook-secret")).json()
        assert before["older_secrets_until"] == []
        after = (await rotated(api, "/v1/webhook-secret/rotate")).json()
        assert after["secret"] != before["secret"]
        assert (await api.get("/v1/webhook-secret")).json() == after


async def test_a_test_event_arrives_on_the_way_of_every_delivery(stack: Stack, receiver: Receiver) -> None:
    """202 with the delivery; refused while it is paused."""
    pipeline = Pipeline(stack)
    async with team_admin(stack) as api:
        made = await endpoint(api, receiver.url)
        reply = await api.post(f"/v1/webhook-endpoints/{made['id']}/test")
        assert reply.status_code == 202
        assert await sent(pipeline) == 1
        (request,) = receiver.requests
        assert request.headers["webhook-id"] == reply.json()["delivery"]
        body = json.loads(request.body)
        assert (body["type"], body["sequence"]) == ("endpoint.test", None)
        assert body["data"] == {"endpoint": made["id"], "url": receiver.url, "reason": None}
        await change(api, made["id"], paused=True)
        assert_problem(await api.post(f"/v1/webhook-endpoints/{made['id']}/test"), 409, "endpoint_not_active")


async def test_a_deleted_teams_endpoints_go_with_it(stack: Stack) -> None:
    """Nothing is left that could be sent or read."""
    pipeline = Pipeline(stack)
    async with team_admin(stack) as api:
        await endpoint(api, URL)
    await stack.gateway.administration.remove_team("test", pipeline.team)
    assert await pipeline.redis.exists(keys.endpoints(pipeline.team)) == 0
