"""Teams, users and keys in the store."""

from dataclasses import dataclass

from app.domain.accounts import Caller, Scope
from app.store import keys
from app.store.connection import Client, store_errors


@dataclass(frozen=True, slots=True)
class Team:
    """A team: who pays together. `webhook_secret` signs the webhooks that its jobs name themselves."""

    id: str
    name: str
    webhook_secret: str


@dataclass(frozen=True, slots=True)
class User:
    """A user of a team."""

    id: str
    team: str
    name: str


class AccountStore:
    """Reads and writes accounts; a key is stored as its SHA-256 and can never be read back."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def add_team(self, team: Team, *, at_ms: int) -> None:
        """Write a team."""
        record = {
            "id": team.id,
            "name": team.name,
            "webhook_secret": team.webhook_secret,
            "created_ms": at_ms,
        }
        with store_errors():
            pipe = self._redis.pipeline(transaction=True)
            pipe.hset(keys.team(team.id), mapping=record)
            pipe.sadd(keys.TEAMS, team.id)
            await pipe.execute()

    async def teams(self) -> list[Team]:
        """All teams."""
        with store_errors():
            ids = sorted(await self._redis.smembers(keys.TEAMS))
        found = [await self.team(team_id) for team_id in ids]
        return [team for team in found if team is not None]

    async def team(self, team_id: str) -> Team | None:
        """The team, or None."""
        with store_errors():
            record = await self._redis.hgetall(keys.team(team_id))
        return Team(record["id"], record["name"], record["webhook_secret"]) if record else None

    async def add_user(self, user: User, *, at_ms: int) -> None:
        """Write a user."""
        record = {"id": user.id, "team": user.team, "name": user.name, "created_ms": at_ms}
        with store_errors():
            await self._redis.hset(keys.user(user.team, user.id), mapping=record)

    async def user(self, team_id: str, user_id: str) -> User | None:
        """The user, or None."""
        with store_errors():
            record = await self._redis.hgetall(keys.user(team_id, user_id))
        return User(record["id"], record["team"], record["name"]) if record else None

    async def add_key(self, key_digest: str, caller: Caller, *, shown_as: str, at_ms: int) -> None:
        """Write a key's record under its digest; `shown_as` is its prefix and last four characters."""
        record = {
            "id": caller.key,
            "team": caller.team,
            "user": caller.user,
            "scopes": " ".join(sorted(caller.scopes)),
            "shown_as": shown_as,
            "created_ms": at_ms,
        }
        with store_errors():
            await self._redis.hset(keys.key(key_digest), mapping=record)

    async def caller(self, key_digest: str) -> Caller | None:
        """Who holds this key, or None."""
        with store_errors():
            record = await self._redis.hgetall(keys.key(key_digest))
        if not record:
            return None
        scopes = frozenset(Scope(word) for word in record["scopes"].split())
        return Caller(team=record["team"], user=record["user"], key=record["id"], scopes=scopes)

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
