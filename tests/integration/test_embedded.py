"""The embedded store: nothing acknowledged is lost, nothing is started twice, no process is left behind."""

import contextlib
import ctypes.util
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from app.data_dir import DataDirLock, InUse
from app.domain.errors import Conflict
from app.embedded import EmbeddedStore, socket_url
from app.engines import EmbeddedError, Engine, find_engine
from app.machine import memory_bytes
from app.services.restore import restore
from tests.support.redis_server import RedisServer, engine_under_test

PARENT = """
import sys, time
from pathlib import Path
from app.data_dir import DataDirLock
from app.embedded import EmbeddedStore
from tests.support.redis_server import engine_under_test
DataDirLock(Path(sys.argv[1]), "http://127.0.0.1:8000").acquire()
store = EmbeddedStore(Path(sys.argv[1]), engine=engine_under_test())
store.start()
print(store.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def stores() -> Iterator[list[EmbeddedStore]]:
    """Stores that a test adds are stopped after it."""
    started: list[EmbeddedStore] = []
    yield started
    for store in started:
        store.stop()


@pytest.fixture
def store(tmp_path: Path, stores: list[EmbeddedStore]) -> EmbeddedStore:
    """A store that is not running yet."""
    stores.append(EmbeddedStore(tmp_path / "data", engine=engine_under_test(), patience=0.5))
    return stores[0]


def client(url: str) -> redis.Redis:
    """A plain client."""
    return redis.Redis.from_url(url, decode_responses=True)


def gone(pid: int) -> bool:
    """True when the process has ended, whether or not it is reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def eventually(what: str, probe: object, seconds: float = 10) -> None:
    """Wait until the callable returns true; these tests are synchronous, as the module is."""
    assert callable(probe)
    event, end = threading.Event(), time.monotonic() + seconds
    while not probe():
        assert time.monotonic() < end, what
        event.wait(0.02)


def test_acknowledged_writes_survive_a_kill(store: EmbeddedStore) -> None:
    """Every write that was answered before kill -9 exists after the next start, over several rounds."""
    acknowledged = 0
    for _ in range(3):
        with client(store.start()) as writer:
            assert set(map(int, writer.lrange("log", 0, -1))) >= set(range(acknowledged))
            assert store.pid is not None
            dying = threading.Timer(0.02, os.kill, (store.pid, signal.SIGKILL))
            enough = acknowledged + 50
            with contextlib.suppress(redis.ConnectionError):
                while True:
                    writer.rpush("log", acknowledged)
                    acknowledged += 1
                    if acknowledged == enough:
                        dying.start()
        eventually("the server is dead", lambda: not store.alive())
        assert socket_url(store._dir) is None
    assert acknowledged > 100
    with client(store.start()) as reader:
        assert set(map(int, reader.lrange("log", 0, -1))) >= set(range(acknowledged))


def test_the_server_runs_as_it_is_meant_to(store: EmbeddedStore, tmp_path: Path) -> None:
    """No port, every write on disk, no eviction, files for this user only, a session of its own."""
    with client(store.start()) as admin:
        settings = admin.config_get("*")
        assert {name: settings[name] for name in ("port", "appendonly", "appendfsync", "save", "maxmemory")} == {
            "port": "0",
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory": str((memory_bytes() or 0) // 2),  # full before the kernel kills it
        }
        assert settings["maxmemory-policy"] == "noeviction"
    assert store.pid is not None
    assert os.getsid(store.pid) == store.pid  # Ctrl-C in the terminal does not reach it
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "data" / "redis.sock").stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE(next((tmp_path / "data" / "appendonlydir").iterdir()).stat().st_mode) & 0o077 == 0


ODD = ["My Projects=a", "line\nend\t", 'it\'s "x" \\n #1?%20 [red]']


