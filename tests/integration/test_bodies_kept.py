"""Request bodies in progress: how many are kept at once, and how slow they may be."""

import asyncio
import contextlib
import gc
from pathlib import Path

import httpx
import pytest
from starlette.types import Message

from app.api.incoming import PAYER, Bodies, BodyLimit, Incoming, Pace
from app.domain.errors import TooLarge, TooSlow, Unavailable
from tests.support.emulator import Emulator
from tests.support.memory import resident_kb
from tests.support.redis_server import RedisServer
from tests.support.server import Server, running_server
from tests.support.stack import Stack, environment
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio
FILE = 29_000_000


def head(target: str, method: str, length: int, *lines: str) -> bytes:
    """The head of a request with a body of this length."""
    first = [f"{method} {target} HTTP/1.1", "Host: filmgate.test", f"Content-Length: {length}", *lines, "", ""]
    return "\r\n".join(first).encode()


async def begin(server: Server, request: bytes, sent: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection with a request whose body has stopped after this part."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    writer.write(request)
    with contextlib.suppress(OSError):
        for _ in range(sent // 1_000_000):
            writer.write(bytes(1_000_000))
            await asyncio.wait_for(writer.drain(), 10)
    return reader, writer


async def test_unfinished_uploads_are_kept_up_to_a_bound(server: Server, stack: Stack) -> None:
    """Of 20 files to one signed URL two are read, the others are 503 at once; afterwards there is room again."""
    async with httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Key {stack.account.key}"}) as web:
        place = await web.post("/fal/rest/storage/upload/initiate", json={"file_name": "a.png"})
        target = "/fal/cdn/" + place.json()["upload_url"].partition("/fal/cdn/")[2]
        before = resident_kb(server.pid)
        opened = [await begin(server, head(target, "PUT", FILE), FILE - 1_000_000) for _ in range(2)]
        refused = [await begin(server, head(target, "PUT", FILE), 0) for _ in range(18)]
        for reader, writer in refused:
            answer = await asyncio.wait_for(reader.read(), 5)
            assert answer.startswith(b"HTTP/1.1 503 "), answer
            assert b"retry-after: 5" in answer.lower()
            assert b"connection: close" in answer.lower()
            writer.close()
        assert resident_kb(server.pid) - before < 150_000
        assert (await web.get("/livez")).status_code == 200
        for _, writer in opened:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for _, writer in opened), return_exceptions=True)

        async def has_room() -> bool:
            reader, writer = await begin(server, head(target, "PUT", FILE), 0)
            try:
                return not await asyncio.wait_for(reader.read(20), 0.3)
            except TimeoutError:
                return True
            finally:
                writer.close()

        await wait_until(has_room, "the room of those who left is free again")


async def test_a_stranger_has_no_body_read(server: Server) -> None:
    """Without a key, 401 comes before a byte of the body is read, on every route that takes one."""
    for method, target in (
        ("POST", "/v1/jobs"),
        ("POST", "/v1/quotes"),
        ("POST", "/v1/files"),
        ("POST", "/v1/tokens"),
        ("POST", "/v1/webhook-endpoints"),
        ("POST", "/v1/admin/teams"),
        ("POST", "/fal/queue/fal-ai/kling-video/v2/master/image-to-video"),
        ("POST", "/fal/run/fal-ai/kling-video/v2/master/image-to-video"),
        ("POST", "/fal/rest/storage/upload/initiate"),
        ("POST", "/fal/rest/tokens/"),
        ("POST", "/fal/cdn/files/upload"),
        ("PUT", f"/fal/cdn/uploads/file_{'0' * 32}?signature=x"),
    ):
        reader, writer = await begin(server, head(target, method, 200_000, "Content-Type: application/json"), 0)
        answer = await asyncio.wait_for(reader.read(13), 5)
        assert answer.startswith(b"HTTP/1.1 401"), (method, target, answer)
        writer.close()


async def test_a_long_path_is_cut_in_the_log(redis_server: RedisServer, emulator: Emulator, tmp_path: Path) -> None:
    """What anyone can send without a key adds little to a file on the store's disk."""
    log = tmp_path / "api.log"
    async with running_server(environment(redis_server, emulator), log=log) as server:
        before = log.stat().st_size
        request = b"GET /" + b"%00" * 4000 + b" HTTP/1.1\r\nHost: filmgate.test\r\nConnection: close\r\n\r\n"
        answer = await asyncio.to_thread(server.send_raw, request)
        assert answer.startswith(b"HTTP/1.1 404 "), answer
        await wait_until(lambda: log.stat().st_size > before, "the request has its line")
        assert log.stat().st_size - before < 4000


