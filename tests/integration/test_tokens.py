"""Browser tokens: their rights, their caps, and their lifetime."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from app.domain.accounts import Scope, digest
from app.services.tokens import TokenRequest
from app.store import keys
from tests.integration.refusals import assert_problem, nothing_changes
from tests.support.callers import another_key, calling, colleague, last_accepted, stranger, token
from tests.support.pipeline import Pipeline
from tests.support.server import EventReader, running_server
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio

MASTER = "fal-ai/kling-video/v2/master/image-to-video"
PAGE = "https://app.example.com"
# What takes no key: a signed address, a share, what everybody may know, and what a browser signs in with.
KEYLESS = ("/v1/clips/", "/v1/session", "/v1/invitations/", "/v1/sign-in/", "/v1/about", "/v1/shares/current")


# --- creating ----------------------------------------------------------------------------------------------------


async def test_a_token_is_shown_once_with_all_that_it_is_good_for(stack: Stack) -> None:
    """201 with the token and its bounds, `no-store`, and ten minutes by default."""
    now_ms = await stack.gateway.stores.clock.now_ms()
    asked = {"max_jobs": 3, "max_usd": "4.20", "models": [MASTER], "origin": PAGE}
    reply = await stack.api.post("/v1/tokens", json=asked)
    assert reply.status_code == 201
    assert reply.headers["cache-control"] == "no-store"
    made = reply.json()
    assert made["token"].startswith("fg_tok_")
    assert made["id"].startswith("tok_")
    assert {name: made[name] for name in ("models", "origin", "job", "scopes")} == {
        "models": [MASTER],
        "origin": PAGE,
        "job": None,
        "scopes": ["jobs:read", "jobs:write"],
    }
    assert made["limits"] == [
        {"unit": "jobs", "window": "total", "amount": 3},
        {"unit": "usd", "window": "total", "amount": "4.20"},
    ]
    redis = Pipeline(stack).redis
    name = keys.token(digest(made["token"]))
    assert made["token"] not in str(await redis.hgetall(name))
    assert 590_000 <= await redis.pexpiretime(name) - now_ms <= 601_000
    async with calling(stack, made["token"], origin=PAGE) as page:
        assert (await page.post("/v1/jobs", json=stack.body())).status_code == 202


BAD_BODIES = {
    "too short": ({"expires_in": 29}, "/expires_in"),
    "too long": ({"expires_in": 3601}, "/expires_in"),
    "time as text": ({"expires_in": "600"}, "/expires_in"),
    "no jobs": ({"max_jobs": 0}, "/max_jobs"),
    "half a job": ({"max_jobs": 1.5}, "/max_jobs"),
    "no money": ({"max_usd": "0"}, "/max_usd"),
    "less than no money": ({"max_usd": -1}, "/max_usd"),
    "money that is no amount": ({"max_usd": "1e3"}, "/max_usd"),
    "too much money": ({"max_usd": "9000000001"}, "/max_usd"),
    "no models": ({"models": []}, "/models"),
    "one model, not a list": ({"models": MASTER}, "/models"),
    "a wildcard": ({"origin": "*"}, "/origin"),
    "null origin": ({"origin": "null"}, "/origin"),
    "an address": ({"origin": "https://app.example.com/page"}, "/origin"),
    "unknown member": ({"scopes": ["team:admin"]}, "/scopes"),
    "job and max_jobs": ({"job": "job_1", "max_jobs": 1}, ""),
    "job and max_usd": ({"job": "job_1", "max_usd": "1"}, ""),
    "job and models": ({"job": "job_1", "models": [MASTER]}, ""),
}


@pytest.mark.parametrize("case", BAD_BODIES)
async def test_a_body_that_makes_no_sense_mints_nothing(stack: Stack, case: str) -> None:
    """422 with a pointer to the member; the store is unchanged."""
    body, pointer = BAD_BODIES[case]
    async with nothing_changes(stack):
        problem = assert_problem(await stack.api.post("/v1/tokens", json=body), 422, "invalid_input")
    assert pointer in {error["pointer"] for error in problem["errors"]}


async def test_a_token_has_at_most_the_rights_of_its_key(stack: Stack) -> None:
    """Scopes, models, origins and expiry are the key's where those are narrower; more than that is refused."""
    reader = await another_key(stack, scopes=frozenset({Scope.JOBS_READ}))
    writer = await another_key(stack, scopes=frozenset({Scope.JOBS_WRITE}))
    narrow = await another_key(stack, models=[MASTER], origins=[PAGE], expires_in_s=100)
    job = await stack.submit()
    async with calling(stack, reader.key) as api:
        made = await token(api)
        assert made["scopes"] == ["jobs:read"]
        async with calling(stack, made["token"]) as page:
            assert_problem(await page.post("/v1/jobs", json=stack.body()), 403, "forbidden")
    async with calling(stack, writer.key) as api:
        assert_problem(await api.post("/v1/tokens", json={"job": job["id"]}), 403, "forbidden")
    async with calling(stack, narrow.key, origin=PAGE) as api:
        inherited = await token(api)
        assert (inherited["models"], inherited["origin"]) == ([MASTER], PAGE)
        elsewhere = {"origin": "https://evil.example.com"}
        assert_problem(await api.post("/v1/tokens", json=elsewhere), 403, "origin_not_allowed")
        other = {"models": ["fal-ai/kling-video/v1.6/pro/image-to-video"]}
        assert_problem(await api.post("/v1/tokens", json=other), 403, "model_not_allowed")
        assert_problem(await api.post("/v1/tokens", json={"models": ["x/y"]}), 404, "model_not_found")
    name = keys.token(digest(inherited["token"]))
    assert await Pipeline(stack).redis.pexpiretime(name) == narrow.record.expires_ms


