"""`filmgate alive`, `filmgate ready api` and `filmgate ready worker`, as a container's probes call them."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from app.domain.heartbeats import READY_FILE, READY_FILE_FRESH_S
from tests.support.processes import clean_environment, free_port, run_command
from tests.support.redis_server import RedisServer
from tests.support.server import Server
from tests.support.stack import Stack
from tests.support.tls import issue_certificates
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

LOADED = """
import sys
from app.cli import main
sys.argv = ["filmgate", *sys.argv[1:]]
try:
    main()
finally:
    print(*sorted({"typer", "pydantic", "redis", "httpx", "structlog"} & set(sys.modules)))
"""


async def probe(settings: Mapping[str, str], *words: str) -> tuple[int, str]:
    """The exit code and the sentence of a probe."""
    done = await run_command(*words, environment=clean_environment(**settings))
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.mark.parametrize(("host", "tls"), [("0.0.0.0", False), ("::", True)])
async def test_a_probe_asks_as_the_api_listens(store: RedisServer, tmp_path: Path, host: str, tls: bool) -> None:  # noqa: FBT001  a parameter
    """Every address, IPv6 alone, https for another name: alive and ready with 0; afterwards 1 and a sentence."""
    given = {"FILMGATE_REDIS_URL": store.url, "FILMGATE_DATA_DIR": str(tmp_path), "FILMGATE_HOST": host}
    if tls:
        made = issue_certificates(tmp_path)
        given |= {"FILMGATE_TLS_CERT": str(made.certificate), "FILMGATE_TLS_KEY": str(made.key)}
    server = Server(given).start()
    try:

        async def answers() -> bool:
            return (await probe(server.environment, "alive"))[0] == 0

        await wait_until(answers, "the API is alive", timeout=30, interval=0.2)
        assert await probe(server.environment, "ready", "api") == (0, "")
    finally:
        await asyncio.to_thread(server.stop)
    code, sentence = await probe(server.environment, "alive")
    assert (code, sentence.count("\n"), "does not answer" in sentence) == (1, 1, True), sentence


async def test_a_probe_says_what_is_missing(fragile: Stack, tmp_path: Path) -> None:
    """Alive and not ready while the store is away, with the reply of `/readyz`; a bad port is named."""
    server = Server(fragile.environment).start()
    try:
        await server.ready()
        fragile.redis.kill()
        code, sentence = await probe(server.environment, "ready", "api")
        assert (code, '"store":"away"' in sentence) == (1, True), sentence
        assert await probe(server.environment, "alive") == (0, "")
    finally:
        await asyncio.to_thread(server.stop)
        fragile.redis.start()
    for name, value in (("PORT", "http"), ("PORT", "65536"), ("PORT", "٣"), ("HOST", "a host")):
        code, sentence = await probe({f"FILMGATE_{name}": value}, "alive")
        assert (code, sentence.startswith(f"filmgate: FILMGATE_{name} must be"), sentence.count("\n")) == (
            1,
            True,
            1,
        )
    code, usage = await probe({"FILMGATE_DATA_DIR": str(tmp_path)}, "ready", "lane")
    assert (code, "lane" in usage) == (2, True)


async def test_workers_say_by_a_file_whether_they_can_work(fragile: Stack) -> None:
    """Ready when each queue has a worker; not while the store is away; the file is gone when they have stopped."""
    settings = fragile.environment
    file = Path(settings["FILMGATE_DATA_DIR"]) / READY_FILE
    assert "there is no" in (await probe(settings, "ready", "worker"))[1]
    async with fragile.workers():

        async def ready() -> bool:
            return (await probe(settings, "ready", "worker"))[0] == 0

        await wait_until(ready, "the workers are ready", timeout=30, interval=0.2)
        assert '"workers": {"deliveries": 1, "lanes": 2, "work": 1}' in file.read_text(encoding="utf-8")
        fragile.redis.freeze()
        await wait_until(lambda: not file.exists(), "the workers are not ready without their store")
        fragile.redis.thaw()
        await wait_until(ready, "the workers are ready again", timeout=30, interval=0.2)
    assert not file.exists()
    file.write_text("of a keeper that stands still")
    then = time.time() - READY_FILE_FRESH_S - 1
    os.utime(file, (then, then))
    code, sentence = await probe(settings, "ready", "worker")
    assert (code, "s old" in sentence) == (1, True), sentence


def test_a_probe_loads_next_to_nothing() -> None:
    """One is started every few seconds in each container: a tenth of a second, not a whole one."""
    environment = clean_environment(FILMGATE_PORT=str(free_port()))
    for words in (["alive"], ["ready", "api"], ["ready", "worker"]):
        done = subprocess.run(  # noqa: S603  ours
            [sys.executable, "-c", LOADED, *words], env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (1, "\n"), done