def arriving(sizes: list[int], pause: float, bodies: Bodies, pace: Pace, *, payer: str = "key_1") -> Incoming:
    """A body in pieces of these sizes with a pause before each; it declares no length."""
    left = list(sizes)

    async def receive() -> Message:
        await asyncio.sleep(pause)
        return {"type": "http.request", "body": bytes(left.pop(0)), "more_body": bool(left)}

    scope = {"path": "/v1/files", PAYER: payer}
    return Incoming(scope, receive, bodies=bodies, pace=pace, declared=0)


async def read(body: Incoming, pieces: int) -> None:
    """Read this many pieces."""
    for _ in range(pieces):
        await body.receive()


async def test_a_body_that_keeps_moving_is_read_to_its_end() -> None:
    """However long it takes: here ten times the grace period, with pauses that are short enough."""
    pace = Pace(pause_s=0.5, grace_s=0.1, bytes_per_s=1000)
    await read(arriving([5000] * 20, 0.05, Bodies(BodyLimit()), pace), 20)


async def test_a_body_slower_than_the_least_pace_is_given_up() -> None:
    """Pieces that arrive in time but are almost empty do not keep a connection open."""
    pace = Pace(pause_s=5, grace_s=0.2, bytes_per_s=1000)
    with pytest.raises(TooSlow):
        await read(arriving([1] * 100, 0.02, Bodies(BodyLimit()), pace), 100)


async def test_the_usual_pace_lets_a_slow_line_pass() -> None:
    """A file at 100 kB/s is accepted easily; one byte a second is given up after 20 s."""
    pace = Pace()
    assert pace.bytes_per_s * 10 < 100_000
    assert max(pace.pause_s, pace.grace_s) <= 30


async def test_room_is_for_each_key_and_for_all() -> None:
    """A key, all callers without a key, and the process each have their limit; released room is free again."""
    bodies = Bodies(BodyLimit(of_one=1000, of_nobody=100, of_all=1500))
    first, second = (arriving([600, 600], 0, bodies, Pace(), payer=payer) for payer in ("key_1", "key_2"))
    stranger = arriving([101], 0, bodies, Pace(), payer="")
    await read(first, 1)
    await read(second, 1)
    for body in (first, second, stranger):  # over the key's limit, the process's, the limit without a key
        with pytest.raises(Unavailable) as caught:
            await read(body, 1)
        assert caught.value.retry_after
        assert body.refused
    third = arriving([900], 0, bodies, Pace(), payer="key_3")
    with pytest.raises(Unavailable):
        await read(third, 1)
    first.let_go()
    second.let_go()
    await read(arriving([900], 0, bodies, Pace(), payer="key_3"), 1)


async def test_who_has_no_key_takes_little_room_and_not_fals() -> None:
    """One address has a quarter of it, so nobody is kept from signing in; and fal's webhooks have their own."""
    bodies, sign_in, hook = Bodies(BodyLimit(of_nobody=400)), "/v1/session", "/fal/hooks/job/nonce/mac"

    def of(address: str, path: str, size: int) -> Incoming:
        async def receive() -> Message:
            return {"type": "http.request", "body": bytes(size), "more_body": False}

        scope = {"path": path, "client": (address, 1)}
        return Incoming(scope, receive, bodies=bodies, pace=Pace(), declared=0)

    kept = [of(f"198.51.100.{number}", sign_in, 100) for number in range(4)]
    for body in kept:
        await read(body, 1)
    for refused in (of("198.51.100.1", sign_in, 1), of("198.51.100.9", sign_in, 1)):
        with pytest.raises(Unavailable):
            await read(refused, 1)
    await read(of("198.51.100.1", hook, 100), 1)
    kept[0].let_go()
    await read(of("198.51.100.9", sign_in, 100), 1)
    for path in (sign_in, "/v1/sign-in/oidc", "/v1/invitations/read"):
        with pytest.raises(TooLarge):
            await read(of("198.51.100.77", path, 33_000), 1)


async def test_a_request_that_is_done_leaves_nothing_to_the_collector(stack: Stack) -> None:
    """Accepted, refused or read: even without Python's collector, its body's accounting object is freed with it."""

    def left() -> int:
        return sum(isinstance(found, Incoming) for found in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        for body in [stack.body(), {"unknown": "member"}]:
            await stack.api.post("/v1/jobs", json=body)
            assert left() == 0
        await stack.api.get("/v1/jobs")
        assert left() == 0
    finally:
        gc.enable()
