"""The store becomes unavailable and comes back: fast 503s, and recovery without a restart."""

import asyncio
import time
from collections.abc import Callable

import httpx
import pytest

from app.domain.accounts import digest
from tests.integration.refusals import assert_problem
from tests.integration.uploads import picture
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

PATIENCE_S = 5.0  # two on an idle machine


def every_route(stack: Stack, job: str) -> dict[str, Callable[[], asyncio.Task[httpx.Response]]]:
    """A valid request for each route that needs the store."""
    api, body = stack.api, stack.body()

    def later(method: str, path: str, **more: object) -> Callable[[], asyncio.Task[httpx.Response]]:
        return lambda: asyncio.create_task(api.request(method, path, **more))  # type: ignore[arg-type]  # as given

    return {
        "submit": later("POST", "/v1/jobs", json=body),
        "submit with key": later("POST", "/v1/jobs", json=body, headers={"Idempotency-Key": "k"}),
        "submit and wait": later("POST", "/v1/jobs", json=body, headers={"Prefer": "wait=30"}),
        "quote": later("POST", "/v1/quotes", json=body),
        "list": later("GET", "/v1/jobs"),
        "read": later("GET", f"/v1/jobs/{job}"),
        "long poll": later("GET", f"/v1/jobs/{job}", headers={"Prefer": "wait=30"}),
        "cancel": later("POST", f"/v1/jobs/{job}/cancel"),
        "delete": later("DELETE", f"/v1/jobs/{job}"),
        "video": later("GET", f"/v1/jobs/{job}/video"),
        "job's events": later("GET", f"/v1/jobs/{job}/events"),
        "deliveries": later("GET", f"/v1/jobs/{job}/deliveries"),
        "me": later("GET", "/v1/me"),
        "events": later("GET", "/v1/events"),
        "models": later("GET", "/v1/models"),
        "file": later("POST", "/v1/files", files={"file": ("a.png", picture(), "image/png")}),
    }


async def remember(stack: Stack, *, seconds: float) -> None:
    """Reload the account's key, and cache it for this long."""
    known, name = stack.gateway.accounts._cache, digest(stack.account.key)
    known.clear()
    assert (await stack.api.get("/v1/me")).status_code == 200
    known[name] = (time.monotonic() + seconds, known[name][1])


async def assert_refused_everywhere(stack: Stack, job: str, *, remembered: bool) -> None:
    """Every route concurrently: 503 with Retry-After within its time; live, but not ready.

    The registry needs no store: while the key is cached (`remembered`), models are shown.
    """
    if not remembered:
        stack.gateway.accounts._cache.clear()
    routes = every_route(stack, job)
    began = time.monotonic()
    alive = await stack.api.get("/livez")
    assert (alive.status_code, time.monotonic() - began < 1) == (200, True)
    began = time.monotonic()
    tasks = {name: start() for name, start in routes.items()}
    ready = asyncio.create_task(stack.api.get("/readyz"))
    models = await tasks.pop("models")
    assert models.status_code == (200 if remembered else 503)
    for name, task in tasks.items():
        reply = await task
        assert time.monotonic() - began < PATIENCE_S, name
        assert_problem(reply, 503, "store_unavailable")
        assert int(reply.headers["retry-after"]) >= 1, name
    assert (await ready).status_code == 503
    assert (await ready).json() == {"status": "not ready", "store": "away"}


async def assert_works_again(stack: Stack, job: str) -> None:
    """Within a few seconds everything works as before, and earlier writes are there."""

    async def answers() -> bool:
        return (await stack.api.get(f"/v1/jobs/{job}")).status_code == 200

    await wait_until(answers, "the store is back", timeout=5)
    for _ in range(20):  # no stale connection is left that would fail another request
        assert (await stack.api.get(f"/v1/jobs/{job}")).status_code == 200
    assert (await stack.submit())["status"] == "queued"


async def test_a_killed_store_is_503_until_it_is_back(fragile: Stack) -> None:
    """Killed: every route refuses at once, with a cached key and without; restarted: everything works again."""
    job = (await fragile.submit())["id"]
    await asyncio.gather(*(fragile.api.get("/v1/me") for _ in range(30)))  # many open connections
    await remember(fragile, seconds=60)
    fragile.redis.kill()
    await assert_refused_everywhere(fragile, job, remembered=True)
    await assert_refused_everywhere(fragile, job, remembered=False)
    fragile.redis.start()
    await assert_works_again(fragile, job)


async def test_a_frozen_store_is_503_until_it_thaws(fragile: Stack) -> None:
    """Frozen: connections stay open and get no answer; every route times out within its bound."""
    job = (await fragile.submit())["id"]
    await remember(fragile, seconds=60)
    fragile.redis.freeze()
    try:
        await assert_refused_everywhere(fragile, job, remembered=True)
        await assert_refused_everywhere(fragile, job, remembered=False)
    finally:
        fragile.redis.thaw()
    await assert_works_again(fragile, job)


async def test_a_submission_that_nobody_answered_is_safe_to_repeat(fragile: Stack) -> None:
    """Frozen during an admission: 503, and a repeat with the same key gives exactly one job."""
    headers = {"Idempotency-Key": "unsure"}
    await remember(fragile, seconds=60)  # so that the script is what hangs
    fragile.redis.freeze()
    try:
        unsure = await fragile.api.post("/v1/jobs", json=fragile.body(), headers=headers)
    finally:
        fragile.redis.thaw()
    assert_problem(unsure, 503, "store_unavailable")

    async def repeated() -> bool:
        return (await fragile.api.post("/v1/jobs", json=fragile.body(), headers=headers)).status_code == 202

    await wait_until(repeated, "the repeat is accepted", timeout=5)
    jobs = (await fragile.api.get("/v1/jobs")).json()["data"]
    assert len(jobs) == 1
    assert (await fragile.api.get("/v1/me")).json()["usage"]["reserved_usd"] == "1.40"


async def test_a_watcher_goes_on_after_the_store_is_back(fragile: Stack) -> None:
    """A long poll that began before the store's restart still returns the end, or 503; it never hangs."""
    job = await fragile.submit()
    waiting = asyncio.create_task(fragile.api.get(job["urls"]["self"], headers={"Prefer": "wait=20"}))

    async def waits() -> bool:
        teams = fragile.gateway.stores.events._followers.values()
        return any(follower._waiter for by_job in teams for some in by_job.values() for follower in some)

    await wait_until(waits, "the long poll has read what there is, and listens")
    fragile.redis.kill()
    fragile.redis.start()
    await assert_works_again(fragile, job["id"])
    assert (await fragile.api.post(job["urls"]["cancel"])).status_code == 202
    reply = await asyncio.wait_for(waiting, 10)
    assert (reply.status_code, reply.json()["status"]) == (200, "canceled")


NO_WRITES = [
    ("maxmemory", "1"),
    ("min-replicas-to-write", "1"),
]


@pytest.mark.parametrize("configuration", NO_WRITES)
async def test_a_store_that_takes_no_writes_is_503(fragile: Stack, configuration: tuple[str, str]) -> None:
    """Out of memory, or without its replicas: a submission is 503, reads work; then writes work again."""
    job = await fragile.submit()
    name, value = configuration
    assert fragile.redis.command("CONFIG", "SET", name, value) == b"+OK\r\n"
    assert_problem(await fragile.api.post("/v1/jobs", json=fragile.body()), 503, "store_unavailable")
    assert (await fragile.api.get(job["urls"]["self"])).status_code == 200
    assert fragile.redis.command("CONFIG", "SET", name, "0") == b"+OK\r\n"
    assert (await fragile.submit())["status"] == "queued"
