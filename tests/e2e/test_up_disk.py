"""A disk that fills up under `filmgate up`: jobs are refused before the store has to stop."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from app.cli.housekeeping import REWRITE_SETTING, REWRITES_OFF, REWRITES_ON
from app.cli.logs import MAX_LOG_BYTES
from app.embedded import socket_url
from tests.support.up import Up
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A separate disk of 128 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if sys.platform != "linux" or mount is None:
        pytest.skip("only Linux mounts a small disk like this")
    made = subprocess.run(  # noqa: S603 - a path of ours
        [mount, "-t", "tmpfs", "-o", "size=128m", "tmpfs", str(disk)], check=False, capture_output=True
    )
    if made.returncode:
        pytest.skip("this user may not mount a disk")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)  # noqa: S603, S607 - as above


def fill(file: Path) -> None:
    """Write the file until the disk has no room."""
    with suppress(OSError), file.open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))


async def rewrites(gateway: Up, percentage: int) -> bool:
    """True when the store rewrites its log at this growth."""
    async with Redis.from_url(socket_url(gateway.data_dir) or "", decode_responses=True) as redis:
        return await redis.config_get(REWRITE_SETTING) == {REWRITE_SETTING: str(percentage)}


async def test_a_full_disk_stops_submissions_and_nothing_else(small_disk: Path) -> None:
    """503, an alarm, no rewriting; with room again all continues, also when there was none and the store ended."""
    key = "an-administrators-key-for-this-disk"
    gateway = Up(small_disk / "data", FILMGATE_ADMIN_KEY=key).start()
    try:
        printed = await gateway.ready()
        headers = {"Authorization": f"Bearer {printed.key}"}
        async with httpx.AsyncClient(base_url=printed.address, headers=headers, trust_env=False) as api:
            image = {"prompt": "a lake", "image_url": f"http://127.0.0.1:{gateway.port + 1}/sample.jpg"}
            first = await api.post("/v1/jobs", json={"input": image})
            assert first.status_code == 202, first.text
            filler = small_disk / "filler"
            filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - 1_500_000))
            refused = await api.post("/v1/jobs", json={"input": image})
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "60")
            assert "disk" in refused.json()["detail"]
            assert (await api.get(f"/v1/jobs/{first.json()['id']}")).status_code == 200

            async def rung() -> bool:
                status = await api.get("/v1/admin/status", headers={"Authorization": f"Bearer {key}"})
                return "disk_low" in status.text

            await wait_until(rung, "the alarm rings", timeout=30)
            await wait_until(partial(rewrites, gateway, REWRITES_OFF), "the log is left as it is", timeout=30)
            filler.unlink()
            assert (await api.post("/v1/jobs", json={"input": image})).status_code == 202
            await wait_until(partial(rewrites, gateway, REWRITES_ON), "the log may be written anew", timeout=30)
            fill(filler)

            async def ends() -> bool:
                try:
                    return (await api.get(f"/v1/jobs/{first.json()['id']}")).status_code == 503
                except httpx.TransportError:
                    return True

            await wait_until(ends, "the store cannot write, and ends", timeout=30)
            await asyncio.sleep(2)
            assert gateway.running
            filler.unlink()

            async def accepts() -> bool:
                try:
                    return (await api.post("/v1/jobs", json={"input": image})).status_code == 202
                except httpx.TransportError:
                    return False

            await wait_until(accepts, "everything continues", timeout=60)
    finally:
        await gateway.clean_up()


def full_log(data: Path) -> Path:
    """The folder of logs, with one that is too long."""
    logs = data / "logs"
    logs.mkdir(parents=True, mode=0o700)
    (logs / "api.log").write_bytes(b"x" * MAX_LOG_BYTES + b"\n")
    return logs


async def test_logs_are_cut_from_the_first_line_on(tmp_path: Path) -> None:
    """A log that an earlier run left too long is cut before the gateway is ready."""
    logs = full_log(tmp_path / "data")
    gateway = Up(tmp_path / "data").start()
    try:
        await gateway.ready()
        assert b"api.start" not in (logs / "api.log.1").read_bytes()
        assert b"api.start" in (logs / "api.log").read_bytes()
    finally:
        await gateway.clean_up()
