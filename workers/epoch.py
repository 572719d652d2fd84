"""Watches for a store that has gone back in time, and ends the stop when fal's history tells what was bought."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import structlog

from app.domain.errors import StoreUnavailable
from app.ending import ended
from app.gateway import Gateway
from app.services.epoch import EpochService
from workers.regain import regain

LOOK_S = 1.0
REGAIN_S = 15.0

log = structlog.get_logger()


class EpochWatch:
    """A supervisor's eye on the store. `opened` opens a gateway that may read fal's history, if there is a key."""

    def __init__(
        self, epoch: EpochService, *, opened: Callable[[], AbstractAsyncContextManager[Gateway]] | None
    ) -> None:
        self._epoch = epoch
        self._opened = opened
        self._looked = 0.0
        self._asked = 0.0
        self._regaining: asyncio.Task[None] | None = None

    async def look(self) -> None:
        """Once a second at most: compare; while buying is stopped and fal's history may be read, ask it."""
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        try:
            confirmed = await self._epoch.confirm()
        except StoreUnavailable:
            return  # the supervisor says so itself
        idle = self._regaining is None or self._regaining.done()
        if not confirmed and idle and self._opened is not None and now - self._asked > REGAIN_S:
            self._asked = now
            self._regaining = asyncio.create_task(self._regain(self._opened()))

    async def _regain(self, opening: AbstractAsyncContextManager[Gateway]) -> None:
        try:
            async with opening as gateway:
                await regain(gateway)
        except StoreUnavailable:
            log.warning("epoch.store_away")
        except Exception:
            log.exception("epoch.failed")  # it is tried again; buying stays stopped

    async def close(self) -> None:
        """Ask no more."""
        if self._regaining is not None:
            await ended(self._regaining)
