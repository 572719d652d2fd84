"""Keys over the admin API: shown once, restricted to their rights, and revoked at once."""

import asyncio
import time
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from app.domain.accounts import digest, well_formed
from app.store import keys
from tests.integration.admin import Administrator
from tests.integration.refusals import assert_problem
from tests.support.callers import calling, last_accepted
from tests.support.pipeline import Pipeline
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

DEFAULT_MODEL = "fal-ai/kling-video/v2/master/image-to-video"
ANOTHER_MODEL = "fal-ai/kling-video/v2.1/master/image-to-video"
PAGE = "https://app.example.com"


async def stored(redis_server: RedisServer) -> bytes:
    """Every key and every value in the store."""
    readers: dict[Any, Any] = {
        b"string": lambda redis, name: redis.get(name),
        b"hash": lambda redis, name: redis.hgetall(name),
        b"set": lambda redis, name: redis.smembers(name),
        b"zset": lambda redis, name: redis.zrange(name, 0, -1),
        b"list": lambda redis, name: redis.lrange(name, 0, -1),
        b"stream": lambda redis, name: redis.xrange(name),
    }
    found = b""
    async with Redis.from_url(redis_server.url) as redis:
        async for name in redis.scan_iter(count=1000):
            found += name + repr(await readers[await redis.type(name)](redis, name)).encode()
    return found


async def try_key(stack: Stack, key: str, **more: Any) -> httpx.Response:
    """A submission with this key."""
    async with calling(stack, key) as theirs:
        return await theirs.post("/v1/jobs", json=stack.body(**more.pop("body", {})), **more)


async def test_a_key_is_shown_once_and_not_stored(admin: Administrator, stack: Stack, store: RedisServer) -> None:
    """It is in the reply that created it; in no later reply, audit line or stored value."""
    made = await admin.key(stack.account.user.id, name="ci")
    key = made["key"]
    assert well_formed(key)
    assert (made["shown_as"][:8], made["shown_as"][-4:]) == ("fg_live_", key[-4:])
    assert (await try_key(stack, key)).status_code == 202
    rotated = await admin.done("POST", f"keys/{made['id']}/rotate", {})
    everything = await stored(store)
    assert digest(key).encode() in everything
    for secret in (key, rotated["key"]):
        assert secret.encode() not in everything
        assert secret[20:-6].encode() not in everything
        for path in ("keys", f"keys/{made['id']}", "audit"):
            assert secret not in (await admin.call("GET", path)).text


async def test_a_key_is_shown_with_its_rights(admin: Administrator, stack: Stack) -> None:
    """The reply, apart from the key itself, equals what reads and lists show."""
    made = await admin.key(
        stack.account.user.id,
        name=" ci ",
        scopes=["team:read", "jobs:read"],
        models=[DEFAULT_MODEL],
        origins=[PAGE],
        expires_in=3600,
    )
    assert made["name"] == "ci"
    assert made["scopes"] == ["jobs:read", "team:read"]
    assert (made["models"], made["origins"]) == ([DEFAULT_MODEL], [PAGE])
    assert (made["team"], made["user"]) == (stack.account.team.id, stack.account.user.id)
    assert (made["revoked_at"], made["last_used_at"]) == (None, None)
    shown = {name: value for name, value in made.items() if name != "key"}
    assert await admin.done("GET", f"keys/{made['id']}") == shown
    for query in ({}, {"user": stack.account.user.id}, {"team": stack.account.team.id}):
        assert shown in (await admin.done("GET", "keys", **query))["data"]
    elsewhere = await admin.team()
    for query in ({"team": elsewhere["id"]}, {"team": elsewhere["id"], "user": stack.account.user.id}):
        assert (await admin.done("GET", "keys", **query))["data"] == []


async def test_the_rule_of_a_key_comes_before_its_teams(admin: Administrator, stack: Stack) -> None:
    """A key without one follows its team's, a browser token its key's; `GET /v1/me` shows which applies."""
    plain = await admin.key(stack.account.user.id)
    own = await admin.key(stack.account.user.id, reposts="never")
    assert (plain["reposts"], own["reposts"]) == (None, "never")
    await admin.done("PATCH", f"teams/{stack.account.team.id}", {"reposts": "strict"})
    for key, rule in ((plain, "strict"), (own, "never")):
        async with calling(stack, key["key"]) as theirs:
            minted = (await theirs.post("/v1/tokens", json={"expires_in": 60})).json()["token"]
            assert (await theirs.get("/v1/me")).json()["key"]["reposts"] == rule
        async with calling(stack, minted) as page:
            assert (await page.get("/v1/me")).json()["key"]["reposts"] == rule


