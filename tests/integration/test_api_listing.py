"""Lists of jobs: order, pages, filters and visibility."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest
from redis.asyncio import Redis

from app.domain.accounts import USER_SCOPES, Scope
from app.services import listing
from app.store import keys
from app.store.job_indexes import Wanted
from tests.integration.admin import Administrator
from tests.integration.concurrency import concurrently
from tests.integration.refusals import assert_problem, nothing_changes
from tests.support.callers import another_key, calling, colleague, second_account
from tests.support.pipeline import Pipeline
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio


async def pages(api: httpx.AsyncClient, query: str, limit: int) -> list[list[dict[str, Any]]]:
    """All pages of a list, by following `next_cursor`."""
    found, cursor = [], ""
    while True:
        reply = await api.get(f"/v1/jobs?limit={limit}{query}{cursor}")
        assert reply.status_code == 200, reply.text
        page = reply.json()
        found.append(page["data"])
        assert page["has_more"] == (page["next_cursor"] is not None)
        if not page["has_more"]:
            assert "link" not in reply.headers
            return found
        assert f"cursor={page['next_cursor']}" in reply.headers["link"]
        assert reply.headers["link"].startswith("<http://filmgate.test/v1/jobs?")
        cursor = f"&cursor={page['next_cursor']}"


async def test_every_job_is_on_one_page(stack: Stack) -> None:
    """A hundred jobs, some created in the same millisecond: each once, newest first, no empty page."""
    made = await concurrently(stack.submit(str(number)) for number in range(100))
    for limit in (1, 7, 10, 50, 99, 100):
        found = await pages(stack.api, "", limit)
        assert [len(page) for page in found] == [min(limit, 100 - start) for start in range(0, 100, limit)]
        jobs = [job for page in found for job in page]
        assert {job["id"] for job in jobs} == {job["id"] for job in made}
        assert [job["created_at"] for job in jobs] == sorted((job["created_at"] for job in jobs), reverse=True)


async def test_a_cursor_holds_its_place(stack: Stack) -> None:
    """New jobs, and a job that ends between two pages, neither shift nor repeat later ones."""
    old = [await stack.submit() for _ in range(6)]
    first = (await stack.api.get("/v1/jobs?limit=3")).json()
    for _ in range(5):
        await stack.submit()
    await stack.api.post(old[0]["urls"]["cancel"])
    second = (await stack.api.get(f"/v1/jobs?limit=3&cursor={first['next_cursor']}")).json()
    shown = [job["id"] for job in (*first["data"], *second["data"])]
    assert shown == [job["id"] for job in reversed(old)]
    assert second["has_more"] is False


async def test_filters_choose(stack: Stack) -> None:
    """By state, by model, by a metadata pair, and combined, over pages."""
    other = "fal-ai/kling-video/v2.1/master/image-to-video"
    jobs = [await stack.submit(metadata={"parity": str(number % 2), "all": "yes"}) for number in range(6)]
    jobs += [await stack.submit(model=other, metadata={"parity": "1"}) for _ in range(2)]
    await stack.api.post(jobs[0]["urls"]["cancel"])
    await stack.api.post(jobs[7]["urls"]["cancel"])

    async def chosen(query: str) -> set[int]:
        found = [job["id"] for page in await pages(stack.api, query, 1) for job in page]
        assert len(found) == len(set(found))
        return {number for number, job in enumerate(jobs) if job["id"] in found}

    assert await chosen("") == set(range(8))
    assert await chosen("&status=queued") == {1, 2, 3, 4, 5, 6}
    assert await chosen("&status=canceled") == {0, 7}
    assert await chosen("&status=running") == set()
    assert await chosen(f"&model={other}") == {6, 7}
    assert await chosen("&model=unknown") == set()
    assert await chosen("&metadata.parity=1") == {1, 3, 5, 6, 7}
    assert await chosen("&metadata.all=yes") == {0, 1, 2, 3, 4, 5}
    assert await chosen("&metadata.parity=2") == set()
    assert await chosen(f"&metadata.parity=1&status=canceled&model={other}") == {7}
    assert await chosen(f"&status=canceled&status=queued&model={other}") == {6, 7}
    assert await chosen("&status=canceled&status=running&status=canceled") == {0, 7}
    assert await chosen(f"&user={jobs[0]['user']}&metadata.all=yes") == {0, 1, 2, 3, 4, 5}
    third, sixth = (quote(jobs[number]["created_at"]) for number in (3, 6))
    assert await chosen(f"&from={third}") == {3, 4, 5, 6, 7}
    assert await chosen(f"&to={third}") == {0, 1, 2}
    assert await chosen(f"&from={third}&to={sixth}&status=queued") == {3, 4, 5}


async def test_words_of_the_prompt_choose(pipeline: Pipeline) -> None:
    """Each of them, in any case, in a storyboard's shots too, of live and packed jobs; not of erased ones."""
    stack = pipeline.stack
    done = (await pipeline.ended(prompt="Ein FUCHS im Schnee, straße")).id
    erased = (await pipeline.ended(prompt="a fox that is gone")).id
    assert (await stack.api.delete(f"/v1/jobs/{erased}")).status_code == 204
    shots = [{"prompt": "a fox sleeps", "duration": "5"}, {"prompt": "it snows", "duration": "5"}]
    story = stack.body("unused", model="fal-ai/kling-video/v3/pro/image-to-video")
    story["input"] = {"start_image_url": story["input"]["image_url"], "multi_prompt": shots}
    told = (await stack.api.post("/v1/jobs", json=story)).json()["id"]
    await stack.submit("a quiet lake")

    async def found(text: str) -> list[str]:
        pages_found = await pages(stack.api, f"&text={quote(text)}", 1)
        return [job["id"] for page in pages_found for job in page]

    assert await found("fuchs STRASSE") == await found("schnee") == [done]
    assert await found("fox snow") == [told]
    assert await found("fox") == [told]
    assert await found("image_url") == await found("fox lake") == []
    page = (await stack.api.get("/v1/jobs?text=nothing")).json()
    assert (page["data"], page["scanned"], page["has_more"]) == ([], 4, False)
    indexes, team = stack.gateway.stores.job_indexes, stack.account.team.id
    wanted = Wanted({}, accepts=lambda _: False)
    scan = await indexes.scan(keys.team_jobs(team), team, before=None, limit=1, rows=3, wanted=wanted)
    assert (scan.jobs, scan.rows) == ([], 1), "a job that is read in vain counts as several"
    assert scan.reached is not None


