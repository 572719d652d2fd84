"""What a backup needs of the store: its append-only file, how to copy that while it is written, or a snapshot."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from redis.exceptions import ResponseError

from app.domain.errors import Unavailable
from app.store import keys
from app.store.client import Client
from app.store.clock import milliseconds
from app.store.connection import store_errors
from app.store.snapshot import read_snapshot

POLL_S = 0.1
HOUR_MS = 3_600_000
LATE = 2  # intervals after which a backup is overdue
MAX_REWRITE_S = 600.0  # a large store takes minutes to rewrite its file


@dataclass(frozen=True, slots=True)
class AofLocation:
    """What a backup must copy: the folder of the append-only file on the server's machine, and the server.

    `folder` is None where the server has no append-only file, or does not tell; the copy contains at least `claims`
    claims.
    """

    folder: Path | None
    kind: Literal["valkey", "redis"]
    version: tuple[int, ...]
    store_id: str
    claims: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class LastBackup:
    """The newest backup in the storage: its time, name and bytes, None where there is none; the store's time now.

    `failed_ms` and `why`: the last try, if it failed since.
    """

    now_ms: int
    at_ms: int | None
    name: str | None
    bytes: int | None
    failed_ms: int | None
    why: str | None

    @property
    def age_hours(self) -> float | None:
        """How old the newest backup is; None where there is none."""
        return None if self.at_ms is None else (self.now_ms - self.at_ms) / HOUR_MS

    def is_late(self, every_ms: int | None) -> bool:
        """True when it is older than LATE intervals; where none is set, and without a backup, nothing is late."""
        return every_ms is not None and self.at_ms is not None and self.now_ms - self.at_ms > LATE * every_ms


class BackupStore:
    """What a backup needs of the server at `url`."""

    def __init__(self, redis: Client, *, url: str) -> None:
        self._redis = redis
        self._url = url

    def snapshot(self, write: Callable[[bytes], object]) -> int:
        """Write the store as it is at one moment, in the form of a server's file; its size (`read_snapshot`)."""
        return read_snapshot(self._url, write)

    async def location(self) -> AofLocation:
        """Where the file is, and the store's present state."""
        with store_errors():
            info = await self._redis.info("server")
            try:
                config = await self._redis.config_get("dir", "appendonly", "appenddirname")
            except ResponseError:  # not allowed, or no such command
                config = {}
            store_id, claims = await self._redis.hmget(keys.EPOCH, "id", "claims")
            now_ms = milliseconds(*await self._redis.time())
        is_valkey = info.get("server_name") == "valkey"
        version = info["valkey_version"] if is_valkey else info["redis_version"]
        has_file = config.get("appendonly") == "yes"
        return AofLocation(
            folder=Path(config["dir"]) / config["appenddirname"] if has_file else None,
            kind="valkey" if is_valkey else "redis",
            version=tuple(int(part) for part in str(version).split(".")),
            store_id=store_id or "",
            claims=int(claims or 0),
            at_ms=now_ms,
        )

    @asynccontextmanager
    async def no_rewrites(self) -> AsyncIterator[None]:
        """Prevent rewrites of the append-only file within the block, after a running one; the file only grows.

        A process that is killed within it leaves the store without automatic rewrites until its restart.
        """
        name = "auto-aof-rewrite-percentage"
        with store_errors():
            before = (await self._redis.config_get(name))[name]
            await self._redis.config_set(name, 0)
        try:
            await self._until_no_rewrite()
            yield
        finally:
            with store_errors():
                await self._redis.config_set(name, before)

    async def _until_no_rewrite(self) -> None:
        end = time.monotonic() + MAX_REWRITE_S
        while True:
            with store_errors():
                info = await self._redis.info("persistence")
            if not info["aof_rewrite_in_progress"] and not info["aof_rewrite_scheduled"]:
                return
            if time.monotonic() > end:
                raise Unavailable("The store rewrites its append-only file and does not come to an end.")
            await asyncio.sleep(POLL_S)

    async def last(self) -> LastBackup:
        """The newest backup in the storage, and the last failure."""
        with store_errors():
            values = await self._redis.hmget(keys.BACKUPS, "at_ms", "name", "bytes", "failed_ms", "why")
            now_ms = milliseconds(*await self._redis.time())
        at, name, size, failed, why = values
        return LastBackup(
            now_ms, int(at) if at else None, name, int(size or 0), int(failed) if failed else None, why
        )

    async def note_success(self, at_ms: int, name: str, size: int) -> None:
        """A backup of that time is in the storage."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=True)
            pipe.hset(keys.BACKUPS, mapping={"at_ms": at_ms, "name": name, "bytes": size})
            pipe.hdel(keys.BACKUPS, "failed_ms", "why")
            await pipe.execute()

    async def note_failure(self, why: str) -> None:
        """A try has failed now."""
        with store_errors():
            now_ms = milliseconds(*await self._redis.time())
            pipe = self._redis.pipeline(transaction=True)
            pipe.hset(keys.BACKUPS, mapping={"failed_ms": now_ms, "why": why})
            await pipe.execute()

    async def sign(self, token: str) -> None:
        """Write a token into the store; a copy is of this store, and recent enough, when it contains the token."""
        with store_errors():
            await self._redis.hset(keys.EPOCH, "backup", token)
