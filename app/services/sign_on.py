"""Signing in by accounts that are kept elsewhere: a person there becomes a user here, as their groups say."""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.domain.accounts import Caller, Key, Team, User, digest, key_of_user
from app.domain.errors import (
    Conflict,
    Forbidden,
    NotFound,
    Unauthenticated,
    Unavailable,
    UnknownLink,
    Unprocessable,
)
from app.domain.ids import new_id
from app.domain.sign_on import (
    ATTEMPT_S,
    KEY_NAME,
    SCOPES_OF,
    GroupRule,
    Identity,
    Person,
    SignInAttempt,
    is_local_path,
    rule_for,
    unsealed,
)
from app.services.accounts import Accounts
from app.store.accounts import AccountStore
from app.store.clock import StoreClock
from app.store.secrets import SecretStore
from app.store.sign_on import SignOnStore

if TYPE_CHECKING:
    from app.oidc.provider import OpenIdProvider  # 60 ms, only where it is configured

MAX_TRIES = 5  # while other sign-ins of the same person come first
STATE_BYTES = 32
VERIFIER_BYTES = 48  # 64 characters, of the 43 to 128 that RFC 7636 allows
UNKNOWN_STATE = (
    "This sign-in was not begun in this browser, was finished already, or took more than 10 minutes. Begin again."
)
NOT_LOCAL = "Where to go after signing in must be a path of this gateway, such as /jobs."


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in that was begun: where the browser has to go, and what its cookie keeps until it is back."""

    url: str
    cookie: str


@dataclass(frozen=True, slots=True)
class Finished:
    """Who has signed in, and the path of the page to show."""

    caller: Caller
    to: str


class SignOn:
    """Begins and finishes sign-ins, and keeps users and keys as `rules` say.

    `provider` is None where there is only a proxy.
    """

    def __init__(
        self,
        *,
        store: SignOnStore,
        records: AccountStore,
        accounts: Accounts,
        clock: StoreClock,
        rules: Sequence[GroupRule],
        provider: "OpenIdProvider | None",
        installation: SecretStore,
    ) -> None:
        self._store = store
        self._records = records
        self._accounts = accounts
        self._clock = clock
        self._rules = rules
        self._provider = provider
        self._installation = installation

    @property
    def label(self) -> str | None:
        """What the button of the provider says; None where there is none."""
        return None if self._provider is None else self._provider.label

    # --- with a provider ---------------------------------------------------------------------------------------

    async def begin(self, to: str) -> Begun:
        """Begin a sign-in that ends at the path `to`; Unavailable while the provider does not answer."""
        provider = self._required()
        if not is_local_path(to):
            raise Unprocessable(NOT_LOCAL)
        state, nonce = secrets.token_urlsafe(STATE_BYTES), secrets.token_urlsafe(STATE_BYTES)
        verifier = secrets.token_urlsafe(VERIFIER_BYTES)
        url = await provider.address(state=state, nonce=nonce, verifier=verifier)
        attempt = SignInAttempt(state, nonce, verifier, to, await self._clock.now_ms() + ATTEMPT_S * 1000)
        return Begun(url, attempt.sealed(await self._installation.of_markers()))

    async def finish(self, *, state: str, code: str, cookie: str | None) -> Finished:
        """Who came back from the provider, by the code that it gave.

        Raises UnknownLink for a state that is not this browser's or was used, Unauthenticated for what the provider
        says wrongly, Forbidden for somebody whose groups open nothing.
        """
        provider = self._required()
        attempt = unsealed(cookie or "", await self._installation.of_markers())
        ours = attempt is not None and secrets.compare_digest(attempt.state.encode(), state.encode())
        if attempt is None or not ours or attempt.expires_ms <= await self._clock.now_ms():
            raise UnknownLink(UNKNOWN_STATE)
        if not await self._store.use_state(digest(state)):
            raise UnknownLink(UNKNOWN_STATE)
        try:
            identity = await provider.identity(code, nonce=attempt.nonce, verifier=attempt.verifier)
        except Unavailable as error:  # the same request cannot succeed later: its state is used up
            raise Unauthenticated(f"{error.message} Begin again.") from error
        return Finished(await self.admit(identity), attempt.to)

    def _required(self) -> "OpenIdProvider":
        if self._provider is None:
            raise NotFound("Single sign-on is not configured here; an operator sets FILMGATE_OIDC_ISSUER.")
        return self._provider

    # --- people ------------------------------------------------------------------------------------------------

    async def admit(self, identity: Identity) -> Caller:
        """The caller that the identity's groups make of it; Forbidden, its key revoked, if they open nothing."""
        for _ in range(MAX_TRIES):
            with suppress(Conflict):  # another sign-in of the same person came first
                return await self._admit(identity)
        raise Conflict("You signed in several times at once; try again.")

    async def _admit(self, identity: Identity) -> Caller:
        person = await self._store.person(identity)
        rule = rule_for(identity.groups, self._rules)
        team = None if rule is None else await self._team(rule)
        if rule is None or team is None:
            await self._revoke(identity, person)
            raise Forbidden(_refusal(identity) if rule is None else _no_team(identity, rule))
        user, person = await self._user(identity, person, team)
        old = None if person.key is None else await self._records.key(person.key)
        scopes, now_ms = SCOPES_OF[rule.role], await self._clock.now_ms()
        if old is not None and _serves(old[1], user, scopes, now_ms):
            return await self._accounts.holder(old[0])
        # Nobody gets the key: only sessions stand on it.
        key, record = key_of_user(team=team.id, user=user.id, name=KEY_NAME, scopes=scopes, created_ms=now_ms)
        await self._store.change_key(identity, person, (digest(key), record), old, now_ms=now_ms)
        return await self._accounts.holder(digest(key))

    async def _team(self, rule: GroupRule) -> Team | None:
        """The team of a rule, by id or by its name; None when there is none, or several have the name."""
        found = [team for team in await self._records.teams() if rule.team in {team.id, team.name}]
        return found[0] if len(found) == 1 else None

    async def _user(self, identity: Identity, person: Person, team: Team) -> tuple[User, Person]:
        """The person's user in the team, made at first sight or after it was deleted; and the person with it."""
        known = person.users.get(team.id)
        user = None if known is None else await self._records.user(known)
        if user is None or user.deleted_ms is not None:
            user = User(new_id("user"), team.id, identity.shown_name, await self._clock.now_ms())
            await self._store.add_user(identity, person, user)
            person = replace(person, users={**person.users, team.id: user.id})
        return user, person

    async def _revoke(self, identity: Identity, person: Person) -> None:
        """End what earlier groups gave; its sessions end with the key."""
        if person.key is not None:
            old = await self._records.key(person.key)
            await self._store.change_key(identity, person, None, old, now_ms=await self._clock.now_ms())


def _serves(key: Key, user: User, scopes: frozenset[str], now_ms: int) -> bool:
    """True when the key can be used again: nothing about the person has changed since."""
    return not key.has_ended(now_ms) and (key.team, key.user, key.scopes) == (user.team, user.id, scopes)


def _refusal(identity: Identity) -> str:
    """Why the groups open nothing, and what an administrator has to do."""
    source = identity.source[:1].upper() + identity.source[1:]
    who, remedy = (
        identity.shown_name,
        "the administrator of this gateway has to name one of them in FILMGATE_GROUPS.",
    )
    if identity.groups is None:
        return (
            f"{source} says that you are {who}, but not which groups you are in; the administrator of this"
            " gateway has to let it say so (docs: single sign-on)."
        )
    if not identity.groups:
        return f"{source} says that you are {who}, and in no group; ask for one that may use this gateway."
    return f"You are {who}, but none of your groups ({identity.shown_groups}) may use this gateway; {remedy}"


def _no_team(identity: Identity, rule: GroupRule) -> str:
    return (
        f"You are {identity.shown_name}, but FILMGATE_GROUPS names the team {rule.team}, and there is no such team,"
        " or more than one; the administrator of this gateway has to make it, or to write its id."
    )
