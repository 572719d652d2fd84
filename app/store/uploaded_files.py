"""Uploaded files in the store: what is known of each by the digest of its URL, and which a user or a team has.

Each expires by itself. The lists are in the order of their end: the file that stays longest comes first, which is
the newest one as long as the retention stays the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from app.store import keys
from app.store.client import Client
from app.store.clock import milliseconds
from app.store.connection import store_errors
from app.store.reads import Place, read_hashes, read_scored


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file: its digest, when it ends (Unix ms), and its record."""

    digest: str
    expires_ms: int
    record: dict[str, str]


class UploadedFileStore:
    """Remembers, lists and forgets uploaded files."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def remember(
        self, team: str, url_digest: str, facts: Mapping[str, str | int], *, seconds: int, listed: bool = True
    ) -> None:
        """Remember for so long what was uploaded under a URL; `listed` unless another URL of the file is."""
        with store_errors():
            now_ms = milliseconds(*await self._redis.time())
            pipe = self._redis.pipeline(transaction=True)
            pipe.hset(keys.file(team, url_digest), mapping={"created_ms": now_ms, **facts})
            pipe.expire(keys.file(team, url_digest), seconds)
            for name in (keys.files(team), keys.files(team, str(facts["user"]))) if listed else ():
                pipe.zremrangebyscore(name, "-inf", now_ms)
                pipe.zadd(name, {url_digest: now_ms + seconds * 1000})
                pipe.expire(name, seconds, nx=True)
                pipe.expire(name, seconds, gt=True)
            await pipe.execute()

    async def find(self, team: str, url_digest: str) -> dict[str, str] | None:
        """What was uploaded under a URL, or None."""
        with store_errors():
            return await self._redis.hgetall(keys.file(team, url_digest)) or None

    async def forget(self, team: str, url_digest: str, *, user: str | None) -> None:
        """Forget what was uploaded under a URL, by this user."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=True)
            pipe.delete(keys.file(team, url_digest))
            pipe.zrem(keys.files(team), url_digest)
            if user is not None:
                pipe.zrem(keys.files(team, user), url_digest)
            await pipe.execute()

    async def page(
        self, team: str, user: str | None, *, now_ms: int, limit: int, before: Place | None
    ) -> tuple[list[UploadedFile], Place | None]:
        """Up to `limit` files of a user, or the team, that end before this place; the last place if more do."""
        places = await read_scored(
            self._redis,
            keys.files(team, user),
            low=now_ms,
            high="+inf",
            after=before,
            count=limit + 1,
            newest_first=True,
        )
        shown = places[:limit]
        rows = await read_hashes(self._redis, (keys.file(team, digest) for _, digest in shown))
        files = [UploadedFile(digest, end, row) for (end, digest), row in zip(shown, rows, strict=True) if row]
        return files, shown[-1] if len(places) > limit else None
