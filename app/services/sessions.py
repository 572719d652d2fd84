"""Browser sessions: a key, or a code that works once, is exchanged for a secret that only the cookie has."""

import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, replace

from app.domain.access import require_key
from app.domain.accounts import Caller, Key, Team, User, digest, has_form, new_key
from app.domain.errors import NotFound, StoreUnavailable, Unauthenticated, UnknownLink
from app.domain.sessions import (
    ADMINISTRATOR,
    CODE_MS,
    CODE_PREFIX,
    IDLE_MS,
    LONGEST_MS,
    SESSION_PREFIX,
    Session,
    administrators_proof,
    csrf_of,
)
from app.services.accounts import CACHED_S, MAX_CACHED, Accounts
from app.store.accounts import AccountStore
from app.store.clock import StoreClock
from app.store.sessions import SessionStore, StoredSession, session_fields

PROLONG_EVERY_S = 60.0
ENDED = "You are not signed in any more: the session has ended. Sign in again."


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session, and its secret for the cookie."""

    session: Session
    secret: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a session shows of whom it signs in; None of each for the administrator."""

    team: Team | None = None
    user: User | None = None
    key: Key | None = None


class Sessions:
    """Begins, reads and ends sessions. `admin_key` is the administrator's key, if there is one."""

    def __init__(
        self,
        store: SessionStore,
        accounts: Accounts,
        records: AccountStore,
        clock: StoreClock,
        admin_key: str | None,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._records = records
        self._clock = clock
        self._admin_key = admin_key
        self._cache: dict[str, tuple[float, Session]] = {}  # by digest, with the time until which it is valid
        self._next_prolonging: dict[str, float] = {}

    def is_cached(self, secret: str) -> bool:
        """True when the session was valid at its last look-up in this process."""
        return digest(secret) in self._cache

    # --- begin -------------------------------------------------------------------------------------------------

    async def begin(self, caller: Caller, *, remembered: bool, longest_ms: int = LONGEST_MS) -> NewSession:
        """Sign in the holder of a key, for `longest_ms` at most; Forbidden with a browser token."""
        require_key(caller)
        return await self._begin(caller, remembered=remembered, longest_ms=longest_ms)

    async def begin_administrators(self, *, remembered: bool) -> NewSession:
        """Sign in the administrator, whose key the caller has checked. It ends when another key is set."""
        return await self._begin(None, remembered=remembered)

    async def _begin(self, caller: Caller | None, *, remembered: bool, longest_ms: int = LONGEST_MS) -> NewSession:
        secret, now_ms = new_key(SESSION_PREFIX), await self._clock.now_ms()
        until_ms = min(now_ms + longest_ms, (caller and caller.expires_ms) or 2**53)
        expires_ms = until_ms if remembered else min(until_ms, now_ms + IDLE_MS)
        session = Session(digest(secret), csrf_of(secret), caller, remembered, expires_ms)
        fields = session_fields(
            remembered=remembered,
            until_ms=until_ms,
            caller=caller,
            proof="" if caller else self._proof(secret),
        )
        owner = _owner(session)
        await self._store.add(session.digest, fields, owner=owner, now_ms=now_ms, expires_ms=expires_ms)
        return NewSession(session, secret)

    # --- codes -------------------------------------------------------------------------------------------------

    async def add_code(self, key: str) -> str:
        """A code that signs in the holder of this key, once, within CODE_MS."""
        code = new_key(CODE_PREFIX)
        await self._store.add_code(digest(code), digest(key), lifetime_ms=CODE_MS)
        return code

    async def use_code(self, code: str) -> Caller:
        """The holder of the key that the code was made for; UnknownLink for all but the first who shows it."""
        key_digest = await self._store.take_code(digest(code)) if has_form(code, CODE_PREFIX) else None
        if key_digest is None:
            raise UnknownLink("The link was used already, or has expired; it works once, within 15 minutes.")
        return await self._accounts.holder(key_digest)

    # --- use ---------------------------------------------------------------------------------------------------

    async def read(self, secret: str, *, batched: bool = False) -> Session:
        """The session with this secret; Unauthenticated when it has ended. A use prolongs it, once a minute.

        `batched`: as for keys, for an address that has sent many bad ones.
        """
        session_digest = digest(secret)
        cached = self._cache.get(session_digest)
        if cached is not None and time.monotonic() < cached[0]:
            return cached[1]
        if not has_form(secret, SESSION_PREFIX):
            raise Unauthenticated(ENDED)
        started = time.monotonic()  # it may be ended before the store's reply arrives
        try:
            session = await self._read(secret, session_digest, batched=batched)
        except Unauthenticated:
            self._cache.pop(session_digest, None)
            raise
        if len(self._cache) >= MAX_CACHED:
            self._cache.clear()
            self._next_prolonging.clear()
        self._cache[session_digest] = (started + CACHED_S, session)
        return session

    async def signed_in(self, session: Session) -> SignedIn:
        """Whom the session signs in, by name; NotFound when they are gone in this moment."""
        caller = session.caller
        if caller is None:
            return SignedIn()
        team, user = await self._records.names(caller.team, caller.user)
        found = await self._records.key(caller.key)
        if team is None or user is None or found is None:
            raise NotFound("The key's team or user is gone.")
        return SignedIn(team, user, found[1])

    async def end(self, session: Session) -> None:
        """End it: here at once, in other processes within half a second."""
        await self._store.remove(session.digest, owner=_owner(session))
        self._cache.pop(session.digest, None)

    async def forget(self, secret: str) -> None:
        """End the session with this secret, if there is one: its browser begins another."""
        with suppress(Unauthenticated):
            await self.end(await self.read(secret))

    async def _read(self, secret: str, session_digest: str, *, batched: bool) -> Session:
        closed = batched and await self._accounts.is_closed(session_digest)
        found = None if closed else await self._store.read(session_digest)
        if found is None:
            raise Unauthenticated(ENDED)
        caller = None
        if found.key_digest:
            caller = await self._accounts.admit(found.key_digest, found.credential)
            caller = replace(caller, session=session_digest)
        elif not secrets.compare_digest(found.proof, self._proof(secret)):
            raise Unauthenticated("The administrator's key was changed. Sign in again.")
        expires_ms = await self._prolong(session_digest, found)
        return Session(session_digest, csrf_of(secret), caller, found.remembered, expires_ms)

    async def _prolong(self, session_digest: str, found: StoredSession) -> int:
        """Write when it ends from now on, at most once a minute; a store that takes no writes signs nobody out."""
        if found.remembered:
            return found.until_ms
        expires_ms = min(found.until_ms, found.now_ms + IDLE_MS)
        if time.monotonic() >= self._next_prolonging.get(session_digest, 0.0):
            self._next_prolonging[session_digest] = time.monotonic() + PROLONG_EVERY_S
            with suppress(StoreUnavailable):
                await self._store.prolong(session_digest, expires_ms=expires_ms)
        return expires_ms

    def _proof(self, secret: str) -> str:
        return administrators_proof(secret, self._admin_key or "")


def _owner(session: Session) -> str:
    return session.caller.key if session.caller is not None else ADMINISTRATOR
