"""What the store and its hosts report: memory, missing workers, the number of jobs at fal."""

from itertools import pairwise

import pytest

from app.services.checks.store import StoreCheck
from app.store import keys
from tests.support.stack import ADMIN_KEY, Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


BALLAST = 30_000_000  # bytes, to give the store a usual size
TO_AND_FRO = [900_000, 1_200_000] * 5
STEPS = [
    *range(4_000_000, 1_000_000, -100_000),
    *TO_AND_FRO,
    *range(900_000, 100_000, -100_000),
    *range(100_000, -150_000, -4_000),
]  # bytes until memory is full


def used_bytes(stack: Stack) -> int:
    """The store's memory in use."""
    return int(stack.redis.command("INFO", "memory").split(b"used_memory:")[1].split(b"\r\n")[0])


async def test_ready_is_never_said_of_a_store_that_refuses_a_job(fragile: Stack) -> None:
    """At every distance from the limit, downwards and upwards; the answer changes once in each direction."""
    fragile.redis.apply("SETRANGE", "ballast", str(BALLAST), "x")
    fragile.redis.apply("SET", keys.LAST_LANE, str(await fragile.gateway.stores.clock.now_ms()), "EX", "600")
    seen = []
    for room in [*STEPS, *reversed(STEPS)]:
        fragile.redis.apply("CONFIG", "SET", "maxmemory", str(used_bytes(fragile) + room))
        ready = await fragile.api.get("/readyz")
        job = await fragile.api.post("/v1/jobs", json=fragile.body("x" * 2000, metadata={"a": "y" * 200}))
        assert ready.status_code == 200 or ready.json()["store"] == "full", ready.text
        assert job.status_code == 202 or "no memory left" in job.text, job.text
        seen.append((ready.status_code == 200, job.status_code == 202))
    assert (True, False) not in seen
    assert {(True, True), (False, True), (False, False)} <= set(seen)
    says = [is_ready for is_ready, _ in seen]
    assert [says[0], says[-1], sum(one != other for one, other in pairwise(says))] == [True, True, 2]


async def test_full_memory_is_said_before_and_while(fragile: Stack) -> None:
    """I6: an alarm before it is full; when full, `/readyz`, status and a 503 say so."""
    admin = {"Authorization": f"Bearer {ADMIN_KEY}"}
    async with fragile.workers():
        fragile.redis.apply("SETRANGE", "ballast", str(BALLAST), "x")
        fragile.redis.apply("CONFIG", "SET", "maxmemory", str(int(used_bytes(fragile) * 1.15)))

        async def rung() -> bool:
            return any(alarm.kind == "store_memory" for alarm in await fragile.gateway.stores.alarms.newest(9))

        await wait_until(rung, "an alarm says that the store is nearly full", timeout=20)
        assert (await fragile.api.get("/readyz")).status_code == 200
        fragile.redis.apply("CONFIG", "SET", "maxmemory", "1")
        ready = await fragile.api.get("/readyz")
        assert (ready.status_code, ready.json()["store"]) == (503, "full")
        refused = await fragile.api.post("/v1/jobs", json=fragile.body())
        assert (refused.status_code, "no memory left" in refused.json()["detail"]) == (503, True), refused.text
        assert (await fragile.api.get("/v1/admin/status", headers=admin)).status_code == 200
        for act in ("pause", "resume"):
            done = await fragile.api.post(f"/v1/admin/{act}", headers=admin, json={"reason": "memory is full"})
            assert done.status_code == 200, done.text
        fragile.redis.apply("CONFIG", "SET", "maxmemory", "0")
        assert (await fragile.api.get("/readyz")).json()["status"] == "ready"


async def test_the_alarm_about_memory_does_not_come_and_go(fragile: Stack) -> None:
    """It begins at four fifths, and is over below three quarters."""
    check = StoreCheck(fragile.gateway.stores.health, strict=False)
    fragile.redis.apply("SETRANGE", "ballast", str(BALLAST), "x")
    said = []
    for share in (0.78, 0.85, 0.78, 0.70):
        fragile.redis.apply("CONFIG", "SET", "maxmemory", str(int(used_bytes(fragile) / share)))
        said.append("store_memory" in [found.kind for found in await check.findings()])
    assert said == [False, True, True, False]


async def test_one_number_of_jobs_at_fal_for_all_hosts(stack: Stack) -> None:
    """Hosts with different numbers: the lowest applies to all, and a host that is gone does not count."""
    health = stack.gateway.stores.health
    assert (await health.agree_concurrency("a:1", 4)).number == 4
    assert (await health.agree_concurrency("b:1", 2)).host == "b:1"
    assert (await health.agree_concurrency("a:1", 4)).number == 2
    for _ in range(3):
        await stack.submit()
    assert len(await stack.gateway.stores.slots.grant()) == 2
    seen = await stack.gateway.stores.buying.state()
    assert (seen.configured, seen.slots, seen.hosts) == (2, 2, {"a:1": 4, "b:1": 2})
    gone = stack.redis.command("HSET", keys.CONCURRENCY, "host b:1", "2 1")
    assert gone == b":0\r\n"
    assert (await health.agree_concurrency("a:1", 4)).number == 4
    assert len(await stack.gateway.stores.slots.grant()) == 1


async def test_missing_workers_refuse_no_request(stack: Stack) -> None:
    """Never seen, or silent for a moment: ready, and named. Silent for longer: that is why nothing is bought."""
    never = await stack.api.get("/readyz")
    assert (never.status_code, never.json()["workers_missing"]) == (200, ["deliveries", "lanes", "work"])
    now = await stack.gateway.stores.clock.now_ms()
    stack.redis.command("SET", keys.LAST_LANE, str(now), "EX", "60")
    ready = await stack.api.get("/readyz")
    assert (ready.status_code, ready.json()["workers_missing"]) == (200, ["deliveries", "lanes", "work"])
    assert ready.json()["upstream_paused"] is None
    stack.redis.command("SET", keys.LAST_LANE, str(now - 60_000), "EX", "60")
    assert "No worker" in str((await stack.api.get("/readyz")).json()["upstream_paused"])
