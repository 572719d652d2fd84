"""Backup and restore as an operator does them, with real processes."""

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from app.data_dir import DataDirLock
from app.domain.store_role import StoreRole
from app.embedded import EmbeddedStore
from app.store.rights import acl
from app.store.witness import Witness
from tests.support.installation import ENDS, Installation, open_installation
from tests.support.processes import clean_environment, run_command
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio
SECONDS = 60


@pytest.fixture
async def installation(store: RedisServer) -> AsyncIterator[Installation]:
    """Store, emulator, API and workers; a clip takes half a second, one runs at a time."""
    options = ("--queue-seconds", "0", "--run-seconds", "0.5")
    async with open_installation(store, *options, FILMGATE_UPSTREAM_CONCURRENCY="1") as made:
        yield made


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[EmbeddedStore]:
    """An embedded store that runs in `tmp_path / "data"`."""
    made = EmbeddedStore(tmp_path / "data")
    made.start()
    yield made
    made.stop()


async def filmgate(*words: str, data: Path | None = None, **settings: str) -> "subprocess.CompletedProcess[str]":
    """`filmgate …` with these settings."""
    where = {} if data is None else {"FILMGATE_DATA_DIR": str(data)}
    return await run_command(*words, environment=clean_environment(**where, **settings))


def names_in(folder: Path) -> list[str]:
    """A directory's content."""
    return sorted(path.name for path in folder.iterdir())


async def bought(installation: Installation) -> int:
    """How many submits fal has accepted."""
    return len(await installation.emulator.requests())


async def test_a_restored_backup_buys_nothing_until_a_person_allows_it(
    installation: Installation, tmp_path: Path
) -> None:
    """Copied under load; jobs bought after the copy are in line again, and are not bought again."""
    copy = tmp_path / "copy"
    bodies: list[tuple[str, dict[str, Any]]] = [(f"early {n}", {}) for n in range(6)]
    await installation.submit_all(bodies)
    late = asyncio.create_task(installation.submit_all([(f"late {n}", {}) for n in range(8)]))
    made = await installation.command("backup", str(copy))
    await late
    assert made["claims"] < len(bodies) + 8
    jobs = await installation.jobs()
    await installation.until_all(len(jobs), ENDS, timeout=SECONDS)
    before = await bought(installation)
    assert before == len(bodies) + 8

    installation.workers.stop()
    installation.redis.kill()
    ended = await filmgate("restore", str(copy), "--replace", "--json", data=installation.redis.dir)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["moved_aside"].endswith("appendonlydir.before-1")
    installation.redis.start()
    installation.workers.start()

    async def stopped() -> bool:
        return not (await installation.command("epoch", "show"))["buying"]

    await installation.ready()
    await wait_until(stopped, "buying is stopped", timeout=SECONDS, interval=0.2)

    async def settled() -> list[str]:
        found = sorted({job["status"] for job in await installation.jobs()})
        return found if "queued" in found and set(found) <= ENDS | {"queued", "held"} else []

    await wait_until(settled, "what ran has ended, and the rest waits", timeout=SECONDS, interval=0.3)
    assert await bought(installation) == before
    for job in await installation.jobs():  # a person has found the clip of each in fal's dashboard
        if job["status"] == "queued":
            assert (await installation.api.post(f"/v1/jobs/{job['id']}/cancel")).status_code == 202
        elif job["status"] == "held":  # the copy was made between its claim and fal's answer
            found = await installation.request_of(job["input"]["prompt"])
            assert found is not None
            await installation.command("jobs", "resolve", job["id"], "adopt", "--upstream-request-id", found)
    assert (await installation.command("epoch", "accept"))["buying"]
    job = await installation.submit("after", metadata={"round": "after"})
    (done,) = await installation.until_all(1, {"succeeded"}, timeout=SECONDS, round="after")
    assert done["id"] == job["id"]
    assert await bought(installation) == before + 1
    assert await installation.bought_twice() == []
    assert await installation.faults() == []


async def test_kills_and_restarts_do_not_stop_buying(installation: Installation) -> None:
    """Kill -9 of the store and a restart of the workers do not count as going back in time."""
    for number in range(2):
        installation.redis.kill()
        installation.redis.start()
        installation.workers.stop()
        installation.workers.start()
        await installation.submit(f"round {number}", metadata={"round": str(number)})
        await installation.until_all(1, {"succeeded"}, timeout=SECONDS, round=str(number))
    assert (await installation.command("epoch", "show"))["buying"]


async def test_a_backup_is_private_whole_and_never_written_over(store: RedisServer, tmp_path: Path) -> None:
    """Its list has every file with its size; a second backup with the same name is refused."""
    store.command("SET", "fg:team:nobody", "x" * 100_000)
    copy = tmp_path / "copy"
    ended = await filmgate("backup", str(copy), FILMGATE_REDIS_URL=store.url)
    assert ended.returncode == 0, ended.stderr
    assert "Copying" in ended.stderr
    written = json.loads((copy / "backup.json").read_text("utf-8"))
    for name, one in written["files"].items():
        assert (copy / "appendonlydir" / name).stat().st_size == one["bytes"]
    assert sum(one["bytes"] for one in written["files"].values()) > 100_000
    modes = {(path.is_dir(), path.stat().st_mode & 0o777) for path in [copy, *copy.rglob("*")]}
    assert modes == {(True, 0o700), (False, 0o600)}
    again = await filmgate("backup", str(copy), FILMGATE_REDIS_URL=store.url)
    assert again.returncode == 1
    assert "overwrites nothing" in again.stderr
    assert names_in(tmp_path) == ["copy"]
    assert b"100" in store.command("CONFIG", "GET", "auto-aof-rewrite-percentage")


