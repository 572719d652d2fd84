"""Teams, users, keys and browser tokens in the store. They are changed by administrative acts (`audit.py`)."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.domain.accounts import NO_TEAM, NO_USER, Credential, Key, Scope, Team, User
from app.domain.errors import NotFound
from app.store import keys, scripts
from app.store.client import Client
from app.store.commands import Command
from app.store.connection import store_errors
from app.store.outstanding import OutstandingStore


def fields_of(record: Team | User | Key) -> list[str | int]:
    """`field, value, …` of a record's hash: None is left out, lists are JSON, scopes stand with spaces."""
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


def _number(row: dict[str, str], name: str) -> int | None:
    return int(row[name]) if name in row else None


def _team(row: dict[str, str]) -> Team:
    return Team(
        id=row["id"],
        name=row["name"],
        webhook_secret=row["webhook_secret"],
        weight=int(row.get("weight", 1)),
        time_zone=row.get("time_zone", "UTC"),
        created_ms=int(row["created_ms"]),
        deleted_ms=_number(row, "deleted_ms"),
        older_secrets=tuple((text, until) for text, until in json.loads(row.get("older_secrets", "[]"))),
    )


def _user(row: dict[str, str]) -> User:
    return User(row["id"], row["team"], row["name"], int(row["created_ms"]), _number(row, "deleted_ms"))


def _key(row: dict[str, str]) -> Key:
    return Key(
        id=row["id"],
        team=row["team"],
        user=row["user"],
        name=row.get("name", ""),
        scopes=frozenset(Scope(word) for word in row["scopes"].split()),
        shown_as=row["shown_as"],
        created_ms=int(row["created_ms"]),
        models=tuple(json.loads(row["models"])) if "models" in row else None,
        origins=tuple(json.loads(row["origins"])) if "origins" in row else None,
        expires_ms=_number(row, "expires_ms"),
        revoked_ms=_number(row, "revoked_ms"),
        parent=row.get("parent"),
        parent_id=row.get("parent_id"),
        job=row.get("job"),
        replaced_by=row.get("replaced_by"),
    )


