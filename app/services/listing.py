"""Lists of jobs: newest first, by pages, with filters."""

from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter

from app.domain.access import require_scope, visibility_filter
from app.domain.accounts import NO_TEAM, Caller, Scope
from app.domain.cursors import read_cursor, write_cursor
from app.domain.errors import NotFound
from app.domain.ids import split_ref
from app.domain.jobs import Job, Status
from app.store.accounts import AccountStore
from app.store.job_indexes import JobIndexStore, Position, index_of
from app.store.jobs import JobStore

SCAN_LIMIT = 2000  # ids of jobs that one request reads at most
MIN_SCAN = 100  # of each team, when all teams are listed


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
    indexes: JobIndexStore
    accounts: AccountStore

    async def page(self, caller: Caller, wanted: Filter, *, limit: int, cursor: str | None) -> JobList:
        """Up to `limit` jobs that the caller may see, older than the cursor.

        They are read from the smallest index that has them all: of a metadata pair, the team, or the user.
        """
        require_scope(caller, Scope.JOBS_READ)
        user = None if caller.sees_team else caller.user
        index = index_of(caller.team, user=user, metadata=wanted.metadata)
        return await self._page({caller.team: index}, _fields(caller, wanted), limit=limit, cursor=cursor)

    async def page_of_all(
        self, *, status: Status | None, team: str | None, limit: int, cursor: str | None
    ) -> JobList:
        """Up to `limit` jobs of one team or of all, deleted ones too, older than the cursor; NotFound."""
        if team is not None and await self.accounts.team(team) is None:
            raise NotFound(NO_TEAM)
        if status is Status.HELD:
            return await self._held(team, limit=limit, cursor=cursor)
        where = {} if status is None else {"status": status.value}
        teams = [team] if team is not None else [one.id for one in await self.accounts.teams(deleted=True)]
        indexes = {name: index_of(name, user=None, metadata=None) for name in teams}
        return await self._page(indexes, where, limit=limit, cursor=cursor)

    async def _page(
        self, indexes: Mapping[str, str], where: Mapping[str, str], *, limit: int, cursor: str | None
    ) -> JobList:
        """The newest jobs of these indexes, by team, whose records have these fields.

        1. scan each index for one job more than the page, and not further than SCAN_LIMIT allows
        2. where the first scan to stop has stopped, jobs of that index may follow: older ones must wait
        3. the cursor is the page's last job; of a page that is not full, that place
        """
        before = None if cursor is None else read_cursor(cursor, kind="job")
        rows = max(SCAN_LIMIT // max(1, len(indexes)), MIN_SCAN)
        found: list[tuple[Position, Job]] = []
        stops: list[Position] = []
        for team, index in indexes.items():
            scan = await self.indexes.scan(index, team, before=before, limit=limit + 1, rows=rows, where=where)
            found += scan.jobs
            stops += [] if scan.reached is None else [scan.reached]
        first_stop = max(stops, default=None)
        return _cut(found, limit=limit, first_stop=first_stop)

    async def _held(self, team: str | None, *, limit: int, cursor: str | None) -> JobList:
        """The newest held jobs of a team or of all; the store has a set of them."""
        before = None if cursor is None else read_cursor(cursor, kind="job")
        refs = [ref for ref in await self.jobs.held() if team in {None, split_ref(ref)[0]}]
        jobs = [job for job in await self.jobs.get_many(refs) if job is not None and job.status is Status.HELD]
        found = [((job.created_ms, job.id), job) for job in jobs]
        return _cut([row for row in found if before is None or row[0] < before], limit=limit)


def _cut(found: list[tuple[Position, Job]], *, limit: int, first_stop: Position | None = None) -> JobList:
    """A page of the newest of these jobs; with `first_stop`, of those that are not older."""
    rows = [
        row for row in sorted(found, key=itemgetter(0), reverse=True) if first_stop is None or row[0] >= first_stop
    ]
    if len(rows) > limit:
        return JobList([job for _, job in rows[:limit]], write_cursor(rows[limit - 1][0]))
    return JobList([job for _, job in rows], None if first_stop is None else write_cursor(first_stop))


def _fields(caller: Caller, wanted: Filter) -> dict[str, str]:
    """The fields that a listed job's record has."""
    visible = visibility_filter(caller)
    fields = {} if visible is None else dict([visible])
    if wanted.status is not None:
        fields["status"] = wanted.status.value
    if wanted.model is not None:
        fields["model"] = wanted.model
    return fields