async def test_the_rights_of_the_team_are_not_given_to_a_browser(stack: Stack) -> None:
    """A token of a key with `team:admin` may submit and read its own jobs, not the team's."""
    admin = await another_key(stack, scopes=frozenset({Scope.TEAM_ADMIN}))
    job = await stack.submit()
    async with calling(stack, admin.key) as api:
        made = await token(api)
    assert made["scopes"] == ["jobs:read", "jobs:write"]
    async with calling(stack, made["token"]) as page:
        assert_problem(await page.get(f"/v1/jobs/{job['id']}"), 404, "not_found")
        assert_problem(await page.post(f"/v1/jobs/{job['id']}/cancel"), 404, "not_found")


async def test_a_token_for_another_users_job_is_not_made(stack: Stack) -> None:
    """The id is looked up as the caller: 404 for another user's as for an unknown one, except with `team:read`."""
    job = await stack.submit()
    details = set()
    for key in ((await colleague(stack)).key, await stranger(stack)):
        async with calling(stack, key) as api:
            for job_id in (job["id"], "job_" + "0" * 32, "../x"):
                reply = await api.post("/v1/tokens", json={"job": job_id})
                details.add(assert_problem(reply, 404, "not_found")["detail"])
    assert len(details) == 1
    async with calling(stack, (await colleague(stack, scopes=frozenset({Scope.TEAM_READ}))).key) as api:
        made = await token(api, job=job["id"])
    async with calling(stack, made["token"]) as page:
        assert (await page.get(f"/v1/jobs/{job['id']}")).json()["id"] == job["id"]


# --- what a token may do -----------------------------------------------------------------------------------------


