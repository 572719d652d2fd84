"""Ends open calls (held ones and streams) soon after their key is revoked or expires, or their session ends.

One task per process checks all their keys together: a thousand streams cost the store one call each time.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass, field

import structlog

from app.domain.accounts import Caller
from app.domain.errors import StoreUnavailable
from app.store.accounts import AccountStore

CHECK_S = 0.4  # a revoked key's calls must end within a second

log = structlog.get_logger()


@dataclass
class _Watched:
    """A key with open calls: what ends each of them, once the key is revoked or has expired.

    `token`: its record is where those of browser tokens and sessions are.
    """

    token: bool
    ends: set[Callable[[], None]] = field(default_factory=set)


class Revocation:
    """Notifies open calls that their key, or their session, has ended."""

    def __init__(self, accounts: AccountStore) -> None:
        self._accounts = accounts
        self._watched: dict[str, _Watched] = {}
        self._checking: asyncio.Task[None] | None = None

    @contextmanager
    def watching(self, caller: Caller, end: Callable[[], None]) -> Iterator[None]:
        """Call `end`, within the block, soon after the caller's key is revoked or expires."""
        name = caller.session or caller.digest
        watched = self._watched.setdefault(name, _Watched(caller.session is not None or caller.token is not None))
        watched.ends.add(end)
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(
                self._check(),
                context=Context(),  # its log lines are about nobody's request
            )
        try:
            yield
        finally:
            watched.ends.remove(end)
            if not watched.ends and self._watched.get(name) is watched:
                del self._watched[name]

    async def _check(self) -> None:
        """Check all watched keys while there are any; an outage of the store closes none."""
        while self._watched:
            digests = {digest: watched.token for digest, watched in self._watched.items()}
            try:
                closed = await self._accounts.closed(digests)
            except StoreUnavailable:
                closed = []
            for digest in closed:
                watched = self._watched.pop(digest, None)
                if watched is not None:
                    for end in watched.ends:
                        end()
                    log.info("calls.closed", calls=len(watched.ends), reason="their key was revoked or has expired")
            await asyncio.sleep(CHECK_S)
