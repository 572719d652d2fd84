"""Limits for each address and each key: bad keys, browser tokens, open uploads, streams."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from app.domain.accounts import KEY_PREFIX, TOKEN_PREFIX, new_key
from app.domain.errors import OverLimit, Unauthenticated
from app.domain.sessions import CODE_PREFIX, INVITATION_PREFIX, SESSION_PREFIX
from app.services import fal_uploads, tokens
from app.services.accounts import CACHED_S
from app.services.bad_keys import BATCH_S, BURST, MAX_ADDRESSES, PACE_S, BadKeyThrottle
from app.services.live import Following
from app.services.streams import MAX_STREAMS, MAX_STREAMS_WITH_TOKENS
from app.store import keys
from app.store.followers import Follower
from tests.integration.refusals import assert_problem
from tests.support.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.server import Server, running_server
from tests.support.stack import ADMIN_KEY, Stack, environment
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

TRIED = BURST + 60  # more than the burst plus what is refilled meanwhile
ADDRESS = "203.0.113."
AT_A_TIME = 40  # calls
STATUS = "/fal/queue/fal-ai/kling-video/requests/job_1/status"


async def try_keys(stack: Stack, path: str, *, guess: bool) -> list[httpx.Response]:
    """Answers to many bad keys in a row: guesses at the administrator's, or unknown ones in our format."""
    found = []
    for _ in range(TRIED):
        key = secrets.token_hex(16) if guess else new_key(KEY_PREFIX)
        found.append(await stack.api.get(path, headers={"Authorization": f"Bearer {key}"}))
    return found


@pytest.mark.parametrize("kind", ["guesses", "unknown keys"])
async def test_bad_keys_are_slowed_and_good_ones_are_not(stack: Stack, kind: str) -> None:
    """After 240 an address gets 429 with a time; a valid key from the same address works as before."""
    replies = await try_keys(stack, "/v1/me", guess=kind == "guesses")
    assert {reply.status_code for reply in replies[:BURST]} == {401}
    refused = [reply for reply in replies[BURST:] if reply.status_code == 429]
    assert len(refused) > (TRIED - BURST) / 2
    for reply in refused[:3]:
        assert_problem(reply, 429, "too_many_bad_keys")
        assert int(reply.headers["retry-after"]) >= 1
    assert (await stack.api.get("/v1/me")).status_code == 200
    new = await stack.gateway.administration.add_account("another")
    fresh = {"Authorization": f"Bearer {new.key}"}
    assert (await stack.api.get("/v1/me", headers=fresh)).status_code == 200, "one that nobody has used before"


async def test_a_guess_is_not_even_compared(stack: Stack) -> None:
    """From an address with too many tries, even the administrator's right key is refused for a while."""
    header = {"Authorization": f"Bearer {ADMIN_KEY}"}
    assert (await stack.api.get("/v1/admin/teams", headers=header)).status_code == 200
    await try_keys(stack, "/v1/admin/teams", guess=True)

    async def is_refused() -> bool:
        await stack.api.get("/v1/admin/teams", headers={"Authorization": f"Bearer {secrets.token_hex(16)}"})
        return (await stack.api.get("/v1/admin/teams", headers=header)).status_code == 429

    await wait_until(is_refused, "the address has no guess left")
    async with from_address(stack, "198.51.100.7") as web:
        assert (await web.get("/v1/admin/teams", headers=header)).status_code == 200


def from_address(stack: Stack, address: str) -> httpx.AsyncClient:
    """A client at this address without a default key."""
    app = stack.api._transport.app  # type: ignore[attr-defined]  # httpx types the transport as its base class
    transport = httpx.ASGITransport(app=app, client=(address, 1))
    return httpx.AsyncClient(transport=transport, base_url="http://filmgate.test")


def bad_pass() -> str:
    """A made-up upload signature."""
    return f"team_{secrets.token_hex(16)}.pass_{secrets.token_hex(16)}.1.{secrets.token_hex(16)}"