@pytest.mark.parametrize("name", [*(name.encode() for name in ODD), b"\xff\xfe"])
def test_any_path_of_the_data_directory_works(tmp_path: Path, stores: list[EmbeddedStore], name: bytes) -> None:
    """White space, `=`, quotes, bytes that are no text: it starts, is found, and libraries can connect to it."""
    folder = tmp_path / os.fsdecode(name)
    store = EmbeddedStore(folder, engine=engine_under_test())
    stores.append(store)
    url = store.start()
    with client(url) as caller:
        assert "redis.sock" in caller.client_info()["addr"]
        assert len(caller.client_list()) == 1
    assert socket_url(folder) == url


def test_a_start_says_what_it_waits_for(tmp_path: Path, stores: list[EmbeddedStore]) -> None:
    """For a server of an earlier run to end, and then for its own to answer."""
    printed: list[str] = []
    folder = tmp_path / "data"
    first = EmbeddedStore(folder, engine=engine_under_test())
    stores += [first, EmbeddedStore(folder, engine=engine_under_test(), patience=0.3, on_wait=printed.append)]
    first.start()
    stores[1].start()
    assert next(words for words in printed if "answer" not in words) == (
        "the store of an earlier run, which is still there"
    )


def test_a_stopped_store_is_gone_and_keeps_its_data(store: EmbeddedStore, tmp_path: Path) -> None:
    """A clean exit, no socket, no process; stopping twice is harmless; the next start has the data."""
    with client(store.start()) as writer:
        writer.set("a", "1")
    assert socket_url(tmp_path / "data") == f"unix://{tmp_path}/data/redis.sock"
    assert store.alive()
    assert store.stop()
    assert store.stop()
    assert (store.alive(), store.pid, socket_url(tmp_path / "data")) == (False, None, None)
    with client(store.start()) as reader:
        assert reader.get("a") == "1"
    with pytest.raises(EmbeddedError, match="already runs"):
        store.start()


def test_a_store_that_hangs_is_not_taken_for_one_that_does_not_run(store: EmbeddedStore, tmp_path: Path) -> None:
    """`doctor` must not say to start it, a restore not replace its files, an API not forget whose disk to watch."""
    url = store.start()
    assert store.pid is not None
    os.kill(store.pid, signal.SIGSTOP)
    try:
        assert socket_url(tmp_path / "data") == url
        with pytest.raises(Conflict, match="A store still runs"):
            restore(tmp_path / "backup", tmp_path / "data", replace=True, say=print)
    finally:
        os.kill(store.pid, signal.SIGCONT)


