"""Calls that stay open, held ones and streams: each ends soon after its caller's key does.

One task for each process looks at the keys of all of them together, so that a thousand streams cost the store one
call each time, and not a thousand.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from app.domain.accounts import Caller
from app.domain.errors import StoreUnavailable
from app.store.accounts import AccountStore

LOOK_S = 0.4  # after a key is closed, nothing more may be told within a second

log = structlog.get_logger()


@dataclass
class _Watched:
    """A key that some open calls rest on: how many, and the event that is set when it opens nothing any more."""

    token: bool
    calls: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)


class Revocation:
    """Tells open calls that their key was revoked, or has expired."""

    def __init__(self, accounts: AccountStore) -> None:
        self._accounts = accounts
        self._watched: dict[str, _Watched] = {}
        self._looking: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def watching(self, caller: Caller) -> AsyncIterator[asyncio.Event]:
        """For the block: an event that is set soon after the caller's key opens nothing any more."""
        watched = self._watched.setdefault(caller.digest, _Watched(caller.token is not None))
        watched.calls += 1
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            yield watched.closed
        finally:
            watched.calls -= 1
            if not watched.calls and self._watched.get(caller.digest) is watched:
                del self._watched[caller.digest]

    async def _look(self) -> None:
        """Look at all keys again and again, while there are any; a store that is away says nothing about them."""
        while self._watched:
            asked = {digest: watched.token for digest, watched in self._watched.items()}
            try:
                closed = await self._accounts.closed(asked)
            except StoreUnavailable:
                closed = []
            for digest in closed:
                watched = self._watched.pop(digest, None)
                if watched is not None:
                    watched.closed.set()
                    log.info("calls.closed", calls=watched.calls, reason="the key opens nothing any more")
            await asyncio.sleep(LOOK_S)
