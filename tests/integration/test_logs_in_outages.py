"""Logs while something is broken: an outage is two lines in each process, and everything is a line of JSON."""

import asyncio
import json
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.emulator import Emulator
from tests.support.installation import open_installation
from tests.support.processes import free_port
from tests.support.redis_server import RedisServer
from tests.support.server import Server
from tests.support.stack import environment
from tests.support.tcp_proxy import Side, TcpProxy
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

LOST = 12  # polls
FAILURES = 6  # of these at least: a client may try a lost call once more
AT_MOST = 2  # a process that the machine holds up for seconds may see two outages in one
AWAY_S = 3.0  # long enough for a dozen lines a process, if each try were one
SLOW = ("--queue-seconds", "0.1", "--run-seconds", "600")
PROCESSES = {"api": 1, "keeper": 1, "worker:lanes": 2, "worker:work": 1, "worker:deliveries": 1}


class LossyProxy(TcpProxy):
    """In front of fal: while it is `losing`, each connection is closed at once, and counted."""

    losing, lost = False, 0

    async def exchange(self, client: Side, server: Side) -> None:
        """One connection."""
        if self.losing:
            self.lost += 1
            return
        await super().exchange(client, server)


def lines_of(log: Path) -> list[dict[str, Any]]:
    """Every line, decoded; one that is no JSON fails."""
    return [json.loads(line) for line in log.read_text("utf-8").splitlines()]


async def told(log: Path, known: int, name: str, *, processes: set[str]) -> list[dict[str, Any]]:
    """All lines but the first ones, once these processes have told the end of the outage, and most failures."""

    def ended() -> bool:
        back = [line for line in lines_of(log)[known:] if line["event"] == f"{name}.back"]
        failures = sum(line["failures"] for line in back)
        return {line["process"] for line in back} >= processes and failures >= FAILURES

    await wait_until(ended, f"{name} is back for {processes}", timeout=40)
    return lines_of(log)[known:]


def assert_few(lines: list[dict[str, Any]], name: str) -> None:
    """One line for the begin, or one for each cause; one for the end; nothing else again and again."""
    away = Counter((line["process"], line["cause"]) for line in lines if line["event"] == f"{name}.away")
    back = Counter(line["process"] for line in lines if line["event"] == f"{name}.back")
    assert all(count <= AT_MOST * PROCESSES[process] for (process, _), count in away.items()), away
    assert all(count <= AT_MOST * PROCESSES[process] for process, count in back.items()), back
    known = {f"{name}.away", f"{name}.back", "request", "store.back"}  # the last of a lane that slept meanwhile
    others = Counter(line["event"] for line in lines if line["event"] not in known)
    assert max(others.values(), default=0) <= AT_MOST, others


async def test_an_outage_is_two_lines_in_each_process_that_notices(store: RedisServer, tmp_path: Path) -> None:
    """First the store, then fal, while jobs run and callers ask: no line of RQ, of a step or of a request more."""
    log, port = tmp_path / "log", free_port()
    async with LossyProxy(port) as fal:
        way: dict[str, Any] = {"FILMGATE_FAL_QUEUE_URL": f"http://127.0.0.1:{fal.port}"}
        async with open_installation(store, *SLOW, "--port", str(port), log=log, **way) as installation:
            jobs = [await installation.submit(f"job {number}") for number in range(3)]
            await installation.until_all(3, {"running"}, timeout=60)
            known = len(lines_of(log))
            store.kill()
            end = asyncio.get_running_loop().time() + AWAY_S
            while asyncio.get_running_loop().time() < end:
                reply = await installation.api.get(f"/v1/jobs/{jobs[0]['id']}")
                assert reply.status_code == 503
                await asyncio.sleep(0.1)
            store.start()
            lines = await told(log, known, "store", processes={"api", "keeper", "worker:lanes", "worker:work"})
            assert_few(lines, "store")
            refusals = {(line["status"], line.get("code")) for line in lines if line["event"] == "request"}
            assert (503, "store_unavailable") in refusals
            known = len(lines_of(log))
            await fal.stop()
            fal.losing = True
            await fal.start()
            await wait_until(lambda: fal.lost >= LOST, f"{LOST} polls are lost", timeout=60)
            fal.losing = False
            assert_few(await told(log, known, "fal", processes={"worker:lanes"}), "fal")


BROKEN = """
import asyncio, os
from app import main
from app.cli.roles import serve
create = main.create_app

def with_faults(settings):
    app = create(settings)

    async def broken():
        raise ValueError("the inside of it")

    begun = asyncio.Event()

    async def slow():
        begun.set()
        await asyncio.sleep(600)

    app.add_api_route("/v1/broken", broken)
    app.add_api_route("/v1/slow", slow)
    app.add_api_route("/v1/begun", begun.wait)
    return app

main.create_app = with_faults
serve()
"""


async def test_an_error_is_one_traceback_with_status_500_and_a_stop_is_none(
    store: RedisServer, emulator: Emulator, tmp_path: Path
) -> None:
    """A fault of ours has its trace id and its status; a call that a stop cuts off is no error."""
    log = tmp_path / "log"
    server = BrokenServer(environment(store, emulator), log=log)
    server.start()
    try:
        await server.ready()
        async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as web:
            reply = await web.get("/v1/broken", headers={"X-Request-ID": "the-broken-one"})
            assert (reply.status_code, reply.json()["code"]) == (500, "internal_error")
            slow = asyncio.create_task(web.get("/v1/slow"))
            assert (await web.get("/v1/begun")).status_code == 200
            server.send(signal.SIGTERM)
            await wait_until(lambda: "api.stopping" in log.read_text("utf-8"), "it stops")
            server.send(signal.SIGTERM)  # the second one cuts what is in progress
            with pytest.raises(httpx.TransportError):
                await slow
            assert await server.ended() == 0
    finally:
        server.kill()
    lines = lines_of(log)
    failed = [line for line in lines if "exception" in line]
    assert [(line["event"], line["trace_id"]) for line in failed] == [("request.failed", "the-broken-one")]
    assert "the inside of it" in failed[0]["exception"]
    (line,) = [line for line in lines if line["event"] == "request" and line["path"] == "/v1/broken"]
    assert (line["status"], line["code"], line["trace_id"]) == (500, "internal_error", "the-broken-one")
    assert [line for line in lines if line["level"] == "error"] == failed


class BrokenServer(Server):
    """`filmgate serve` with a route that fails and one that takes long."""

    def __init__(self, settings: dict[str, str], *, log: Path) -> None:
        super().__init__(settings, log=log)
        self._command = [sys.executable, "-c", BROKEN]
