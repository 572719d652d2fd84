"""Migrations of the store's data: online, resumable, by several processes at once; and who refuses which store."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.domain.data_format import FORMAT, UNNUMBERED, refusal
from app.domain.store_role import StoreRole
from app.services.migration import OTHER_PROCESS, Migrator
from app.settings import SettingsError
from app.starting import require_store
from app.store import keys
from app.store.connection import connect, disconnect
from app.store.data_format import DataFormatStore, Program
from app.store.job_indexes import Position
from app.store.leases import LeaseStore
from tests.integration.older_store import fill, records, whole
from tests.support.processes import COMMAND, clean_environment, run_command
from tests.support.redis_server import RedisServer
from tests.support.repo import ROOT
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


@pytest.fixture
def old_store() -> Iterator[RedisServer]:
    """A store of its own: the jobs in it have no entries in the ledger."""
    with RedisServer() as server:
        yield server


@asynccontextmanager
async def client_of(store: RedisServer) -> AsyncIterator[Any]:
    """A client as processes have it."""
    client = connect(store.url)
    yield client
    await disconnect(client)


async def small_page(store: DataFormatStore, team: str, before: Position | None) -> tuple[Position | None, int]:
    """To format 2, seven jobs a step."""
    return await store.repack_page(team, before, rows=7)


class Killed(Exception):
    """The process ends here."""


async def until_killed(client: Any, commands: int) -> bool:
    """Migrate with a process that is killed after so many commands; True when it came to the end before."""
    send, left = type(client).execute_command, commands

    async def counted(*words: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        return await send(client, *words, **options)

    client.execute_command = counted
    migrator = Migrator(DataFormatStore(client), LeaseStore(client), steps={2: small_page})
    try:
        while not (await migrator.step()).done:
            client.execute_command = counted
    except Killed:
        return False
    finally:
        del client.execute_command
        await client.delete(keys.lease("migration"))  # its lease has ended
    return True


async def test_a_migration_may_be_killed_after_any_command(old_store: RedisServer) -> None:
    """Each process gets one command further than the last: records are packed, and read and expire as before."""
    fill(old_store, 90)
    before = records(old_store)
    async with client_of(old_store) as client:
        commands = 0
        while not await until_killed(client, commands):
            assert dict(whole(records(old_store))) == dict(whole(before)), f"killed after {commands} commands"
            commands += 1
        assert commands > 20
        assert (await DataFormatStore(client).state()).number == FORMAT
    after = records(old_store)
    assert dict(whole(after)) == dict(whole(before))
    assert all(record["z0"].startswith("2") and "input" not in record for record, _ in after.values())
    assert all(0 < left <= before[name][1] for name, (_, left) in after.items())


@pytest.mark.full
async def test_two_processes_migrate_and_one_is_killed(old_store: RedisServer) -> None:
    """`filmgate migrate` twice at once on a larger store: after a kill of both, a third one completes it."""
    count = 3000
    fill(old_store, count)
    before = records(old_store)
    environment = clean_environment(FILMGATE_REDIS_URL=old_store.url, PYTHONPATH=str(ROOT))

    def start() -> "subprocess.Popen[bytes]":
        return subprocess.Popen([*COMMAND, "migrate"], env=environment, stdout=subprocess.DEVNULL, cwd=ROOT)  # noqa: S603

    async with client_of(old_store) as client:
        store = DataFormatStore(client)

        async def under_way() -> bool:
            return (await store.state()).changed > 0

        both = [start(), start()]
        await wait_until(under_way, "a migration is under way", timeout=30, interval=0.001)
        for process in both:
            process.kill()
            process.wait()
        killed_at = await store.state()
        assert (killed_at.number, killed_at.to) == (UNNUMBERED, FORMAT)
        ended = await run_command("migrate", "--json", environment=environment)
        assert (ended.returncode, '"format": 2' in ended.stdout) == (0, True), ended.stderr
        assert (await store.state()).number == FORMAT
        after = records(old_store)
        assert dict(whole(after)) == dict(whole(before))
        assert sum("z0" in record for record, _ in after.values()) == count


async def test_a_record_that_changes_meanwhile_keeps_the_change(old_store: RedisServer) -> None:
    """A job is corrected between its reading and its writing: it is read again."""
    fill(old_store, 2)
    name = min(records(old_store))
    async with client_of(old_store) as client:
        send = type(client).execute_command
        changed = False

        async def with_a_change(*words: Any, **options: Any) -> Any:
            nonlocal changed
            if name in words and not changed:
                changed = True
                await send(client, "HSET", name, "charged_micro", "7")
            return await send(client, *words, **options)

        client.execute_command = with_a_change
        assert await Migrator(DataFormatStore(client), LeaseStore(client)).advance(5)
    record = dict(whole(records(old_store)))[name]
    assert (record["charged_micro"], "z0" in records(old_store)[name][0]) == ("7", True)


async def test_a_migration_waits_for_what_could_not_read_it(old_store: RedisServer) -> None:
    """A process two formats below stops it, with a sentence, one format below does not; one host at a time."""
    fill(old_store, 2)
    steps: dict[int, Any] = {2: small_page, 3: small_page, 4: small_page}
    async with client_of(old_store) as client:
        store, leases = DataFormatStore(client), LeaseStore(client)
        await store.note_program(Program(2, "1.2.3", "api", "host-a:17"))
        three, four = Migrator(store, leases, to=3, steps=steps), Migrator(store, leases, to=4, steps=steps)
        assert (await three.step()).waits_for is not None, "a store of format 1 is two below"
        await Migrator(store, leases, to=2, steps=steps).advance(5)
        assert await three.advance(5), "what has format 2 reads format 3"
        waits_for = (await four.step()).waits_for
        assert waits_for is not None
        assert "api host-a:17 runs filmgate 1.2.3, which cannot read data format 4" in waits_for
        await client.delete(keys.PROGRAMS)
        assert not (await four.step()).done
        other = Migrator(store, LeaseStore(client), to=4, steps=steps)
        assert (await other.step()).waits_for == OTHER_PROCESS
        assert await four.advance(5)
        assert (await store.state()).number == 4


def test_formats_next_to_each_other_are_read() -> None:
    """N reads N - 1, N and N + 1; others are refused in a sentence that says which version to start."""
    assert [refusal(number, version="9", own=5) is None for number in range(2, 9)] == [False] * 2 + [True] * 3 + [
        False
    ] * 2
    assert refusal(UNNUMBERED, version="9") is None
    assert "start a newer version" in (refusal(7, version="9", own=5) or "")
    assert "one with the data format 4" in (refusal(3, version="9", own=5) or "")


async def test_a_newer_store_is_refused_at_every_start(stack: Stack) -> None:
    """Workers and API end with 78 and one sentence; a store that is one format newer is used."""
    redis: Any = stack.gateway.stores.redis
    await redis.hset(keys.DATA_FORMAT, "number", FORMAT + 1)
    await require_store(stack.settings, redis, role=StoreRole.ALL, patience=0)
    await redis.hset(keys.DATA_FORMAT, "number", FORMAT + 2)
    with pytest.raises(SettingsError, match=f"data format {FORMAT + 2}, and .* reads the data formats 1 to 3"):
        await require_store(stack.settings, redis, role=StoreRole.ALL, patience=0)
    words = ("serve", "worker")
    environment = clean_environment(**stack.environment)
    ended = await asyncio.gather(*(run_command(word, environment=environment) for word in words))
    for word, one in zip(words, ended, strict=True):
        assert one.returncode == 78, (word, one.stderr)
        assert "start a newer version (docs/upgrading.md)" in one.stderr
        assert "Traceback" not in one.stderr