async def test_a_plain_key_submits_and_reads_and_never_ends(admin: Administrator, stack: Stack) -> None:
    """Only the user is required."""
    made = await admin.key(stack.account.user.id)
    assert made["scopes"] == ["jobs:read", "jobs:write"]
    assert (made["models"], made["origins"], made["expires_at"]) == (None, None, None)
    assert (await try_key(stack, made["key"])).status_code == 202


async def test_a_revoked_key_is_refused_by_the_script_that_admits(admin: Administrator, stack: Stack) -> None:
    """The process still caches the caller, yet the very next submission is 401; nothing is admitted."""
    made = await admin.key(stack.account.user.id)
    async with calling(stack, made["key"]) as theirs:
        assert (await theirs.post("/v1/jobs", json=stack.body())).status_code == 202
        await admin.done("DELETE", f"keys/{made['id']}")
        until, remembered = stack.gateway.accounts._cache[digest(made["key"])]
        stack.gateway.accounts._cache[digest(made["key"])] = (until + 60, remembered)
        assert_problem(await theirs.post("/v1/jobs", json=stack.body()), 401, "unauthenticated")
    assert len((await stack.api.get("/v1/jobs")).json()["data"]) == 1


async def test_revocation_is_in_force_for_reads_within_a_second(admin: Administrator, stack: Stack) -> None:
    """A process caches callers for half a second."""
    made = await admin.key(stack.account.user.id)
    async with calling(stack, made["key"]) as theirs:
        assert (await theirs.get("/v1/jobs")).status_code == 200
        await admin.done("DELETE", f"keys/{made['id']}")
        revoked = time.monotonic()
        assert await last_accepted(theirs) - revoked <= 1


async def test_revoking_twice_is_harmless(admin: Administrator, stack: Stack) -> None:
    """204 both times; the first revocation's time is kept, and the log has one line."""
    made = await admin.key(stack.account.user.id)
    await admin.done("DELETE", f"keys/{made['id']}")
    first = await admin.done("GET", f"keys/{made['id']}")
    await admin.done("DELETE", f"keys/{made['id']}")
    assert await admin.done("GET", f"keys/{made['id']}") == first
    assert [line["action"] for line in await admin.audit()].count("key.revoke") == 1


async def test_rotation_with_an_overlap_lets_both_keys_open(admin: Administrator, stack: Stack) -> None:
    """The new key has the old one's rights; the old one shows when it expires, and the new one does not expire."""
    old = await admin.key(
        stack.account.user.id, name="ci", models=[DEFAULT_MODEL], scopes=["jobs:write"], reposts="strict"
    )
    new = await admin.done("POST", f"keys/{old['id']}/rotate", {"overlap": 3600})
    assert new["key"] != old["key"]
    same = ("name", "team", "user", "scopes", "models", "origins", "expires_at", "reposts")
    assert [new[name] for name in same] == [old[name] for name in same]
    replaced = await admin.done("GET", f"keys/{old['id']}")
    assert replaced["expires_at"] > new["created_at"]
    assert (replaced["replaced_by"], new["replaced_by"]) == (new["id"], None)
    for key in (old, new):
        assert (await try_key(stack, key["key"])).status_code == 202
    again = assert_problem(await admin.call("POST", f"keys/{old['id']}/rotate", {}), 409, "key_ended")
    assert new["id"] in again["detail"]  # which key to use instead
    third = await admin.done("POST", f"keys/{new['id']}/rotate", {})
    assert third["expires_at"] == old["expires_at"]


async def test_rotation_without_overlap_closes_the_old_key(admin: Administrator, stack: Stack) -> None:
    """From the next submission on, even where the caller is cached."""
    old = await admin.key(stack.account.user.id)
    assert (await try_key(stack, old["key"])).status_code == 202
    new = await admin.done("POST", f"keys/{old['id']}/rotate", {"overlap": 0})
    assert_problem(await try_key(stack, old["key"]), 401, "unauthenticated")
    assert (await try_key(stack, new["key"])).status_code == 202
    assert_problem(await admin.call("POST", f"keys/{old['id']}/rotate", {}), 409, "key_ended")


