"""The hosts: which API and which workers run where, with their settings and their clocks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.store import keys, scripts
from app.store.client import Client
from app.store.clock import milliseconds
from app.store.connection import store_errors

KEPT_MS = 2 * 86_400_000


@dataclass(frozen=True, slots=True)
class HostRecord:
    """One API or one supervisor, as it reported last.

    `role` is `api` or `worker`, and `process` its id there; `began_ms` and `at_ms` are its first and last report,
    `clock_ms` how far its clock was ahead of the store's then; `settings` are those on which all must agree, by
    name, secrets as digests. `replaced_by` is who came in its place and has stopped in order since, or "".
    """

    name: str
    role: str
    host: str
    process: str
    began_ms: int
    at_ms: int
    clock_ms: int
    settings: Mapping[str, str]
    replaced_by: str


class HostStore:
    """Reports of all hosts, in one key. Who stops in order removes its own, and says so at the one it replaced."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def report(self, name: str, *, wall_ms: int, settings: Mapping[str, str]) -> None:
        """Report that `role host:pid` is alive."""
        text = json.dumps(settings, sort_keys=True)
        with store_errors():
            await scripts.record_host(self._redis, name=name, wall_ms=wall_ms, settings=text, kept_ms=KEPT_MS)

    async def stop(self, name: str, *, in_place_of: HostRecord | None) -> None:
        """Remove the report of `role host:pid`, which stops in order; who went before it stays replaced."""
        gone, at_ms = (in_place_of.name, in_place_of.at_ms) if in_place_of else ("", 0)
        with store_errors():
            await scripts.stop_host(self._redis, name=name, gone=gone, at_ms=at_ms)

    async def forget(self, names: Sequence[str]) -> None:
        """Remove reports of hosts that have been gone for long."""
        with store_errors():
            if names:
                await self._redis.hdel(keys.HOSTS, *names)

    async def all(self) -> tuple[int, list[HostRecord]]:
        """The store's time (ms), and every report."""
        with store_errors():
            now_ms = milliseconds(*await self._redis.time())
            found = await self._redis.hgetall(keys.HOSTS)
        return now_ms, [_record(name, json.loads(text)) for name, text in sorted(found.items())]


def _record(name: str, row: Mapping[str, str | int]) -> HostRecord:
    role, _, where = name.partition(" ")
    host, _, process = where.rpartition(":")
    began, at, clock = (int(row[field]) for field in ("began_ms", "at_ms", "clock_ms"))
    settings, replaced_by = json.loads(str(row["settings"])), str(row.get("replaced_by", ""))
    return HostRecord(name, role, host, process, began, at, clock, settings, replaced_by)
