"""Lists of jobs: newest first, by pages, with filters."""

from dataclasses import dataclass

from app.domain.access import require_scope, visibility_filter
from app.domain.accounts import Caller, Scope
from app.domain.cursors import read_cursor, write_cursor
from app.domain.ids import join_ref
from app.domain.jobs import Job, Status
from app.store.jobs import JobStore

STRETCH = 100  # records read at once, at least, once the first did not fill the page
SCAN_LIMIT = 2000  # records one request reads at most while it looks for matches; the cursor goes on from there


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs are wanted; None lets all pass. `metadata` is one pair, and is indexed."""

    status: Status | None = None
    model: str | None = None
    metadata: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class JobList:
    """Jobs, newest first, and the cursor of the next page."""

    jobs: list[Job]
    next_cursor: str | None


class JobListing:
    """Pages of the jobs that a caller may see."""

    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs

    async def page(self, caller: Caller, wanted: Filter, *, limit: int, cursor: str | None) -> JobList:
        """Up to `limit` jobs older than the cursor.

        1. choose the smallest index that holds them all: a metadata pair, the team, or the user
        2. read a stretch of it, newest first, at first no more than is shown; keep what matches; forget ids whose
           record has expired
        3. stop when one more than the page was found, the index ends, or enough was read
        4. the cursor is the last job shown; after too long a search, the last one looked at
        """
        require_scope(caller, Scope.JOBS_READ)
        user = None if caller.sees_team else caller.user
        index = self._jobs.index(caller.team, user=user, metadata=wanted.metadata)
        where = _fields(caller, wanted)
        before = None if cursor is None else read_cursor(cursor, kind="job")
        found: list[tuple[Job, tuple[int, str]]] = []
        stretch, left = limit + 1, SCAN_LIMIT
        while left > 0:
            rows = await self._jobs.page(index, before=before, count=stretch)
            records = await self._jobs.get_matching([join_ref(caller.team, job_id) for job_id, _ in rows], where)
            expired = [row[0] for row, (job, there) in zip(rows, records, strict=True) if not there]
            if expired:
                await self._jobs.forget(index, expired)
            for (job_id, at_ms), (job, _) in zip(rows, records, strict=True):
                before = (at_ms, job_id)
                if job is not None:
                    if len(found) == limit:
                        return JobList([shown for shown, _ in found], write_cursor(found[-1][1]))
                    found.append((job, before))
            if len(rows) < stretch:
                return JobList([shown for shown, _ in found], None)
            left -= stretch
            stretch = min(max(limit + 1, STRETCH), left)
        return JobList([shown for shown, _ in found], None if before is None else write_cursor(before))


def _fields(caller: Caller, wanted: Filter) -> dict[str, str]:
    """What a record must say to be in the list."""
    mark = visibility_filter(caller)
    found = {} if mark is None else {mark[0]: mark[1]}
    if wanted.status is not None:
        found["status"] = wanted.status.value
    if wanted.model is not None:
        found["model"] = wanted.model
    return found
