"""`filmgate serve` as a process: how it ends, and what it refuses before its port opens."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer
from tests.support.server import Server
from tests.support.tls import issue_certificates
from tests.support.tree import ROOT

pytestmark = pytest.mark.anyio


async def test_told_to_stop_it_ends_with_0(store: RedisServer, tmp_path: Path) -> None:
    """SIGTERM is how a deployment ends it: nothing has failed."""
    server = Server({"FILMGATE_REDIS_URL": store.url, "FILMGATE_DATA_DIR": str(tmp_path)}).start()
    await server.ready()
    assert await asyncio.to_thread(server.stop) == 0


async def test_a_key_of_another_certificate_is_78_and_one_sentence(store: RedisServer, tmp_path: Path) -> None:
    """No traceback; and neither the port nor the store was asked for."""
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    one, other = map(issue_certificates, folders)
    pair = {"FILMGATE_TLS_CERT": str(one.certificate), "FILMGATE_TLS_KEY": str(other.key)}
    environment = {**os.environ, "FILMGATE_REDIS_URL": store.url, "FILMGATE_DATA_DIR": str(tmp_path), **pair}
    command = [sys.executable, "-m", "app.cli", "serve"]
    ended = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    sentence = "filmgate: FILMGATE_TLS_KEY is not the key of the certificate in FILMGATE_TLS_CERT.\n"
    assert (ended.returncode, ended.stderr) == (78, sentence)
