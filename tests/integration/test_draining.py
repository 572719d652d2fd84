"""How an API process stops: readiness fails first, the port closes later, and nobody is cut off without a word."""

import asyncio
import contextlib
import signal
import time
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.support.server import EventReader, Server, running_server
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

DRAIN_S = 2.0
LATE_S = 4.0  # on a busy machine
LONG = {"FILMGATE_DRAIN_SECONDS": "300"}


async def readiness(server: Server) -> tuple[int, str]:
    """The status and the word of `/readyz`, on a connection of its own."""
    async with httpx.AsyncClient(trust_env=False) as web:
        reply = await web.get(f"{server.url}/readyz")
    return reply.status_code, reply.json()["status"]


async def draining(server: Server) -> bool:
    """True when `/readyz` says that the process stops."""
    return await readiness(server) == (503, "draining")


async def nobody_reports(stack: Stack) -> bool:
    """True when no host is there that could be missed."""
    return not (await stack.gateway.stores.hosts.all())[1]


async def test_readiness_fails_first_and_what_arrives_then_is_served(stack: Stack) -> None:
    """503 `draining` while all else works; then the port closes, the stream says when to come back: exit code 0."""
    job = await stack.submit()
    settings = {**stack.environment, "FILMGATE_DRAIN_SECONDS": str(DRAIN_S)}
    headers = {"Authorization": f"Bearer {stack.account.key}"}
    async with (
        running_server(settings) as server,
        httpx.AsyncClient(base_url=server.url, headers=headers, trust_env=False, timeout=30) as web,
        web.stream("GET", f"/v1/jobs/{job['id']}/events") as stream,
    ):
        events = EventReader(stream)
        assert (await events.frame() or {})["event"] == "job.queued"
        assert "connection" not in (await web.get("/v1/me")).headers
        assert await readiness(server) == (200, "ready")
        told = time.monotonic()
        server.send(signal.SIGTERM)
        await wait_until(lambda: draining(server), "readiness says that it drains", timeout=DRAIN_S)
        replies = [
            await web.get("/livez"),
            await web.get("/v1/me"),
            await web.post("/v1/jobs", json=stack.body("b")),
        ]
        assert [reply.status_code for reply in replies] == [200, 200, 202]
        assert {reply.headers.get("connection") for reply in replies} == {"close"}
        assert time.monotonic() - told < DRAIN_S, "too slow to say anything"
        last = await events.frame()
        assert time.monotonic() - told >= DRAIN_S
        assert last is not None
        assert (last["comment"], 200 <= int(last["retry"]) <= 3000) == ("the server restarts", True)
        assert await events.frame() is None
        assert await server.ended() == 0
        assert time.monotonic() - told < DRAIN_S + LATE_S
        with pytest.raises(httpx.ConnectError):
            await web.get("/livez")


async def test_whoever_stops_it_by_hand_does_not_wait(stack: Stack, tmp_path: Path) -> None:
    """SIGINT has no pause; a second signal ends the pause of SIGTERM and cuts what is open: 0, and no traceback."""
    log = tmp_path / "log"
    head = (
        f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {stack.account.key}\r\n"
        'Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{"input": '
    )
    for first in (signal.SIGINT, signal.SIGTERM):
        async with running_server({**stack.environment, **LONG}, log=log) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            began = time.monotonic()
            server.send(first)
            if first is signal.SIGTERM:
                writer.write(head.encode())
                await wait_until(partial(draining, server), "it drains")
                await wait_until(partial(nobody_reports, stack), "nobody will miss it, even if it is killed now")
                began = time.monotonic()
                server.send(signal.SIGTERM)
            assert await server.ended() == 0
            assert time.monotonic() - began < LATE_S
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
    assert "Traceback" not in log.read_text(encoding="utf-8")
