"""The log of webhooks: every delivery with every attempt, newest first; pages, filters and visibility."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from app.domain.accounts import USER_SCOPES, Scope
from tests.integration.refusals import assert_problem, nothing_changes
from tests.support.callers import calling, colleague, token
from tests.support.endpoints import acquired, change, endpoint, later, sent, team_admin
from tests.support.pipeline import Pipeline
from tests.support.receiver import Receiver, Reply
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio

ABORT = Reply(500, {"webhook-delivery": "abort-message"}, b"never again")


async def log(api: httpx.AsyncClient, path: str = "/v1/deliveries", **query: Any) -> list[dict[str, Any]]:
    """One page of the log."""
    reply = await api.get(path, params=query)
    assert reply.status_code == 200, reply.text
    found: list[dict[str, Any]] = reply.json()["data"]
    return found


async def by_pages(api: httpx.AsyncClient, path: str, **query: Any) -> list[str]:
    """The ids of all pages, found by following `Link`."""
    found: list[str] = []
    reply = await api.get(path, params=query)
    while True:
        page = reply.json()
        assert len(page["data"]) <= query["limit"]
        assert page["has_more"] == (page["next_cursor"] is not None) == ("next" in reply.links)
        found += [one["id"] for one in page["data"]]
        if not page["has_more"]:
            return found
        reply = await api.get(reply.links["next"]["url"])


def iso(milliseconds: int) -> str:
    """A time in the API's format."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat().replace("+00:00", "Z")


async def test_every_attempt_is_shown(pipeline: Pipeline, receiver: Receiver) -> None:
    """Time, outcome, duration, the answer's first bytes, and when the next attempt is due."""
    receiver.answers([Reply(500, body=b"not today")])
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, f"{receiver.url}/hook", events=["job.queued"])
        job_id = await pipeline.admit()
        (fresh,) = await log(api)
        assert (fresh["status"], fresh["attempts"], fresh["dead_at"], fresh["replays"]) == ("due", [], None, [])
        await sent(pipeline)
        (failed,) = await log(api, f"/v1/webhook-endpoints/{made['id']}/deliveries")
        assert failed["id"] == receiver.requests[0].headers["webhook-id"]
        assert (failed["event"], failed["job"], failed["endpoint"]) == ("job.queued", job_id, made["id"])
        assert failed["url"] == f"{receiver.url}/hook"
        (attempt,) = failed["attempts"]
        assert attempt.keys() == {"at", "url", "status", "duration_ms", "outcome", "error", "answer"}
        assert (attempt["status"], attempt["outcome"], attempt["answer"]) == (500, "retry", "not today")
        waits = datetime.fromisoformat(failed["next_attempt_at"]) - datetime.fromisoformat(attempt["at"])
        assert 3.5 <= waits.total_seconds() <= 7
        await later(pipeline, made["id"], ms=7_000)
        await sent(pipeline)
        (ended,) = await log(api, f"/v1/jobs/{job_id}/deliveries")
        assert ended == (await log(api))[0]
        assert (ended["status"], ended["next_attempt_at"]) == ("delivered", None)
        assert [one["status"] for one in ended["attempts"]] == [500, 200]


async def test_pages_hold_everything_once_and_newest_first(pipeline: Pipeline) -> None:
    """A team's, an endpoint's and a job's log, with any page size."""
    async with team_admin(pipeline.stack) as api:
        ours = [await endpoint(api, f"https://consumer.example/{n}", events=["job.queued"]) for n in range(3)]
        jobs = [await pipeline.admit() for _ in range(3)]
        whole = await log(api)
        assert len({one["id"] for one in whole}) == 9
        assert [one["job"] for one in whole] == [job for job in reversed(jobs) for _ in ours]
        for limit in (1, 2, 8, 9, 10):
            assert await by_pages(api, "/v1/deliveries", limit=limit) == [one["id"] for one in whole]
        for made in ours:
            theirs = [one["id"] for one in whole if one["endpoint"] == made["id"]]
            assert await by_pages(api, f"/v1/webhook-endpoints/{made['id']}/deliveries", limit=2) == theirs
        of_job = {one["id"] for one in whole if one["job"] == jobs[0]}
        found = await by_pages(pipeline.stack.api, f"/v1/jobs/{jobs[0]}/deliveries", limit=2)
        assert (len(found), set(found)) == (3, of_job)


