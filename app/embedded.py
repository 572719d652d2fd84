"""The store for one machine: finds a Valkey server, starts it, protects its files, stops it.

Synchronous, because the supervisor process that uses it has no event loop. The order is: take the
`DataDirLock`, `EmbeddedStore.start()`, use the URL, `stop()`, release the lock.

The files in the data directory:

- `lock`: locked by the gateway that uses the directory; holds its pid and address
- `redis.lock`: locked by the server process, so that two servers never write one append-only file
- `redis.sock`, or the path in `redis.socket-path` if the directory's path is unsuitable for a socket
- `engine.json`: which server wrote the data last; older ones cannot read it
- `redis.log`, `appendonlydir/`
"""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from app.children import die_with_parent
from app.data_dir import flock, make_private
from app.engines import EmbeddedError, Engine, find_engine, require_readable_data
from app.machine import memory_bytes

SOCKET_PATH_BYTES = 100  # sun_path holds 108 bytes on Linux, 104 on macOS
START_SECONDS = 10.0
LOAD_SECONDS = 600.0  # for a server that answers LOADING: after a kill it would load from the beginning
STOP_SECONDS = 15.0
MEMORY_SHARE = 0.5  # a rewrite of the append-only file may need as much again
LEFT_OVER_SECONDS = 10.0


class EmbeddedStore:
    """The embedded server of one data directory; `patience` is for a server that outlived a killed gateway.

    During waits it repeatedly calls `on_wait` with the reason.
    Call `start` in the main thread: Linux ends the server when the *thread* that started it ends.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        engine: Engine | None = None,
        patience: float = LEFT_OVER_SECONDS,
        on_wait: Callable[[str], object] = bool,
    ) -> None:
        self._dir = data_dir.absolute()
        self._on_wait = on_wait
        self._engine = engine
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: Path | None = None

    @property
    def pid(self) -> int | None:
        """The server's process id; None unless it is started."""
        return None if self._process is None else self._process.pid

    def alive(self) -> bool:
        """True while the server process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> str:
        """Starts the server and waits for its first PONG; returns its URL, `unix:///…/redis.sock`.

        1. find a server; refuse one that is older than the data
        2. wait for a server that outlived a killed gateway; after `patience`, send it SHUTDOWN
        3. start ours, in a session of its own, so that Ctrl-C reaches only the supervisor
        4. wait until it answers; otherwise stop it and quote its log
        5. record which server writes the data
        """
        if self.alive():
            raise EmbeddedError(f"The embedded store already runs as process {self.pid}.")
        engine = self._engine or find_engine()
        make_private(self._dir)
        require_readable_data(self._dir, engine)
        lock = self._take_server_lock()
        try:
            self._socket = self._socket or _choose_socket(self._dir)  # a restarted server keeps its address
            self._process = self._spawn(engine, lock)
        finally:
            os.close(lock)  # the server has a copy, and holds the lock until it ends
        self._wait_for_pong()
        _write(self._dir / "engine.json", json.dumps({"kind": engine.kind, "version": list(engine.version)}))
        return _url(self._socket)

    def stop(self) -> bool:
        """SIGTERM, then SIGKILL after 15 s; True when the server ended cleanly."""
        clean = self._end()
        self._forget_socket()
        return clean

    def _end(self) -> bool:
        if self._process is None:
            return True
        self._process.terminate()
        try:
            clean = self._process.wait(STOP_SECONDS) == 0
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            clean = False
        self._process = None
        return clean

    def _take_server_lock(self) -> int:
        """The descriptor of the server's lock, once no other server uses this directory."""
        fd = os.open(self._dir / "redis.lock", os.O_RDWR | os.O_CREAT, 0o600)
        for last_chance in (False, True):
            end = time.monotonic() + self._patience
            while time.monotonic() < end:
                if flock(fd):
                    return fd
                self._on_wait("the store of an earlier run, which is still there")
                time.sleep(0.05)  # noqa: TID251 - synchronous by design, see above
            if not last_chance:
                _ask(_recorded_socket(self._dir), b"SHUTDOWN")
        os.close(fd)
        raise EmbeddedError(f"A server of an earlier run still uses {self._dir} and does not end; stop it by hand.")

    def _spawn(self, engine: Engine, lock: int) -> subprocess.Popen[bytes]:
        log = self._dir / "redis.log"
        flags = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._dir),
            "logfile": str(log),
            "appendonly": "yes",
            "appendfsync": "always",  # measured: everysec loses acknowledged writes on kill -9
            "save": "",
            "maxmemory": str(int((memory_bytes() or 0) * MEMORY_SHARE)),
            "maxmemory-policy": "noeviction",
        }
        with log.open("ab") as output:  # for errors before the server has opened its log
            return subprocess.Popen(  # noqa: S603 - the engine is ours
                [engine.path, *(word for name, value in flags.items() for word in (f"--{name}", value))],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=engine.environment,
                start_new_session=True,
                umask=0o077,
                pass_fds=(lock,),
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - only two system calls
            )

    def _wait_for_pong(self) -> None:
        assert self._process is not None  # noqa: S101 - for the type checker; start() has just set it
        began = time.monotonic()
        while True:
            answer = _ask(self._socket, b"PING")
            if answer.startswith(b"+PONG"):
                return
            loading = answer.startswith(b"-LOADING")
            self._on_wait("the store, which reads its data" if loading else "the store to answer")
            waited = time.monotonic() - began
            if waited > (LOAD_SECONDS if loading else START_SECONDS):
                reason = f"did not answer within {waited:.0f} s"
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                reason = f"ended with code {self._process.wait(0.01)}"
                break
        self._end()
        log = self._dir / "redis.log"
        tail = " | ".join(line.strip() for line in log.read_text(errors="replace").splitlines()[-6:])
        raise EmbeddedError(f"The embedded store {reason}; its log {log} ends: {tail}")

    def _forget_socket(self) -> None:
        if self._socket is None:
            return
        self._socket.unlink(missing_ok=True)
        if self._socket.parent != self._dir:
            shutil.rmtree(self._socket.parent, ignore_errors=True)
        (self._dir / "redis.socket-path").unlink(missing_ok=True)
        self._socket = None


