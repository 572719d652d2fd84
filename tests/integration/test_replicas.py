"""A primary with a replica: no caller is told of a write that only the primary has."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from app.domain.ids import join_ref
from app.gateway import open_gateway
from app.settings import SettingsError, load_settings
from app.store import keys
from app.store.connection import connect, disconnect
from app.store.replicas import is_confirmed
from tests.integration.refusals import assert_problem
from tests.support.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.stack import ADMIN_KEY, Stack, open_stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


@dataclass(frozen=True, slots=True)
class Pair:
    """A primary and its replica."""

    primary: RedisServer
    replica: RedisServer

    def part(self) -> None:
        """Stop the replication, as a network cut does."""
        self.replica.command("REPLICAOF", "NO", "ONE")

    def join(self) -> None:
        """Replicate again."""
        self.replica.command("REPLICAOF", "127.0.0.1", str(self.primary.port))

    async def in_step(self, *, replicas: int = 1) -> None:
        """Wait until this many replicas have everything that the primary has."""
        redis = connect(self.primary.url, replicas=replicas)
        try:
            await wait_until(lambda: is_confirmed(redis), "the replica follows")
        finally:
            await disconnect(redis)


@pytest.fixture(scope="module")
def servers() -> Iterator[Pair]:
    """Two real servers, with the documentation's settings for a primary."""
    with RedisServer(repl_diskless_sync_delay="0") as primary, RedisServer() as replica:
        yield Pair(primary, replica)


@pytest.fixture
async def pair(servers: Pair) -> AsyncIterator[Pair]:
    """The two in sync, and empty."""
    servers.primary.flush()
    servers.join()
    await servers.in_step()
    yield servers
    servers.join()


@pytest.fixture
async def stack(pair: Pair, emulator: Emulator) -> AsyncIterator[Stack]:
    """A gateway that expects one replica."""
    async with open_stack(pair.primary, emulator, FILMGATE_STORE_REPLICAS="1") as opened:
        yield opened


async def test_what_is_acknowledged_is_on_the_replica(stack: Stack, pair: Pair) -> None:
    """When the 202 is read, the replica has the job."""
    job = (await stack.api.post("/v1/jobs", json=stack.body())).json()
    copy = connect(pair.replica.url)
    try:
        assert await copy.hget(keys.job(join_ref(stack.account.team.id, job["id"])), "status") == "queued"
    finally:
        await disconnect(copy)


async def test_without_a_confirmation_the_outcome_is_said_to_be_unknown(stack: Stack, pair: Pair) -> None:
    """503 with its own code; the same key later returns the job that was written, once."""
    pair.part()
    first = await stack.api.post("/v1/jobs", json=stack.body(), headers={"Idempotency-Key": "a"})
    assert_problem(first, 503, "outcome_unknown")
    assert "Idempotency-Key" in first.json()["detail"]
    again = await stack.api.post("/v1/jobs", json=stack.body(), headers={"Idempotency-Key": "a"})
    assert_problem(again, 503, "outcome_unknown")
    pair.join()
    await pair.in_step()
    known = await stack.api.post("/v1/jobs", json=stack.body(), headers={"Idempotency-Key": "a"})
    assert known.status_code == 202
    assert known.headers["idempotent-replayed"] == "true"
    assert len((await stack.api.get("/v1/jobs")).json()["data"]) == 1


async def test_with_two_replicas_expected_both_must_confirm(pair: Pair, emulator: Emulator) -> None:
    """With one of them down the outcome is unknown. With both: 202, for the job that was written."""
    with RedisServer() as second:
        other, key = Pair(pair.primary, second), {"Idempotency-Key": "a"}
        other.join()
        await other.in_step(replicas=2)
        async with open_stack(pair.primary, emulator, FILMGATE_STORE_REPLICAS="2") as stack:
            assert (await stack.api.post("/v1/jobs", json=stack.body())).status_code == 202
            for one in (pair, other):
                one.part()
                answer = await stack.api.post("/v1/jobs", json=stack.body(), headers=key)
                assert_problem(answer, 503, "outcome_unknown")
                one.join()
                await other.in_step(replicas=2)
            known = await stack.api.post("/v1/jobs", json=stack.body(), headers=key)
            assert (known.status_code, known.headers["idempotent-replayed"]) == (202, "true")


async def test_a_refusal_needs_no_confirmation(stack: Stack, pair: Pair) -> None:
    """What changes nothing is answered as usual, and reads work."""
    pair.part()
    assert (await stack.api.post("/v1/jobs", json={"input": {}})).status_code == 422
    assert (await stack.api.get("/v1/jobs")).status_code == 200