async def test_a_team_reader_chooses_a_user_and_reads_names(stack: Stack, admin: Administrator) -> None:
    """With `team:read`, and as the administrator, who sees no prompt; without, others' jobs are 403."""
    own, team = await stack.submit(), stack.account.team.id
    other = await colleague(stack)
    async with calling(stack, other.key) as api:
        theirs = (await api.post("/v1/jobs", json=stack.body())).json()
    query = f"/v1/jobs?user={other.record.user}"
    assert_problem(await stack.api.get(query), 403, "forbidden")
    reader = await another_key(stack, scopes=USER_SCOPES | {Scope.TEAM_READ})
    async with calling(stack, reader.key) as api:
        (listed,) = (await api.get(query)).json()["data"]
        both = (await api.get("/v1/jobs")).json()["data"]
    assert (listed["id"], listed["user_name"]) == (theirs["id"], "colleague")
    assert [(job["id"], job["user_name"]) for job in both] == [(theirs["id"], "colleague"), (own["id"], "tester")]
    of_user = await admin.done("GET", "jobs", user=other.record.user)
    assert [(job["id"], job["team_name"], job["user_name"]) for job in of_user["data"]] == [
        (theirs["id"], "test", "colleague")
    ]
    whole = await admin.done("GET", "jobs", team=team, status=["queued", "held"])
    assert [job["id"] for job in whole["data"]] == [theirs["id"], own["id"]]
    assert (await admin.done("GET", "jobs", status="held", user=own["user"]))["data"] == []
    assert (await admin.done("GET", "jobs", user="user_none"))["data"] == []
    assert_problem(await admin.call("GET", "jobs", text="lake"), 422, "invalid_input")