def socket_url(data_dir: Path) -> str | None:
    """The URL of the embedded store that runs on this directory, also of one that hangs; None when none listens."""
    path = _recorded_socket(data_dir.absolute())
    return _url(path) if _listens(path) else None


def _choose_socket(data_dir: Path) -> Path:
    """The socket's path, recorded for other commands: in the data directory, or in a short temporary one."""
    path = data_dir / "redis.sock"
    if not _is_plain(path):
        short = Path(tempfile.mkdtemp(prefix="filmgate-"))
        if not _is_plain(short / "redis.sock"):
            short.rmdir()
            short = Path(tempfile.mkdtemp(prefix="filmgate-", dir="/tmp"))
        path = short / "redis.sock"
    _write(data_dir / "redis.socket-path", str(path))
    return path


def _is_plain(path: Path) -> bool:
    """True when a socket can have this path and all clients can parse it.

    The server reports connections as `addr=PATH laddr=PATH`, which libraries split at white space and `=`; and a
    URL needs UTF-8.
    """
    try:
        size = len(str(path).encode())
    except UnicodeEncodeError:
        return False
    return size <= SOCKET_PATH_BYTES and "=" not in str(path) and not re.search(r"[\s\x00-\x1f\x7f]", str(path))


def _recorded_socket(data_dir: Path) -> Path:
    try:
        return Path((data_dir / "redis.socket-path").read_text())
    except (FileNotFoundError, NotADirectoryError):
        return data_dir / "redis.sock"


def _listens(path: Path) -> bool:
    """True while a process listens there, whether it answers or not: the kernel accepts the connection."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        try:
            connection.connect(str(path))
        except (BlockingIOError, TimeoutError):  # it hangs, and the line of those who wait for it is full
            return True
        except OSError:
            return False
    return True


def _ask(path: Path | None, command: bytes) -> bytes:
    """The first bytes of the server's reply to an inline command; empty without one within 1 s."""
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
        connection.settimeout(1)
        connection.connect(str(path))
        connection.sendall(command + b"\r\n")
        return connection.recv(256)
    return b""


def _write(path: Path, text: str) -> None:
    """Replaces a small file atomically; one that says the same already stays, also where a disk is full."""
    if path.is_file() and path.read_text() == text:
        return
    draft = path.with_name(path.name + ".new")
    draft.write_text(text)
    draft.replace(path)


def _url(path: Path) -> str:
    return f"unix://{quote(str(path))}"
