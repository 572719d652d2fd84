"""What a connection may cost before its caller is known: bytes, fields, seconds, descriptors."""

import asyncio
import contextlib
import re
import socket
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.responses import Response

from app.api import connections
from app.api.connection_limit import KEPT_FREE
from app.api.connections import (
    HEAD_BYTES,
    HEAD_FIELDS,
    HEAD_SECONDS,
    LINGER_BYTES,
    LINGER_SECONDS,
    PIPELINED,
    Connection,
)
from tests.support.emulator import Emulator
from tests.support.memory import resident_kb
from tests.support.redis_server import RedisServer
from tests.support.server import Server, running_server
from tests.support.stack import Stack, environment
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio
MB = 1024 * 1024
LARGE = "/static/vendor/swagger-ui/swagger-ui-bundle.js"  # 1.7 MB, for anybody


def memory(server: Server) -> int:
    """The process's memory in bytes."""
    return resident_kb(server.pid) * 1024


def seconds_of_work(server: Server) -> float:
    """CPU seconds that the process has used."""
    fields = Path(f"/proc/{server.pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def head(*lines: str, first: str = "GET /livez HTTP/1.1") -> bytes:
    """A request without a body."""
    return "\r\n".join([first, "Host: filmgate.test", *lines, "", ""]).encode()


@contextlib.asynccontextmanager
async def serving(app: Response) -> AsyncIterator[tuple[uvicorn.Server, int]]:
    """This reply to every request, by our connections; the server and its port."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, http=Connection, lifespan="off", log_level="critical"))
    running = asyncio.create_task(server.serve())
    await wait_until(lambda: server.started, "the server listens")
    yield server, server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await running


def fill(server: Server, pieces: Iterable[bytes]) -> tuple[int, bytes]:
    """Send pieces until the connection ends: the number of bytes sent, and the answer."""
    sent = 0
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as one:
        with contextlib.suppress(OSError):
            for piece in pieces:
                one.sendall(piece)
                sent += len(piece)
        answer = b""
        with contextlib.suppress(OSError):
            while chunk := one.recv(65_536):
                answer += chunk
    return sent, answer


ENDLESS = {
    "fields": (b"GET /livez HTTP/1.1\r\n", b"a:b\r\n" * 20_000),
    "one field": (b"GET /livez HTTP/1.1\r\nX-A: ", b"a" * 100_000),
    "a name": (b"GET /livez HTTP/1.1\r\n", b"a" * 100_000),
    "an address": (b"GET /", b"a" * 100_000),
    "empty lines": (b"", b"\r\n" * 50_000),
    "a chunk's extension": (
        head("Transfer-Encoding: chunked", first="POST /v1/jobs HTTP/1.1") + b"1;",
        b"a" * 100_000,
    ),
    "what follows a body": (
        head("Transfer-Encoding: chunked", first="POST /v1/jobs HTTP/1.1") + b"0\r\nX-A: ",
        b"a" * 100_000,
    ),
    "behind a request": (head() + b"GET /livez HTTP/1.1\r\nX-A: ", b"a" * 100_000),
    "behind a body": (
        head("Content-Length: 100000", first="POST /v1/jobs HTTP/1.1") + b"a" * 100_000 + b"GET / HTTP/1.1\r\nA: ",
        b"a" * 100_000,
    ),
    "another protocol": (head("Connection: Upgrade", "Upgrade: websocket"), b"a" * 100_000),
}


@pytest.mark.parametrize("case", ENDLESS)
async def test_what_has_no_end_is_not_kept(server: Server, case: str) -> None:
    """The connection is closed within a few pieces, what came before is answered, and the process does not grow."""
    begin, more = ENDLESS[case]
    before = memory(server)
    sent, answer = await asyncio.to_thread(fill, server, [begin, *[more] * 600])
    assert sent < LINGER_BYTES + 20 * MB, "what is let go by, what the sockets hold, and no more"
    assert memory(server) - before < 4 * MB
    assert answer == b"" or any(b" %d " % status in answer for status in (200, 400, 401, 414, 431)), answer[:200]


async def test_a_head_has_its_bounds(server: Server) -> None:
    """16 KB and a hundred fields are accepted; one byte or field more is 431, and the connection is closed."""
    bare = len(head("X-A: "))
    full = head("X-A: " + "a" * (HEAD_BYTES - bare))
    assert len(full) == HEAD_BYTES
    fits = [full, head(*["X-A: a"] * (HEAD_FIELDS - 1))]
    too_much = [head("X-A: " + "a" * (HEAD_BYTES - bare + 1)), head(*["X-A: a"] * HEAD_FIELDS)]
    for request in fits:
        answer = await asyncio.to_thread(server.send_raw, request + head("Connection: close"))
        assert answer.count(b"HTTP/1.1 200") == 2, answer[:300]
    for request in too_much:
        answer = await asyncio.to_thread(server.send_raw, request)
        assert answer.startswith(b"HTTP/1.1 431 "), answer[:300]
        assert b"head_too_large" in answer
        assert b"connection: close" in answer.lower()


async def test_a_large_head_does_not_count_as_a_large_body(server: Server, stack: Stack) -> None:
    """A body that arrives in one piece with its head is read, whatever their total size."""
    body = b'{"input": {"prompt": "' + b"a" * 100_000 + b'"}}'
    lines = [f"Authorization: Bearer {stack.account.key}", "Content-Type: application/json"]
    request = (
        head(*lines, f"Content-Length: {len(body)}", "Connection: close", first="POST /v1/jobs HTTP/1.1") + body
    )
    answer = await asyncio.to_thread(server.send_raw, request)
    assert answer.startswith(b"HTTP/1.1 422 "), answer[:300]


UNREADABLE = {
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "too many fields": head(*["X-A: a"] * HEAD_FIELDS),
    "no HTTP": b"\x16\x03\x01\r\n\r\n",
    "a trailer without end": head("Transfer-Encoding: chunked", first="POST /v1/jobs HTTP/1.1")
    + b"0\r\n"
    + b"X-A: a\r\n" * HEAD_FIELDS
    + b"\r\n",
}


@pytest.mark.parametrize("case", UNREADABLE)
async def test_a_request_that_cannot_be_read_takes_nobodys_answer(server: Server, case: str) -> None:
    """The two before it get their own; it gets none, and the connection is closed."""
    answer = await asyncio.to_thread(server.send_raw, head(first="GET /v1/me HTTP/1.1") + head() + UNREADABLE[case])
    assert re.findall(rb"HTTP/1.1 \d+", answer) == [b"HTTP/1.1 401", b"HTTP/1.1 200"]
    assert answer.lower().count(b"connection: close") == 1


async def test_requests_that_nobody_waits_for_are_not_kept(server: Server) -> None:
    """Thousands in one piece behind the first: some are answered, and the process does not grow."""
    before = memory(server)
    with contextlib.ExitStack() as concurrently:
        for _ in range(4):
            one = concurrently.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5))
            one.sendall(head(first=f"GET {LARGE} HTTP/1.1") * 3 + b"GET / HTTP/1.1\r\nHost:a\r\n\r\n" * 9000)
        await asyncio.sleep(0.5)
        assert memory(server) - before < 16 * MB, "each would be a megabyte and more for every 20 KB that was sent"
    answer = await asyncio.to_thread(server.send_raw, head() * 10 * PIPELINED)
    assert PIPELINED < answer.count(b"HTTP/1.1 200") < 10 * PIPELINED


HOSTS = {
    "none": (b"GET /livez HTTP/1.1\r\n\r\n", 400),
    "two": (b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "twice the same": (b"GET /livez HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400),
    "none in HTTP/1.0": (b"GET /livez HTTP/1.0\r\n\r\n", 200),
    "two in HTTP/1.0": (b"GET /livez HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "no version": (b"GET /livez\r\n\r\n", 400),
    "version 2": (b"GET /livez HTTP/2.0\r\nHost: a\r\n\r\n", 400),
}


@pytest.mark.parametrize("case", HOSTS)
async def test_a_request_names_one_host_and_its_version(server: Server, case: str) -> None:
    """Otherwise a proxy in front and this server may read two different requests."""
    request, status = HOSTS[case]
    answer = await asyncio.to_thread(server.send_raw, request)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:300]


async def test_a_websocket_is_answered_as_any_request(server: Server) -> None:
    """Also where the library for it is installed, for another program, as in the environment of these tests."""
    answer = await asyncio.to_thread(server.send_raw, head("Connection: Upgrade", "Upgrade: websocket"), timeout=1)
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_an_encoded_slash_is_none(server: Server, stack: Stack) -> None:
    """404, so a proxy's rule about a path holds here too; only a model's id may be written either way."""
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, headers=stack.api.headers) as api:
        for path in (
            "/v1%2fme",
            "/v1%2Fme",
            "/v1/admin%2fteams",
            "/fal/queue/fal-ai%2fkling-video/requests/abc/status",
        ):
            assert (await api.get(path)).status_code == 404, path
        assert (await api.get("/v1/models/fal-ai%2Fkling-video%2Fv2%2Fmaster%2Fimage-to-video")).status_code == 200


SLOW = {
    "silence": (b"", b""),
    "half a request line": (b"GET /li", b" 408 "),
    "a field a while": (b"GET /livez HTTP/1.1\r\nX-A: ", b" 408 "),
    "behind a request": (head() + b"GET /li", b" 408 "),
}


async def test_a_head_that_does_not_come_is_given_up(server: Server) -> None:
    """After ten seconds, whether nothing arrives or a byte at a time; answered if anything had arrived."""

    async def ended(begin: bytes, expected: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(begin)
        began, answer = time.monotonic(), b""
        while time.monotonic() - began < 3 * HEAD_SECONDS:
            if begin:
                with contextlib.suppress(OSError):
                    writer.write(b"a")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    if not (chunk := await reader.read(65_536)):
                        break
                    answer += chunk
        else:
            pytest.fail("the connection is still open")
        writer.close()
        assert expected in answer

    async with asyncio.TaskGroup() as all_at_once:
        for begin, expected in SLOW.values():
            all_at_once.create_task(ended(begin, expected))


async def test_a_refusal_before_the_body_ends_the_connection(server: Server) -> None:
    """A caller who is still sending reads the 401; the body is not waited for, and no connection is left."""
    request = head("Content-Length: 8000000", first="POST /v1/jobs HTTP/1.1")
    began = time.monotonic()
    _, answer = await asyncio.to_thread(fill, server, [request, b"a" * 1000])
    assert answer.startswith(b"HTTP/1.1 401 "), answer[:300]
    assert b"connection: close" in answer.lower()
    assert time.monotonic() - began < LINGER_SECONDS + 5
    sent, answer = await asyncio.to_thread(fill, server, [request, *[b"a" * 100_000] * 20])
    assert sent > MB
    assert answer.startswith(b"HTTP/1.1 401 "), "it was sending when the answer came, and could read it"


async def test_idle_connections_shut_nobody_out(redis_server: RedisServer, emulator: Emulator) -> None:
    """With four times as many half requests as descriptors: others are answered, and no loop spins."""
    descriptors = KEPT_FREE + 100
    async with running_server(environment(redis_server, emulator), descriptors=descriptors) as server:
        with contextlib.ExitStack() as concurrently:
            for _ in range(4 * descriptors):
                one = concurrently.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5))
                with contextlib.suppress(OSError):
                    one.sendall(b"GET /li")
            began, work = time.monotonic(), seconds_of_work(server)
            async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=10) as api:
                for _ in range(20):
                    reply = await api.get("/livez", headers={"Connection": "close"})
                    assert reply.status_code == 200
                await asyncio.sleep(max(0.0, began + 2 - time.monotonic()))
            assert seconds_of_work(server) - work < 1, "a crowd that does nothing costs nothing"


async def test_when_all_connections_are_busy_the_next_is_503(
    redis_server: RedisServer, emulator: Emulator, tmp_path: Path
) -> None:
    """503 with Retry-After; the busy ones continue, and who reads nothing is none. The log says how few may be."""
    log = tmp_path / "log"
    async with running_server(environment(redis_server, emulator), descriptors=KEPT_FREE + 64, log=log) as server:
        assert "At most 64 connections" in log.read_text()
        before = memory(server)
        with contextlib.ExitStack() as concurrently:
            for _ in range(80):
                one = concurrently.enter_context(socket.socket())
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                one.connect(("127.0.0.1", server.port))
                one.sendall(head(first=f"GET {LARGE} HTTP/1.1") * 6)
            for _ in range(20):
                answer = await asyncio.to_thread(server.send_raw, head("Connection: close"))
                assert answer.startswith(b"HTTP/1.1 200 ")
            assert memory(server) - before < 40 * MB, "they share one copy of what they do not read"
        request = head("Content-Length: 10", first="POST /fal/hooks/a/b/c HTTP/1.1")
        with contextlib.ExitStack() as concurrently:
            busy = []
            for _ in range(64):
                one = concurrently.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
                one.sendall(request)
                busy.append(one)

            async def told() -> bool:
                answer = await asyncio.to_thread(server.send_raw, head("Connection: close"))
                return answer.startswith(b"HTTP/1.1 503 ") and b"retry-after" in answer.lower()

            await wait_until(told, "the next caller is told that there is no room")
            busy[0].sendall(b"0123456789")
            assert await asyncio.to_thread(busy[0].recv, 100)
        assert "Traceback" not in log.read_text(), "whoever leaves in the middle is no error"


async def test_who_has_said_all_gets_the_whole_reply() -> None:
    """A caller who closes its own direction behind the request reads a large reply to its end."""
    async with serving(Response(b"a" * 16 * MB)) as (_, port):

        def read_all() -> bytes:
            with socket.socket() as one:
                one.settimeout(10)
                one.connect(("127.0.0.1", port))
                one.sendall(head("Connection: close"))
                one.shutdown(socket.SHUT_WR)
                time.sleep(0.3)  # noqa: TID251  the reply waits for its reader
                return b"".join(iter(lambda: one.recv(MB), b""))

        _, _, body = (await asyncio.to_thread(read_all)).partition(b"\r\n\r\n")
        assert len(body) == 16 * MB


async def test_a_reply_that_nobody_reads_ends_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it was written whole and only its end is left. Whoever reads slowly gets all of it."""
    monkeypatch.setattr(connections, "READ_SECONDS", 0.4)
    async with serving(Response(b"a" * 16 * MB)) as (server, port):
        callers = [await asyncio.open_connection("127.0.0.1", port, limit=1024) for _ in range(3)]
        for (_, writer), count in zip(callers, (1, 3, 1), strict=True):
            writer.write(head() * count)

        async def gone() -> bool:
            return len(server.server_state.connections) <= 1

        slow = callers[-1][0]
        taken = 0
        while taken < 12 * MB:
            taken += len(await slow.read(2 * MB))
            await asyncio.sleep(0.02)
        await wait_until(gone, "nobody is waited for who reads nothing")
        assert len(server.server_state.connections) == 1, "the slow one is not through"
        assert taken + len(await slow.readexactly(16 * MB - taken)) == 16 * MB
        for _, writer in callers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
