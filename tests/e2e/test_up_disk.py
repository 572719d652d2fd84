"""A disk that fills up under `filmgate up`: jobs are refused before the store has to end."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.up import Up
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 128 MB of its own."""
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


async def test_a_full_disk_stops_submissions_and_nothing_else(small_disk: Path) -> None:
    """503 with a time and an alarm, while status answers and the store lives; with room again jobs are accepted."""
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
            filler.unlink()
            assert (await api.post("/v1/jobs", json={"input": image})).status_code == 202
    finally:
        await gateway.clean_up()
