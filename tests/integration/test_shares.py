"""Shares: what a person without a key sees, and when that ends."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from app.domain.accounts import USER_SCOPES, Scope
from app.services.shares import ENDED
from app.store import keys
from tests.integration.kept_clips import anybody, kept
from tests.integration.refusals import assert_problem
from tests.support.callers import another_key, calling, colleague
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, open_stack

pytestmark = pytest.mark.anyio


@pytest.fixture
async def keeping(store: RedisServer, emulator: Emulator, tmp_path: Path) -> AsyncIterator[Pipeline]:
    """A gateway that keeps clips."""
    async with open_stack(store, emulator, FILMGATE_STORAGE=f"local:{tmp_path}/kept") as stack:
        yield Pipeline(stack)


async def opened(stack: Stack, url: str, query: str = "") -> httpx.Response:
    """What the page at this link reads, with the secret of its fragment."""
    async with calling(stack, url.partition("#")[2]) as api:
        return await api.get(f"/v1/shares/current{query}")


def ends_in_s(share: dict[str, Any], page: dict[str, Any]) -> float:
    """How long after the share was made the address of the clip on its page ends, in seconds."""
    (until,) = parse_qs(urlsplit(page["data"][0]["video"]["url"]).query)["expires"]
    return int(until) - datetime.fromisoformat(share["created_at"]).timestamp()


async def shared(api: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    """A new share."""
    reply = await api.post(path, json=body)
    assert reply.status_code == 201, reply.text
    made: dict[str, Any] = reply.json()
    return made


async def test_a_link_shows_one_clip_and_nothing_private(keeping: Pipeline) -> None:
    """The clip plays without a key; the prompt is there only if one says so; the secret opens nothing else."""
    stack = keeping.stack
    job = await kept(keeping, (await keeping.ended("a fox", metadata={"order": "17"})).id)
    path = f"/v1/jobs/{job.id}/shares"
    share = await shared(stack.api, path)
    told = await shared(stack.api, path, expires_in=60, prompt=True)
    assert share["url"].startswith("http://filmgate.test/share#fg_share_")
    page = (await opened(stack, share["url"])).json()
    assert (page["share"]["kind"], page["has_more"]) == ("job", False)
    (clip,) = page["data"]
    assert clip.keys() == {"model", "title", "prompt", "created_at", "video", "duration"}
    assert (clip["model"], clip["prompt"]) == (job.model, None)
    film = await anybody(keeping, clip["video"]["url"])
    assert (film.status_code, film.headers["content-type"]) == (200, "video/mp4")
    with_prompt = (await opened(stack, told["url"])).json()
    assert with_prompt["data"][0]["prompt"].startswith("a fox")
    # An address that somebody has copied ends soon after its share, and after an hour at the latest.
    assert 3500 < ends_in_s(share, page) < 3700
    assert ends_in_s(told, with_prompt) <= 60
    for private in ("fox", "order", job.user, job.key, job.team + '"'):
        assert private not in (await opened(stack, share["url"])).text
    async with calling(stack, share["url"].partition("#")[2]) as api:
        for other in (f"/v1/jobs/{job.id}", "/v1/jobs", "/v1/me", "/v1/usage"):
            assert_problem(await api.get(other), 401, "unauthenticated")
    listed = (await stack.api.get(path)).json()["data"]
    assert [{**one, "url": two["url"]} for one, two in zip(listed, (share, told), strict=True)] == [share, told]


async def test_a_share_ends_when_it_should(pipeline: Pipeline) -> None:
    """At its time, when it is removed, with its job, its key and its user: then its secret opens nothing."""
    stack = pipeline.stack
    first, second = (await pipeline.ended()).id, (await pipeline.ended()).id
    removed, timed, erased = [await shared(stack.api, f"/v1/jobs/{first}/shares", expires_in=60) for _ in range(3)]
    assert (await stack.api.delete(f"/v1/shares/{removed['id']}")).status_code == 204
    assert_problem(await stack.api.delete(f"/v1/shares/{removed['id']}"), 403, "forbidden")
    assert 0 < await pipeline.redis.pttl(keys.share(timed["id"])) <= 60_000
    await pipeline.redis.delete(keys.share(timed["id"]))  # as its expiry does
    for ended in (removed, timed):
        assert assert_problem(await opened(stack, ended["url"]), 401, "unauthenticated")["detail"] == ENDED
    assert [one["id"] for one in (await stack.api.get(f"/v1/jobs/{first}/shares")).json()["data"]] == [erased["id"]]
    assert (await opened(stack, erased["url"])).status_code == 200
    await stack.api.delete(f"/v1/jobs/{first}")
    assert_problem(await opened(stack, erased["url"]), 404, "not_found")
    key = await another_key(stack)
    async with calling(stack, key.key) as api:
        of_key = await shared(api, f"/v1/jobs/{second}/shares")
    await stack.gateway.administration.revoke_key("test", key.record.id)
    assert_problem(await opened(stack, of_key["url"]), 401, "unauthenticated")
    assert_problem(await opened(stack, of_key["url"][:-1] + "x"), 401, "unauthenticated")


async def test_only_whoever_may_act_on_a_job_shares_it(pipeline: Pipeline) -> None:
    """A colleague who reads the team may not, nor end another's share; a job without a clip has none."""
    stack = pipeline.stack
    job = (await pipeline.ended()).id
    share = await shared(stack.api, f"/v1/jobs/{job}/shares")
    reader = await colleague(stack, scopes=USER_SCOPES | {Scope.TEAM_READ})
    async with calling(stack, reader.key) as api:
        assert_problem(await api.post(f"/v1/jobs/{job}/shares", json={}), 403, "forbidden")
        assert_problem(await api.delete(f"/v1/shares/{share['id']}"), 403, "forbidden")
        assert [one["id"] for one in (await api.get("/v1/shares")).json()["data"]] == [share["id"]]
        wall = {"from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z"}
        assert_problem(await api.post("/v1/shares", json=wall), 403, "forbidden")
    queued = await stack.submit()
    assert_problem(await stack.api.post(f"/v1/jobs/{queued['id']}/shares", json={}), 409, "no_video")
    assert_problem(await stack.api.post(f"/v1/jobs/{job}/shares", json={"expires_in": 59}), 422, "invalid_input")


