"""Sessions of browsers: what signs in, what the cookie opens, what ends it, and which pages may use it."""

import asyncio
import re
import secrets
import time
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from app.domain.accounts import Scope, digest, new_key
from app.domain.sessions import CODE_PREFIX, IDLE_MS, LONGEST_MS, SESSION_PREFIX
from app.store import keys
from app.store.sessions import MOST
from tests.integration.ownership import routes_of
from tests.integration.refusals import assert_problem, nothing_changes
from tests.integration.signing_in import browsing, signed_in
from tests.integration.uploads import picture
from tests.support.callers import another_key, calling, colleague, last_accepted, token
from tests.support.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.server import Server
from tests.support.stack import ADMIN_KEY, Stack, open_stack

pytestmark = pytest.mark.anyio

COOKIE = "fg_session"
SIGNED_OUT = (401, "unauthenticated")
EVIL = "https://evil.example.com"
PARAMETER = re.compile(r"\{(\w+)\}")
UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}
SIGN_IN = {
    *("POST /v1/session", "POST /v1/invitations/read", "POST /v1/invitations/accept"),
    *("POST /v1/sign-in/oidc", "POST /v1/sign-in/oidc/return", "POST /v1/sign-in/proxy"),
}


# --- signing in --------------------------------------------------------------------------------------------------


async def test_a_key_becomes_a_cookie_that_scripts_cannot_read(stack: Stack) -> None:
    """The reply says who it is; the cookie is for /v1 and our own pages, until the browser ends."""
    async with browsing(stack) as web:
        reply = await web.post("/v1/session", json={"key": stack.account.key})
        assert reply.status_code == 201
        session = reply.json()
        assert session["role"] == "user"
        assert session["user"] == {"id": stack.account.user.id, "name": "tester"}
        assert session["team"] == {"id": stack.account.team.id, "name": "test"}
        assert session["scopes"] == ["jobs:read", "jobs:write"]
        assert session["key"]["shown_as"] == f"{stack.account.key[:12]}…{stack.account.key[-4:]}"
        value, *attributes = reply.headers["set-cookie"].split("; ")
        assert value.startswith(f"{COOKIE}={SESSION_PREFIX}")
        assert sorted(attributes) == ["HttpOnly", "Path=/v1", "SameSite=strict"]
        assert reply.headers["cache-control"] == "no-store"
        again = await web.get("/v1/session")
        assert {**again.json(), "expires_at": ""} == {**session, "expires_at": ""}
    secret = value.partition("=")[2]
    assert secret not in reply.text
    assert stack.account.key not in reply.text
    async with Redis.from_url(stack.redis.url) as redis:
        stored = [await redis.dump(name) async for name in redis.scan_iter()]
    assert not any(secret.encode() in (value or b"") for value in stored)


async def test_a_remembered_session_stays_for_thirty_days(stack: Stack) -> None:
    """Its cookie outlives the browser, and no use prolongs it; another ends after twelve hours without use."""
    async with browsing(stack) as web, Redis.from_url(stack.redis.url) as redis:
        for remember, lifetime in ((True, LONGEST_MS), (False, IDLE_MS)):
            reply = await web.post("/v1/session", json={"key": stack.account.key, "remember": remember})
            assert ("Max-Age=2592000" in reply.headers["set-cookie"]) is remember
            name = keys.token(digest(str(web.cookies[COOKIE])))
            assert lifetime - 10_000 < await redis.pttl(name) <= lifetime
            await redis.pexpire(name, 3_600_000)
            assert (await web.get("/v1/session")).json()["remembered"] is remember
            assert (await redis.pttl(name) > 3_600_000) is not remember


async def test_the_cookie_is_secure_where_the_browser_uses_https(stack: Stack) -> None:
    """Over https, and where only the browser's Origin says so, as behind a proxy that nobody named."""
    async with browsing(stack, base="https://filmgate.test") as web:
        reply = await web.post("/v1/session", json={"key": stack.account.key})
        assert "; Secure" in reply.headers["set-cookie"]
        assert (await web.get("/v1/me")).status_code == 200
    async with browsing(stack) as web:
        reply = await web.post(
            "/v1/session", json={"key": stack.account.key}, headers={"Origin": "https://filmgate.test"}
        )
        assert "; Secure" in reply.headers["set-cookie"]


