"""The commands for compose and Kubernetes, one role each: `serve`, `worker`, `emulator`."""

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
from app.cli.preflight import check_tls, data_dir_warnings, require_storage, warnings
from app.domain.errors import StoreUnavailable
from app.domain.store_role import StoreRole
from app.gateway import open_gateway
from app.settings import KNOWN_NAMES, Settings, load_settings
from app.telemetry import set_up_logs

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
GC_THRESHOLD = 10_000  # new objects between two collections: more than the requests in progress have
SHUTDOWN_TIMEOUT_S = 5  # event streams end then; clients reconnect with Last-Event-ID

log = structlog.get_logger()


class ApiServer(uvicorn.Server):
    """uvicorn, which sets the application's stop event before it waits for open requests."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT shut it down with exit code 0."""
        before = {number: signal.signal(number, self.handle_exit) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, action in before.items():
                signal.signal(number, action)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does it; a TLS handshake has the same time limit as a request head."""
        loop: Any = asyncio.get_running_loop()
        if self.config.is_ssl:
            loop.create_server = partial(loop.create_server, ssl_handshake_timeout=HEAD_SECONDS)
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # otherwise each full collection walks the whole application: 90 ms without a reply
        gc.set_threshold(GC_THRESHOLD)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does it, after setting the stop event for held calls."""
        self.lifespan.state[STOPPING].set()
        await super().shutdown(sockets)


async def _refuse_early(settings: Settings, role: StoreRole) -> None:
    """Open the gateway once, so that faults of settings or store are reported before a server starts.

    Waits for the store without a limit, because a supervisor would only restart the process. Records the names of
    this version's settings, for a later downgrade.
    """
    async with open_gateway(settings, process="check", role=role, patience=None) as gateway:
        await require_storage(gateway)
        with suppress(StoreUnavailable):  # a store that takes no writes now; a later start records them
            await gateway.stores.setting_names.note(__version__, KNOWN_NAMES)


def serve() -> None:
    """Serve the API, until SIGTERM."""
    settings = load_settings(os.environ, keep_unknown=True)
    set_up_logs(settings.log_format, process="api")
    check_tls(settings)
    for sentence in [*warnings(settings), *data_dir_warnings(settings)]:
        log.warning("api.careless", sentence=sentence)
    asyncio.run(_refuse_early(settings, StoreRole.API))
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
    if shortage := ROOM.shortage():
        log.warning("api.few_connections", sentence=shortage)
    ApiServer(config).run()


def worker() -> None:
    """Run the workers of this host, until SIGTERM."""
    settings = load_settings(os.environ, keep_unknown=True)
    set_up_logs(settings.log_format, process="check")
    for sentence in data_dir_warnings(settings):
        log.warning("workers.careless", sentence=sentence)
    asyncio.run(_refuse_early(settings, StoreRole.WORKER))
    os.execv(sys.executable, [sys.executable, "-m", "workers"])  # noqa: S606  our own interpreter, our own module


def emulator(context: typer.Context) -> None:
    """Run a local fal, for development and tests."""
    arguments = [sys.executable, "-m", "app.emulator", *context.args]
    os.execv(sys.executable, arguments)  # noqa: S606  as above