def unknown() -> str:
    """An unknown key in our format."""
    return new_key(KEY_PREFIX)


FILES = "/fal/cdn/files/upload"
DOORS: list[tuple[str, str, Callable[[], dict[str, Any]]]] = [
    ("GET", "/v1/me", lambda: {"headers": {"Authorization": f"Bearer {unknown()}"}}),
    ("GET", "/v1/me", lambda: {"headers": {"Authorization": f"Key {unknown()}"}}),
    ("GET", "/v1/me", lambda: {"headers": {"X-API-Key": unknown()}}),
    ("GET", "/v1/me", lambda: {"headers": {"Authorization": f"Bearer {new_key(TOKEN_PREFIX)}"}}),
    ("GET", "/v1/me", lambda: {"headers": {"X-API-Key": secrets.token_hex(16)}}),
    ("GET", "/v1/admin/teams", lambda: {"headers": {"X-API-Key": unknown()}}),
    ("GET", "/v1/jobs/job_1/events", lambda: {"params": {"token": new_key(TOKEN_PREFIX)}}),
    ("GET", "/v1/events", lambda: {"headers": {"X-API-Key": new_key(TOKEN_PREFIX)}}),
    ("POST", "/v1/session", lambda: {"json": {"key": unknown()}}),
    ("POST", "/v1/session", lambda: {"json": {"key": secrets.token_hex(16)}}),
    ("GET", "/v1/session", lambda: {"headers": {"Cookie": f"fg_session={new_key(SESSION_PREFIX)}"}}),
    ("POST", "/v1/session", lambda: {"json": {"code": new_key(CODE_PREFIX)}}),
    ("POST", "/v1/invitations/read", lambda: {"json": {"code": new_key(INVITATION_PREFIX)}}),
    ("POST", "/v1/invitations/accept", lambda: {"json": {"code": new_key(INVITATION_PREFIX)}}),
    ("POST", "/v1/files", lambda: {"headers": {"Authorization": f"Bearer {unknown()}"}}),
    ("GET", STATUS, lambda: {"headers": {"Authorization": f"Key {unknown()}"}}),
    ("POST", FILES, lambda: {"headers": {"Authorization": f"Bearer {fal_uploads.TOKEN_PREFIX}{bad_pass()}"}}),
    ("POST", FILES, lambda: {"headers": {"Authorization": f"Key {unknown()}"}}),
    ("PUT", f"/fal/cdn/uploads/file_{'0' * 32}", lambda: {"params": {"signature": bad_pass()}}),
    ("POST", f"/fal/cdn/uploads/file_{'0' * 32}/complete", lambda: {"params": {"signature": bad_pass()}}),
]


async def test_every_door_counts_bad_keys(stack: Stack) -> None:
    """In any header, from any address, on any route: each is counted, and one too many is refused."""
    for number, (method, path, made) in enumerate(DOORS):
        address = f"{ADDRESS}{number}"
        for _ in range(BURST - 5):
            stack.gateway.accounts.bad_keys.note(address)
        async with from_address(stack, address) as web:
            replies = [await web.request(method, path, **made()) for _ in range(20)]
        assert replies[0].status_code in {401, 410}, f"{method} {path}: {replies[0].text}"
        assert any("Too many keys" in reply.text for reply in replies), f"{method} {path}"


async def test_bad_keys_of_our_form_are_looked_up_together(stack: Stack) -> None:
    """However many come from one address; a valid key that is not cached works from there meanwhile."""
    new = await stack.gateway.administration.add_account("another")
    for _ in range(BURST):
        stack.gateway.accounts.bad_keys.note(ADDRESS)

    async def show(web: httpx.AsyncClient, key: str) -> int:
        return (await web.get("/v1/models", headers={"Authorization": f"Bearer {key}"})).status_code

    async with from_address(stack, ADDRESS) as web, Redis.from_url(stack.redis.url) as redis:
        before = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
        began, found = time.monotonic(), list[int]()
        for _ in range(10):
            found += await asyncio.gather(*(show(web, unknown()) for _ in range(AT_A_TIME)))
        calls = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"] - before
        took = time.monotonic() - began
        assert calls <= 1.5 * took / BATCH_S + 5, "and each of 400 keys by itself would be 400"
        assert found.count(429) >= len(found) - took / PACE_S - 1, "as many are let through as come due meanwhile"
        bad = [show(web, unknown()) for _ in range(AT_A_TIME)]
        assert (await asyncio.gather(*bad, show(web, new.key)))[-1] == 200