BAD_BODIES: dict[str, tuple[dict[str, Any], int, str]] = {
    "neither": ({}, 422, "invalid_input"),
    "both": ({"key": "a", "code": "b"}, 422, "invalid_input"),
    "a number": ({"key": 1}, 422, "invalid_input"),
    "remember as text": ({"key": "a", "remember": "yes"}, 422, "invalid_input"),
    "a member too many": ({"key": "a", "role": "administrator"}, 422, "invalid_input"),
    "far too long": ({"key": "a" * 513}, 422, "invalid_input"),
    "a guess": ({"key": "guess-of-the-administrators-key"}, *SIGNED_OUT),
    "an unknown key": ({"key": new_key()}, *SIGNED_OUT),
    "a session's secret": ({"key": new_key(SESSION_PREFIX)}, *SIGNED_OUT),
    "a code of another form": ({"code": "abc"}, 410, "link_ended"),
    "a made-up code": ({"code": new_key(CODE_PREFIX)}, 410, "link_ended"),
}


async def test_what_is_no_key_signs_nobody_in(stack: Stack) -> None:
    """Each is refused, sets no cookie and writes nothing; a browser token does not sign in either."""
    made = (await token(stack.api))["token"]
    bodies = {**BAD_BODIES, "a browser token": ({"key": made}, 403, "forbidden")}
    async with browsing(stack) as web, nothing_changes(stack):
        for body, status, code in bodies.values():
            reply = await web.post("/v1/session", json=body)
            assert_problem(reply, status, code)
            assert "set-cookie" not in reply.headers


async def test_a_key_for_certain_pages_signs_in_there_only(stack: Stack) -> None:
    """Its origins count for the page that signs in."""
    bound = await another_key(stack, origins=["https://app.example.com"])
    async with browsing(stack) as web:
        reply = await web.post("/v1/session", json={"key": bound.key})
        assert_problem(reply, 403, "origin_not_allowed")


async def test_signing_in_again_ends_the_session_before(stack: Stack) -> None:
    """One browser, one session; and a key has so many at most: the oldest ends for a further one."""
    async with browsing(stack, key=stack.account.key) as web, Redis.from_url(stack.redis.url) as redis:
        before = str(web.cookies[COOKIE])
        await signed_in(web, key=stack.account.key)
        assert await redis.exists(keys.token(digest(before))) == 0
        caller = await stack.gateway.accounts.authenticate(stack.account.key)
        for _ in range(MOST):
            await stack.gateway.sessions.begin(caller, remembered=False)
        assert await redis.zcard(keys.sessions(caller.key)) == MOST
        assert_problem(await web.get("/v1/session"), *SIGNED_OUT)


# --- what the cookie opens ---------------------------------------------------------------------------------------


async def test_the_cookie_stands_for_the_key(stack: Stack) -> None:
    """A submission, an upload, a read, a browser token and a live stream, all as the key's user."""
    async with browsing(stack, key=stack.account.key) as web:
        job = (await web.post("/v1/jobs", json=stack.body())).json()
        assert (await stack.api.get(f"/v1/jobs/{job['id']}")).json()["user"] == stack.account.user.id
        uploaded = await web.post("/v1/files", files={"file": ("lake.png", picture(), "image/png")})
        assert uploaded.status_code == 201, uploaded.text
        made = await token(web)
        async with calling(stack, made["token"]) as page:
            assert (await page.get("/v1/me")).status_code == 200
        assert (await web.post(f"/v1/jobs/{job['id']}/cancel")).status_code == 202
        stream = await web.get(f"/v1/jobs/{job['id']}/events")
        assert "event: job.canceled" in stream.text
        assert_problem(await web.get("/v1/admin/teams"), 403, "forbidden")


