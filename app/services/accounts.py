"""Authentication: a key or a browser token becomes a caller."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass

from app.domain.accounts import (
    KEY_PREFIX,
    TOKEN_PREFIX,
    Caller,
    Credential,
    Team,
    User,
    digest,
    is_token,
    well_formed,
)
from app.domain.errors import NotFound, StoreUnavailable, Unauthenticated
from app.domain.kept_files import StorageUse
from app.domain.limits import LimitState
from app.services.bad_keys import BadKeyThrottle, BatchLookup
from app.services.revocation import Revocation
from app.services.streams import Streams
from app.store.accounts import AccountStore
from app.store.kept_files import KeptFileStore
from app.store.ledger import LedgerStore
from app.store.limits import LimitStore

CACHED_S = 0.5  # a revoked key must be refused everywhere within a second
MAX_CACHED = 10_000
RECORD_USE_EVERY_S = 60.0
MISTYPED = "The key is not complete or was mistyped: its checksum does not fit."
FOREIGN = (
    f"This is neither a key of this gateway, which begins with {KEY_PREFIX}, nor its administrator's. A key of fal"
    " does not work here."
)


@dataclass(frozen=True, slots=True)
class CallerInfo:
    """A caller with names, limits, the team's money (micro-dollars) and bytes in the storage, if there is one."""

    caller: Caller
    team: Team
    user: User
    limits: tuple[LimitState, ...]
    held_micro: int
    spent_micro: int
    storage: StorageUse | None = None


class Accounts:
    """Turns keys into callers."""

    def __init__(
        self,
        accounts: AccountStore,
        ledger: LedgerStore,
        limits: LimitStore,
        kept_files: KeptFileStore | None = None,
    ) -> None:
        self._kept_files = kept_files  # None without a storage
        self._accounts = accounts
        self._ledger = ledger
        self._limits = limits
        self._cache: dict[str, tuple[float, Caller]] = {}  # by digest, with the time until which it is valid
        self._next_record: dict[str, float] = {}  # by key id: when its use is recorded again
        self._revocation = Revocation(accounts)
        self._batch = BatchLookup(accounts.closed)
        self.bad_keys = BadKeyThrottle()
        self.streams = Streams(self._revocation)

    def is_cached(self, key: str) -> bool:
        """True when the key was valid at its last look-up in this process."""
        return digest(key) in self._cache

    async def authenticate(self, key: str | None, *, batched: bool = False) -> Caller:
        """The caller with this key; Unauthenticated without a valid one. A mistyped key costs no look-up.

        `batched`: the key's address has sent many bad ones, so look it up together with others first.
        """
        if not key:
            raise Unauthenticated(
                "There is no key in the request. Send a key as `Authorization: Bearer fg_live_…`."
            )
        key_digest = digest(key)
        cached = self._cache.get(key_digest)
        if cached is not None and time.monotonic() < cached[0]:
            return cached[1]
        if not well_formed(key):
            raise Unauthenticated(MISTYPED if key.startswith((KEY_PREFIX, TOKEN_PREFIX)) else FOREIGN)
        started = time.monotonic()  # the key may be revoked before the store's reply arrives
        try:
            caller = await self._read_caller(key_digest, token=is_token(key), batched=batched)
        except Unauthenticated:
            self._cache.pop(key_digest, None)  # not before: concurrent requests with it would be batched
            raise
        if len(self._cache) >= MAX_CACHED:
            self._cache.clear()
            self._next_record.clear()
        self._cache[key_digest] = (started + CACHED_S, caller)
        return caller

    def watching(self, caller: Caller, end: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `end`, within the block, soon after the caller's key is revoked or expires."""
        return self._revocation.watching(caller, end)

    async def is_valid(self, caller: Caller) -> bool:
        """True while the caller's key is neither revoked nor expired; asks the store."""
        try:
            if caller.session is not None:
                return not await self._accounts.closed({caller.session: True})
            await self._read_caller(caller.digest, token=caller.token is not None)
        except Unauthenticated:
            return False
        return True

    async def holder(self, key_digest: str) -> Caller:
        """The caller with the key that has this digest; Unauthenticated when it is not valid."""
        return await self._read_caller(key_digest, token=False)

    async def is_closed(self, session_digest: str) -> bool:
        """True for a session that has ended; looked up together with others, because its address sent bad ones."""
        return await self._batch.is_closed(session_digest, token=True)

    async def opens(self, key: str) -> bool:
        """True when the key is valid."""
        try:
            await self.authenticate(key)
        except Unauthenticated:
            return False
        return True

    async def who_am_i(self, caller: Caller) -> CallerInfo:
        """The caller with names, the present state of every limit, and the team's sums."""
        team, user = await self._accounts.names(caller.team, caller.user)
        if team is None or user is None:
            raise NotFound("The key's team or user is gone.")
        limits = await self._limits.states(caller)
        sums = await self._ledger.balance(caller.team)
        storage = None if self._kept_files is None else await self._kept_files.use(caller.team)
        return CallerInfo(caller, team, user, limits, sums.reserved, sums.spent, storage)

    async def storage_of(self, teams: Sequence[str]) -> list[StorageUse] | None:
        """The bytes of each of these teams in the storage; None without one."""
        return None if self._kept_files is None else await self._kept_files.use_of(teams)

    async def team(self, team_id: str) -> Team | None:
        """The team, a deleted one too, or None."""
        return await self._accounts.team(team_id)

    async def any_team(self, team_id: str) -> Team:
        """The team, a deleted one too; NotFound."""
        return await self._accounts.any_team(team_id)

    async def _read_caller(self, key_digest: str, *, token: bool, batched: bool = False) -> Caller:
        closed = batched and await self._batch.is_closed(key_digest, token=token)
        return await self.admit(
            key_digest, None if closed else await self._accounts.credential(key_digest, token=token)
        )

    async def admit(self, key_digest: str, found: Credential | None) -> Caller:
        """The caller with what the store has under a digest, whose use is recorded; Unauthenticated if it ended."""
        if found is None:
            raise Unauthenticated("The key is unknown, or it was revoked.")
        for record in (found.record, found.parent):
            if record is not None and record.revoked_ms is not None:
                raise Unauthenticated("The key was revoked.")
            if record is not None and record.expires_ms is not None and record.expires_ms <= found.now_ms:
                raise Unauthenticated("The key has expired.")
        await self._record_use(found)
        return _caller(key_digest, found)

    async def _record_use(self, found: Credential) -> None:
        """Record the use, at most once a minute; a store that takes no writes refuses no caller."""
        key_id = found.record.parent_id or found.record.id
        if time.monotonic() < self._next_record.get(key_id, 0.0):
            return
        self._next_record[key_id] = time.monotonic() + RECORD_USE_EVERY_S
        with suppress(StoreUnavailable):
            await self._accounts.record_use(key_id, found.now_ms)


def _caller(key_digest: str, found: Credential) -> Caller:
    record = found.record
    return Caller(
        team=record.team,
        user=record.user,
        key=record.parent_id or record.id,
        scopes=record.scopes,
        digest=key_digest,
        zone=found.zone,
        models=None if record.models is None else frozenset(record.models),
        origins=None if record.origins is None else frozenset(record.origins),
        token=record.id if record.parent_id else None,
        job=record.job,
        expires_ms=record.expires_ms,
        reposts=(found.parent or record).reposts or found.reposts,
    )
