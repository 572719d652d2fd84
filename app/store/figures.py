"""What metrics show of the whole installation; the number of reads does not grow with its jobs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.data_format import UNNUMBERED
from app.store import keys, scripts
from app.store.client import Client
from app.store.connection import store_errors
from app.store.health import counted_memory
from app.store.heartbeats import HEARTBEAT_MS


@dataclass(frozen=True, slots=True)
class TeamFigures:
    """A team's money (micro-dollars), its queued jobs, and when the oldest that is next was admitted (ms), or 0."""

    id: str
    reserved: int
    spent: int
    queued: int
    oldest_ms: int


@dataclass(frozen=True, slots=True)
class DueFigures:
    """How many refs a step has, and when its first is due (ms); None without one."""

    refs: int
    first_ms: int | None


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """The store's own state. `memory` counts against `memory_limit` (bytes; 0: none)."""

    memory: int
    memory_limit: int
    clients: int
    replicas: int
    keys: int
    save_ok: bool
    commands: int


@dataclass(frozen=True, slots=True)
class Figures:
    """One moment of the installation, at the store's time `now_ms`. Money is micro-dollars.

    `quarantined` are the times (ms) since when each step is there; `heartbeats` are by role the last heartbeat (ms)
    of each worker process `host:pid` that is alive. `kept_bytes` are those of all files in the storage, `backup_ms`
    is when the newest backup there was made, None without one.
    """

    now_ms: int
    reserved: int
    spent: int
    teams: Sequence[TeamFigures]
    quarantined: Sequence[int]
    due: Mapping[str, DueFigures]
    heartbeats: Mapping[str, Mapping[str, int]]
    kept_bytes: int
    backup_ms: int | None
    data_format: int
    store: StoreFigures

    @property
    def drift(self) -> int:
        """How much the gateway's sums and those of its teams differ (micro-dollars); they change in one script."""
        reserved = self.reserved - sum(team.reserved for team in self.teams)
        spent = self.spent - sum(team.spent for team in self.teams)
        return abs(reserved) + abs(spent)


class FigureStore:
    """Reads figures."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def read(self) -> Figures:
        """One moment."""
        with store_errors():
            now_ms, reserved, spent, *teams = await scripts.read_installation(self._redis)
            pipe = self._redis.pipeline(transaction=False)
            pipe.hgetall(keys.QUARANTINE)
            pipe.zrange(keys.WORKERS, 0, -1, withscores=True)
            pipe.hgetall(keys.KEPT_BYTES)
            pipe.hget(keys.BACKUPS, "at_ms")
            pipe.hget(keys.DATA_FORMAT, "number")
            for step in keys.STEPS:
                pipe.zcard(keys.due(step))
                pipe.zrange(keys.due(step), 0, 0, withscores=True)
            quarantined, workers, kept, backup_ms, data_format, *due = await pipe.execute()
            about = await self._redis.info("default")
        return Figures(
            now_ms=now_ms,
            reserved=int(reserved),
            spent=int(spent),
            teams=[
                TeamFigures(team, int(held), int(used), queued, int(at)) for team, held, used, queued, at in teams
            ],
            quarantined=[int(since) for since in quarantined.values()],
            due={
                step: DueFigures(count, int(first[0][1]) if first else None)
                for step, count, first in zip(keys.STEPS, due[::2], due[1::2], strict=True)
            },
            heartbeats=_by_role(workers, now_ms),
            kept_bytes=sum(map(int, kept.values())),
            backup_ms=int(backup_ms) if backup_ms else None,
            data_format=int(data_format or UNNUMBERED),
            store=_store(about),
        )

    async def names(self, teams: Sequence[str]) -> dict[str, str]:
        """The names of these teams."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=False)
            for team in teams:
                pipe.hget(keys.team(team), "name")
            found = await pipe.execute()
        return {team: name or "" for team, name in zip(teams, found, strict=True)}


def _by_role(workers: Iterable[tuple[str, float]], now_ms: int) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for member, at_ms in workers:
        role, _, name = member.partition(" ")
        if now_ms - at_ms <= HEARTBEAT_MS:
            found.setdefault(role, {})[name] = int(at_ms)
    return found


def _store(about: Mapping[str, Any]) -> StoreFigures:
    """From the reply of INFO."""
    memory, memory_limit = counted_memory(about)
    return StoreFigures(
        memory=memory,
        memory_limit=memory_limit,
        clients=int(about.get("connected_clients", 0)),
        replicas=int(about.get("connected_slaves", 0)),
        keys=sum(value["keys"] for value in about.values() if isinstance(value, dict) and "keys" in value),
        save_ok=all(about.get(name, "ok") == "ok" for name in ("aof_last_write_status", "rdb_last_bgsave_status")),
        commands=int(about.get("total_commands_processed", 0)),
    )
