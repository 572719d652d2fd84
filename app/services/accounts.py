"""Who is asking: a key or a browser token becomes a caller."""

import time
from asyncio import Event
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass

from app.domain.accounts import Caller, Credential, Team, User, digest, is_token, well_formed
from app.domain.errors import NotFound, StoreUnavailable, Unauthenticated
from app.domain.limits import LimitState
from app.services.bad_keys import BadKeyThrottle, BatchLookup
from app.services.revocation import Revocation
from app.services.streams import Streams
from app.store.accounts import AccountStore
from app.store.ledger import LedgerStore
from app.store.limits import LimitStore

REMEMBER_S = 0.5  # a revoked key must be refused everywhere within a second
REMEMBER_AT_MOST = 10_000
NOTE_USED_S = 60.0
UNKNOWN = "The key is unknown, or it was revoked."
NO_KEY = "Send a key as `Authorization: Bearer fg_live_…`."


@dataclass(frozen=True, slots=True)
class CallerInfo:
    """Who is asking, with names, limits and money (micro-dollars)."""

    caller: Caller
    team: Team
    user: User
    limits: tuple[LimitState, ...]
    held_micro: int
    spent_micro: int


class Accounts:
    """Turns keys into callers."""

    def __init__(self, accounts: AccountStore, ledger: LedgerStore, limits: LimitStore) -> None:
        self._accounts = accounts
        self._ledger = ledger
        self._limits = limits
        self._known: dict[str, tuple[float, Caller]] = {}
        self._noted: dict[str, float] = {}
        self._revocation = Revocation(accounts)
        self._batch = BatchLookup(accounts.closed)
        self.bad_keys = BadKeyThrottle()
        self.streams = Streams(self._revocation)

    def is_cached(self, key: str) -> bool:
        """True when the key has opened something here lately."""
        return digest(key) in self._known

    async def authenticate(self, key: str | None, *, batched: bool = False) -> Caller:
        """The holder of the key; Unauthenticated when there is none. A mistyped key costs no look-up.

        `batched` is a key that is most likely one of many bad ones: it is looked up with others first.
        """
        if not key:
            raise Unauthenticated(f"There is no key in the request. {NO_KEY}")
        key_digest = digest(key)
        known = self._known.get(key_digest)
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        if not well_formed(key):
            raise Unauthenticated("The key is not complete or was mistyped: its checksum does not fit.")
        asked_at = time.monotonic()  # what the answer says may be over before it has arrived
        try:
            caller = await self._look_up(key_digest, token=is_token(key), batched=batched)
        except Unauthenticated:
            self._known.pop(key_digest, None)  # not before: who asks meanwhile would be batched
            raise
        if len(self._known) >= REMEMBER_AT_MOST:
            self._known.clear()
            self._noted.clear()
        self._known[key_digest] = (asked_at + REMEMBER_S, caller)
        return caller

    def watching(self, caller: Caller) -> AbstractAsyncContextManager[Event]:
        """For a call that stays open: an event that is set soon after the caller's key opens nothing any more."""
        return self._revocation.watching(caller)

    async def is_valid(self, caller: Caller) -> bool:
        """True while the caller's key still opens something; before a call that was held is answered."""
        try:
            await self._look_up(caller.digest, token=caller.token is not None)
        except Unauthenticated:
            return False
        return True

    async def opens(self, key: str) -> bool:
        """True when the key opens something."""
        try:
            await self.authenticate(key)
        except Unauthenticated:
            return False
        return True

    async def who_am_i(self, caller: Caller) -> CallerInfo:
        """The caller with names, every limit as it stands, and the team's sums."""
        team, user = await self._accounts.names(caller.team, caller.user)
        if team is None or user is None:
            raise NotFound("The key's team or user is gone.")
        limits = await self._limits.states(caller)
        sums = await self._ledger.balance(caller.team)
        return CallerInfo(caller, team, user, limits, sums.reserved, sums.spent)

    async def team(self, team_id: str) -> Team | None:
        """The team, a deleted one too, or None."""
        return await self._accounts.team(team_id)

    async def _look_up(self, key_digest: str, *, token: bool, batched: bool = False) -> Caller:
        closed = batched and await self._batch.opens_nothing(key_digest, token=token)
        found = None if closed else await self._accounts.credential(key_digest, token=token)
        if found is None:
            raise Unauthenticated(UNKNOWN)
        for record in (found.record, found.parent):
            if record is not None and record.revoked_ms is not None:
                raise Unauthenticated("The key was revoked.")
            if record is not None and record.expires_ms is not None and record.expires_ms <= found.now_ms:
                raise Unauthenticated("The key has expired.")
        await self._note_used(found)
        return _caller(key_digest, found)

    async def _note_used(self, found: Credential) -> None:
        """Remember the use, once a minute; a store that takes no writes does not close the door."""
        key_id = found.record.parent_id or found.record.id
        if time.monotonic() < self._noted.get(key_id, 0.0):
            return
        self._noted[key_id] = time.monotonic() + NOTE_USED_S
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
    )