async def test_the_administrators_session_opens_the_administration_only(stack: Stack) -> None:
    """`/v1/admin`, not users' routes; and it ends when another administrator's key is set."""
    async with browsing(stack) as web:
        session = await signed_in(web, key=ADMIN_KEY)
        assert (session["role"], session["key"], session["user"], session["scopes"]) == (
            *("administrator", None, None),
            [],
        )
        assert (await web.get("/v1/admin/teams")).status_code == 200
        made = await web.post("/v1/admin/teams", json={"name": "by session"})
        assert made.status_code == 201
        acts = (await web.get("/v1/admin/audit", params={"limit": 1})).json()["data"]
        assert (acts[0]["actor"], acts[0]["target"]) == ("administrator", made.json()["id"])
        assert_problem(await web.get("/v1/me"), 403, "forbidden")
        assert (await web.get("/v1/session")).json()["role"] == "administrator"
        cookie = str(web.cookies[COOKIE])
        other = {"FILMGATE_ADMIN_KEY": secrets.token_hex(32)}
        async with (
            open_stack(stack.redis, stack.emulator, **other) as changed,
            browsing(changed) as elsewhere,
        ):
            elsewhere.cookies.set(COOKIE, cookie)
            assert_problem(await elsewhere.get("/v1/admin/teams"), *SIGNED_OUT)


async def test_a_key_in_a_header_wins(stack: Stack) -> None:
    """The cookie beside it is not looked at: another user's, an ended one, or a page of another origin."""
    other = await colleague(stack)
    async with browsing(stack, key=other.key) as web, Redis.from_url(stack.redis.url) as redis:
        mine = {"Authorization": f"Bearer {stack.account.key}", "Origin": EVIL, "X-CSRF-Token": ""}
        assert (await web.get("/v1/me", headers=mine)).json()["user"]["id"] == stack.account.user.id
        assert (await web.post("/v1/tokens", json={}, headers=mine)).status_code == 201
        web.cookies.set(COOKIE, new_key(SESSION_PREFIX), domain="filmgate.test", path="/v1")
        before = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
        for _ in range(20):
            assert (await web.get("/v1/models", headers=mine)).status_code == 200
        assert (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"] - before <= 2, (
            "one look-up of the key"
        )
        basic = {"Authorization": "Basic cHJveHk6cHJveHk="}
        assert_problem(await web.get("/v1/me", headers=basic), *SIGNED_OUT)
        await signed_in(web, key=other.key)
        assert (await web.get("/v1/me", headers=basic)).json()["user"]["id"] == other.record.user


async def test_fals_door_takes_no_cookie(stack: Stack) -> None:
    """Neither at /fal nor at /metrics, also if a browser sent it there."""
    async with browsing(stack, key=stack.account.key) as web:
        given = {"Cookie": f"{COOKIE}={web.cookies[COOKIE]}"}
        for path in ("/fal/api/v1/models", "/fal/queue/fal-ai/kling-video/requests/job_1/status"):
            assert (await web.get(path, headers=given)).status_code == 401
        await signed_in(web, key=ADMIN_KEY)
        given = {"Cookie": f"{COOKIE}={web.cookies[COOKIE]}"}
        assert (await web.get("/metrics", headers=given)).status_code == 401


# --- what ends it ------------------------------------------------------------------------------------------------


async def test_signing_out_ends_it_everywhere(stack: Stack, server: Server) -> None:
    """The cookie is taken away; whoever copied it is refused by another process too, and its stream ends."""
    job = await stack.submit()
    async with browsing(stack, key=stack.account.key) as web:
        headers = {"Cookie": f"{COOKIE}={web.cookies[COOKIE]}"}
        async with httpx.AsyncClient(base_url=server.url, headers=headers, trust_env=False, timeout=20) as copied:
            using = asyncio.create_task(last_accepted(copied))
            stream = asyncio.create_task(copied.get(f"/v1/jobs/{job['id']}/events"))
            await asyncio.sleep(0.3)
            reply = await web.delete("/v1/session")
            ended = time.monotonic()
            assert reply.status_code == 204
            assert 'fg_session=""' in reply.headers["set-cookie"]
            assert await using - ended <= 1
            await asyncio.wait_for(stream, 5)
            assert time.monotonic() - ended <= 2
    async with browsing(stack) as web:
        assert_problem(await web.get("/v1/session"), *SIGNED_OUT)
        assert_problem(await web.delete("/v1/session"), *SIGNED_OUT)