async def test_a_store_on_another_machine_sends_a_snapshot(store: RedisServer, tmp_path: Path) -> None:
    """Its files are not here: it sends what a replica gets. The drill verifies it, and leaves nothing."""
    async with store.client() as redis:
        await redis.hset("fg:epoch", mapping={"id": "the-store", "claims": "0"})
        await redis.xadd("fg:events:team_1", {"type": "job.queued"})
        await redis.set("fg:hook_secret", b"\xff\x00 as it is")
        await redis.set("fg:wake", "soon gone", px=3_600_000)
        names = set(await redis.keys("*"))
    (store.dir / "appendonlydir").rename(store.dir / "elsewhere")
    copy, data = tmp_path / "copy", tmp_path / "data"
    ended = await filmgate("backup", str(copy), "--json", FILMGATE_REDIS_URL=store.url)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["way"] == "snapshot"
    modes = {(path.is_dir(), path.stat().st_mode & 0o777) for path in [copy, *copy.rglob("*")]}
    assert modes == {(True, 0o700), (False, 0o600)}
    rehearsed, said = await asyncio.gather(
        *(filmgate("restore", str(copy), "--drill", *more, data=data) for more in (["--json"], []))
    )
    assert rehearsed.returncode == 0, rehearsed.stderr
    assert re.search(r"^differences +0$", said.stdout, re.MULTILINE), said.stdout + said.stderr
    found = json.loads(rehearsed.stdout)
    assert (found["store"], found["differences"], found["audit_intact"]) == ("the-store", [], True)
    assert names_in(data) == []
    assert (await filmgate("restore", str(copy), data=data)).returncode == 0
    restored = EmbeddedStore(data)
    async with Redis.from_url(restored.start(), decode_responses=True, encoding_errors="surrogateescape") as redis:
        assert set(await redis.keys("*")) == names
        assert await redis.get("fg:hook_secret") == "\udcff\x00 as it is"
        assert 0 < await redis.pttl("fg:wake") <= 3_600_000
    assert restored.stop()


async def test_a_store_that_gives_no_snapshot_says_what_to_do(store: RedisServer, tmp_path: Path) -> None:
    """Its user lacks the right: nothing is written, and the sentence has the right and the commands by hand."""
    store.apply("ACL", "SETUSER", *acl("api", StoreRole.API).split()[1:], ">secret-of-a-test")
    denied = await filmgate(
        "backup",
        str(tmp_path / "copy"),
        FILMGATE_REDIS_URL=f"redis://api:secret-of-a-test@127.0.0.1:{store.port}/0",
    )
    store.apply("ACL", "DELUSER", "api")
    assert (denied.returncode, denied.stdout) == (1, "")
    assert "The store's user 'api' may not call CONFIG SET; run this as the store's user `admin`" in denied.stderr
    (store.dir / "appendonlydir").rename(store.dir / "elsewhere")
    store.apply("ACL", "SETUSER", "filmgate", "on", ">secret-of-a-test", "~*", "&*", "+@all", "-sync", "-replconf")
    url = f"redis://filmgate:secret-of-a-test@127.0.0.1:{store.port}/0"
    ended = await filmgate("backup", str(tmp_path / "copy"), FILMGATE_REDIS_URL=url)
    assert ended.returncode == 1
    assert "The store's user 'filmgate' may not call REPLCONF, so it gets no snapshot." in ended.stderr
    assert "+sync and +replconf" in ended.stderr
    assert "auto-aof-rewrite-percentage 0" in ended.stderr
    assert names_in(tmp_path) == []
    ended = await filmgate("restore", str(tmp_path), FILMGATE_REDIS_URL=store.url)
    assert ended.returncode == 1
    assert "stop that server" in ended.stderr


async def test_restore_refuses_what_would_lose_or_break_something(embedded: EmbeddedStore, tmp_path: Path) -> None:
    """A running store, existing data, a damaged copy, no copy: a sentence, exit 1, and nothing changes."""
    data, copy = tmp_path / "data", tmp_path / "copy"
    assert (await filmgate("backup", str(copy), data=data)).returncode == 0

    async def refused(source: Path, *options: str) -> str:
        ended = await filmgate("restore", str(source), *options, data=data)
        assert (ended.returncode, ended.stdout) == (1, "")
        return ended.stderr

    assert "still runs" in await refused(copy, "--replace")
    embedded.stop()
    assert "--replace" in await refused(copy)
    assert "is no backup" in await refused(tmp_path / "nothing", "--replace")
    with DataDirLock(data, "a test"):
        assert "in use by another gateway" in await refused(copy, "--replace")
    file = max((copy / "appendonlydir").glob("*.incr.aof"))
    file.write_bytes(file.read_bytes()[:-1])
    assert "damaged" in await refused(copy, "--replace")
    assert (data / "appendonlydir").is_dir()
    assert not Witness(data).path.exists()


async def test_a_restore_on_a_new_machine_buys_nothing_either(embedded: EmbeddedStore, tmp_path: Path) -> None:
    """There was no witness; the restore itself records that the store does not continue."""
    data, copy, new = tmp_path / "data", tmp_path / "copy", tmp_path / "new"
    assert (await filmgate("backup", str(copy), data=data)).returncode == 0
    embedded.stop()
    ended = await filmgate("restore", str(copy), data=new)
    assert ended.returncode == 0, ended.stderr
    assert "epoch accept" in ended.stderr
    mark = Witness(new).read()
    assert mark is not None
    assert mark.restored
    assert (new / "appendonlydir").stat().st_mode & 0o777 == 0o700