async def test_a_wall_shows_the_clips_of_a_period(pipeline: Pipeline) -> None:
    """The team's succeeded clips, newest first, by pages; not those before, erased or failed."""
    stack = pipeline.stack
    before = await pipeline.ended()
    clips = [await pipeline.ended() for _ in range(3)]
    await pipeline.ended("[emu:500_downstream]")
    erased = await pipeline.ended()
    await stack.api.delete(f"/v1/jobs/{erased.id}")
    start = datetime.fromtimestamp(before.created_ms / 1000, UTC) + timedelta(milliseconds=1)
    span = {"from": start.isoformat(), "to": (start + timedelta(days=30)).isoformat(), "title": " Foxes "}
    admin = await another_key(stack, scopes=USER_SCOPES | {Scope.TEAM_ADMIN})
    async with calling(stack, admin.key) as api:
        wall = await shared(api, "/v1/shares", **span)
        assert [one["id"] for one in (await api.get("/v1/shares")).json()["data"]] == [wall["id"]]
        turned = {**span, "to": span["from"]}
        assert_problem(await api.post("/v1/shares", json=turned), 422, "invalid_input")
    assert "/wall#fg_share_" in wall["url"]
    found, query = [], "?limit=2"
    while query:
        page = (await opened(stack, wall["url"], query)).json()
        assert page["share"]["title"] == "Foxes"
        found += page["data"]
        query = f"?limit=2&cursor={page['next_cursor']}" if page["has_more"] else ""
    times = [datetime.fromisoformat(clip["created_at"]).timestamp() * 1000 for clip in found]
    assert [round(at) for at in times] == [job.created_ms for job in reversed(clips)]
    assert all(clip["video"]["url"].startswith("http") for clip in found)


async def test_the_shares_of_a_team_are_in_one_list(pipeline: Pipeline) -> None:
    """A user finds their own, `team:read` all of them, by pages, last to end first; an ended one leaves it."""
    stack = pipeline.stack
    path = f"/v1/jobs/{(await pipeline.ended()).id}/shares"
    mine = [await shared(stack.api, path, expires_in=seconds) for seconds in (60, 600, 6000)]
    admin = await colleague(stack, scopes=USER_SCOPES | {Scope.TEAM_ADMIN})
    wall = {"from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z", "expires_in": 3600}

    async def listed(api: httpx.AsyncClient) -> list[str]:
        found, query = [], "?limit=1"
        while query:
            page = (await api.get(f"/v1/shares{query}")).json()
            found += [one["id"] for one in page["data"]]
            query = f"?limit=1&cursor={page['next_cursor']}" if page["has_more"] else ""
        return found

    async with calling(stack, admin.key) as api:
        theirs = await shared(api, "/v1/shares", **wall)
        assert await listed(stack.api) == [mine[2]["id"], mine[1]["id"], mine[0]["id"]]
        assert await listed(api) == [mine[2]["id"], theirs["id"], mine[1]["id"], mine[0]["id"]]
        assert (await api.delete(f"/v1/shares/{mine[1]['id']}")).status_code == 204
        assert await listed(api) == [mine[2]["id"], theirs["id"], mine[0]["id"]]
    assert await listed(stack.api) == [mine[2]["id"], mine[0]["id"]]
    async with calling(stack, (await colleague(stack)).key) as api:
        assert await listed(api) == []
