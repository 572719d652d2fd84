"""Teams, users, keys and browser tokens in the store. They are changed by administrative acts (`audit.py`)."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from app.domain.accounts import NO_TEAM, NO_USER, Credential, Key, Reposts, Scope, Team, User
from app.domain.errors import NotFound
from app.domain.sessions import Invitation
from app.store import keys, scripts
from app.store.client import Client, Row
from app.store.commands import Command
from app.store.connection import store_errors
from app.store.outstanding import OutstandingStore
from app.store.reads import pairs, read_hashes

NUMBERS = frozenset({"weight", "retention_days", "storage_bytes"})

Record: TypeAlias = Team | User | Key | Invitation
RecordT = TypeVar("RecordT", Team, User, Key, Invitation)


def fields_of(record: Record) -> list[str | int]:
    """`field, value, …` of a record's hash: None is left out, tuples are JSON, scopes are separated by spaces."""
    flat: list[str | int] = []
    for name in record.__slots__:
        value = getattr(record, name)
        if value is None:
            continue
        if isinstance(value, frozenset):
            value = " ".join(sorted(value))
        elif isinstance(value, tuple):
            value = json.dumps(value)
        flat += [name, value]
    return flat


def read_record(kind: type[RecordT], row: Row) -> RecordT:
    """The record in a hash. Fields of newer versions are ignored; older keys have no name."""
    fields: dict[str, str] = {"name": "", **row}
    return kind(**{name: _value(name, fields[name]) for name in kind.__slots__ if name in fields})


def _value(name: str, text: str) -> Any:
    if name == "scopes":
        return frozenset(map(Scope, text.split()))
    if name == "reposts":
        return Reposts(text)
    if name in {"models", "origins"}:
        return tuple(json.loads(text))
    if name == "older_secrets":
        return tuple(map(tuple, json.loads(text)))
    return int(text) if name in NUMBERS or name.endswith("_ms") else text


@dataclass(frozen=True, slots=True)
class AccountNames:
    """Names of teams and users, by their ids; of deleted ones too."""

    teams: dict[str, str] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)