async def test_a_token_sees_the_jobs_it_made_and_no_others(stack: Stack) -> None:
    """Neither its user's nor another token's: not in the list, and 404 by id."""
    one, two = await token(stack.api), await token(stack.api)
    await stack.submit()
    async with calling(stack, one["token"]) as mine, calling(stack, two["token"]) as theirs:
        made = (await mine.post("/v1/jobs", json=stack.body())).json()
        hidden = (await theirs.post("/v1/jobs", json=stack.body())).json()
        assert [job["id"] for job in (await mine.get("/v1/jobs")).json()["data"]] == [made["id"]]
        assert_problem(await mine.get(f"/v1/jobs/{hidden['id']}"), 404, "not_found")
        assert (await mine.post(f"/v1/jobs/{made['id']}/cancel")).status_code == 202
    assert len((await stack.api.get("/v1/jobs")).json()["data"]) == 3


async def test_an_idempotency_key_is_its_tokens_own(stack: Stack) -> None:
    """Visitors of one page, and the server behind it, use the same idempotency key independently."""
    one, two = await token(stack.api), await token(stack.api)
    headers = {"Idempotency-Key": "order-1001"}
    async with calling(stack, one["token"]) as mine, calling(stack, two["token"]) as theirs:
        made = await mine.post("/v1/jobs", json=stack.body(), headers=headers)
        again = await mine.post("/v1/jobs", json=stack.body(), headers=headers)
        assert again.json()["id"] == made.json()["id"]
        assert again.headers["idempotent-replayed"] == "true"
        other = await mine.post("/v1/jobs", json=stack.body("another"), headers=headers)
        assert_problem(other, 422, "idempotency_key_reused", secret=made.json()["id"])
        same = await theirs.post("/v1/jobs", json=stack.body(), headers=headers)
        servers = await stack.api.post("/v1/jobs", json=stack.body("the server's"), headers=headers)
    ids = {reply.json()["id"] for reply in (made, same, servers)}
    assert [reply.status_code for reply in (made, same, servers)] == [202] * 3
    assert len(ids) == 3


async def test_a_token_reads_nothing_of_the_teams(stack: Stack) -> None:
    """No further token, no webhook secret, no deliveries with the team's URLs, no sums of its money."""
    await stack.submit()
    made = await token(stack.api, max_jobs=2)
    async with calling(stack, made["token"]) as page:
        job = (await page.post("/v1/jobs", json=stack.body())).json()
        assert_problem(await page.post("/v1/tokens", json={}), 403, "forbidden")
        assert_problem(await page.get("/v1/webhook-secret"), 403, "forbidden")
        assert_problem(await page.get("/v1/usage"), 403, "forbidden")
        assert_problem(await page.get(f"/v1/jobs/{job['id']}/deliveries"), 403, "forbidden")
        me = (await page.get("/v1/me")).json()
    assert "usage" not in me
    assert [(limit["owner"], limit["left"]) for limit in me["limits"]] == [("token", 1)]


async def test_a_token_for_one_job_does_nothing_else(stack: Stack) -> None:
    """It reads its job, the events and the clip; every other route of the table is 403, other jobs are 404."""
    job, other = await stack.submit(), await stack.submit()
    made = await token(stack.api, job=job["id"])
    readable = {"/v1/jobs/{job_id}", "/v1/jobs/{job_id}/events", "/v1/jobs/{job_id}/video"}
    described = (await stack.api.get("/openapi.json")).json()["paths"]
    async with calling(stack, made["token"]) as page:
        assert (await page.get(f"/v1/jobs/{job['id']}")).json()["id"] == job["id"]
        assert_problem(await page.get(f"/v1/jobs/{job['id']}/video"), 409, "no_video")
        async with nothing_changes(stack):
            for path, operations in described.items():
                for method in operations if path.startswith("/v1") and not path.startswith(KEYLESS) else ():
                    if method == "get" and path in readable:
                        foreign = path.replace("{job_id}", other["id"])
                        assert_problem(await page.get(foreign), 404, "not_found")
                    else:
                        target = path.replace("{job_id}", job["id"]).replace("{", "").replace("}", "")
                        assert_problem(await page.request(method.upper(), target, json={}), 403, "forbidden")


