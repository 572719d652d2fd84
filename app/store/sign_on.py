"""What people of a provider are here, and the sign-ins that they have finished."""

from collections.abc import Sequence

from app.domain.accounts import Key, User
from app.domain.errors import FilmgateError
from app.domain.sign_on import ATTEMPT_S, Identity, Person
from app.store import keys
from app.store.administration import changed_meanwhile, put_key, put_user
from app.store.audit import AuditStore
from app.store.client import Client
from app.store.commands import Command, Require, team_exists, user_exists
from app.store.connection import store_errors
from app.store.reads import read_hashes

ACTOR = "single sign-on"  # in the audit log
USER = "user:"  # the beginning of a field of a person, followed by the team's id


class SignOnStore:
    """Keeps used states for minutes and people for ever; changes to people are administrative acts."""

    def __init__(self, redis: Client, audit: AuditStore) -> None:
        self._redis = redis
        self._audit = audit

    async def use_state(self, state_digest: str) -> bool:
        """True for the first who comes back with this state; for ATTEMPT_S, after which it has expired anyway."""
        with store_errors():
            name = keys.used_state(state_digest)
            return bool(await self._redis.set(name, "1", nx=True, px=ATTEMPT_S * 1000))

    async def person(self, identity: Identity) -> Person:
        """What the identity is here; nobody yet, without users and key."""
        (row,) = await read_hashes(self._redis, [keys.person(identity.digest)])
        users = {name.removeprefix(USER): user for name, user in row.items() if name.startswith(USER)}
        return Person(users, row.get("key"))

    async def add_user(self, identity: Identity, before: Person, user: User) -> None:
        """Add the person as a user of a team; Conflict when another sign-in of theirs came first."""
        name, field = keys.person(identity.digest), USER + user.team
        writes: list[Command] = [
            *put_user(user),
            ("HSET", name, field, user.id, "issuer", identity.issuer, "subject", identity.subject),
        ]
        require = [_unchanged(name, field, before.users.get(user.team)), team_exists(user.team)]
        details = {"team": user.team, "name": user.name, **_who(identity)}
        await self._audit.act(ACTOR, "sign_on.add_user", user.id, details, writes=writes, require=require)

    async def change_key(
        self,
        identity: Identity,
        before: Person,
        new: tuple[str, Key] | None,
        old: tuple[str, Key] | None,
        *,
        now_ms: int,
    ) -> None:
        """Put a new key, as digest and record, in place of the old one, or none; the old one is revoked.

        Conflict when another sign-in of the person came first.
        """
        name = keys.person(identity.digest)
        writes: list[Command] = []
        require = [_unchanged(name, "key", before.key)]
        if old is not None and old[1].revoked_ms is None:
            writes += [("HSET", keys.key(old[0]), "revoked_ms", now_ms)]
        details = _who(identity)
        if new is None:
            writes += [("HDEL", name, "key")]
            target, action = before.key or "", "sign_on.revoke_key"
        else:
            record = new[1]
            writes += [*put_key(*new), ("HSET", name, "key", record.id)]
            require += [user_exists(record.team, record.user), team_exists(record.team)]
            target, action = record.id, "sign_on.add_key"
            details |= {"user": record.user, "scopes": sorted(record.scopes), "instead_of": before.key}
        await self._audit.act(ACTOR, action, target, details, writes=writes, require=require)


def _unchanged(name: str, field: str, before: str | None) -> Require:
    error: FilmgateError = changed_meanwhile()
    return Require(("no_field", name, field) if before is None else ("same", name, field, before), error)


def _who(identity: Identity) -> dict[str, object]:
    groups: Sequence[str] = identity.groups or ()
    return {"issuer": identity.issuer, "subject": identity.subject, "groups": [*groups][:20]}
