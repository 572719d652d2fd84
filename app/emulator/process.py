"""The process of the emulator: a local fal on one port, by the words of its command line."""

import argparse
import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from app.emulator.emulator import Emulator
from app.emulator.options import Options
from app.emulator.server import create_app
from app.emulator.web import ConnectionAwareProtocol

PR_SET_PDEATHSIG = 1
GRACE_SECONDS = 1
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Server(uvicorn.Server):
    """uvicorn, which prints where it listens and ends open streams on shutdown."""

    def __init__(self, config: uvicorn.Config, emulator: Emulator, address: str) -> None:
        super().__init__(config)
        self._emulator = emulator
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does it; then prints the address, and the differences from fal."""
        await super().startup(sockets)
        if self.started:
            lines = [f"fal emulator listens on {self._address}", "It does not imitate:"]
            lines += [f"  - {line}" for line in self._emulator.not_imitated()]
            sys.stdout.write("\n".join(lines) + "\n")
            sys.stdout.flush()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT shut it down with exit code 0."""
        before = {number: signal.signal(number, self.handle_exit) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, action in before.items():
                signal.signal(number, action)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends open streams first, because uvicorn waits for them."""
        self._emulator.release_watchers()
        await super().shutdown(sockets)


def main(arguments: list[str] | None = None) -> int:
    """Runs until SIGTERM or SIGINT; returns the exit code."""
    parser = _parser()
    args = vars(parser.parse_args(arguments))
    host, port = args.pop("host"), args.pop("port")
    if args["speed"] <= 0:
        parser.error("--speed must be positive")
    if args.pop("die_with_parent"):
        _die_with_parent()
    try:
        listener = _listen(host, port)
    except OSError as error:
        sys.stderr.write(f"Cannot listen on {host}:{port}: {error.strerror}.\n")
        return 1
    keys = frozenset(args.pop("key")) | _keys("EMULATOR_KEYS")
    admin_keys = frozenset(args.pop("admin_key")) | _keys("EMULATOR_ADMIN_KEYS")
    emulator = Emulator(Options(keys=keys, admin_keys=admin_keys, **args))
    config = uvicorn.Config(
        create_app(emulator),
        http=ConnectionAwareProtocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    netloc = f"[{host}]" if ":" in host else host
    server = Server(config, emulator, f"http://{netloc}:{listener.getsockname()[1]}")
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(server.serve([listener]))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="filmgate emulator", description="A local fal. Durations are divided by --speed."
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=int, default=8001, help="port to listen on; 0 picks a free one")
    add("--concurrency", type=int, default=10, help="requests that run at the same time")
    add("--queue-seconds", type=float, default=1, help="time in the queue")
    add("--run-seconds", type=float, default=2, help="time in progress")
    add("--speed", type=float, default=1, help="emulated seconds in one real second")
    add(
        "--key",
        action="append",
        default=[],
        help="a key to accept; may be repeated; without it any is accepted; a real one belongs in EMULATOR_KEYS",
    )
    add(
        "--admin-key",
        action="append",
        default=[],
        help="a key that may read history and billing; may be repeated; without it any may; or EMULATOR_ADMIN_KEYS",
    )
    add("--webhook-user", default="user_emulator", help="the X-Fal-Webhook-User-Id of deliveries")
    add("--state-file", type=Path, help="keep requests and charges here, files next to it, across restarts")
    add(
        "--public-url",
        type=_without_slash,
        default="",
        help="origin of URLs in replies; otherwise the caller's Host header",
    )
    add("--strict-urls", action="store_true", help="405 for status URLs that name the whole model, as fal does")
    add("--plain-clips", action="store_true", help="still pictures instead of a zoom: a tenth of the work")
    add("--no-clips", action="store_true", help="do not fetch pictures; every result is one ready-made clip")
    add("--die-with-parent", action="store_true", help="end when the starting process ends (Linux)")
    return parser


def _without_slash(url: str) -> str:
    return url.rstrip("/")


def _keys(name: str) -> frozenset[str]:
    """Keys separated by commas in an environment variable or its file: not in the process list."""
    text = os.environ.get(name, "")
    if path := os.environ.get(f"{name}_FILE"):
        text += "," + Path(path).read_text(encoding="utf-8")
    return frozenset(key.strip() for key in text.split(",") if key.strip())


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def _die_with_parent() -> None:
    """Has Linux send SIGTERM when the thread that started this process ends."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