async def test_a_write_that_is_refused_waits_for_no_replica(stack: Stack, pair: Pair) -> None:
    """A primary without its replicas: 503 `store_unavailable` at once, and not after two waits."""
    watching = connect(pair.primary.url)

    async def waits() -> int:
        stats = await watching.info("commandstats")
        return sum(stats[name]["calls"] for name in ("cmdstat_wait", "cmdstat_waitaof") if name in stats)

    pair.part()
    pair.primary.command("CONFIG", "SET", "min-replicas-to-write", "1")
    try:
        before = await waits()
        reply = await stack.api.post("/v1/jobs", json=stack.body())
        assert_problem(reply, 503, "store_unavailable")
        assert await waits() == before
    finally:
        pair.primary.command("CONFIG", "SET", "min-replicas-to-write", "0")
        await disconnect(watching)


async def test_an_administrators_act_is_confirmed(stack: Stack, pair: Pair) -> None:
    """An acknowledged team exists, and an acknowledged revocation holds, after a failover."""
    admin = {"Authorization": f"Bearer {ADMIN_KEY}"}
    assert (await stack.api.post("/v1/admin/teams", json={"name": "a"}, headers=admin)).status_code == 201
    pair.part()
    assert_problem(
        await stack.api.post("/v1/admin/teams", json={"name": "b"}, headers=admin), 503, "outcome_unknown"
    )


async def test_a_free_cancellation_is_confirmed(stack: Stack, pair: Pair) -> None:
    """Otherwise a job that was acknowledged as canceled may be bought after a failover."""
    one, other = await stack.submit(), await stack.submit()
    assert (await stack.api.post(f"/v1/jobs/{one['id']}/cancel")).status_code == 202
    pair.part()
    assert_problem(await stack.api.post(f"/v1/jobs/{other['id']}/cancel"), 503, "outcome_unknown")


async def test_what_no_replica_has_is_not_bought(stack: Stack, pair: Pair, emulator: Emulator) -> None:
    """The claim may be lost with the primary, so nothing is sent; the job is requeued, and bought later."""
    job_id = (await stack.api.post("/v1/jobs", json=stack.body())).json()["id"]
    pair.part()
    async with stack.workers():
        for _ in range(3):
            await asyncio.sleep(0.5)  # meanwhile it is claimed and requeued
            shown = (await stack.api.get(f"/v1/jobs/{job_id}")).json()
            assert shown["status"] in {"queued", "submitting"}
            assert shown["submitted_at"] is None
        pair.join()

        async def ended() -> bool:
            shown = (await stack.api.get(f"/v1/jobs/{job_id}")).json()
            assert shown["status"] != "held"
            return bool(shown["status"] == "succeeded")

        await wait_until(ended, "the job is bought and made", timeout=60)


async def test_without_replicas_nothing_is_asked(pair: Pair, emulator: Emulator) -> None:
    """The default for a single store."""
    pair.part()
    async with open_stack(pair.primary, emulator) as stack:
        assert (await stack.api.post("/v1/jobs", json=stack.body())).status_code == 202


SETTINGS: dict[str, tuple[dict[str, str], str | None]] = {
    "as it should be": ({"min-replicas-to-write": "1", "min-replicas-max-lag": "5"}, None),
    "none needed to write": ({"min-replicas-to-write": "0", "min-replicas-max-lag": "5"}, "min-replicas-to-write"),
    "a lag of a minute": ({"min-replicas-to-write": "1", "min-replicas-max-lag": "60"}, "min-replicas-max-lag"),
    "any lag": ({"min-replicas-to-write": "1", "min-replicas-max-lag": "0"}, "min-replicas-max-lag"),
}


@pytest.mark.parametrize("case", SETTINGS)
async def test_a_primary_that_goes_on_alone_is_refused_with_real_money(pair: Pair, case: str) -> None:
    """One sentence that names the store's setting."""
    config, named = SETTINGS[case]
    settings = load_settings(
        {"FAL_KEY": "id:secret", "FILMGATE_REDIS_URL": pair.primary.url, "FILMGATE_STORE_REPLICAS": "1"}
    )
    try:
        for name, value in config.items():
            pair.primary.command("CONFIG", "SET", name, value)
        refused: Any = pytest.raises(SettingsError, match=named) if named else contextlib.nullcontext()
        with refused:
            async with open_gateway(settings, process="check"):
                pass
    finally:
        pair.primary.command("CONFIG", "SET", "min-replicas-to-write", "0")


def test_one_replica_is_expected_with_sentinels() -> None:
    """And none otherwise, unless the setting says so."""
    assert load_settings({"FILMGATE_REDIS_URL": "sentinel://a:1/fg"}).store_replicas == 1
    assert load_settings({"FILMGATE_REDIS_URL": "redis://a:1"}).store_replicas == 0
    assert (
        load_settings({"FILMGATE_REDIS_URL": "sentinel://a:1/fg", "FILMGATE_STORE_REPLICAS": "0"}).store_replicas
        == 0
    )
