"""One role each, for compose and Kubernetes: `serve`, `worker`, `emulator`."""

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import structlog
import typer
import uvicorn

from app import __version__
from app.api.connections import HEAD_SECONDS, ROOM, Connection
from app.api.stopping import STOPPING
from app.cli.preflight import check_tls, data_dir_warnings, warnings
from app.domain.errors import StoreUnavailable
from app.gateway import open_gateway
from app.settings import KNOWN_NAMES, Settings, load_settings
from app.telemetry import set_up_logs

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
GC_THRESHOLD = (
    10_000  # objects made since the collector last looked: what is in work is none of its, and comes and goes
)
SHUTDOWN_TIMEOUT_S = 5  # open event streams end then; their readers come back with Last-Event-ID


log = structlog.get_logger()


class ApiServer(uvicorn.Server):
    """Tells the application that it stops before it waits for open requests; the lifespan ends only after them."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end it in order; the exit code is 0, because that is what was asked for."""
        before = {number: signal.signal(number, self.handle_exit) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, action in before.items():
                signal.signal(number, action)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does it; a TLS handshake has the time that a head has."""
        loop: Any = asyncio.get_running_loop()
        if self.config.is_ssl:
            loop.create_server = partial(loop.create_server, ssl_handshake_timeout=HEAD_SECONDS)
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # else Python walks the whole application again and again: 90 ms in which nobody is answered
        gc.set_threshold(GC_THRESHOLD)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does it, with a word to the held calls first."""
        self.lifespan.state[STOPPING].set()
        await super().shutdown(sockets)


async def _refuse_early(settings: Settings) -> None:
    """Open the gateway once: what is wrong is then said in one sentence, before a server starts.

    A store that is not there yet is waited for, for ever: whoever started this would only start it again. What this
    version knows as settings is written down, for the day on which somebody goes back to an older one.
    """
    async with open_gateway(settings, process="check", patience=None) as gateway:
        with suppress(StoreUnavailable):  # one that takes no writes now; a later start writes it
            await gateway.stores.setting_names.note(__version__, KNOWN_NAMES)


def serve() -> None:
    """Serve the API, until SIGTERM."""
    settings = load_settings(os.environ, keep_unknown=True)
    set_up_logs(settings.log_format, process="api")
    check_tls(settings)
    for sentence in [*warnings(settings), *data_dir_warnings(settings)]:
        log.warning("api.careless", sentence=sentence)
    asyncio.run(_refuse_early(settings))
    config = uvicorn.Config(
        "app.main:from_environment",
        factory=True,
        host="" if settings.host == "::" else settings.host,  # asyncio would open "::" for IPv6 alone
        port=settings.port,
        loop="uvloop",
        http=Connection,
        access_log=False,  # queries may hold tokens; our own line leaves them out
        log_config=None,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )
    ROOM.make_room()
    ApiServer(config).run()


def worker() -> None:
    """Run the workers of this host, until SIGTERM."""
    settings = load_settings(os.environ, keep_unknown=True)
    set_up_logs(settings.log_format, process="check")
    for sentence in data_dir_warnings(settings):
        log.warning("workers.careless", sentence=sentence)
    asyncio.run(_refuse_early(settings))
    os.execv(sys.executable, [sys.executable, "-m", "workers"])  # noqa: S606  our own interpreter, our own module


def emulator(context: typer.Context) -> None:
    """Run a local fal, for development and tests; its own options follow (see `filmgate emulator --help`)."""
    arguments = [sys.executable, "-m", "app.emulator", *context.args]
    os.execv(sys.executable, arguments)  # noqa: S606  as above