def _pairs(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


class AccountStore:
    """Reads accounts; a key is stored as its SHA-256 and can never be read back."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis
        self.outstanding = OutstandingStore(redis)

    async def team(self, team_id: str) -> Team | None:
        """The team, a deleted one too, or None."""
        (found,) = await self._hashes([keys.team(team_id)])
        return _team(found) if found else None

    async def require_team(self, team_id: str) -> Team:
        """The team; NotFound when there is none, or it was deleted."""
        team = await self.team(team_id)
        if team is None or team.deleted_ms is not None:
            raise NotFound(NO_TEAM)
        return team

    async def teams(self, *, deleted: bool = False) -> list[Team]:
        """Every team, the oldest first; deleted ones only when asked for."""
        with store_errors():
            ids = await self._redis.smembers(keys.TEAMS)
        rows = await self._hashes(keys.team(team_id) for team_id in ids)
        return _in_order(team for team in map(_team, filter(None, rows)) if deleted or team.deleted_ms is None)

    async def user(self, user_id: str) -> User | None:
        """The user, a deleted one too, or None."""
        with store_errors():
            team = await self._redis.hget(keys.USERS, user_id)
        if team is None:
            return None
        (found,) = await self._hashes([keys.user(team, user_id)])
        return _user(found) if found else None

    async def require_user(self, user_id: str) -> User:
        """The user; NotFound when there is none, or it was deleted."""
        user = await self.user(user_id)
        if user is None or user.deleted_ms is not None:
            raise NotFound(NO_USER)
        return user

    async def users(self, team_id: str, *, deleted: bool = False) -> list[User]:
        """Every user of the team, the oldest first; deleted ones only when asked for."""
        with store_errors():
            ids = await self._redis.smembers(keys.team_users(team_id))
        rows = await self._hashes(keys.user(team_id, user_id) for user_id in ids)
        return _in_order(user for user in map(_user, filter(None, rows)) if deleted or user.deleted_ms is None)

    async def names(self, team_id: str, user_id: str) -> tuple[Team | None, User | None]:
        """A team and one of its users, in one round trip."""
        team, user = await self._hashes([keys.team(team_id), keys.user(team_id, user_id)])
        return (_team(team) if team else None, _user(user) if user else None)

    async def key(self, key_id: str) -> tuple[str, Key] | None:
        """The digest and the record of the key with this id, a revoked one too."""
        with store_errors():
            digest = await self._redis.hget(keys.KEYS, key_id)
        if digest is None:
            return None
        (found,) = await self._hashes([keys.key(digest)])
        return (digest, _key(found)) if found else None

    async def keys_of(self, user_ids: Iterable[str]) -> list[tuple[str, Key]]:
        """Digest and record of every key of these users, revoked ones too, the oldest first."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=False)
            for user_id in user_ids:
                pipe.smembers(keys.user_keys(user_id))
            ids = [key_id for found in await pipe.execute() for key_id in found]
            digests = list(filter(None, await self._redis.hmget(keys.KEYS, ids))) if ids else []
        rows = await self._hashes(keys.key(digest) for digest in digests)
        found = [(digest, _key(row)) for digest, row in zip(digests, rows, strict=True) if row]
        return sorted(found, key=lambda pair: (pair[1].created_ms, pair[1].id))

    async def last_used(self, key_ids: Sequence[str]) -> dict[str, int]:
        """When each key was last used (ms), to the minute; without those that never were."""
        if not key_ids:
            return {}
        with store_errors():
            times = await self._redis.hmget(keys.LAST_USED, key_ids)
        return {key_id: int(at) for key_id, at in zip(key_ids, times, strict=True) if at}

    async def record_use(self, key_id: str, at_ms: int) -> None:
        """The key was used just now."""
        with store_errors():
            await self._redis.hset(keys.LAST_USED, key_id, at_ms)

    async def credential(self, digest: str, *, token: bool) -> Credential | None:
        """What is stored under the digest of a key or token, with all that decides whether it opens."""
        with store_errors():
            now_ms, record, parent, zone = await scripts.read_credential(
                self._redis, credential=keys.credential(digest, token=token)
            )
        if not record:
            return None
        return Credential(_key(_pairs(record)), _key(_pairs(parent)) if parent else None, zone or "UTC", now_ms)

    async def closed(self, asked: Mapping[str, bool]) -> list[str]:
        """The digests of those of these keys and tokens (True) that open nothing any more."""
        names = [keys.credential(digest, token=token) for digest, token in asked.items()]
        with store_errors():
            found = await scripts.find_revoked(self._redis, rest=names)
        return [digest for digest, closed in zip(asked, found, strict=True) if closed]

    async def remember_file(self, team: str, url_digest: str, facts: dict[str, str | int], *, seconds: int) -> None:
        """Remember what was uploaded at a URL."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=True)
            pipe.hset(keys.file(team, url_digest), mapping=facts)
            pipe.expire(keys.file(team, url_digest), seconds)
            await pipe.execute()

    async def file(self, team: str, url_digest: str) -> dict[str, str] | None:
        """What was uploaded at a URL, or None."""
        with store_errors():
            return await self._redis.hgetall(keys.file(team, url_digest)) or None

    async def add_token(self, digest: str, record: Key, limits: Sequence[str | int], *, expires_ms: int) -> None:
        """Write a browser token and its caps; both end with it."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=True)
            pipe.execute_command("HSET", keys.token(digest), *fields_of(record))
            pipe.pexpireat(keys.token(digest), expires_ms)
            if limits:
                pipe.execute_command("HSET", keys.limits(record.id), *limits)
                pipe.pexpireat(keys.limits(record.id), expires_ms)
            await pipe.execute()

    async def _hashes(self, names: Iterable[str]) -> list[dict[str, str]]:
        with store_errors():
            pipe = self._redis.pipeline(transaction=False)
            for name in names:
                pipe.hgetall(name)
            rows: list[dict[str, str]] = await pipe.execute()
        return rows


def _in_order(found: Any) -> list[Any]:
    return sorted(found, key=lambda one: (one.created_ms, one.id))


def put(name: str, record: Team | User | Key) -> Command:
    """The write that puts a record under this key."""
    return ("HSET", name, *fields_of(record))
