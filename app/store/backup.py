"""Where the store keeps its append-only file, and how to copy it while it is written."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from redis.exceptions import RedisError

from app.domain.errors import Unavailable
from app.store import keys
from app.store.client import Client
from app.store.clock import milliseconds
from app.store.connection import store_errors

LOOK_S = 0.1
REWRITE_S = 600.0  # a large store takes minutes to rewrite its file


@dataclass(frozen=True, slots=True)
class AofLocation:
    """What must be copied: the folder of the append-only file on the server's machine, and who wrote it.

    `folder` is None where the server has no append-only file; `claims` is what the copy holds at least.
    """

    folder: Path | None
    kind: Literal["valkey", "redis"]
    version: tuple[int, ...]
    store_id: str
    claims: int
    at_ms: int


class BackupStore:
    """Asks the server for what a copy needs."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def place(self) -> AofLocation:
        """Where the file is, and what the store is now; Unavailable when the server does not say."""
        with store_errors():
            info = await self._redis.info("server")
            try:
                config = await self._redis.config_get("dir", "appendonly", "appenddirname")
            except RedisError:
                raise Unavailable("The store does not allow CONFIG GET, so its file cannot be found.") from None
            store_id, claims = await self._redis.hmget(keys.EPOCH, "id", "claims")
            seconds, micro = await self._redis.time()
        is_valkey = info.get("server_name") == "valkey"
        version = info["valkey_version"] if is_valkey else info["redis_version"]
        there = config.get("appendonly") == "yes"
        return AofLocation(
            folder=Path(config["dir"]) / config["appenddirname"] if there else None,
            kind="valkey" if is_valkey else "redis",
            version=tuple(int(part) for part in str(version).split(".")),
            store_id=store_id or "",
            claims=int(claims or 0),
            at_ms=milliseconds(seconds, micro),
        )

    @asynccontextmanager
    async def unchanging(self) -> AsyncIterator[None]:
        """No rewrite of the append-only file begins within the block, and none is under way; it only grows.

        Who is killed within it leaves the store without automatic rewrites until it is restarted.
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
        end = time.monotonic() + REWRITE_S
        while True:
            with store_errors():
                info = await self._redis.info("persistence")
            if not info["aof_rewrite_in_progress"] and not info["aof_rewrite_scheduled"]:
                return
            if time.monotonic() > end:
                raise Unavailable("The store rewrites its append-only file and does not come to an end.")
            await asyncio.sleep(LOOK_S)

    async def sign(self, token: str) -> None:
        """Write a word into the store, by which its file is known, and up to which a copy must reach."""
        with store_errors():
            await self._redis.hset(keys.EPOCH, "backup", token)
