"""Alarms about hosts and the store: one is gone, two differ, a clock is wrong, the store may forget."""

import re
import time
from typing import Any

import pytest

from app.alerting import AGREED, agreed_values
from app.machine import process_name
from app.services.alarm_watch import AlarmWatch
from app.services.checks.hosts import CLOCK_MS, GIVEN_UP_MS, GONE_MS, HostCheck
from app.services.host_report import HostReport
from app.settings import Settings, load_settings
from app.store import keys
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


@pytest.fixture
def watch(stack: Stack) -> AlarmWatch:
    """A watch of the hosts alone, which waits for nothing."""
    stores = stack.gateway.stores
    return AlarmWatch(stores.alarms, stores.leases, [HostCheck(stores.hosts, settle_s=0, report_s=0)])


async def active(stack: Stack, watch: AlarmWatch) -> dict[tuple[str, str], str]:
    """The alarms of hosts, after the watch has looked twice."""
    for _ in range(2):
        await watch.run_all()
    return {(one.kind, one.about): one.message for one in await stack.gateway.stores.alarms.active()}


def host(stack: Stack, role: Any, name: str, clock_s: float = 0, **settings: str) -> HostReport:
    """A host with this name (`host:pid`), with its clock so many seconds off."""
    hosts = stack.gateway.stores.hosts
    return HostReport(hosts, role, settings=settings, name=name, wall=lambda: time.time() + clock_s)


async def silent(stack: Stack, name: str, ms: int) -> None:
    """As if the last report of `role host:pid` were so old, and its first one second older."""
    redis: Any = stack.gateway.stores.redis
    text = await redis.hget(keys.HOSTS, name)
    now_ms = await stack.gateway.stores.clock.now_ms()
    start, _, rest = text.partition('"at_ms":')
    old = rest.lstrip("0123456789")
    began, _, tail = f'{start}"at_ms":{now_ms - ms}{old}'.partition('"began_ms":')
    await redis.hset(keys.HOSTS, name, f'{began}"began_ms":{now_ms - ms - 1000}{tail.lstrip("0123456789")}')


async def test_a_host_that_vanishes_is_an_alarm_until_it_is_back_or_replaced(
    stack: Stack, watch: AlarmWatch
) -> None:
    """Not one that stopped in order, not one of another role; after a day it is forgotten."""
    for name in ("a:1", "b:2"):
        await host(stack, "worker", name).report()
    await host(stack, "api", "a:9").report()
    assert await active(stack, watch) == {}
    for name in ("worker a:1", "worker b:2"):
        await silent(stack, name, GONE_MS + 5000)
    assert list(await active(stack, watch)) == [("host_gone", "worker a"), ("host_gone", "worker b")]
    await host(stack, "worker", "a:77").report()  # restarted, with another process id
    assert list(await active(stack, watch)) == [("host_gone", "worker b")]
    await host(stack, "worker", "c:1").report()
    assert await active(stack, watch) == {}
    for name in ("worker a:1", "worker b:2"):
        await silent(stack, name, GONE_MS + 5000)
    stopped = host(stack, "worker", "c:3")
    await stopped.report()
    await stopped.close()
    await stack.gateway.stores.hosts.forget(["worker a:77", "worker c:1"])
    assert list(await active(stack, watch)) == [("host_gone", "worker a"), ("host_gone", "worker b")]
    for name in ("worker a:1", "worker b:2"):
        await silent(stack, name, GIVEN_UP_MS + 1000)
    assert await active(stack, watch) == {}
    assert [one.name for one in (await stack.gateway.stores.hosts.all())[1]] == ["api a:9"]