def test_a_killed_parent_takes_its_server_along(tmp_path: Path, stores: list[EmbeddedStore]) -> None:
    """After SIGKILL of the gateway the server exits cleanly; the lock is free, the next start has every write."""
    data = tmp_path / "data"
    with subprocess.Popen(  # noqa: S603 - this interpreter
        [sys.executable, "-c", PARENT, str(data)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        server = int(parent.stdout.readline())
        with pytest.raises(InUse, match=f"process {parent.pid}, http://127.0.0.1:8000") as caught:
            DataDirLock(data, "http://127.0.0.1:9000").acquire()
        assert (caught.value.pid, caught.value.address) == (parent.pid, "http://127.0.0.1:8000")
        url = socket_url(data)
        assert url is not None
        with client(url) as writer:
            writer.set("a", "1")
        parent.kill()
    if sys.platform == "linux":  # elsewhere the next start stops it
        eventually("the server has ended with its parent", lambda: gone(server), seconds=5)
    with DataDirLock(data, "http://127.0.0.1:9000"):
        stores.append(EmbeddedStore(data, engine=engine_under_test()))
        url = stores[0].start()
        assert stores[0].pid != server
        with client(url) as reader:
            assert reader.get("a") == "1"


def test_a_server_that_stays_behind_is_told_to_go(store: EmbeddedStore, stores: list[EmbeddedStore]) -> None:
    """Where it does not end with its parent, the next start stops it; two servers never share a directory."""
    with client(store.start()) as writer:
        writer.set("a", "1")
    left_over = store.pid
    assert left_over is not None
    stores.append(EmbeddedStore(store._dir, engine=engine_under_test(), patience=0.5))
    with client(stores[1].start()) as reader:
        assert gone(left_over)
        assert reader.get("a") == "1"


def test_a_server_that_does_not_go_is_an_error(store: EmbeddedStore, stores: list[EmbeddedStore]) -> None:
    """Better no gateway than two servers on one file."""
    store.start()
    assert store.pid is not None
    os.kill(store.pid, signal.SIGSTOP)
    second = EmbeddedStore(store._dir, engine=engine_under_test(), patience=0.3)
    try:
        with pytest.raises(EmbeddedError, match="still uses"):
            second.start()
    finally:
        os.kill(store.pid, signal.SIGCONT)
    assert not second.alive()


def test_one_gateway_for_each_directory(tmp_path: Path) -> None:
    """The second start learns which process has it; once released, it is free; releasing twice is harmless."""
    data = tmp_path / "deep" / "data"
    first = DataDirLock(data, "http://127.0.0.1:8000")
    first.acquire()
    with pytest.raises(InUse) as caught:
        DataDirLock(data, "http://127.0.0.1:9000").acquire()
    assert str(caught.value) == (
        f"The data directory is in use by another gateway: process {os.getpid()}, http://127.0.0.1:8000; "
        "stop it, or set FILMGATE_DATA_DIR to another directory."
    )
    first.release()
    first.release()
    with DataDirLock(data, "http://127.0.0.1:9000"):
        pass


def test_a_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    """A worker that outlives its gateway does not block the next one."""
    lock = DataDirLock(tmp_path, "a")
    lock.acquire()
    # Without close_fds only the descriptor's own flag counts; the kernel closes it shortly after the spawn.
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, close_fds=False) as child:  # noqa: S603
        lock.release()

        def free() -> bool:
            with contextlib.suppress(InUse), DataDirLock(tmp_path, "b"):
                return True
            return False

        eventually("the lock is free", free)
        assert child.poll() is None
        child.communicate(b"\n")


@pytest.mark.parametrize("name", ["d" * 120, "with space", "ä"])
def test_any_directory_will_do(tmp_path: Path, stores: list[EmbeddedStore], name: str) -> None:
    """Where the path is too long for a socket, a short one is used, and other commands find it."""
    data = tmp_path / name
    stores.append(EmbeddedStore(data, engine=engine_under_test()))
    url = stores[0].start()
    assert socket_url(data) == url
    with client(url) as probe:
        assert probe.ping()
    used = Path((data / "redis.socket-path").read_text())
    assert len(os.fsencode(used)) <= 100
    assert stores[0].stop()
    assert socket_url(data) is None
    assert not used.exists()
    assert used.parent == data or not used.parent.exists()


@pytest.mark.parametrize(
    ("written", "readable"),
    [
        (("valkey", [9, 1, 9]), True),
        (("valkey", [8, 0, 0]), True),
        (("redis", [7, 0, 15]), True),
        (("redis", [7, 2, 4]), True),
        (("valkey", [9, 2, 0]), False),
        (("valkey", [10, 0, 0]), False),
        (("redis", [7, 4, 0]), False),
        (("redis", [8, 0, 0]), False),
    ],
)
def test_data_of_a_newer_or_other_server_is_refused(
    tmp_path: Path,
    stores: list[EmbeddedStore],
    written: tuple[str, list[int]],
    readable: bool,  # noqa: FBT001
) -> None:
    """Before the server touches it, with both names and a remedy."""
    kind, version = written
    (tmp_path / "engine.json").write_text(f'{{"kind": "{kind}", "version": {version}}}')
    engine = Engine(engine_under_test().path, "valkey", (9, 1, 2))
    stores.append(EmbeddedStore(tmp_path, engine=engine))
    if readable:
        stores[0].start()
        assert (tmp_path / "engine.json").read_text() == '{"kind": "valkey", "version": [9, 1, 2]}'
        return
    with pytest.raises(EmbeddedError, match=f"written by {kind.capitalize()} {version[0]}.*Valkey 9.1.2 cannot"):
        stores[0].start()
    assert not (tmp_path / "redis.log").exists()


def test_valkeys_data_is_refused_by_redis(tmp_path: Path) -> None:
    """Redis data may move to Valkey, not back; an unreadable version file is refused too."""
    redis_7 = EmbeddedStore(tmp_path, engine=Engine(Path("redis-server"), "redis", (7, 0, 15)))
    (tmp_path / "engine.json").write_text('{"kind": "valkey", "version": [7, 2, 0]}')
    with pytest.raises(EmbeddedError, match=r"written by Valkey 7\.2\.0, and Redis 7\.0\.15 cannot"):
        redis_7.start()
    for text in ("", "{}", "[]", '{"kind": 1, "version": 2}'):
        (tmp_path / "engine.json").write_text(text)
        with pytest.raises(EmbeddedError, match=r"engine.json cannot be read"):
            redis_7.start()


def test_a_machine_without_a_server_is_told_the_remedies(tmp_path: Path) -> None:
    """Too old, not runnable, a different program, missing: one sentence with three remedies."""

    def program(name: str, version: str) -> Path:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\necho '{version}'\n")
        path.chmod(0o700)
        return path

    old = program("old", "Redis server v=6.2.14 sha=00000000:0 malloc=libc bits=64 build=1")
    other = program("other", "nginx version: nginx/1.22.1")
    text = tmp_path / "text"
    text.write_text("not a program")
    with pytest.raises(EmbeddedError) as caught:
        find_engine([old, other, text, tmp_path / "absent"])
    for remedy in ("filmgate[embedded]", "PATH", "FILMGATE_REDIS_URL"):
        assert remedy in str(caught.value)
    new = program("new", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64 build=1")
    assert find_engine([old, new]) == Engine(new, "redis", (7, 0, 15))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems are left as they are")
def test_a_server_with_libcs_malloc_gets_jemalloc_where_there_is_one(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server itself has it in its memory; what somebody preloads stays, and nothing else is replaced."""
    found = ctypes.util.find_library("jemalloc")
    libc, own = (Engine(Path("server"), "valkey", (9, 1, 2), libc_malloc=libc) for libc in (True, False))
    assert (libc.jemalloc, own.jemalloc) == (found, None)
    store.start()
    libraries = Path(f"/proc/{store.pid}/maps").read_text()
    assert ("libjemalloc" in libraries) == (engine_under_test().jemalloc is not None)
    monkeypatch.setenv("LD_PRELOAD", "/somebody/s.so")
    assert (libc.jemalloc, libc.environment["LD_PRELOAD"]) == (None, "/somebody/s.so")


def test_a_server_that_cannot_start_is_quoted_and_left_dead(store: EmbeddedStore) -> None:
    """A file damaged in the middle: the error ends with the server's own message."""
    with client(store.start()) as writer:
        for number in range(100):
            writer.set(f"key{number}", "x" * 100)
    assert store.stop()
    log = max((store._dir / "appendonlydir").glob("*.incr.aof"))
    content = bytearray(log.read_bytes())
    content[2000:2040] = bytes(40)
    log.write_bytes(content)
    with pytest.raises(EmbeddedError, match=r"ended with code 1; its log .*redis.log ends: .*Bad file format"):
        store.start()
    assert not store.alive()


def test_a_directory_that_cannot_be_private_is_refused() -> None:
    """The sentence names the setting."""
    with pytest.raises(EmbeddedError, match="FILMGATE_DATA_DIR"):
        EmbeddedStore(Path("/proc/filmgate"), engine=engine_under_test()).start()


def test_the_server_of_the_tests_keeps_its_data_through_a_kill() -> None:
    """Other suites rely on it: the same address, the same data, a frozen server, an empty one."""
    with RedisServer(maxmemory="50mb") as server, client(server.url) as first, client(server.unix_url) as second:
        first.set("a", "1")
        server.kill()
        server.start()
        assert second.get("a") == "1"
        assert first.config_get("maxmemory") == {"maxmemory": str(50 * 1024 * 1024)}
        server.freeze()
        assert server.command("PING") == b""
        server.thaw()
        server.flush()
        assert first.dbsize() == 0
        folder = server.dir
    assert not folder.exists()
