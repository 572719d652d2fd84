"""Shares in the store; each expires by itself."""

from dataclasses import fields
from typing import Any

from app.domain.shares import LONGEST_SHARE_S, Share
from app.store import keys
from app.store.client import Client, Row
from app.store.connection import store_errors
from app.store.reads import Place, read_hashes, read_scored


class ShareStore:
    """Writes, reads and removes shares."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def add(self, share: Share) -> None:
        """Write a share, which expires at its time; shares that have expired leave its lists."""
        listed = [keys.shares(name) for name in share.lists]
        with store_errors():
            over = [
                await self._redis.zrange(name, 0, share.created_ms, byscore=True, offset=0, num=100)
                for name in listed
            ]
            pipe = self._redis.pipeline(transaction=True)
            pipe.hset(keys.share(share.id), mapping=_fields_of(share))
            pipe.pexpireat(keys.share(share.id), share.expires_ms)
            for name, ended in zip(listed, over, strict=True):
                if ended:
                    pipe.zrem(name, *ended)
                pipe.zadd(name, {share.id: share.expires_ms})
                pipe.pexpireat(name, share.created_ms + LONGEST_SHARE_S * 1000)
            await pipe.execute()

    async def get(self, share_id: str) -> Share | None:
        """The share, or None when there is none any more."""
        (row,) = await read_hashes(self._redis, [keys.share(share_id)])
        return _read(row) if row else None

    async def of(self, subject: str, *, now_ms: int, most: int) -> list[Share]:
        """Up to `most` shares of a job or a team that have not expired."""
        with store_errors():
            ids = await self._redis.zrange(keys.shares(subject), now_ms, "+inf", byscore=True, offset=0, num=most)
        rows = await read_hashes(self._redis, map(keys.share, ids))
        return sorted((_read(row) for row in rows if row), key=lambda share: share.created_ms)

    async def page(self, listed: str, *, now_ms: int, after: Place | None, limit: int) -> tuple[list[Share], bool]:
        """Up to `limit` shares of a list after a cursor (when one expires, its id), and whether there are more.

        Those that expire last come first; equal times are ordered by id.
        """
        found = await read_scored(
            self._redis,
            keys.shares(listed),
            low=f"({now_ms}",
            high="+inf",
            after=after,
            count=limit + 1,
            newest_first=True,
        )
        rows = await read_hashes(self._redis, [keys.share(share_id) for _, share_id in found[:limit]])
        return [_read(row) for row in rows if row], len(found) > limit

    async def remove(self, share: Share) -> None:
        """End a share."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=True)
            pipe.delete(keys.share(share.id))
            for name in share.lists:
                pipe.zrem(keys.shares(name), share.id)
            await pipe.execute()


def _fields_of(share: Share) -> dict[str, str | int]:
    return {field.name: _text(getattr(share, field.name)) for field in fields(share)}


def _text(value: Any) -> str | int:
    return int(value) if isinstance(value, bool) else value


def _read(row: Row) -> Share:
    values: dict[str, Any] = {
        name: int(text) if name.endswith("_ms") or name == "prompt" else text for name, text in row.items()
    }
    known = {field.name for field in fields(Share)}
    return Share(
        **{name: value for name, value in values.items() if name in known} | {"prompt": bool(values["prompt"])}
    )