@pytest.mark.parametrize("how", ["revoked", "rotated", "expired", "its user is deleted"])
async def test_a_session_ends_with_its_key(stack: Stack, server: Server, how: str) -> None:
    """Within a second, at another process too; the sentence says why."""
    other = await colleague(stack)
    administration, name = stack.gateway.administration, keys.key(digest(other.key))
    async with browsing(stack, key=other.key, remember=True) as web, Redis.from_url(stack.redis.url) as redis:
        headers = {"Cookie": f"{COOKIE}={web.cookies[COOKIE]}"}
        async with httpx.AsyncClient(base_url=server.url, headers=headers, trust_env=False) as elsewhere:
            assert (await web.get("/v1/jobs")).status_code == 200
            if how == "revoked":
                await administration.revoke_key("test", other.record.id)
            elif how == "rotated":
                await administration.rotate_key("test", other.record.id, overlap_s=0)
            elif how == "expired":
                await redis.hset(name, "expires_ms", 1)
            else:
                await administration.remove_user("test", other.record.user)
            ended = time.monotonic()
            assert await last_accepted(elsewhere) - ended <= 1
            assert await last_accepted(web) - ended <= 1
            problem = assert_problem(await web.get("/v1/session"), *SIGNED_OUT)
    assert ("expired" in problem["detail"]) is (how in {"expired", "rotated"}), problem["detail"]


async def test_a_cookie_of_another_installation_opens_nothing(stack: Stack) -> None:
    """Cookies do not know ports: it is of our form and unknown. Signing in replaces it."""
    strange = (new_key(SESSION_PREFIX), "abc", '""', "x" * 4000, "fg_ses_é", stack.account.key, ADMIN_KEY)
    for value in strange:
        async with browsing(stack) as web:
            given = [(b"Cookie", f"{COOKIE}={value}".encode())]
            assert_problem(await web.get("/v1/me", headers=given), *SIGNED_OUT)
            reply = await web.post("/v1/session", json={"key": stack.account.key}, headers=given)
            assert reply.status_code == 201
    async with browsing(stack, key=stack.account.key) as web:
        both = {"Cookie": f"{COOKIE}=tossed; theme=dark; {COOKIE}={web.cookies[COOKIE]}"}
        assert (await web.get("/v1/me", headers=both)).status_code == 200


# --- one-time codes ----------------------------------------------------------------------------------------------


async def test_a_code_signs_in_once(stack: Stack, server: Server) -> None:
    """Of many at once, at two processes, one is signed in, as the key's user; and none when the key has ended."""
    code = await stack.gateway.sessions.add_code(stack.account.key)
    async with Redis.from_url(stack.redis.url) as redis:
        assert 0 < await redis.pttl(keys.code(digest(code))) <= 15 * 60_000
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as elsewhere, browsing(stack) as web:
        replies = await asyncio.gather(
            *(one.post("/v1/session", json={"code": code}) for _ in range(5) for one in (web, elsewhere))
        )
    (first,) = [reply for reply in replies if reply.status_code == 201]
    assert first.json()["user"]["id"] == stack.account.user.id
    for reply in replies:
        if reply is not first:
            assert_problem(reply, 410, "link_ended", secret=code)
    gone = await another_key(stack)
    late = await stack.gateway.sessions.add_code(gone.key)
    await stack.gateway.administration.revoke_key("test", gone.record.id)
    async with browsing(stack) as web:
        assert_problem(await web.post("/v1/session", json={"code": late}), *SIGNED_OUT)


# --- other pages -------------------------------------------------------------------------------------------------


