"""The events feed: order, cursors and visibility."""

from typing import Any

import httpx
import pytest

from app.domain.accounts import Scope
from app.domain.limits import Limit, Unit, Window
from app.services.feed import SCAN_LIMIT
from app.services.tokens import TokenRequest
from app.store import keys
from tests.integration.refusals import assert_problem, nothing_changes
from tests.support.callers import second_account
from tests.support.pipeline import Pipeline
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio


async def page(api: httpx.AsyncClient, **query: Any) -> dict[str, Any]:
    """A page of the feed."""
    reply = await api.get("/v1/events", params=query)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    assert found.keys() == {"data", "next_cursor", "has_more"}
    return found


def headers(key: str) -> dict[str, str]:
    """The headers of a request with this key."""
    return {"Authorization": f"Bearer {key}"}


async def test_the_feed_tells_everything_once_and_in_order(pipeline: Pipeline) -> None:
    """From the oldest event, with any page size; then nothing until the next event."""
    job = await pipeline.ended()
    await pipeline.admit()
    kinds = ["queued", "submitting", "running", "finalizing", "succeeded", "queued"]
    whole = await page(pipeline.stack.api)
    assert [event["type"] for event in whole["data"]] == [f"job.{kind}" for kind in kinds]
    assert whole["has_more"] is False
    assert whole["next_cursor"] == whole["data"][-1]["id"]
    first = whole["data"][0]
    assert first.keys() == {"id", "type", "timestamp", "sequence", "data"}
    assert (first["sequence"], first["data"]["id"], first["data"]["status"]) == (1, job.id, "queued")
    assert "input" not in first["data"]
    for limit in (1, 2, 5, 6):
        collected, cursor, more = [], dict[str, str](), True
        while more:
            part = await page(pipeline.stack.api, limit=limit, **cursor)
            assert 0 < len(part["data"]) <= limit
            collected += part["data"]
            cursor, more = {"cursor": part["next_cursor"]}, part["has_more"]
        assert collected == whole["data"]
    async with nothing_changes(pipeline.stack):
        rest = await page(pipeline.stack.api, cursor=whole["next_cursor"])
    assert rest == {"data": [], "next_cursor": whole["next_cursor"], "has_more": False}
    later = await pipeline.admit()
    assert [event["data"]["id"] for event in (await page(pipeline.stack.api, **cursor))["data"]] == [later]


async def test_an_empty_feed_has_a_cursor_too(stack: Stack) -> None:
    """So that a consumer can start before the first event."""
    empty = await page(stack.api)
    assert (empty["data"], empty["has_more"]) == ([], False)
    await stack.submit()
    assert len((await page(stack.api, cursor=empty["next_cursor"]))["data"]) == 1


async def test_each_key_reads_the_events_of_the_jobs_it_may_see(stack: Stack) -> None:
    """A user's key sees its user's, a team's key the team's, a browser token its own; another team none of them."""
    caller = await stack.gateway.accounts.authenticate(stack.account.key)
    minted = await stack.gateway.tokens.mint(caller, TokenRequest())
    administration = stack.gateway.administration
    scopes = frozenset({Scope.TEAM_READ})
    team = await administration.add_key("test", user=stack.account.user.id, scopes=scopes)
    mute = await administration.add_key("test", user=stack.account.user.id, scopes=frozenset({Scope.JOBS_WRITE}))
    mine = (await stack.submit())["id"]
    browsers = (await stack.api.post("/v1/jobs", json=stack.body(), headers=headers(minted.token))).json()["id"]

    async def seen(api: httpx.AsyncClient, key: str | None = None) -> set[str]:
        reply = await api.get("/v1/events", headers=headers(key) if key else None)
        assert reply.status_code == 200, reply.text
        found = reply.json()
        newest = await stack.gateway.stores.events.newest_id(stack.account.team.id)
        assert not found["data"] or found["next_cursor"] == newest
        return {event["data"]["id"] for event in found["data"]}

    async with second_account(stack, same_team=True) as colleague, second_account(stack) as stranger:
        theirs = (await colleague.post("/v1/jobs", json=stack.body())).json()["id"]
        assert await seen(stack.api) == {mine, browsers}
        assert await seen(stack.api, minted.token) == {browsers}
        assert await seen(colleague) == {theirs}
        assert await seen(stack.api, team.key) == {mine, browsers, theirs}
        assert await seen(stranger) == set()
    assert_problem(await stack.api.get("/v1/events", headers=headers(mute.key)), 403, "forbidden")


async def test_an_alert_goes_to_the_team_and_to_the_user_it_is_about(stack: Stack) -> None:
    """The team's threshold goes to keys with its scopes, a user's also to that user; to no token or colleague."""
    limits, account = stack.gateway.limits, stack.account
    for owner in (account.team.id, account.user.id):
        await limits.replace("test", owner, [Limit(Unit.USD, Window.TOTAL, 2_000_000)])
    caller = await stack.gateway.accounts.authenticate(account.key)
    token = (await stack.gateway.tokens.mint(caller, TokenRequest())).token
    made = await stack.gateway.administration.add_key(
        "test", user=account.user.id, scopes=frozenset({Scope.TEAM_READ})
    )
    await stack.submit()

    async def collected(api: httpx.AsyncClient, key: str | None = None) -> list[tuple[str, int]]:
        found = (await api.get("/v1/events", headers=headers(key) if key else None)).json()["data"]
        alerts = [event for event in found if event["type"] == "budget.threshold"]
        assert all(event["sequence"] is None and event["id"] and event["timestamp"] for event in alerts)
        return [(event["data"]["owner"], event["data"]["threshold"]) for event in alerts]

    assert await collected(stack.api, made.key) == [("team", 50), ("user", 50)]
    assert await collected(stack.api) == [("user", 50)]
    assert await collected(stack.api, token) == []
    async with second_account(stack, same_team=True) as colleague:
        assert await collected(colleague) == []


async def test_what_is_not_for_the_caller_moves_the_cursor(pipeline: Pipeline) -> None:
    """More events of others than one request reads: an empty page that says there are more, then their own."""
    await pipeline.admit()
    async with second_account(pipeline.stack, same_team=True) as colleague:
        name = keys.events(pipeline.team)
        ((_, row),) = await pipeline.redis.xrevrange(name, count=1)
        pipe = pipeline.redis.pipeline(transaction=False)
        for _ in range(SCAN_LIMIT):
            pipe.xadd(name, row)
        await pipe.execute()
        assert (await colleague.post("/v1/jobs", json=pipeline.stack.body())).status_code == 202
        first = await page(colleague)
        assert (first["data"], first["has_more"]) == ([], True)
        second = await page(colleague, cursor=first["next_cursor"])
        assert (len(second["data"]), second["has_more"]) == (1, False)


@pytest.mark.parametrize("cursor", ["", "x", "1", "1-", "-", "+", "1-0-0", "(1-0", "1-" + "9" * 10, "\uff19-0"])
async def test_a_wrong_cursor_is_refused(stack: Stack, cursor: str) -> None:
    """Anything that is no event id."""
    assert_problem(await stack.api.get("/v1/events", params={"cursor": cursor}), 400, "invalid_cursor")


@pytest.mark.parametrize("limit", ["0", "101", "x"])
async def test_a_wrong_page_size_is_refused(stack: Stack, limit: str) -> None:
    """One to a hundred events."""
    assert_problem(await stack.api.get("/v1/events", params={"limit": limit}), 422, "invalid_input")