async def test_a_token_works_on_its_page_only(stack: Stack) -> None:
    """A submission from another page, or without an origin, is refused; a read may come without an origin."""
    made = await token(stack.api, origin=PAGE)
    for origin in (None, "https://evil.example.com", "null", "http://app.example.com", f"{PAGE}.evil.com"):
        async with calling(stack, made["token"], origin=origin) as page:
            assert_problem(await page.post("/v1/jobs", json=stack.body()), 403, "origin_not_allowed")
            assert (await page.get("/v1/jobs")).status_code == (200 if origin is None else 403)
    async with calling(stack, made["token"], origin=PAGE) as page:
        assert (await page.post("/v1/jobs", json=stack.body())).status_code == 202


# --- caps --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cap", "status", "code"), [("jobs", 429, "over_limit"), ("usd", 402, "over_budget")])
async def test_a_cap_holds_when_all_come_at_once(stack: Stack, cap: str, status: int, code: str) -> None:
    """Of thirty at once exactly five are accepted; the others get that this token is used up."""
    made = await token(stack.api, **({"max_jobs": 5} if cap == "jobs" else {"max_usd": "7.00"}))
    async with calling(stack, made["token"]) as page:
        replies = await asyncio.gather(*(page.post("/v1/jobs", json=stack.body()) for _ in range(30)))
        assert sum(reply.status_code == 202 for reply in replies) == 5
        for reply in (reply for reply in replies if reply.status_code != 202):
            problem = assert_problem(reply, status, code)
            assert [(limit["owner"], limit["unit"]) for limit in problem["limits"]] == [("token", cap)]
            assert "this browser token" in problem["detail"]
        assert len((await page.get("/v1/jobs")).json()["data"]) == 5
    assert (await stack.api.post("/v1/jobs", json=stack.body())).status_code == 202


# --- the end -----------------------------------------------------------------------------------------------------


async def _revoke(stack: Stack, key_id: str) -> None:
    await stack.gateway.administration.revoke_key("test", key_id)


async def _rotate(stack: Stack, key_id: str) -> None:
    await stack.gateway.administration.rotate_key("test", key_id, overlap_s=0)


async def _run_out(stack: Stack, key_id: str) -> None:
    found = await stack.gateway.administration.accounts.key(key_id)
    assert found is not None
    now_ms = await stack.gateway.stores.clock.now_ms()
    await Pipeline(stack).redis.hset(keys.key(found[0]), "expires_ms", now_ms)


ENDS: dict[str, Callable[[Stack, str], Awaitable[None]]] = {
    "revoked": _revoke,
    "rotated without overlap": _rotate,
    "expired": _run_out,
}


@pytest.mark.parametrize("how", ENDS)
async def test_a_token_dies_with_its_key(stack: Stack, how: str) -> None:
    """Within a second of the key's end the token is refused, however the key ended."""
    parent = await another_key(stack)
    async with calling(stack, parent.key) as api:
        made = await token(api)
    async with calling(stack, made["token"]) as page:
        assert (await page.get("/v1/jobs")).status_code == 200
        await ENDS[how](stack, parent.record.id)
        ended = time.monotonic()
        assert await last_accepted(page) - ended <= 1


async def test_a_token_dies_at_its_time(stack: Stack) -> None:
    """Within a second of its expiry it is refused, and nothing of it stays in the store."""
    caller = await stack.gateway.accounts.authenticate(stack.account.key)
    minted = await stack.gateway.tokens.mint(caller, TokenRequest(expires_in_s=600, max_jobs=2))
    redis, names = Pipeline(stack).redis, (keys.token(digest(minted.token)), keys.limits(minted.record.id))
    async with calling(stack, minted.token) as page:
        assert (await page.get("/v1/jobs")).status_code == 200
        assert {await redis.pexpiretime(name) for name in names} == {minted.record.expires_ms}
        for name in names:
            await redis.pexpireat(name, await stack.gateway.stores.clock.now_ms())
        expired = time.monotonic()
        assert await last_accepted(page) - expired <= 1
    assert not await redis.exists(*names)


