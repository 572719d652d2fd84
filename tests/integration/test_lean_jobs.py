"""The store's memory that an ended job takes, including everything kept for it; and how a store is filled."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from app.gateway import open_gateway
from app.settings import load_settings
from benchmarks.filling import Asker, Filler, Wire, digest
from benchmarks.processes import NotMeasured, environment
from tests.support.accounts import new_account
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.anyio
AIM = 2048  # bytes
BEFORE, JOBS = 1200, 1000  # the first thousand fill structures of a fixed size: claims, admissions


async def test_an_ended_job_takes_two_kilobytes(tmp_path: Path, say: Callable[[str], None]) -> None:
    """Record, events, ledger, idempotency key and index entries, written by our scripts; the store's own figure."""
    with RedisServer() as store:
        env = environment(FILMGATE_REDIS_URL=store.url, FILMGATE_DATA_DIR=str(tmp_path))
        async with open_gateway(load_settings(env), process="test") as gateway:
            account = await new_account(gateway.administration, team_name="team", user_name="user")
            made = await gateway.administration.add_key("test", user=account.user.id)
            asker = Asker(account.team.id, account.user.id, made.record.id, digest(made.key))
            wire = await Wire.open(store.unix_url.removeprefix("unix://"))
            filler = Filler(wire, [asker])
            await filler.make(BEFORE)
            before = await used(wire)
            await filler.make(JOBS)
            took = (await used(wire) - before) / JOBS
            await wire.close()
    say(f"an ended job takes {took:.0f} bytes")
    assert took <= AIM


async def used(wire: Wire) -> int:
    """Bytes of the store's memory in use."""
    lines = (await wire.execute_command("INFO", "memory")).splitlines()
    return int(next(line for line in lines if line.startswith("used_memory:")).split(":")[1])


async def test_a_filling_whose_store_goes_away_ends() -> None:
    """Calls without a reply end, and later ones too: the bench says so instead of waiting for ever."""
    with RedisServer() as server:
        wire = await Wire.open(server.unix_url.removeprefix("unix://"))
        server.freeze()
        calls = [asyncio.create_task(wire.execute_command("PING")) for _ in range(3)]
        await asyncio.sleep(0)
        calls.pop().cancel()
        server.kill()
        for call in [*calls, asyncio.create_task(wire.execute_command("PING"))]:
            with pytest.raises(NotMeasured):
                await asyncio.wait_for(call, 10)
        await wire.close()