def unsafe_routes(stack: Stack) -> list[tuple[str, str]]:
    """Method and path of every native route that changes something, with made-up ids."""
    app = stack.api._transport.app  # type: ignore[attr-defined]  # httpx's ASGITransport has one
    found = [route.split(" ") for route in sorted(routes_of(app) - SIGN_IN)]
    return [
        (method, PARAMETER.sub("none_1", path))
        for method, path in found
        if method in UNSAFE and path.startswith("/v1/")
    ]


FORGED: dict[str, dict[str, str]] = {
    "no token": {"X-CSRF-Token": ""},
    "a wrong token": {"X-CSRF-Token": "0" * 32},
    "a token that is no text": {"X-CSRF-Token": "é"},
    "another site": {"Origin": EVIL, "Sec-Fetch-Site": "cross-site"},
    "another site in an old browser": {"Origin": EVIL, "Sec-Fetch-Site": ""},
    "another port of the same host": {"Origin": "http://filmgate.test:8001", "Sec-Fetch-Site": "same-site"},
    "a sandboxed frame": {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
    "an address that was typed": {"Sec-Fetch-Site": "none"},
    "no browser": {"Origin": "", "Sec-Fetch-Site": ""},
}


async def test_no_other_page_can_use_the_cookie(stack: Stack) -> None:
    """Every route that changes something, for users and for the administrator: 403 `csrf`, and nothing changes."""
    routes = unsafe_routes(stack)
    assert len(routes) > 35
    for key, administration in ((stack.account.key, False), (ADMIN_KEY, True)):
        async with browsing(stack, key=key) as web:
            await web.get("/v1/session")
            async with nothing_changes(stack):
                for method, path in routes:
                    if path != "/v1/session" and path.startswith("/v1/admin/") is not administration:
                        continue
                    for case, forged in FORGED.items():
                        sent = {**web.headers, **{name.lower(): value for name, value in forged.items()}}
                        sent["cookie"] = f"{COOKIE}={web.cookies[COOKIE]}"
                        raw = [(name.encode(), value.encode()) for name, value in sent.items() if value]
                        async with httpx.AsyncClient(transport=stack.api._transport, base_url=web.base_url) as page:
                            reply = await page.request(method, path, headers=raw)
                        assert reply.status_code == 403, f"{method} {path} {case}: {reply.status_code}"
                        assert_problem(reply, 403, "csrf")


async def test_other_pages_read_nothing_and_sign_nobody_in(stack: Stack) -> None:
    """A read that another page asked for is refused; so is signing in from there, which would plant a session."""
    async with browsing(stack, key=stack.account.key) as web:
        for elsewhere in ({"Sec-Fetch-Site": "same-site"}, {"Origin": EVIL}):
            assert_problem(await web.get("/v1/jobs", headers=elsewhere), 403, "csrf")
            reply = await web.post("/v1/session", json={"key": stack.account.key}, headers=elsewhere)
            assert_problem(reply, 403, "csrf")
        assert (await web.get("/v1/jobs", headers={"Sec-Fetch-Site": "none"})).status_code == 200


async def test_a_page_of_another_origin_gets_no_credentials(store: RedisServer, emulator: Emulator) -> None:
    """Also where its origin is allowed: no header lets it send the cookie, and the token is none of its headers."""
    async with open_stack(store, emulator, FILMGATE_CORS_ORIGINS=EVIL) as stack, browsing(stack) as web:
        await signed_in(web, key=stack.account.key)
        wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-csrf-token"}
        preflight = await web.options("/v1/jobs", headers={"Origin": EVIL, **wanted})
        assert preflight.status_code == 400
        reply = await web.get("/v1/me", headers={"Origin": EVIL})
        assert_problem(reply, 403, "csrf")
        assert "access-control-allow-credentials" not in {*preflight.headers, *reply.headers}


async def test_a_session_has_the_scopes_of_its_key(stack: Stack) -> None:
    """No more: a key that only reads signs in to read."""
    reader = await another_key(stack, scopes=frozenset({Scope.JOBS_READ}))
    async with browsing(stack, key=reader.key) as web:
        assert (await web.get("/v1/jobs")).status_code == 200
        assert_problem(await web.post("/v1/jobs", json=stack.body()), 403, "forbidden")
