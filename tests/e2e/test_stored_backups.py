"""Backups in the storage: streamed, complete or not there, fetched for a restore, on a schedule, with an alarm."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app import __version__
from app.domain.errors import Conflict, NotFound, StoreUnavailable
from app.media.storage import Storage
from app.services.backup import check
from app.services.stored_backups import StoredBackups
from app.settings import load_settings
from app.store.backup import BackupStore
from app.store.connection import connect, disconnect
from app.stores import Stores, open_stores
from tests.support.processes import clean_environment, run_command
from tests.support.redis_server import RedisServer
from tests.support.repo import ROOT
from tests.support.tcp_proxy import Side, TcpProxy, first_of, pump
from tests.support.waiting import wait_until
from workers.backup_schedule import BackupSchedule

pytestmark = pytest.mark.anyio
HOUR_MS = 3_600_000


class CutProxy(TcpProxy):
    """Ends the connection when the store has sent this many bytes."""

    most = 3_000_000

    async def exchange(self, client: Side, server: Side) -> None:
        """Both directions, until there was too much."""

        async def down() -> None:
            left = self.most
            while left > 0 and (chunk := await server[0].read(65_536)):
                left -= len(chunk)
                client[1].write(chunk)
                await client[1].drain()

        await first_of(pump(client[0], server[1]), down())


def environment(store: RedisServer, folder: Path, **more: str) -> dict[str, str]:
    """The settings of a host that makes backups."""
    return clean_environment(
        FILMGATE_REDIS_URL=store.url,
        FILMGATE_STORAGE=f"local:{folder / 'kept'}",
        FILMGATE_DATA_DIR=str(folder / "data"),
        FILMGATE_BACKUP_EVERY="6h",
        FILMGATE_BACKUP_KEEP="2",
        **more,
    )


async def command(*words: str, of: dict[str, str]) -> Any:
    """The JSON of a command that succeeds."""
    ended = await run_command(*words, "--json", environment=of)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture
async def stores(store: RedisServer, tmp_path: Path) -> AsyncIterator[Stores]:
    """The stores of a host."""
    async with open_stores(load_settings(environment(store, tmp_path)), process="test") as opened:
        yield opened


async def test_backups_are_kept_listed_and_restored(store: RedisServer, stores: Stores, tmp_path: Path) -> None:
    """Three are made and the newest two stay; the latest is fetched without the store, whole, and rehearsed."""
    of = environment(store, tmp_path)
    with store.blocking() as redis:
        redis.hset("fg:epoch", mapping={"id": "the-store", "claims": "0"})
        redis.set("fg:hook_secret", os.urandom(3_000_000))
    backups = StoredBackups(_storage(of), keep=2)
    names = [(await backups.make(stores.backup))[0] for _ in range(2)]
    names.append((await command("backup", "--to-storage", of=of))["name"])
    assert [one["name"] for one in await command("backup", "--list", of=of)] == names[:0:-1]
    last = await stores.backup.last()
    assert (last.name, last.failed_ms) == (names[2], None)
    store.kill()
    copy = tmp_path / "copy"
    assert (await command("backup", str(copy), "--from", "latest", of=of))["way"] == "snapshot"
    assert check(copy).store_id == "the-store"
    found = await command("restore", str(copy), "--drill", of=of)
    assert (found["store"], found["differences"]) == ("the-store", [])

    (content,) = (tmp_path / "kept/backups" / names[2]).glob("*.rdb")
    content.write_bytes(content.read_bytes()[:-1] + b"x")
    with pytest.raises(Conflict, match="is damaged"):
        await backups.fetch(names[2], tmp_path / "other")
    for name in ("2026", "../kept", names[0]):
        with pytest.raises(NotFound):
            await backups.fetch(name, tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("words", "printed"),
    [(["backup", "--list"], "none\n"), (["--version"], f"filmgate {__version__}\nfinalized\n")],
)
def test_a_command_that_used_the_storage_ends_at_once(tmp_path: Path, words: list[str], printed: str) -> None:
    """Python does not finalize: a thread of the storage's library would abort the process then, now and then."""
    program = "import atexit; atexit.register(print, 'finalized'); from app.cli import main; main()"
    ended = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program, *words],
        env=clean_environment(PYTHONPATH=str(ROOT), FILMGATE_STORAGE=f"local:{tmp_path}"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, printed, "")


def _storage(of: dict[str, str]) -> Storage:
    address = load_settings(of).storage
    assert address is not None
    Path(address.place).mkdir(exist_ok=True)
    return Storage(address)


async def test_a_store_that_is_lost_in_the_middle_leaves_no_backup(store: RedisServer, tmp_path: Path) -> None:
    """The connection ends after a part of the snapshot: an error, and nothing that would count as a backup."""
    with store.blocking() as redis:
        redis.set("fg:hook_secret", os.urandom(8_000_000))
    of = environment(store, tmp_path)
    async with CutProxy(store.port) as proxy:
        redis = connect(store.url)
        lost = BackupStore(redis, url=f"redis://127.0.0.1:{proxy.port}/0")
        backups = StoredBackups(_storage(of), keep=2)
        with pytest.raises(StoreUnavailable, match="ended the snapshot"):
            await backups.make(lost)
        assert await backups.all() == []
        assert [path for path in (tmp_path / "kept").rglob("*") if path.is_file()] == []
        CutProxy.most = 1_000_000_000
        await backups.make(lost)
        assert len(await backups.all()) == 1
        await disconnect(redis)


async def test_a_schedule_makes_backups_and_tells_of_failures(
    store: RedisServer, stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first at once, the next when it is old enough; a broken storage is an alarm until one is written."""
    for name, value in environment(store, tmp_path).items():
        monkeypatch.setenv(name, value)
    settings = load_settings(environment(store, tmp_path))
    schedule, other = BackupSchedule(settings, stores), BackupSchedule(settings, stores)

    async def checked() -> None:
        schedule._checked = None
        await schedule.check()

    async def active() -> list[str]:
        return [alarm.message for alarm in await stores.alarms.active() if alarm.kind == "backup_failed"]

    async def age(hours: float) -> None:
        with store.blocking() as redis:
            now = await stores.clock.now_ms()
            redis.hset("fg:backups", "at_ms", int(now - hours * HOUR_MS))
            redis.hdel("fg:backups", "failed_ms")

    await checked()
    await wait_until(lambda: _name(stores), "the first backup is written", timeout=60, interval=0.1)
    first = await _name(stores)
    await wait_until(lambda: schedule._running is not None and schedule._running.done(), "it has ended", timeout=30)
    await checked()
    await other.check()
    assert await _name(stores) == first
    folder = tmp_path / "kept"
    folder.rename(tmp_path / "away")
    folder.write_text("no folder")
    await age(13)
    await checked()
    await wait_until(active, "the alarm is raised", timeout=60, interval=0.1)

    async def failed() -> bool:
        return (await stores.backup.last()).why is not None

    await wait_until(failed, "the failure is noted", timeout=60, interval=0.1)
    assert any("hours old" in message or "was not written" in message for message in await active())
    folder.unlink()
    (tmp_path / "away").rename(folder)
    await age(7)
    await wait_until(lambda: schedule._running is not None and schedule._running.done(), "it has ended", timeout=30)
    await checked()

    async def resolved() -> bool:
        return not await active()

    await wait_until(resolved, "the alarm is over", timeout=60, interval=0.1)
    assert await _name(stores) != first
    await schedule.close()


async def _name(stores: Stores) -> str | None:
    return (await stores.backup.last()).name
