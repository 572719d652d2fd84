"""`filmgate serve` as a process: how it exits, and what it refuses before its port opens."""

import asyncio
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from app.domain.clips import storage_key
from tests.integration.kept_clips import kept
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.processes import COMMAND, Process, clean_environment, free_port
from tests.support.redis_server import RedisServer
from tests.support.repo import ROOT
from tests.support.s3_server import S3Server
from tests.support.server import Server, running_server
from tests.support.stack import open_stack
from tests.support.tls import issue_certificates
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


async def run(role: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `filmgate ROLE` to its end."""
    command = [sys.executable, "-m", "app.cli", role]
    return await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


async def test_sigterm_ends_it_with_0(store: RedisServer, tmp_path: Path) -> None:
    """A deployment stops it with SIGTERM, so that is no failure."""
    server = Server({"FILMGATE_REDIS_URL": store.url, "FILMGATE_DATA_DIR": str(tmp_path)}).start()
    await server.ready()
    assert await asyncio.to_thread(server.stop) == 0


@pytest.mark.parametrize("role", ["serve", "worker"])
async def test_sigterm_while_it_waits_for_its_store_ends_it_with_0(tmp_path: Path, role: str) -> None:
    """Nothing was begun; a supervisor must not call that a failure."""
    nowhere = {"FILMGATE_REDIS_URL": f"redis://127.0.0.1:{free_port()}", "FILMGATE_DATA_DIR": str(tmp_path)}
    log = tmp_path / "log"
    waiting = Process([*COMMAND, role], clean_environment(**nowhere), log=log).start()
    await wait_until(lambda: "not there yet" in log.read_text("utf-8"), "it waits for the store", timeout=60)
    assert await asyncio.to_thread(waiting.stop) == 0
    assert "Traceback" not in log.read_text("utf-8")


async def test_sigterm_when_the_workers_take_over_from_the_command_ends_them_with_0(
    store: RedisServer, tmp_path: Path
) -> None:
    """`filmgate worker` becomes another program, which has to load once more."""
    settings = clean_environment(FILMGATE_REDIS_URL=store.url, FILMGATE_DATA_DIR=str(tmp_path))
    starting = Process([*COMMAND, "worker"], settings, log=tmp_path / "log").start()

    def has_taken_over() -> bool:
        return Path(f"/proc/{starting.pid}/cmdline").read_bytes().endswith(b"-m\0workers\0")

    await wait_until(has_taken_over, "the workers load", timeout=60, interval=0.001)
    assert await asyncio.to_thread(starting.stop) == 0


async def test_a_port_that_is_taken_is_a_sentence_and_1(store: RedisServer, tmp_path: Path) -> None:
    """The log says why, and the last line what that means; no traceback."""
    settings = {"FILMGATE_REDIS_URL": store.url, "FILMGATE_DATA_DIR": str(tmp_path)}
    async with running_server(settings) as server:
        ended = await run("serve", {**os.environ, **settings, "FILMGATE_PORT": str(server.port)})
    last = ended.stderr.splitlines()[-1]
    assert (ended.returncode, last.startswith("filmgate: The API cannot serve on ")) == (1, True), ended.stderr
    assert "address already in use" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_a_key_of_another_certificate_is_78_and_one_sentence(store: RedisServer, tmp_path: Path) -> None:
    """No traceback; neither the port nor the store was used."""
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    one, other = map(issue_certificates, folders)
    pair = {"FILMGATE_TLS_CERT": str(one.certificate), "FILMGATE_TLS_KEY": str(other.key)}
    environment = {**os.environ, "FILMGATE_REDIS_URL": store.url, "FILMGATE_DATA_DIR": str(tmp_path), **pair}
    ended = await run("serve", environment)
    sentence = "filmgate: FILMGATE_TLS_KEY is not the key of the certificate in FILMGATE_TLS_CERT.\n"
    assert (ended.returncode, ended.stderr) == (78, sentence)


@pytest.mark.parametrize("role", ["serve", "worker"])
@pytest.mark.parametrize("mode", [0o1777, 0o775])
async def test_with_a_real_key_a_directory_in_which_others_write_is_78(
    tmp_path: Path, role: str, mode: int
) -> None:
    """Before it connects to the store; nothing is written there, and the directory's mode is unchanged."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(mode)
    real = {"FAL_KEY": "the-key:of-nobody", "FILMGATE_REDIS_URL": "redis://127.0.0.1:1"}
    ended = await run(role, {**os.environ, **real, "FILMGATE_DATA_DIR": str(shared)})
    assert ended.returncode == 78, ended.stderr
    assert ended.stderr.startswith(f"filmgate: FILMGATE_DATA_DIR: others may write in {shared}; ")
    assert str(shared / "filmgate") in ended.stderr
    assert (shared.stat().st_mode & 0o7777, list(shared.iterdir())) == (mode, [])


async def test_where_nothing_is_paid_it_is_a_warning(store: RedisServer, tmp_path: Path) -> None:
    """The API serves; its log has the sentence."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    log = tmp_path / "log"
    given = {"FILMGATE_REDIS_URL": store.url, "FILMGATE_DATA_DIR": str(shared), "FILMGATE_LOG_FORMAT": "json"}
    server = Server(given, log=log).start()
    await server.ready()
    await asyncio.to_thread(server.stop)
    assert f"others may write in {shared}" in log.read_text(encoding="utf-8")


@pytest.mark.parametrize("fault", ["no rights", "no bucket", "no folder", "no account"])
async def test_a_storage_that_cannot_be_used_is_refused(store: RedisServer, bucket: S3Server, fault: str) -> None:
    """Exit code 78 and one sentence with what to do, before a port opens; no secret is in it."""
    given = {**bucket.settings, "FILMGATE_REDIS_URL": store.url}
    given |= {
        "no rights": {"FILMGATE_STORAGE_SECRET": "another-secret"},
        "no bucket": {"FILMGATE_STORAGE": bucket.setting.replace("s3://", "s3://not-")},
        "no folder": {"FILMGATE_STORAGE": "local:/proc/nowhere"},
        "no account": {"FILMGATE_STORAGE": "az://kept"},
    }[fault]
    if fault in {"no folder", "no account"}:
        del given["FILMGATE_STORAGE_KEY_ID"], given["FILMGATE_STORAGE_SECRET"]
    ended = await run("serve", {"PATH": os.environ["PATH"], **given})
    assert ended.returncode == 78, ended.stderr
    (sentence,) = [line for line in ended.stderr.splitlines() if line.startswith("filmgate: FILMGATE_STORAGE: ")]
    words = {"no rights": "refuses access; check its key", "no bucket": "does not exist; create it first"}
    words["no account"] = (
        "the Azure container kept cannot be used (it needs ?account=NAME or FILMGATE_STORAGE_KEY_ID"
    )
    assert words.get(fault, "the folder /proc/nowhere") in sentence
    assert "another-secret" not in ended.stderr + ended.stdout


async def test_a_clip_that_breaks_off_in_the_storage_ends_its_connection(
    store: RedisServer, emulator: Emulator, bucket: S3Server, tmp_path: Path
) -> None:
    """The reader sees that it is not whole, and the log has one line about it and no traceback."""
    log, size = tmp_path / "serve.log", 24_000_000
    async with open_stack(store, emulator, **bucket.settings) as stack:
        job = await kept(Pipeline(stack), (await Pipeline(stack).ended()).id)
        assert stack.gateway.storage is not None
        await stack.gateway.storage.put(storage_key(job, "video"), bytes(size), content_type="video/mp4")
        video = (job.output or {})["video"]
        large = {"video": {**video, "kept": {**video["kept"], "size": size}}}
        assert await stack.gateway.stores.copies.record(job, large, expires_ms=job.clip_until_ms)
        async with running_server(stack.environment, log=log) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            head = [f"GET /v1/jobs/{job.id}/video HTTP/1.1", "Host: x", f"X-API-Key: {stack.account.key}", "", ""]
            writer.write("\r\n".join(head).encode())
            assert f"content-length: {size}".encode() in (await reader.readuntil(b"\r\n\r\n")).lower()
            bucket.kill()
            received = 0
            with suppress(ConnectionResetError):
                while chunk := await reader.read(1_000_000):
                    received += len(chunk)
            writer.close()
        assert 0 < received < size
    lines = log.read_text().splitlines()
    assert len([line for line in lines if "clip.cut" in line]) == 1
    assert not [line for line in lines if "Traceback" in line or "Exception" in line]