async def test_a_key_that_is_known_here_stays_so_while_it_is_looked_up_again(stack: Stack) -> None:
    """Concurrent requests with it do not queue with unknown keys; once it is invalid, they do."""
    accounts, administration = stack.gateway.accounts, stack.gateway.administration
    new = await administration.add_account("another")
    caller = await accounts.authenticate(new.key)
    await asyncio.sleep(CACHED_S)
    again = asyncio.create_task(accounts.authenticate(new.key))
    await asyncio.sleep(0)  # the reload has begun
    assert accounts.is_cached(new.key)
    assert not again.done()
    assert await again == caller
    await administration.revoke_key("test", caller.key)
    await asyncio.sleep(CACHED_S)
    with pytest.raises(Unauthenticated):
        await accounts.authenticate(new.key)
    assert not accounts.is_cached(new.key)


async def test_on_fals_api_a_bad_key_is_not_retried(stack: Stack) -> None:
    """Fal's clients retry a 429 ten times: 403 there."""
    replies = await try_keys(stack, STATUS, guess=True)
    assert {reply.status_code for reply in replies} == {401, 403}


async def test_no_key_is_no_guess(stack: Stack) -> None:
    """Requests without a key are 401, however many."""
    empty = {"Authorization": ""}
    assert {(await stack.api.get("/v1/me", headers=empty)).status_code for _ in range(TRIED)} == {401}


def test_what_is_remembered_of_addresses_is_bounded() -> None:
    """Ten thousand addresses."""
    throttle = BadKeyThrottle()
    for number in range(MAX_ADDRESSES + 500):
        throttle.note(f"198.51.{number // 256}.{number % 256}")
    assert len(throttle._next) == MAX_ADDRESSES


