"""Lists of jobs: newest first, by pages, with filters."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import itemgetter

from app.domain.access import require_scope, visibility_filter
from app.domain.accounts import Caller, Scope
from app.domain.cursors import read_cursor, write_cursor
from app.domain.ids import split_ref
from app.domain.jobs import Job, Status
from app.domain.prompts import has_words
from app.store.accounts import AccountNames, AccountStore
from app.store.job_indexes import JobIndexStore, Position, Wanted, index_of
from app.store.jobs import JobStore

SCAN_LIMIT = 2000  # ids of jobs that one request reads at most
MIN_SCAN = 100  # of each team, when all teams are listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which jobs are listed; None, and no status, match all.

    Attributes:
        statuses: a job has one of them.
        metadata: one pair, which is indexed.
        user: the id of the user who submitted it.
        from_ms: admitted then or later.
        to_ms: admitted before.
        words: each is part of its prompt, in any case.
    """

    statuses: frozenset[Status] = frozenset()
    model: str | None = None
    metadata: tuple[str, str] | None = None
    user: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    words: Sequence[str] = ()

    def wanted(self, visible: tuple[str, str] | None = None) -> Wanted:
        """As a scan takes it; `visible` is a field and the value that it must have."""
        fields: dict[str, Collection[str]] = {} if visible is None else {visible[0]: [visible[1]]}
        if self.statuses:
            fields["status"] = sorted(self.statuses)
        for name, value in (("model", self.model), ("user", self.user)):
            if value is not None:
                fields.setdefault(name, [value])
        accepts = partial(has_words, words=self.words) if self.words else None
        return Wanted(fields, self.from_ms, accepts)

    def has(self, job: Job) -> bool:
        """True for a job that is listed; for lists that have no prompts."""
        return (
            self.model in {None, job.model}
            and self.user in {None, job.user}
            and (self.metadata is None or job.metadata.get(self.metadata[0]) == self.metadata[1])
            and (self.from_ms is None or job.created_ms >= self.from_ms)
            and (self.to_ms is None or job.created_ms < self.to_ms)
        )


@dataclass(frozen=True, slots=True)
class JobList:
    """Jobs, newest first, the cursor of the next page, how many were looked at, and the names of their owners."""

    jobs: list[Job]
    next_cursor: str | None
    scanned: int
    names: AccountNames = field(default_factory=AccountNames)


@dataclass(frozen=True, slots=True)
class JobListing:
    """Pages of a caller's jobs, and of every team's."""

    jobs: JobStore
    indexes: JobIndexStore
    accounts: AccountStore

    async def page(self, caller: Caller, wanted: Filter, *, limit: int, cursor: str | None) -> JobList:
        """Up to `limit` jobs that the caller may see, older than the cursor.

        They are read from the smallest index that has them all: of a metadata pair, the team, or the user.
        Forbidden for another user's jobs without `team:read`.
        """
        require_scope(caller, Scope.JOBS_READ)
        if wanted.user not in {None, caller.user} and not caller.sees_team:
            require_scope(caller, Scope.TEAM_READ)
        user = wanted.user if caller.sees_team else caller.user
        index = index_of(caller.team, user=user, metadata=wanted.metadata)
        wants = wanted.wanted(visibility_filter(caller))
        page = await self._page({caller.team: index}, wants, _before(cursor, wanted.to_ms), limit=limit)
        return await self._named(page)

    async def page_of_all(self, wanted: Filter, *, team: str | None, limit: int, cursor: str | None) -> JobList:
        """Up to `limit` jobs of one team or of all, deleted ones too, older than the cursor; NotFound."""
        if team is not None:
            await self.accounts.any_team(team)
        if wanted.statuses == {Status.HELD}:
            return await self._named(await self._held(wanted, team, limit=limit, cursor=cursor))
        teams = [team] if team is not None else await self._teams_with(wanted.user)
        indexes = {name: index_of(name, user=wanted.user, metadata=wanted.metadata) for name in teams}
        page = await self._page(indexes, wanted.wanted(), _before(cursor, wanted.to_ms), limit=limit)
        return await self._named(page)

    async def succeeded(self, team: str, *, from_ms: int, to_ms: int, limit: int, cursor: str | None) -> JobList:
        """Up to `limit` succeeded jobs of a team that were admitted in this span, the newest first."""
        wanted = Filter(statuses=frozenset({Status.SUCCEEDED}), from_ms=from_ms).wanted()
        index = index_of(team, user=None, metadata=None)
        return await self._page({team: index}, wanted, _before(cursor, to_ms), limit=limit)

    async def _teams_with(self, user_id: str | None) -> list[str]:
        """Every team, or the one of this user."""
        if user_id is None:
            return [one.id for one in await self.accounts.teams(deleted=True)]
        user = await self.accounts.user(user_id)
        return [] if user is None else [user.team]

    async def _page(
        self, indexes: Mapping[str, str], wanted: Wanted, before: Position | None, *, limit: int
    ) -> JobList:
        """The newest wanted jobs of these indexes, by team.

        1. scan each index for one job more than the page, and not further than SCAN_LIMIT allows
        2. where the first scan to stop has stopped, jobs of that index may follow: older ones must wait
        3. the cursor is the page's last job; of a page that is not full, that place
        """
        rows = max(SCAN_LIMIT // max(1, len(indexes)), MIN_SCAN)
        found: list[tuple[Position, Job]] = []
        stops: list[Position] = []
        scanned = 0
        for team, index in indexes.items():
            scan = await self.indexes.scan(index, team, before=before, limit=limit + 1, rows=rows, wanted=wanted)
            found += scan.jobs
            stops += [] if scan.reached is None else [scan.reached]
            scanned += scan.rows
        first_stop = max(stops, default=None)
        return _cut(found, limit=limit, first_stop=first_stop, scanned=scanned)

    async def _held(self, wanted: Filter, team: str | None, *, limit: int, cursor: str | None) -> JobList:
        """The newest held jobs of a team or of all; the store has a set of them."""
        before = _before(cursor, None)
        refs = [ref for ref in await self.jobs.held() if team in {None, split_ref(ref)[0]}]
        jobs = [job for job in await self.jobs.get_many(refs) if job is not None and job.status is Status.HELD]
        found = [((job.created_ms, job.id), job) for job in jobs if wanted.has(job)]
        return _cut([row for row in found if before is None or row[0] < before], limit=limit, scanned=len(refs))

    async def _named(self, page: JobList) -> JobList:
        """The page with names: one call for all of them."""
        return replace(page, names=await self.accounts.names_of({(job.team, job.user) for job in page.jobs}))


def _before(cursor: str | None, to_ms: int | None) -> Position | None:
    """The place before which jobs are listed."""
    places = [] if cursor is None else [read_cursor(cursor, kind="job")]
    return min([*places, *([] if to_ms is None else [(to_ms, "")])], default=None)


def _cut(
    found: list[tuple[Position, Job]], *, limit: int, scanned: int, first_stop: Position | None = None
) -> JobList:
    """A page of the newest of these jobs; with `first_stop`, of those that are not older."""
    rows = [
        row for row in sorted(found, key=itemgetter(0), reverse=True) if first_stop is None or row[0] >= first_stop
    ]
    if len(rows) > limit:
        return JobList([job for _, job in rows[:limit]], write_cursor(rows[limit - 1][0]), scanned)
    return JobList([job for _, job in rows], None if first_stop is None else write_cursor(first_stop), scanned)
