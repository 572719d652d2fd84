"""What a worker process keeps between tasks: one gateway, one event loop, one stop flag.

RQ would make a new loop, and so new connections, for every task. RQ's own timeout raises in the middle of the kept
loop and would leave a live POST to go on inside the next task; so a process that meets it exits at once, and the
supervisor starts a new one.
"""

import asyncio
import os
import socket
import sys
import threading
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

import structlog
from rq.timeouts import BaseTimeoutException

from app.domain.errors import StoreUnavailable
from app.gateway import Gateway, open_gateway
from app.settings import Settings, required_url
from app.store.connection import connect_rq
from workers.queues import Bell

EXIT_ON_TIMEOUT = 70

log = structlog.get_logger()


class Runtime:
    """One for each process."""

    def __init__(self, settings: Settings, *, queue: str) -> None:
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._opening: AbstractAsyncContextManager[Gateway] = open_gateway(settings, process=f"worker-{queue}")
        self.gateway = self._loop.run_until_complete(self._opening.__aenter__())
        self.bell = Bell(connect_rq(required_url(settings)))
        self.stopping = threading.Event()  # set by the signal handler, looked at between steps

    def run(self, step: Coroutine[Any, Any, None]) -> None:
        """Run one task's coroutine to its end."""
        try:
            self._loop.run_until_complete(step)
        except BaseTimeoutException:
            log.error("task.timeout", remedy="the process exits; what it had in hand comes due again")  # noqa: TRY400  the trace is RQ's
            sys.stderr.flush()
            os._exit(EXIT_ON_TIMEOUT)
        except StoreUnavailable:
            log.warning("task.store_away", remedy="what it had in hand comes due again")

    def report(self, queue: str) -> None:
        """Say that this process is ready for work; the supervisor keeps that known."""
        self._loop.run_until_complete(self.gateway.dispatch.beat(worker_name(os.getpid()), role=queue))

    def close(self) -> None:
        """Close the gateway and the loop."""
        self._loop.run_until_complete(self._opening.__aexit__(None, None, None))
        self._loop.close()


def worker_name(pid: int) -> str:
    """`host:pid`: how a worker process is known in the store."""
    return f"{socket.gethostname()}:{pid}"


_current: list[Runtime] = []


def install(runtime: Runtime) -> None:
    """Make this the process's runtime; RQ's task functions have no other way to be handed it."""
    _current[:] = [runtime]


def current() -> Runtime:
    """The process's runtime."""
    return _current[0]