async def test_one_of_two_processes_of_a_host_is_missed_until_another_began(
    stack: Stack, watch: AlarmWatch
) -> None:
    """The other was there before, so it replaces nobody; whoever begins replaces one, and may vanish as well."""
    for name in ("a:1", "a:2"):
        await host(stack, "api", name).report()
    await silent(stack, "api a:1", GONE_MS + 9000)
    await silent(stack, "api a:2", GONE_MS + 60_000)
    await host(stack, "api", "a:2").report()  # it began long ago, and works
    (sentence,) = (await active(stack, watch)).values()
    since = sentence.partition(" since ")[2].partition(",")[0]
    assert sentence == (
        f"1 api process of the host a (1) has not reported since {since}, and did not stop; others do."
    )
    await host(stack, "api", "a:3").report()
    assert await active(stack, watch) == {}
    await silent(stack, "api a:2", GONE_MS + 8500)
    assert "1 api process of the host a (" in (await active(stack, watch))["host_gone", "api a"]
    await silent(stack, "api a:3", GONE_MS + 5000)  # it had replaced one, and nobody works there now
    assert "The host a (api) has" in (await active(stack, watch))["host_gone", "api a"]
    await host(stack, "api", "a:4").report()
    assert "1 api process of the host a (" in (await active(stack, watch))["host_gone", "api a"]
    await host(stack, "api", "a:5").report()
    assert await active(stack, watch) == {}


async def test_who_was_replaced_is_not_missed_when_the_replacement_stops_in_order(
    stack: Stack, watch: AlarmWatch
) -> None:
    """Also when it stops before the alarm could have been raised; who comes back and vanishes is missed again."""
    gone, back = ("host_gone", "worker a"), ("host_gone", "worker b")
    for name, ms in (("a:1", GONE_MS + 5500), ("b:2", GONE_MS + 5000)):  # who vanished last is replaced first
        await host(stack, "worker", name).report()
        await silent(stack, f"worker {name}", ms)
    first, second = host(stack, "worker", "c:3"), host(stack, "worker", "b:4")
    await first.report()
    assert list(await active(stack, watch)) == [gone]
    await second.report()
    assert await active(stack, watch) == {}
    for one in (first, second):
        await one.close()
        assert await active(stack, watch) == {}
    await host(stack, "worker", "b:2").report()
    await silent(stack, "worker b:2", GONE_MS + 5000)
    assert list(await active(stack, watch)) == [back]
    await silent(stack, "worker b:2", GONE_MS - 20_000)
    short = host(stack, "worker", "d:5")
    await short.report()
    await short.close()
    await silent(stack, "worker b:2", GONE_MS + 5000)
    assert await active(stack, watch) == {}


async def test_after_an_outage_of_the_store_no_host_is_missed_at_once(stack: Stack) -> None:
    """All reports are old then; the hosts have ten seconds to write new ones."""
    stores = stack.gateway.stores
    await host(stack, "worker", "a:1").report()
    await silent(stack, "worker a:1", GONE_MS + 5000)
    assert await active(stack, AlarmWatch(stores.alarms, stores.leases, [HostCheck(stores.hosts)])) == {}


async def test_workers_whose_supervisor_is_killed_are_missed(stack: Stack, watch: AlarmWatch) -> None:
    """By real processes: the keeper ends in order then, but the host did not. One that is stopped is not missed."""
    stores = stack.gateway.stores

    async def watched() -> bool:
        return await stores.leases.has_holder("watch")

    async def unwatched() -> bool:
        return not await watched()

    async with stack.workers() as workers:
        await wait_until(watched, "the keeper watches")
        workers.kill()
        await wait_until(unwatched, "the keeper has ended")
        ((name, role),) = [(one.name, one.role) for one in (await stores.hosts.all())[1]]
        assert role == "worker"
        await silent(stack, name, GONE_MS + 5000)
        assert [kind for kind, _ in await active(stack, watch)] == ["host_gone"]
        ended = process_name(workers.pid)
        await stores.heartbeats.beat(ended, role="supervisor")  # just before it was killed
        workers.start()
        await wait_until(watched, "the new keeper watches", timeout=40)

        async def none_is_counted_twice() -> bool:
            return ended not in await stores.heartbeats.workers()

        await wait_until(none_is_counted_twice, "the killed one is forgotten", timeout=4)
        assert await active(stack, watch) == {}
    assert [one.name for one in (await stores.hosts.all())[1]] == [name]  # the new one stopped in order