@pytest.mark.parametrize(
    ("senders", "same", "other"),
    [
        ([f"2001:db8::{number:x}" for number in range(BURST)], "2001:db8::ffff", "2001:db8:0:1::1"),
        (["203.0.113.9", "::ffff:203.0.113.9"] * (BURST // 2), "::ffff:cb00:7109", "203.0.113.8"),
    ],
    ids=["a network of IPv6", "an IPv4 address in every spelling"],
)
def test_who_has_many_addresses_counts_as_one(senders: list[str], same: str, other: str) -> None:
    """One customer's network, and an address that a proxy writes as IPv6."""
    throttle = BadKeyThrottle()
    for address in senders:
        throttle.note(address)
    assert (throttle.exceeded(same), throttle.exceeded(other)) == (True, False)


async def test_a_key_has_a_thousand_browser_tokens_at_most(stack: Stack) -> None:
    """One more is 429 with a time; when one expires there is room again. Another key has its own limit."""
    name = keys.outstanding("tokens", (await stack.gateway.accounts.authenticate(stack.account.key)).key)
    async with Redis.from_url(stack.redis.url) as redis:
        now = int(1000 * (await redis.time())[0])
        await redis.zadd(name, {f"tok_{number}": now + 60_000 for number in range(tokens.MAX_TOKENS - 1)})
        assert (await stack.api.post("/v1/tokens", json={})).status_code == 201
        reply = await stack.api.post("/v1/tokens", json={})
        assert_problem(reply, 429, "too_many_tokens")
        assert 1 <= int(reply.headers["retry-after"]) <= 60
        await redis.zadd(name, {"tok_0": now - 1})
        assert (await stack.api.post("/v1/tokens", json={})).status_code == 201


async def test_a_key_has_two_hundred_promised_uploads_at_most(stack: Stack) -> None:
    """One more is refused on fal's API, until the bytes of one have arrived."""
    asked = {"file_name": "a.png", "content_type": "image/png"}
    uploads = [
        await stack.api.post("/fal/rest/storage/upload/initiate", json=asked) for _ in range(fal_uploads.MAX_UNUSED)
    ]
    assert {upload.status_code for upload in uploads} == {200}
    refused = await stack.api.post("/fal/rest/storage/upload/initiate", json=asked)
    assert refused.status_code == 403, "an hour is too long for a client that repeats by itself"
    assert "send those first" in refused.json()["detail"]
    token = await stack.api.post("/fal/rest/storage/auth/token")
    assert token.status_code == 403
    async with httpx.AsyncClient(trust_env=False) as web:
        image = (await web.get(stack.emulator.sample_image)).content
    url = uploads[0].json()["upload_url"].removeprefix("http://filmgate.test")
    assert (await stack.api.put(url, content=image)).status_code == 200
    assert (await stack.api.post("/fal/rest/storage/upload/initiate", json=asked)).status_code == 200


@pytest.fixture
async def server(redis_server: RedisServer, emulator: Emulator) -> AsyncIterator[Server]:
    """An API process on these tests' store and emulator."""
    async with running_server(environment(redis_server, emulator)) as running:
        yield running


async def test_a_key_and_its_browser_tokens_have_five_hundred_streams_together(stack: Stack) -> None:
    """One more is refused, whichever of them opens it; another key has its own limit; a closed one makes room."""
    key = await stack.gateway.accounts.authenticate(stack.account.key)
    streams = stack.gateway.accounts.streams
    made = [
        (await stack.api.post("/v1/tokens", json={})).json()["token"]
        for _ in range(MAX_STREAMS_WITH_TOKENS // MAX_STREAMS)
    ]
    pages = [await stack.gateway.accounts.authenticate(token) for token in made]

    async def quiet() -> AsyncGenerator[str, None]:
        yield "begun"

    async with contextlib.AsyncExitStack() as all_open:
        for page in pages:
            for _ in range(MAX_STREAMS):
                streams.require_room(page)
                last = streams.until_closed(page, Following(Follower(), quiet()))
                await all_open.enter_async_context(contextlib.aclosing(last))
                assert await anext(last) == "begun"
        one_more = replace(key, digest="one more page")
        for caller in (key, one_more):
            with pytest.raises(OverLimit, match="500 event streams"):
                streams.require_room(caller)
        streams.require_room(replace(one_more, key="another key"))
        await last.aclose()
        streams.require_room(one_more)


async def test_a_key_has_twenty_streams_at_most(stack: Stack, server: Server) -> None:
    """One more is 429, whatever it streams; a closed one makes room. A browser token has its own limit."""
    job = (await stack.submit())["id"]
    paths = ["/v1/events", f"/v1/jobs/{job}/events"]
    stream = {"Accept": "text/event-stream"}
    async with httpx.AsyncClient(base_url=server.url, headers=stack.api.headers, trust_env=False) as web:

        async def answers(path: str, status: int, **more: str) -> bool:
            async with web.stream("GET", path, headers={**stream, **more}) as reply:
                return reply.status_code == status

        async with contextlib.AsyncExitStack() as streams:
            for number in range(MAX_STREAMS):
                one = await streams.enter_async_context(web.stream("GET", paths[number % 2], headers=stream))
                assert one.status_code == 200
            for path in [*paths, f"/fal/queue/fal-ai/kling-video/requests/{job}/status/stream"]:
                await wait_until(partial(answers, path, 429), f"{path} is refused")
            reply = await web.get("/v1/events", headers=stream)
            assert "/v1/events" in assert_problem(reply, 429, "too_many_streams")["detail"]
            token = (await web.post("/v1/tokens", json={})).json()["token"]
            assert await answers("/v1/events", 200, Authorization=f"Bearer {token}")
        await wait_until(partial(answers, "/v1/events", 200), "a stream may begin again")
