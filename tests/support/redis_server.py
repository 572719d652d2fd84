"""A real store for tests, on its own port and socket, that can be killed and restarted."""

import contextlib
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Self

from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from app.children import die_with_parent
from app.engines import Engine, find_engine
from tests.support.own_server import OwnServer

START_SECONDS = 20.0
EPOCH = ("fg:epoch", "fg:claims", "fg:admissions")
EMPTIED = """
local kept = {}
for i, name in ipairs(KEYS) do kept[i] = redis.call('DUMP', name) end
redis.call('FLUSHALL')
for i, name in ipairs(KEYS) do if kept[i] then redis.call('RESTORE', name, 0, kept[i]) end end
return redis.status_reply('OK')
"""


def engine_under_test() -> Engine:
    """The server named by FILMGATE_TEST_REDIS; otherwise the one that `filmgate up` would use."""
    named = os.environ.get("FILMGATE_TEST_REDIS")
    return find_engine([Path(named)] if named else None)


class RedisServer(OwnServer):
    """One server process with the settings that Filmgate requires; `options` adds some, such as `maxmemory="20mb"`.

    Starting takes some 50 ms. Use it as a context manager, or call `start` and `stop`.
    """

    def __init__(self, **options: str) -> None:
        super().__init__("test")
        self._options = {name.replace("_", "-"): value for name, value in options.items()}

    @property
    def url(self) -> str:
        """`redis://127.0.0.1:PORT/0`."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """`unix:///…/redis.sock`."""
        return f"unix://{self.dir}/redis.sock"

    def client(self, **options: Any) -> Any:
        """A client with text replies, which redis-py's types cannot express; `async with` closes it."""
        return Redis.from_url(
            self.url,
            decode_responses=True,
            encoding_errors="surrogateescape",
            driver_info=None,  # the library would look up its own version for each connection
            **options,
        )

    def blocking(self) -> Any:
        """The same without asyncio; `with` closes it."""
        return BlockingRedis.from_url(self.url, decode_responses=True, encoding_errors="surrogateescape")

    @property
    def running(self) -> bool:
        """True between `start` and `kill`."""
        return self._process is not None

    def start(self) -> Self:
        """Start the server on its data and wait until it answers; the port and the socket stay the same."""
        assert self._process is None, "the server is running"
        flags = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "unixsocket": f"{self.dir}/redis.sock",
            "dir": str(self.dir),
            "logfile": f"{self.dir}/redis.log",
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "repl-diskless-sync-delay": "0",  # a snapshot comes at once
            "maxmemory-policy": "noeviction",
            **self._options,
        }
        words = (word for name, value in flags.items() for word in (f"--{name}", value))
        engine = engine_under_test()
        self._process = subprocess.Popen(  # noqa: S603 - the engine under test
            [engine.path, *words],
            env=engine.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - two system calls; no server outlives a killed test run
        )
        end = time.monotonic() + START_SECONDS
        mine = f"process_id:{self._process.pid}\r\n".encode()
        while mine not in self.command("INFO", "server") or self.command("PING") != b"+PONG\r\n":
            if self._process.poll() is not None or time.monotonic() > end:
                log = (self.dir / "redis.log").read_text(errors="replace")
                self.kill()
                raise AssertionError(f"the server did not start: {log[-2000:]}")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.01)
        return self

    def command(self, *words: str) -> bytes:
        """The first bytes of the raw answer to one command; empty when there is none within 2 s."""
        request = f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection,
        ):
            connection.sendall(request.encode())
            return connection.recv(65_536)
        return b""

    def apply(self, *words: str) -> None:
        """One command whose reply must be OK or a number."""
        answer = self.command(*words)
        assert answer[:1] in {b"+", b":"}, f"{words}: {answer!r}"

    def flush(self) -> None:
        """Empty the store, including functions and cached scripts; but keep its epoch.

        Otherwise an API that serves several tests would detect a restored store, and stop buying.
        """
        empty = ("EVAL", EMPTIED, str(len(EPOCH)), *EPOCH)
        for words in (empty, ("SCRIPT", "FLUSH"), ("FUNCTION", "FLUSH")):
            self.apply(*words)