async def test_a_key_ends_when_it_expires(admin: Administrator, stack: Stack) -> None:
    """It works until its expiry, and not after it."""
    made = await admin.key(stack.account.user.id, expires_in=3600)
    async with calling(stack, made["key"]) as theirs:
        assert (await theirs.get("/v1/me")).status_code == 200
        name, redis = keys.key(digest(made["key"])), Pipeline(stack).redis
        now_ms = await stack.gateway.stores.clock.now_ms()
        assert int(await redis.hget(name, "expires_ms")) == pytest.approx(now_ms + 3_600_000, abs=60_000)
        await redis.hset(name, "expires_ms", now_ms)

        async def refused() -> bool:
            return (await theirs.get("/v1/me")).status_code == 401

        await wait_until(refused, "the key has expired", timeout=5)
        assert_problem(await theirs.post("/v1/jobs", json=stack.body()), 401, "unauthenticated")


async def test_a_key_for_one_model_submits_no_other(admin: Administrator, stack: Stack) -> None:
    """403 for a submission and for a quote; its own model is accepted, also when it is the default."""
    made = await admin.key(stack.account.user.id, models=[DEFAULT_MODEL])
    assert (await try_key(stack, made["key"])).status_code == 202
    other = await try_key(stack, made["key"], body={"model": ANOTHER_MODEL})
    assert_problem(other, 403, "model_not_allowed")
    assert f"only {DEFAULT_MODEL}." in other.json()["detail"]
    async with calling(stack, made["key"]) as theirs:
        quote = await theirs.post("/v1/quotes", json=stack.body(model=ANOTHER_MODEL))
    assert_problem(quote, 403, "model_not_allowed")


async def test_a_key_for_one_web_page_submits_from_nowhere_else(admin: Administrator, stack: Stack) -> None:
    """The origin is compared exactly, and a submission must have one."""
    made = await admin.key(stack.account.user.id, origins=[PAGE])
    assert (await try_key(stack, made["key"], headers={"Origin": PAGE})).status_code == 202
    for origin in ("https://app.example.com.evil.net", "http://app.example.com", "https://APP.example.com", "null"):
        reply = await try_key(stack, made["key"], headers={"Origin": origin})
        assert_problem(reply, 403, "origin_not_allowed")
    of_a_program = await try_key(stack, made["key"])
    assert_problem(of_a_program, 403, "origin_not_allowed")
    assert f"pages of {PAGE} only" in of_a_program.json()["detail"]


async def test_a_key_that_only_reads_submits_nothing(admin: Administrator, stack: Stack) -> None:
    """The scope decides: a submission is 403, the list is readable."""
    made = await admin.key(stack.account.user.id, scopes=["jobs:read"])
    assert_problem(await try_key(stack, made["key"]), 403, "forbidden")
    async with calling(stack, made["key"]) as theirs:
        assert (await theirs.get("/v1/jobs")).status_code == 200


async def test_the_last_use_of_a_key_appears(admin: Administrator, stack: Stack) -> None:
    """Null until the first request, then that request's time."""
    made = await admin.key(stack.account.user.id)
    assert (await admin.done("GET", f"keys/{made['id']}"))["last_used_at"] is None
    assert (await try_key(stack, made["key"])).status_code == 202
    used = (await admin.done("GET", f"keys/{made['id']}"))["last_used_at"]
    assert used >= made["created_at"]
    listed = {key["id"]: key["last_used_at"] for key in (await admin.done("GET", "keys"))["data"]}
    assert listed[made["id"]] == used


async def test_a_user_deleted_while_keys_are_made_leaves_no_open_key(admin: Administrator, stack: Stack) -> None:
    """Ten keys are created while the user is deleted: none of those created works afterwards."""
    user = await admin.user(stack.account.team.id)
    making = [admin.call("POST", "keys", {"user": user["id"]}) for _ in range(10)]
    replies = await asyncio.gather(*making[:5], admin.call("DELETE", f"users/{user['id']}"), *making[5:])
    if replies.pop(5).status_code == 409:
        await admin.done("DELETE", f"users/{user['id']}")
    assert {reply.status_code for reply in replies} <= {201, 404}
    for reply in replies:
        if reply.status_code == 201:
            assert_problem(await try_key(stack, reply.json()["key"]), 401, "unauthenticated")
