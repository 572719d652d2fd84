"""Indexes of jobs: a team's, a user's, and of a metadata pair, by admission time."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from app.domain.jobs import Job
from app.store import keys, scripts
from app.store.client import Client
from app.store.connection import store_errors
from app.store.packing import unpacked
from app.store.reads import pairs
from app.store.records import read_job

SCAN_ROWS = 500  # ids that one script reads at most, in a few ms of the store
READ_IN_VAIN = 3  # so many further ids cost as much as a packed record that turns out to be unwanted
Position: TypeAlias = tuple[int, str]  # admission time (ms), job id


@dataclass(frozen=True, slots=True)
class JobScan:
    """Jobs of an index, newest first, how far it was read (None for its end), and how many of its ids were."""

    jobs: list[tuple[Position, Job]]
    reached: Position | None
    rows: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which jobs a scan returns: those whose record has one of these values in each of these fields.

    They are of `from_ms` or later. `accepts` decides by the whole record.
    """

    fields: Mapping[str, Collection[str]]
    from_ms: int | None = None
    accepts: Callable[[Mapping[str, str]], bool] | None = None

    def has(self, record: Mapping[str, str]) -> bool:
        """True for the record of a wanted job; its time is not looked at."""
        return all(record.get(name) in values for name, values in self.fields.items()) and (
            self.accepts is None or self.accepts(record)
        )


class JobIndexStore:
    """Reads jobs in the order of an index."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def scan(
        self,
        index: str,
        team: str,
        *,
        before: Position | None,
        limit: int,
        rows: int,
        wanted: Wanted,
    ) -> JobScan:
        """Up to `limit` wanted jobs of an index, older than `before`; the newest first.

        It reads `rows` ids at most, some hundred in one call, and removes those whose record has expired.
        """
        found: list[tuple[Position, Job]] = []
        flat = [part for name, values in wanted.fields.items() for value in values for part in (name, value)]
        all_read = 0
        while True:
            had = len(found)
            with store_errors():
                read, reached, expired, records = await scripts.scan_jobs(
                    self._redis,
                    index=index,
                    team=team,
                    before_ms=None if before is None else before[0],
                    before_id="" if before is None else before[1],
                    limit=limit - len(found),
                    rows=min(rows, SCAN_ROWS),
                    from_ms=wanted.from_ms,
                    rest=flat,
                )
            if expired:
                await self._forget(index, expired)
            for job_id, at_ms, *fields in records:
                record = unpacked(pairs(fields))
                if wanted.has(record):
                    found.append(((int(at_ms), job_id), read_job(record)))
            before = (int(reached[1]), reached[0]) if reached else None
            unwanted = len(records) - (len(found) - had)
            rows -= read + unwanted * READ_IN_VAIN
            all_read += read
            if before is None or len(found) == limit or rows <= 0:
                return JobScan(found, before, all_read)

    async def _forget(self, index: str, job_ids: Sequence[str]) -> None:
        """Remove ids whose record has expired from an index."""
        with store_errors():
            await self._redis.zrem(index, *job_ids)


def index_of(team: str, *, user: str | None, metadata: tuple[str, str] | None) -> str:
    """The name of the smallest index that contains all wanted jobs; `user` None means the whole team."""
    if metadata is not None:
        return keys.metadata_jobs(team, *metadata)
    return keys.team_jobs(team) if user is None else keys.user_jobs(team, user)