class AccountStore:
    """Reads accounts; a key is stored as its SHA-256 and can never be read back."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis
        self.outstanding = OutstandingStore(redis)

    async def team(self, team_id: str) -> Team | None:
        """The team, a deleted one too, or None."""
        (row,) = await read_hashes(self._redis, [keys.team(team_id)])
        return read_record(Team, row) if row else None

    async def any_team(self, team_id: str) -> Team:
        """The team, a deleted one too; NotFound."""
        team = await self.team(team_id)
        if team is None:
            raise NotFound(NO_TEAM)
        return team

    async def require_team(self, team_id: str) -> Team:
        """The team; NotFound when there is none, or it was deleted."""
        team = await self.any_team(team_id)
        if team.deleted_ms is not None:
            raise NotFound(NO_TEAM)
        return team

    async def teams(self, *, deleted: bool = False) -> list[Team]:
        """Every team, the oldest first; with `deleted` the deleted ones too."""
        with store_errors():
            ids = await self._redis.smembers(keys.TEAMS)
        rows = await read_hashes(self._redis, map(keys.team, ids))
        teams = [read_record(Team, row) for row in rows if row]
        return sorted((team for team in teams if deleted or team.deleted_ms is None), key=_age)

    async def user(self, user_id: str) -> User | None:
        """The user, a deleted one too, or None."""
        with store_errors():
            team = await self._redis.hget(keys.USERS, user_id)
        if team is None:
            return None
        (row,) = await read_hashes(self._redis, [keys.user(team, user_id)])
        return read_record(User, row) if row else None

    async def require_user(self, user_id: str) -> User:
        """The user; NotFound when there is none, or it was deleted."""
        user = await self.user(user_id)
        if user is None or user.deleted_ms is not None:
            raise NotFound(NO_USER)
        return user

    async def users(self, team_id: str, *, deleted: bool = False) -> list[User]:
        """Every user of the team, the oldest first; with `deleted` the deleted ones too."""
        with store_errors():
            ids = await self._redis.smembers(keys.team_users(team_id))
        rows = await read_hashes(self._redis, (keys.user(team_id, user_id) for user_id in ids))
        users = [read_record(User, row) for row in rows if row]
        return sorted((user for user in users if deleted or user.deleted_ms is None), key=_age)

    async def names(self, team_id: str, user_id: str) -> tuple[Team | None, User | None]:
        """A team and one of its users, in one round trip."""
        team, user = await read_hashes(self._redis, [keys.team(team_id), keys.user(team_id, user_id)])
        return (read_record(Team, team) if team else None, read_record(User, user) if user else None)

    async def names_of(self, users: Collection[tuple[str, str]]) -> AccountNames:
        """The names of these users, each given with its team, and of their teams, in one round trip."""
        teams = sorted({team for team, _ in users})
        names = [*map(keys.team, teams), *(keys.user(*one) for one in users)]
        if not names:
            return AccountNames()
        with store_errors():
            pipe = self._redis.together()
            for name in names:
                pipe.hget(name, "name")
            found = [text or "" for text in await pipe.execute()]
        own = [user for _, user in users]
        return AccountNames(
            dict(zip(teams, found[: len(teams)], strict=True)), dict(zip(own, found[len(teams) :], strict=True))
        )

    async def key(self, key_id: str) -> tuple[str, Key] | None:
        """The digest and the record of the key with this id, a revoked one too."""
        with store_errors():
            digest = await self._redis.hget(keys.KEYS, key_id)
        if digest is None:
            return None
        (row,) = await read_hashes(self._redis, [keys.key(digest)])
        return (digest, read_record(Key, row)) if row else None

    async def keys_of(self, user_ids: Iterable[str]) -> list[tuple[str, Key]]:
        """Digest and record of every key of these users, revoked ones too, the oldest first."""
        with store_errors():
            pipe = self._redis.together()
            for user_id in user_ids:
                pipe.smembers(keys.user_keys(user_id))
            ids = [key_id for found in await pipe.execute() for key_id in found]
            digests = list(filter(None, await self._redis.hmget(keys.KEYS, ids))) if ids else []
        rows = await read_hashes(self._redis, map(keys.key, digests))
        found = [(digest, read_record(Key, row)) for digest, row in zip(digests, rows, strict=True) if row]
        return sorted(found, key=lambda pair: _age(pair[1]))

    async def last_used(self, key_ids: Sequence[str]) -> dict[str, int]:
        """When each key was last used (ms), to the minute; keys that were never used are left out."""
        if not key_ids:
            return {}
        with store_errors():
            times = await self._redis.hmget(keys.LAST_USED, key_ids)
        return {key_id: int(at) for key_id, at in zip(key_ids, times, strict=True) if at}

    async def record_use(self, key_id: str, at_ms: int) -> None:
        """Write that the key was used at this time."""
        with store_errors():
            await self._redis.hset(keys.LAST_USED, key_id, at_ms)

    async def credential(self, digest: str, *, token: bool) -> Credential | None:
        """What is stored under the digest of a key or token, with all that decides whether it is valid."""
        with store_errors():
            reply = await scripts.read_credential(self._redis, credential=keys.credential(digest, token=token))
        return read_credential_reply(*reply) if reply[1] else None

    async def closed(self, credentials: Mapping[str, bool]) -> list[str]:
        """The digests of those of these keys (False) and tokens (True) that are no longer valid."""
        names = [keys.credential(digest, token=token) for digest, token in credentials.items()]
        with store_errors():
            found = await scripts.find_revoked(self._redis, rest=names)
        return [digest for digest, closed in zip(credentials, found, strict=True) if closed]

    async def add_token(self, digest: str, record: Key, limits: Sequence[str | int], *, expires_ms: int) -> None:
        """Write a browser token and its limits; both expire at `expires_ms`."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=True)
            pipe.execute_command("HSET", keys.token(digest), *fields_of(record))
            pipe.pexpireat(keys.token(digest), expires_ms)
            if limits:
                pipe.execute_command("HSET", keys.limits(record.id), *limits)
                pipe.pexpireat(keys.limits(record.id), expires_ms)
            await pipe.execute()


def read_credential_reply(
    now_ms: int, record: Sequence[str], parent: Sequence[str], zone: str | None, reposts: str | None
) -> Credential:
    """What `read_credential.lua` returns, read."""
    key, parent_key = read_record(Key, pairs(record)), read_record(Key, pairs(parent)) if parent else None
    return Credential(key, parent_key, zone or "UTC", Reposts(reposts or Reposts.ANSWERED), now_ms)


def _age(record: Team | User | Key) -> tuple[int, str]:
    return record.created_ms, record.id


def put_record(name: str, record: Record) -> Command:
    """The write of a record under this key."""
    return ("HSET", name, *fields_of(record))