async def test_the_link_keeps_the_filters(stack: Stack) -> None:
    """Following `Link` alone pages through the same filtered list."""
    for number in range(4):
        await stack.submit(metadata={"k": "a b&c" if number % 2 else "z"})
    reply = await stack.api.get("/v1/jobs", params={"metadata.k": "a b&c", "limit": 1})
    following = reply.headers["link"].partition(">")[0].removeprefix("<")
    second = (await stack.api.get(following)).json()
    assert [job["metadata"] for job in second["data"]] == [{"k": "a b&c"}]
    assert second["data"] != reply.json()["data"]
    assert second["has_more"] is False


async def test_a_request_looks_at_no_more_jobs_than_allowed(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page whose filter fits few jobs is short, and its cursor leads to the rest."""
    monkeypatch.setattr(listing, "SCAN_LIMIT", 3)
    monkeypatch.setattr(listing, "MIN_SCAN", 1)
    oldest, *_ = [await stack.submit(f"look {number}") for number in range(5)]
    await stack.api.post(f"/v1/jobs/{oldest['id']}/cancel")
    first = (await stack.api.get("/v1/jobs?status=canceled")).json()
    assert (first["data"], first["has_more"]) == ([], True)
    second = (await stack.api.get(f"/v1/jobs?status=canceled&cursor={first['next_cursor']}")).json()
    assert ([job["id"] for job in second["data"]], second["has_more"]) == ([oldest["id"]], False)


@pytest.mark.parametrize("same_team", [True, False])
async def test_a_list_shows_the_callers_own_jobs(stack: Stack, same_team: bool) -> None:  # noqa: FBT001 - a table
    """Another user's jobs are in no list, whatever the filter, or with a cursor of theirs."""
    theirs = [await stack.submit(metadata={"k": "v"}) for _ in range(3)]
    cursor = (await stack.api.get("/v1/jobs?limit=1")).json()["next_cursor"]
    async with second_account(stack, same_team=same_team) as other:
        for query in ("", "?metadata.k=v", "?status=queued", f"?cursor={cursor}"):
            assert (await other.get(f"/v1/jobs{query}")).json()["data"] == []
        job = (await other.post("/v1/jobs", json=stack.body(metadata={"k": "v"}))).json()
        for query in ("", "?metadata.k=v", "?status=queued"):
            assert [one["id"] for one in (await other.get(f"/v1/jobs{query}")).json()["data"]] == [job["id"]]
    assert {one["id"] for one in (await stack.api.get("/v1/jobs")).json()["data"]} == {one["id"] for one in theirs}


async def test_a_page_reads_the_jobs_it_shows(stack: Stack) -> None:
    """And one more, to know whether another page follows; however many jobs exist."""
    for number in range(12):
        await stack.submit(str(number))

    async def read() -> int:
        return int((await redis.info("commandstats")).get("cmdstat_hgetall", {"calls": 0})["calls"])

    async with Redis.from_url(stack.redis.url) as redis:
        before = await read()
        assert len((await stack.api.get("/v1/jobs?limit=3")).json()["data"]) == 3
        assert await read() - before <= 3 + 1 + 1  # and the settings


async def test_reading_writes_nothing(stack: Stack) -> None:
    """Lists, jobs, models and the account leave the store unchanged."""
    job = await stack.submit(metadata={"k": "v"})
    async with nothing_changes(stack):
        for path in ("/v1/jobs", "/v1/jobs?metadata.k=v", job["urls"]["self"], "/v1/me", "/v1/models", "/readyz"):
            assert (await stack.api.get(path)).status_code in {200, 503}


async def test_a_list_shows_each_waiting_job_its_place_in_line(stack: Stack) -> None:
    """As the job itself does: counted from 0, in line order."""
    made = [(await stack.submit(f"place {number}"))["id"] for number in range(3)]
    listed = (await stack.api.get("/v1/jobs")).json()["data"]
    assert {job["id"]: job["queue_position"] for job in listed} == {job: place for place, job in enumerate(made)}