async def test_settings_that_differ_are_named_with_their_hosts(stack: Stack, watch: AlarmWatch) -> None:
    """One alarm for each setting; a secret that one host does not need is no difference; over when they agree."""
    await host(stack, "api", "a:1", FILMGATE_RETENTION_DAYS="30", FAL_KEY="(digest 1)").report()
    await host(stack, "worker", "b:2", FILMGATE_RETENTION_DAYS="30").report()
    await host(stack, "worker", "c:3", FILMGATE_RETENTION_DAYS="7", FAL_KEY="(digest 1)").report()
    assert await active(stack, watch) == {
        ("settings_differ", "FILMGATE_RETENTION_DAYS"): (
            "FILMGATE_RETENTION_DAYS is 30 on a (api), b (worker) and 7 on c (worker)."
        )
    }
    await host(stack, "worker", "c:3", FILMGATE_RETENTION_DAYS="30", FAL_KEY="(digest 1)").report()
    assert await active(stack, watch) == {}
    for process, days in (("5", "30"), ("6", "7"), ("7", "7")):
        await host(stack, "api", f"d:{process}", FILMGATE_RETENTION_DAYS=days).report()
    (sentence,) = (await active(stack, watch)).values()
    assert "30 on a (api), b (worker), c (worker), d (api 5) and 7 on d (api 6), d (api 7)." in sentence


async def test_settings_that_differ_for_a_moment_are_no_alarm(stack: Stack) -> None:
    """A rolling deployment has two values for a while."""
    stores = stack.gateway.stores
    await host(stack, "api", "a:1", FILMGATE_PORT="1").report()
    await host(stack, "api", "b:1", FILMGATE_PORT="2").report()
    assert await active(stack, AlarmWatch(stores.alarms, stores.leases, [HostCheck(stores.hosts)])) == {}


async def test_a_clock_that_jumps_is_an_alarm_that_says_whose(stack: Stack, watch: AlarmWatch) -> None:
    """Forwards or backwards by more than ten seconds; over when it is right."""
    await host(stack, "api", "a:1", clock_s=CLOCK_MS / 1000 - 2).report()
    await host(stack, "worker", "b:1", clock_s=3600).report()
    await host(stack, "worker", "c:1", clock_s=-75).report()
    found = await active(stack, watch)
    assert list(found) == [("clock_off", "b"), ("clock_off", "c")]
    assert "ahead of the store's" in found["clock_off", "b"]
    assert re.fullmatch(r"The clock of c is 7\d s behind the store's\.", found["clock_off", "c"])
    for name in ("b:1", "c:1"):
        await host(stack, "worker", name).report()
    assert await active(stack, watch) == {}


async def test_hosts_report_what_they_must_agree_on_and_no_secret(tmp_path: Any) -> None:
    """A file by its content, not by its path; secrets by a short digest."""
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "b.json").write_text("{}")
    key = {"FAL_KEY": "key-of-a-customer:0123456789abcdef"}
    values = [
        agreed_values(load_settings({**key, "FILMGATE_PRICES": str(tmp_path / name)}))
        for name in ("a.json", "b.json")
    ]
    assert values[0] == values[1]
    assert "0123456789abcdef" not in repr(values)
    assert values[0]["FILMGATE_RETENTION_DAYS"] == "30"
    assert "FILMGATE_HOOK_SECRET" not in values[0]
    assert {field.alias for field in Settings.model_fields.values()} >= set(AGREED)


async def test_a_store_that_is_set_otherwise_at_run_time_is_an_alarm(fragile: Stack) -> None:
    """Over when it is set back. With an emulator, what was so at the start is accepted."""
    redis, alarms = fragile.redis, fragile.gateway.stores.alarms

    async def said() -> str:
        await fragile.gateway.alarm_watch.run_all()
        return " ".join(alarm.message for alarm in await alarms.active() if alarm.kind == "store_not_durable")

    redis.apply("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    assert await said() == ""
    redis.apply("CONFIG", "SET", "appendfsync", "no")
    assert "appendfsync 'no'" in await said()
    redis.apply("CONFIG", "SET", "appendonly", "no")
    assert "appendonly 'no'" in await said()
    redis.apply("CONFIG", "SET", "appendfsync", "always")
    redis.apply("CONFIG", "SET", "appendonly", "yes")

    async def over() -> bool:
        return await said() == ""

    await wait_until(over, "its log is written again")
