"""Who is asking, and who there is."""

import time
from dataclasses import dataclass

from app.domain.accounts import USER_SCOPES, Caller, digest, new_key, well_formed
from app.domain.errors import NotFound, Unauthenticated
from app.domain.ids import new_id
from app.store.accounts import AccountStore, Team, User
from app.store.dispatch import DispatchStore
from app.store.ledger import LedgerStore
from app.webhooks.signing import new_secret

REMEMBER_S = 0.5  # a revoked key must be refused everywhere within a second
REMEMBER_AT_MOST = 10_000
NO_KEY = "Send a key as `Authorization: Bearer fg_live_…`."


@dataclass(frozen=True, slots=True)
class Account:
    """A user with a key, which is shown once and never again."""

    team: Team
    user: User
    key: str


@dataclass(frozen=True, slots=True)
class Self:
    """Who is asking, with names and money (micro-dollars)."""

    caller: Caller
    team: Team
    user: User
    reserved_micro: int
    spent_micro: int


class Accounts:
    """Teams, users and keys."""

    def __init__(self, accounts: AccountStore, ledger: LedgerStore, dispatch: DispatchStore) -> None:
        self._accounts = accounts
        self._ledger = ledger
        self._dispatch = dispatch
        self._known: dict[str, tuple[float, Caller]] = {}

    async def authenticate(self, key: str | None) -> Caller:
        """The holder of the key; Unauthenticated when there is none. A mistyped key costs no look-up."""
        if not key:
            raise Unauthenticated(f"There is no key in the request. {NO_KEY}")
        key_digest = digest(key)
        known = self._known.get(key_digest)
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        if not well_formed(key):
            raise Unauthenticated("The key is not complete or was mistyped: its checksum does not fit.")
        caller = await self._accounts.caller(key_digest)
        if caller is None:
            self._known.pop(key_digest, None)
            raise Unauthenticated("The key is unknown, or it was revoked.")
        if len(self._known) >= REMEMBER_AT_MOST:
            self._known.clear()
        self._known[key_digest] = (time.monotonic() + REMEMBER_S, caller)
        return caller

    async def knows(self, key: str) -> bool:
        """True when the key opens something."""
        return well_formed(key) and await self._accounts.caller(digest(key)) is not None

    async def who_am_i(self, caller: Caller) -> Self:
        """The caller with names, and the team's sums."""
        team = await self._accounts.team(caller.team)
        user = await self._accounts.user(caller.team, caller.user)
        if team is None or user is None:
            raise NotFound("The key's team or user is gone.")
        balance = await self._ledger.balance(caller.team)
        return Self(caller, team, user, balance.reserved, balance.spent)

    async def add_account(self, user_name: str) -> Account:
        """A new user with a key in the one team there is; the team is made with its first user."""
        teams = await self._accounts.teams()
        if not teams:
            return await self.first_account(team_name="default", user_name=user_name)
        user = User(new_id("user"), teams[0].id, user_name)
        await self._accounts.add_user(user, at_ms=await self._dispatch.now_ms())
        return Account(teams[0], user, await self.add_key(user))

    async def first_account(self, *, team_name: str, user_name: str) -> Account:
        """A team with one user and one key."""
        at_ms = await self._dispatch.now_ms()
        team = Team(new_id("team"), team_name, new_secret())
        user = User(new_id("user"), team.id, user_name)
        await self._accounts.add_team(team, at_ms=at_ms)
        await self._accounts.add_user(user, at_ms=at_ms)
        return Account(team, user, await self.add_key(user))

    async def add_key(self, user: User) -> str:
        """A new key of the user, shown this once."""
        key = new_key()
        caller = Caller(team=user.team, user=user.id, key=new_id("key"), scopes=USER_SCOPES)
        at_ms = await self._dispatch.now_ms()
        await self._accounts.add_key(digest(key), caller, shown_as=f"{key[:12]}…{key[-4:]}", at_ms=at_ms)
        return key

    async def teams(self) -> list[Team]:
        """All teams."""
        return await self._accounts.teams()

    async def team(self, team_id: str) -> Team | None:
        """The team, or None."""
        return await self._accounts.team(team_id)
