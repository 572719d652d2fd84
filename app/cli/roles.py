"""The commands for compose and Kubernetes, one role each: `serve`, `worker`, `emulator`."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
import typer
import uvicorn

from app import __version__
from app.api.connection_limit import ROOM
from app.api.connections import Connection
from app.children import hold_stop
from app.cli.api_server import CLOSED_S, ApiServer
from app.cli.preflight import check_tls, data_dir_warnings, warnings
from app.domain.errors import StoreUnavailable
from app.domain.store_role import StoreRole
from app.gateway import open_gateway
from app.settings import KNOWN_NAMES, Settings, load_settings
from app.starting import require_storage
from app.telemetry import set_up_logs

if TYPE_CHECKING:
    from app.certificate import ServedCertificate

log = structlog.get_logger()


async def _refuse_early(settings: Settings, role: StoreRole) -> None:
    """Open the gateway once, so that faults of settings or store are reported before a server starts.

    Waits for the store without a limit, because a supervisor would only restart the process. Records the names of
    this version's settings, for a later downgrade.
    """
    async with open_gateway(settings, process="check", role=role, patience=None) as gateway:
        await require_storage(gateway.storage, gateway.stores.alarms)
        with suppress(StoreUnavailable):  # a store that takes no writes now; a later start records them
            await gateway.stores.setting_names.note(__version__, KNOWN_NAMES)


def _end_on_stop() -> None:
    """SIGTERM ends the process with 0 while it waits for its store; afterwards it has an order of its own."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def _certificate(settings: Settings) -> "ServedCertificate | None":
    """The certificate that callers are shown; None for plain http."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    from app.certificate import ServedCertificate  # noqa: PLC0415  3 MB, only where it is needed

    return ServedCertificate(settings.tls_cert, settings.tls_key)


def serve() -> None:
    """Serve the API, until SIGTERM; SIGHUP reads the certificate again.

    Settings are environment variables, each described in docs/settings.md, such as FAL_KEY, FILMGATE_REDIS_URL,
    FILMGATE_HOST, FILMGATE_PORT, FILMGATE_PUBLIC_URL and FILMGATE_ADMIN_KEY. `filmgate doctor` checks them.
    """
    _end_on_stop()
    settings = load_settings(os.environ, keep_unknown=True)
    set_up_logs(settings.log_format, process="api")
    check_tls(settings)
    for sentence in [*warnings(settings), *data_dir_warnings(settings)]:
        log.warning("api.careless", sentence=sentence)
    certificate = _certificate(settings)
    asyncio.run(_refuse_early(settings, StoreRole.API))
    config = uvicorn.Config(
        "app.main:from_environment",
        factory=True,
        host="" if settings.host == "::" else settings.host,  # asyncio would open "::" for IPv6 alone
        port=settings.port,
        loop="uvloop",
        http=Connection,
        ws="none",  # where its library is installed for another program, uvicorn would answer
        access_log=False,  # queries may hold tokens; our own line leaves them out
        log_config=None,
        server_header=False,
        proxy_headers=False,  # app/api/proxies.py, which knows more of them
        timeout_graceful_shutdown=CLOSED_S,
        ssl_context_factory=None if certificate is None else lambda *_: certificate.context,
    )
    ROOM.make_room()
    if shortage := ROOM.shortage():
        log.warning("api.few_connections", sentence=shortage)
    ApiServer(config, drain_s=settings.drain_seconds, certificate=certificate).run()


def worker() -> None:
    """Run the workers of this host, until SIGTERM.

    Settings are environment variables, each described in docs/settings.md, such as FAL_KEY, FILMGATE_REDIS_URL,
    FILMGATE_LANES, FILMGATE_WORKERS and FILMGATE_DELIVERERS. `filmgate doctor` checks them.
    """
    _end_on_stop()
    settings = load_settings(os.environ, keep_unknown=True)
    set_up_logs(settings.log_format, process="check")
    for sentence in data_dir_warnings(settings):
        log.warning("workers.careless", sentence=sentence)
    asyncio.run(_refuse_early(settings, StoreRole.WORKER))
    hold_stop()
    os.execv(sys.executable, [sys.executable, "-m", "workers"])  # noqa: S606  our own interpreter, our own module


def emulator(context: typer.Context) -> None:
    """Run a local fal, for development and tests."""
    arguments = [sys.executable, "-m", "app.emulator", *context.args]
    hold_stop()
    os.execv(sys.executable, arguments)  # noqa: S606  as above
