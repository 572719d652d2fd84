"""uvicorn as `filmgate serve` runs it: how it starts, and the order in which it stops."""

import asyncio
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

import structlog
import uvicorn

from app.api.connections import HEAD_SECONDS
from app.api.deps import GATEWAY
from app.api.stopping import STOPPING, Stopping
from app.cli.exits import Failure
from app.gateway import Gateway
from app.services.certificate_watch import CertificateWatch
from app.tasks import cancel_and_wait, every_second

if TYPE_CHECKING:
    from app.certificate import ServedCertificate

GC_THRESHOLD = 10_000  # new objects between two collections: more than the requests in progress have
RUNNING_S = 15.0  # for requests in progress, once the port is closed; then their connections are cut
CLOSED_S = 17  # uvicorn's own limit, behind ours
CLOSE_S = 2.0  # for the application's connections, after a second signal

log = structlog.get_logger()


class ApiServer(uvicorn.Server):
    """One API process.

    1. SIGTERM: `/readyz` is 503 from now on, and every reply closes its connection; requests are served as before
    2. after `drain_s`: the port closes; held calls are answered, streams end and say when to reconnect
    3. requests in progress end, within RUNNING_S; exit code 0

    SIGINT, from a person at a terminal, begins with 2. Any second signal cuts what is still in progress. SIGHUP
    reads the certificate again; without a certificate, and on a terminal, it is left as it is.
    """

    def __init__(self, config: uvicorn.Config, *, drain_s: float, certificate: "ServedCertificate | None") -> None:
        super().__init__(config)
        self._drain_s = drain_s
        self._certificate = certificate
        self._signals = 0
        self._drains_until: float | None = None
        self._must_reload = False
        self._watching: asyncio.Task[None] | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT shut it down with exit code 0; uvicorn would raise them again at the end."""
        actions: dict[signal.Signals, Any] = {
            signal.SIGTERM: self.handle_exit,
            signal.SIGINT: self.handle_exit,
        }
        if self._certificate is not None and not os.isatty(sys.stderr.fileno()):
            actions[signal.SIGHUP] = self._reload_soon
        before = {number: signal.signal(number, action) for number, action in actions.items()}
        try:
            yield
        finally:
            for number, action in before.items():
                signal.signal(number, action)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  uvicorn's signature
        """The first signal begins the end, the second one cuts it short."""
        self._signals += 1
        if self._signals > 1:
            self.should_exit = self.force_exit = True
        elif sig == signal.SIGINT or not self.started or self._drain_s == 0:
            self.should_exit = True
        else:
            self._drains_until = time.monotonic() + self._drain_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does it; a TLS handshake has the same time limit as a request head."""
        loop: Any = asyncio.get_running_loop()
        if self.config.is_ssl:
            loop.create_server = partial(loop.create_server, ssl_handshake_timeout=HEAD_SECONDS)
        try:
            await super().startup(sockets)
        except SystemExit:  # with a code of uvicorn's
            where = f"{self.config.host or '::'}, port {self.config.port}"
            raise Failure(f"The API cannot serve on {where}; the line before this one says why.") from None
        if self._certificate is not None:
            gateway: Gateway = self.lifespan.state[GATEWAY]
            watch = CertificateWatch(self._certificate, gateway.stores.alarms)
            self._watching = asyncio.create_task(every_second(watch.check))
        gc.collect()
        gc.freeze()  # otherwise each full collection walks the whole application: 90 ms without a reply
        gc.set_threshold(GC_THRESHOLD)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: True when the port must close."""
        must_exit = await super().on_tick(counter)
        if self._must_reload and self._certificate is not None:
            self._must_reload = False
            self._certificate.reload()
        if must_exit or self._drains_until is None:
            return must_exit
        if not self._stopping.draining:
            self._stopping.draining = True
            log.info("api.draining", seconds=self._drain_s)
        return time.monotonic() >= self._drains_until

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port, tell held calls and streams, and wait for the requests in progress."""
        began = time.monotonic()
        if self._watching is not None:
            await cancel_and_wait(self._watching)
        log.info("api.stopping", connections=len(self.server_state.connections))
        telling = asyncio.create_task(self._stopping.stop())  # runs when the port is closed
        cutting = asyncio.get_running_loop().call_later(0 if self.force_exit else RUNNING_S, self._cut)
        await super().shutdown(sockets)
        await telling
        cutting.cancel()
        if self.force_exit:  # uvicorn leaves the application as it is then, which ends with a traceback
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self.lifespan.shutdown()
        log.info("api.stopped", seconds=round(time.monotonic() - began, 1))

    @property
    def _stopping(self) -> Stopping:
        found: Stopping = self.lifespan.state[STOPPING]
        return found

    def _cut(self) -> None:
        """End the connections that are still open: their requests see that their callers have left."""
        left = list(self.server_state.connections)
        if left:
            log.warning("api.cut", connections=len(left))
        for connection in left:
            connection.transport.abort()

    def _reload_soon(self, _number: int, _frame: FrameType | None) -> None:
        self._must_reload = True
