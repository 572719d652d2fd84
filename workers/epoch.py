"""Notices a store that has gone back in time, and resumes buying when fal's history shows what was bought."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import structlog

from app.domain.errors import StoreUnavailable
from app.gateway import Gateway
from app.services.epoch import EpochService
from app.tasks import cancel_and_wait
from workers.recovery import recover_epoch

TICK_S = 1.0
RECOVER_EVERY_S = 15.0

log = structlog.get_logger()


class EpochWatch:
    """Compares the store every second. `open_gateway`: for reading fal's history; None without an admin key."""

    def __init__(
        self, epoch: EpochService, *, open_gateway: Callable[[], AbstractAsyncContextManager[Gateway]] | None
    ) -> None:
        self._epoch = epoch
        self._open_gateway = open_gateway
        self._ticked = 0.0
        self._recovered = 0.0
        self._recovering: asyncio.Task[None] | None = None

    async def tick(self) -> None:
        """At most once a second: compare; while buying is stopped, read fal's history in the background."""
        now = time.monotonic()
        if now - self._ticked < TICK_S:
            return
        self._ticked = now
        try:
            confirmed = await self._epoch.confirm()
        except StoreUnavailable:
            return  # the outage has its own line
        idle = self._recovering is None or self._recovering.done()
        if not confirmed and idle and self._open_gateway is not None and now - self._recovered > RECOVER_EVERY_S:
            self._recovered = now
            self._recovering = asyncio.create_task(self._recover(self._open_gateway()))

    async def _recover(self, gateway_context: AbstractAsyncContextManager[Gateway]) -> None:
        try:
            async with gateway_context as gateway:
                await recover_epoch(gateway)
        except StoreUnavailable:
            pass  # the outage has its own line
        except Exception:
            log.exception("epoch.failed")  # tried again later; buying stays stopped

    async def close(self) -> None:
        """Cancel a running recovery."""
        if self._recovering is not None:
            await cancel_and_wait(self._recovering)
