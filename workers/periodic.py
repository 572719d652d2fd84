"""Tasks of a lane with fal's admin key, every 15 s: the bill and the history."""

import time
from collections.abc import Awaitable, Callable

import structlog

from app.domain.errors import StoreUnavailable
from app.fal.errors import UnusableAnswer
from app.gateway import Gateway

EVERY_S = 15.0
AWAY_RETRY_S = 60.0  # between two runs while fal gives no usable reply

log = structlog.get_logger()


class PeriodicTask:
    """Runs one step every 15 s, and warns once while fal gives no usable reply.

    `run_once` returns UnusableAnswer, or a false value when fal was not called. `topic` begins the names of log
    events; `remedy` tells the operator what to do.
    """

    def __init__(
        self,
        gateway: Gateway,
        run_once: Callable[[Gateway], Awaitable[object]],
        *,
        step: str,
        topic: str,
        remedy: str,
    ) -> None:
        self._gateway = gateway
        self._run_once = run_once
        self._step = step
        self._topic = topic
        self._remedy = remedy
        self._next = 0.0
        self._away = False

    def is_due(self) -> bool:
        """True when it is time, and an admin key is set."""
        return self._gateway.settings.fal_admin_key is not None and time.monotonic() >= self._next

    async def run(self) -> None:
        """Run it once; after any failure the jobs become due again and the lane continues."""
        self._next = time.monotonic() + EVERY_S
        try:
            answer = await self._run_once(self._gateway)
            if isinstance(answer, UnusableAnswer):
                self._warn_once(answer.reason)
                return
            if not answer or await self._gateway.stores.due.any(self._step):
                self._next = 0.0  # fal was not called, or more is due: run again in the next slice
            if answer:
                self._away = False
        except StoreUnavailable:
            pass  # the outage has its own line
        except Exception:
            log.exception(self._event("failed"))

    def _warn_once(self, reason: str) -> None:
        self._next = time.monotonic() + AWAY_RETRY_S
        if not self._away:
            log.warning(self._event("away"), reason=reason, remedy=self._remedy)
        self._away = True

    def _event(self, what: str) -> str:
        return f"{self._topic}.{what}"