async def test_filters_let_only_what_is_wanted_pass(pipeline: Pipeline, receiver: Receiver) -> None:
    """By status and by creation time: from a time on, and before one."""
    receiver.answers([200, ABORT])
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, receiver.url, events=["job.queued"])
        for _ in range(2):
            await pipeline.admit()
            await sent(pipeline)
        await change(api, made["id"], paused=True)
        await pipeline.admit()
        statuses = {one["status"]: one for one in await log(api)}
        assert list(statuses) == ["due", "dead", "delivered"]
        for path in ("/v1/deliveries", f"/v1/webhook-endpoints/{made['id']}/deliveries"):
            for status, one in statuses.items():
                assert await log(api, path, status=status) == [one]
            at = statuses["dead"]["created_at"]
            newer = [statuses["due"], statuses["dead"]]
            assert await log(api, path, **{"from": at}) == newer
            assert await log(api, path, to=at) == [statuses["delivered"]]
            assert await log(api, path, status="dead", **{"from": at}) == [statuses["dead"]]
            assert await log(api, path, status="dead", to=at) == []
            assert await log(api, path, **{"from": at, "to": statuses["due"]["created_at"]}) == [statuses["dead"]]


async def test_dead_letters_of_one_moment_are_all_in_the_list(pipeline: Pipeline) -> None:
    """Deliveries that waited for a deleted endpoint become dead at once; pages show each of them once."""
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, "https://consumer.example/hook", events=["job.queued"])
        jobs = [await pipeline.admit() for _ in range(5)]
        await api.delete(f"/v1/webhook-endpoints/{made['id']}")
        assert await acquired(pipeline) == []
        dead = await log(api, status="dead")
        assert {one["job"] for one in dead} == set(jobs)
        assert len({one["dead_at"] for one in dead}) == 1
        assert all(one["dead_at"] and one["next_attempt_at"] is None for one in dead)
        for limit in (1, 2, 3):
            assert await by_pages(api, "/v1/deliveries", limit=limit, status="dead") == [one["id"] for one in dead]


async def test_dead_letters_are_kept_for_thirty_days(pipeline: Pipeline, receiver: Receiver) -> None:
    """Even where everything else is deleted after eight."""
    receiver.answers([ABORT])
    async with team_admin(pipeline.stack) as api:
        await endpoint(api, receiver.url, events=["job.queued"])
        await pipeline.admit()
        (ref,) = await pipeline.due("deliver")
        await pipeline.redis.pexpire(f"fg:delivery:{ref}", 8 * 86_400_000)
        await sent(pipeline)
    for name in (f"fg:delivery:{ref}", f"fg:dead:{pipeline.team}"):
        assert await pipeline.redis.pttl(name) > 29.9 * 86_400_000


async def test_the_log_is_for_the_teams_keys(stack: Stack) -> None:
    """`team:read` may read it; a user's key and a browser token are refused, a token even for its own job."""
    made = await colleague(stack, scopes=USER_SCOPES | {Scope.TEAM_READ})
    async with calling(stack, made.key) as reads, calling(stack, (await token(stack.api))["token"]) as page:
        await stack.submit()
        job = (await page.post("/v1/jobs", json=stack.body())).json()
        assert await log(reads) == []
        for api in (stack.api, page):
            assert_problem(await api.get("/v1/deliveries"), 403, "forbidden")
        assert_problem(await page.get(f"/v1/jobs/{job['id']}/deliveries"), 403, "forbidden")


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"cursor": ""}, 400, "invalid_cursor"),
        ({"cursor": "x"}, 400, "invalid_cursor"),
        ({"cursor": "MTpqb2JfMQ"}, 400, "invalid_cursor"),
        ({"limit": "0"}, 422, "invalid_input"),
        ({"limit": "101"}, 422, "invalid_input"),
        ({"status": "lost"}, 422, "invalid_input"),
        ({"from": "yesterday"}, 422, "invalid_input"),
        ({"from": "2026-11-22"}, 422, "invalid_input"),
        ({"to": "2026-11-22T12:00:00"}, 422, "invalid_input"),
        ({"to": "0001-01-01T00:00:00+14:00"}, 422, "invalid_input"),
        ({"from": iso(2_000), "to": iso(2_000)}, 422, "invalid_input"),
    ],
)
async def test_a_wrong_question_is_refused(stack: Stack, query: dict[str, str], status: int, code: str) -> None:
    """With a sentence; nothing changes."""
    async with team_admin(stack) as api:
        made = await endpoint(api, "https://consumer.example/hook")
        async with nothing_changes(stack):
            for path in ("/v1/deliveries", f"/v1/webhook-endpoints/{made['id']}/deliveries"):
                assert_problem(await api.get(path, params=query), status, code)