async def test_a_token_with_one_wrong_letter_is_refused_without_a_look_up(stack: Stack) -> None:
    """The checksum is wrong, so the store is not read."""
    made = (await token(stack.api))["token"]
    wrong = made[:-10] + ("0" if made[-10] != "0" else "1") + made[-9:]
    redis = Pipeline(stack).redis
    before = (await redis.info("stats"))["total_commands_processed"]
    async with calling(stack, wrong) as page:
        assert_problem(await page.get("/v1/jobs"), 401, "unauthenticated", secret=wrong)
    assert (await redis.info("stats"))["total_commands_processed"] == before + 1  # the first INFO itself


# --- in an address -----------------------------------------------------------------------------------------------


async def test_only_a_token_for_one_job_may_stand_in_an_address(stack: Stack) -> None:
    """It opens its job's events and clip; a key or another token is refused there, and any token elsewhere."""
    job, other = await stack.submit(), await stack.submit()
    bound, free = await token(stack.api, job=job["id"]), await token(stack.api)
    async with calling(stack, "") as nobody:
        nobody.headers.pop("Authorization")
        video = f"/v1/jobs/{job['id']}/video"
        assert_problem(await nobody.get(video, params={"token": bound["token"]}), 409, "no_video")
        for tail in ("video", "events"):
            address = f"/v1/jobs/{job['id']}/{tail}"
            for secret in (free["token"], stack.account.key):
                reply = await nobody.get(address, params={"token": secret})
                assert_problem(reply, 403, "forbidden", secret=secret)
            assert_problem(await nobody.get(address, params={"token": "fg_tok_x"}), 401, "unauthenticated")
            foreign = f"/v1/jobs/{other['id']}/{tail}"
            assert_problem(await nobody.get(foreign, params={"token": bound["token"]}), 404, "not_found")
        for address in (f"/v1/jobs/{job['id']}", "/v1/jobs", "/v1/me"):
            reply = await nobody.get(address, params={"token": bound["token"]})
            assert_problem(reply, 401, "unauthenticated", secret=bound["token"])


async def test_a_page_follows_a_job_and_shows_its_clip_by_address_alone(stack: Stack, tmp_path: Path) -> None:
    """Over real HTTP, with the token in the query: live events, then the clip. No log line has the token."""
    job_id = (await stack.submit())["id"]
    made = await token(stack.api, job=job_id)
    log = tmp_path / "server.log"
    async with (
        running_server(stack.environment, log=log) as server,
        httpx.AsyncClient(base_url=server.url, params={"token": made["token"]}, trust_env=False) as page,
    ):
        async with page.stream("GET", f"/v1/jobs/{job_id}/events") as response:
            assert response.status_code == 200
            reader = EventReader(response)
            first = await reader.event()
            assert first is not None
            assert first["event"] == "job.queued"
            await stack.api.post(f"/v1/jobs/{job_id}/cancel")
            assert [event["event"] for event in await reader.rest()] == ["job.canceled"]
        ended = (await Pipeline(stack).ended()).id
        clip = await page.get(
            f"/v1/jobs/{ended}/video", params={"token": (await token(stack.api, job=ended))["token"]}
        )
        assert clip.status_code == 307
        assert clip.headers["cache-control"] == "no-store"
        assert made["token"] not in clip.headers["location"]
        assert (
            await page.get(f"/v1/jobs/{job_id}/video", params={"token": made["token"] + "x"})
        ).status_code == 401
    written = log.read_text()
    assert f"/v1/jobs/{job_id}/events" in written, "the request was not logged at all"
    for part in ("token=", "fg_tok_", made["token"][12:40], "[redacted]"):  # removed, not replaced
        assert part not in written
