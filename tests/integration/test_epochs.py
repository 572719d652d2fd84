"""A store that went back in time buys nothing until it is known what was bought before."""

import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from app.domain.jobs import Status
from app.store import keys
from app.store.witness import WitnessRecord
from tests.integration.restored_store import copy_data, reconnect, restarted, restore_data, witness
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, open_stack

pytestmark = pytest.mark.anyio


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A store for one test, to be killed, emptied and truncated."""
    with RedisServer() as made:
        yield made


@pytest.fixture
async def stack(server: RedisServer, emulator: Emulator) -> AsyncIterator[Stack]:
    """A gateway on that store."""
    async with open_stack(server, emulator) as made:
        yield made


# --- what does not count as going back ---------------------------------------------------------------------------


async def test_a_restarted_and_a_killed_store_stop_nothing(
    server: RedisServer, stack: Stack, pipeline: Pipeline
) -> None:
    """Repeated kill -9 of a store that keeps every write stops nothing."""
    for number in range(1, 4):
        assert (await pipeline.bought()).status is Status.RUNNING
        server.kill()
        server.start()
        async with restarted(stack) as gateway:
            state = await gateway.epoch.state()
        assert (state.stopped, state.claims) == (None, number)
        assert state.witness is not None
        assert state.witness.number == number


@pytest.mark.parametrize("damage", ["gone", "garbage"])
async def test_a_lost_witness_is_a_warning_and_no_stop(
    stack: Stack, pipeline: Pipeline, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the file nothing is known about the past; from now on the file exists again."""
    await pipeline.bought()
    path = witness(stack).path
    path.unlink() if damage == "gone" else path.write_text("{")
    capsys.readouterr()
    async with restarted(stack) as gateway:
        assert (await gateway.epoch.state()).stopped is None
    assert "epoch.no_witness" in capsys.readouterr().out
    record = witness(stack).read()
    assert record is not None
    assert record.number == 1


