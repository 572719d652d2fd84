"""Lists of jobs: newest first, by pages, with filters."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from app.domain.access import require_scope, visibility_filter
from app.domain.accounts import NO_TEAM, Caller, Scope
from app.domain.cursors import read_cursor, write_cursor
from app.domain.errors import NotFound
from app.domain.ids import join_ref, split_ref
from app.domain.jobs import Job, Status
from app.store.accounts import AccountStore
from app.store.jobs import JobStore

MIN_BATCH = 100  # rows read at once when the first batch did not fill the page
SCAN_LIMIT = 2000  # rows that one request reads at most

Position = tuple[int, str]  # admission time (ms), job id
JobRow = tuple[int, str, str]  # the same, and the team
ReadRows: TypeAlias = Callable[[Position | None, int], Awaitable[list[JobRow]]]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs are listed; None matches all. `metadata` is one pair, and is indexed."""

    status: Status | None = None
    model: str | None = None
    metadata: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class JobList:
    """Jobs, newest first, and the cursor of the next page."""

    jobs: list[Job]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class JobListing:
    """Pages of a caller's jobs, and of every team's."""

    jobs: JobStore
    accounts: AccountStore

    async def page(self, caller: Caller, wanted: Filter, *, limit: int, cursor: str | None) -> JobList:
        """Up to `limit` jobs that the caller may see, older than the cursor.

        They are read from the smallest index that has them all: of a metadata pair, the team, or the user.
        """
        require_scope(caller, Scope.JOBS_READ)
        user = None if caller.sees_team else caller.user
        index = self.jobs.index(caller.team, user=user, metadata=wanted.metadata)

        async def rows(before: Position | None, count: int) -> list[JobRow]:
            page = await self.jobs.page(index, before=before, count=count)
            return [(at_ms, job_id, caller.team) for job_id, at_ms in page]

        return await self._page(rows, _fields(caller, wanted), limit=limit, cursor=cursor, index=index)

    async def page_of_all(
        self, *, status: Status | None, team: str | None, limit: int, cursor: str | None
    ) -> JobList:
        """Up to `limit` jobs of one team or of all, deleted ones too, older than the cursor; NotFound."""
        if team is not None and await self.accounts.team(team) is None:
            raise NotFound(NO_TEAM)

        async def rows(before: Position | None, count: int) -> list[JobRow]:
            found = await (self._held(team) if status is Status.HELD else self._newest(team, before, count))
            return sorted((row for row in found if before is None or row[:2] < before), reverse=True)[:count]

        where = {} if status is None else {"status": status.value}
        return await self._page(rows, where, limit=limit, cursor=cursor)

    async def _page(
        self, rows_of: ReadRows, where: Mapping[str, str], *, limit: int, cursor: str | None, index: str = ""
    ) -> JobList:
        """The jobs of the rows whose records have these fields.

        1. read a batch of rows: at first one more than the page, then more at once
        2. read their records; remove the ids of expired ones from the index
        3. stop when the page is full, the rows end, or SCAN_LIMIT of them were read
        4. the cursor is the page's last job; after SCAN_LIMIT rows, the last of them
        """
        before = None if cursor is None else read_cursor(cursor, kind="job")
        found: list[tuple[Job, Position]] = []
        count, left = limit + 1, SCAN_LIMIT
        while left > 0:
            rows = await rows_of(before, count)
            records = await self.jobs.get_matching([join_ref(team, job_id) for _, job_id, team in rows], where)
            expired = [row[1] for row, (_, exists) in zip(rows, records, strict=True) if not exists]
            if index and expired:
                await self.jobs.forget(index, expired)
            for (at_ms, job_id, _), (job, _) in zip(rows, records, strict=True):
                before = (at_ms, job_id)
                if job is not None:
                    if len(found) == limit:
                        return JobList([job for job, _ in found], write_cursor(found[-1][1]))
                    found.append((job, before))
            if len(rows) < count:
                return JobList([job for job, _ in found], None)
            left -= count
            count = min(max(limit + 1, MIN_BATCH), left)
        return JobList([job for job, _ in found], None if before is None else write_cursor(before))

    async def _newest(self, team: str | None, before: Position | None, count: int) -> list[JobRow]:
        """At least the `count` newest jobs of the team, or of all."""
        teams = [team] if team is not None else [one.id for one in await self.accounts.teams(deleted=True)]
        rows: list[JobRow] = []
        for name in teams:
            index = self.jobs.index(name, user=None, metadata=None)
            page = await self.jobs.page(index, before=before, count=count)
            rows += [(at_ms, job_id, name) for job_id, at_ms in page]
        return rows

    async def _held(self, team: str | None) -> list[JobRow]:
        refs = [ref for ref in await self.jobs.held() if team in {None, split_ref(ref)[0]}]
        jobs = await self.jobs.get_many(refs)
        return [(job.created_ms, job.id, job.team) for job in jobs if job is not None]


def _fields(caller: Caller, wanted: Filter) -> dict[str, str]:
    """The fields that a listed job's record has."""
    visible = visibility_filter(caller)
    fields = {} if visible is None else dict([visible])
    if wanted.status is not None:
        fields["status"] = wanted.status.value
    if wanted.model is not None:
        fields["model"] = wanted.model
    return fields