async def test_a_directory_that_cannot_be_written_is_a_warning_and_no_stop(
    server: RedisServer, emulator: Emulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Logged once by each process; buying continues without the guard."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    async with open_stack(server, emulator, FILMGATE_DATA_DIR=str(blocked / "data")) as stack:
        capsys.readouterr()
        assert (await Pipeline(stack).bought()).status is Status.RUNNING
        assert (await Pipeline(stack).bought()).status is Status.RUNNING
        assert capsys.readouterr().out.count("epoch.unguarded") == 1


async def test_the_claim_is_remembered_outside_before_it_is_bought(stack: Stack) -> None:
    """The file has the claim's number and nonce, readable only by this user."""
    job = await Pipeline(stack).bought()
    record = witness(stack).read()
    assert record is not None
    assert (record.number, record.nonce) == (1, job.nonce)
    assert witness(stack).path.stat().st_mode & 0o777 == 0o600


# --- what does -------------------------------------------------------------------------------------------------


def cut_off(server: RedisServer, claims: int) -> None:
    """The append-only file loses its end, from this claim on."""
    server.kill()
    (file,) = (server.dir / "appendonlydir").glob("*.incr.aof")
    content = file.read_bytes()
    at = -1
    for _ in range(claims):
        at = content.find(b"fg:claims", at + 1)
    assert at > 0
    os.truncate(file, at)
    server.start()


def flushed(server: RedisServer) -> None:
    """FLUSHALL."""
    assert server.command("FLUSHALL") == b"+OK\r\n"


def replaced(server: RedisServer) -> None:
    """A different, empty store is at the same address."""
    server.kill()
    shutil.rmtree(server.dir / "appendonlydir")
    server.start()


@pytest.mark.parametrize(
    ("loss", "why"),
    [(lambda server: cut_off(server, 2), "no longer knows"), (flushed, "empty"), (replaced, "empty")],
    ids=["cut", "flushed", "replaced"],
)
async def test_a_store_that_forgot_buys_nothing(
    server: RedisServer, stack: Stack, pipeline: Pipeline, loss: Callable[[RedisServer], None], why: str
) -> None:
    """Neither a grant nor a claim, an alarm, and a message for callers."""
    await pipeline.bought()
    await pipeline.bought()
    loss(server)
    async with restarted(stack) as gateway:
        state = await gateway.epoch.state()
        assert state.why is not None
        assert why in state.why
        assert (await gateway.stores.buying.state()).reason_for("team_1") == state.stopped
        assert [alarm.kind for alarm in await gateway.stores.alarms.newest(5)] == ["epoch_stopped"]
        assert len(await gateway.stores.slots.grant()) == 0


async def test_another_store_with_a_past_of_its_own_is_noticed(stack: Stack, tmp_path: Path) -> None:
    """By a claim's id that the store never had."""
    await Pipeline(stack).bought()
    await write_witness(stack, WitnessRecord("f" * 32, 1, "0" * 32, 1))
    async with restarted(stack) as gateway:
        state = await gateway.epoch.state()
    assert state.why is not None
    assert "another store" in state.why


async def write_witness(stack: Stack, record: WitnessRecord) -> None:
    """Write this as the host's witness."""
    witness(stack).path.write_text(json.dumps({name: getattr(record, name) for name in WitnessRecord.__slots__}))


async def test_a_loss_is_seen_between_claim_and_post(
    server: RedisServer, stack: Stack, pipeline: Pipeline, tmp_path: Path
) -> None:
    """The store goes back while a worker runs, new claims reach the same number, and still nothing is sent."""
    await pipeline.ended()
    first, second = await pipeline.admit(), await pipeline.admit()
    past = copy_data(server, tmp_path / "past")
    await reconnect(stack)
    await pipeline.gateway.stores.slots.grant()
    await pipeline.submit(first)
    posts = await pipeline.posts()
    restore_data(server, past)
    await reconnect(stack)
    assert len(await pipeline.gateway.stores.slots.grant()) == 2
    job = await pipeline.submit(second)
    assert (job.status, await pipeline.posts()) == (Status.QUEUED, posts)
    assert (await pipeline.gateway.epoch.state()).stopped is not None
    assert await pipeline.gateway.stores.jobs.claim(await pipeline.job(first)) is None
    assert await pipeline.posts() == posts


async def test_the_same_copy_put_back_twice_stops_twice(
    server: RedisServer, stack: Stack, pipeline: Pipeline, tmp_path: Path
) -> None:
    """An accepted loss is not accepted again later."""
    await pipeline.bought()
    past = copy_data(server, tmp_path / "past")
    await reconnect(stack)
    await pipeline.bought()
    for _ in range(2):
        restore_data(server, past)
        async with restarted(stack) as gateway:
            state = await gateway.epoch.accept(actor="olga")
            assert state.stopped is None
    async with restarted(stack) as gateway:
        assert (await gateway.epoch.state()).stopped is None


async def test_other_hosts_follow_into_the_new_epoch(
    server: RedisServer, emulator: Emulator, tmp_path: Path
) -> None:
    """One host detects the loss, an administrator accepts it, and the other hosts do not report it again."""
    async with open_stack(server, emulator) as one, open_stack(server, emulator) as other:
        await Pipeline(one).bought()
        assert await other.gateway.epoch.confirm()
        cut_off(server, 1)
        await reconnect(one)
        await reconnect(other)
        assert not await one.gateway.epoch.confirm()
        assert not await other.gateway.epoch.confirm()
        await one.gateway.epoch.accept(actor="olga")
        assert await other.gateway.epoch.confirm()
        assert await one.gateway.epoch.confirm()


# --- how the stop ends -------------------------------------------------------------------------------------------


async def test_an_administrator_lets_buying_continue(
    server: RedisServer, stack: Stack, pipeline: Pipeline, tmp_path: Path
) -> None:
    """With a line in the audit log; a second time there is nothing to accept."""
    await pipeline.bought()
    waiting = await pipeline.admit()
    past = copy_data(server, tmp_path / "past")
    await reconnect(stack)
    await pipeline.bought()
    restore_data(server, past)
    async with restarted(stack) as gateway:
        assert len(await gateway.stores.slots.grant()) == 0
        await gateway.epoch.accept(actor="olga")
        (line,) = [act for act in await gateway.audit.page(before=None, count=5) if act.action == "epoch.accept"]
        assert (line.actor, line.details["cause"]) == ("olga", "forgotten")
        assert len(await gateway.stores.slots.grant()) == 1
    assert (await pipeline.submit(waiting)).status is Status.RUNNING


async def test_resuming_all_teams_does_not_accept_a_loss_of_the_store(
    server: RedisServer, stack: Stack, pipeline: Pipeline
) -> None:
    """`filmgate resume` ends pauses and the breaker; it prints what still stops buying, and nothing is granted."""
    await pipeline.bought()
    cut_off(server, 1)
    async with restarted(stack) as gateway:
        await gateway.operations.pause("olga", team=None, reason="a look at fal's dashboard")
        sentence = (await gateway.epoch.state()).stopped
        assert sentence is not None
        assert await gateway.operations.resume("olga", team=None) == sentence
        assert (await gateway.stores.buying.state()).pauses == {"epoch": sentence}
        await pipeline.admit()
        assert len(await gateway.stores.slots.grant()) == 0


async def test_jobs_are_still_admitted_and_running_ones_end(
    server: RedisServer, stack: Stack, pipeline: Pipeline, tmp_path: Path
) -> None:
    """Only buying stops."""
    running = await pipeline.bought()
    past = copy_data(server, tmp_path / "past")
    await reconnect(stack)
    await pipeline.bought()
    restore_data(server, past)
    async with restarted(stack):
        waiting = await pipeline.admit()
        await pipeline.completed(running.id)
        assert (await pipeline.finalized(running.id)).status is Status.SUCCEEDED
        assert (await pipeline.job(waiting)).status is Status.QUEUED
        assert await pipeline.redis.hget(keys.PAUSES, "epoch")


async def test_a_restored_mark_stops_even_the_newest_copy(stack: Stack) -> None:
    """`filmgate restore` writes it to the witness: buying stops once, whatever the store has."""
    await Pipeline(stack).bought()
    record = witness(stack).read()
    assert record is not None
    witness(stack).distrust(record, backup="2026-11-22T16:00:00Z")
    async with restarted(stack) as gateway:
        state = await gateway.epoch.accept(actor="olga")
        assert state.witness is not None
        assert not state.witness.restored
    async with restarted(stack) as gateway:
        assert (await gateway.epoch.state()).stopped is None


async def test_two_installations_with_one_data_directory_stop_and_say_so_once(
    server: RedisServer, store: RedisServer, emulator: Emulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each finds the other's store in the witness, second by second: what is remembered of it does not grow."""
    shared = {"FILMGATE_DATA_DIR": str(tmp_path)}
    async with open_stack(server, emulator, **shared) as one, open_stack(store, emulator, **shared) as other:
        old = {f"before:{number}": number for number in range(150)}
        for field, value in old.items():
            await one.gateway.stores.redis.hset(keys.EPOCH, field, value)
        assert await one.gateway.epoch.confirm()
        capsys.readouterr()
        for _ in range(3):
            for stack in (other, one):
                assert not await stack.gateway.epoch.confirm()
        earlier = {
            name for name in await one.gateway.stores.redis.hgetall(keys.EPOCH) if name.startswith("before:")
        }
        assert len(earlier) == 100
        assert {f"before:{number}" for number in range(60, 150)} < earlier
        assert capsys.readouterr().out.count("epoch.stopped") == 2
        for stack in (one, other):
            (alarm,) = await stack.gateway.stores.alarms.active()
            assert alarm.message.endswith("too: give each its own FILMGATE_DATA_DIR.")
