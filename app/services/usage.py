"""Usage reports: jobs, seconds of video and dollars, from the ledger's sums by day and hour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from app.domain.access import require_key, require_scope
from app.domain.accounts import Caller, Scope, Team
from app.domain.errors import invalid_at
from app.domain.limits import DAY_MS, Window, periods
from app.domain.moments import read_moment
from app.store.accounts import AccountStore
from app.store.clock import StoreClock
from app.store.usage import HOUR_MS, HOURS_KEPT_MS, Tally, UsageStore

MAX_DAYS = 366
MAX_SPAN_MS = MAX_DAYS * DAY_MS + HOUR_MS  # an hour more when summer time ends in it
MAX_DAY_MS = DAY_MS + HOUR_MS  # the day on which summer time ends
MAX_TEAM_DAYS = 20_000  # days of all teams that one report reads: a few seconds
MAX_ROWS = 20_000  # of one report
NOON_MS = 12 * HOUR_MS


class Grouping(StrEnum):
    """What usage is grouped by. Days are those of the team's time zone."""

    TEAM = "team"

    DAY = "day"
    USER = "user"
    MODEL = "model"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class Span:
    """From `from_ms` until before `to_ms`."""

    from_ms: int
    to_ms: int


@dataclass(slots=True)
class Sums:
    """Jobs that were not released, their seconds of video, and micro-dollars spent and still held."""

    jobs: int = 0
    video_seconds: int = 0
    spent: int = 0
    held: int = 0

    def add(self, jobs: int, video_seconds: int, spent: int, held: int) -> None:
        """Add the usage of another group, or of a part of this one."""
        self.jobs += jobs
        self.video_seconds += video_seconds
        self.spent += spent
        self.held += held

    @property
    def is_zero(self) -> bool:
        """True when all is zero, as when every job was released."""
        return not (self.jobs or self.video_seconds or self.spent or self.held)


@dataclass(frozen=True, slots=True)
class UsageGroup:
    """One group: a day as `2026-11-22`, a model's id, or the id and name of a team, a user or a key.

    `group` is empty for corrections about no job. `team` and `team_name` are None in a report of one team, `day` in
    one that is not daily.
    """

    team: str | None
    team_name: str | None
    day: str | None
    group: str
    name: str | None
    sums: Sums


@dataclass(frozen=True, slots=True)
class Report:
    """Usage of jobs that were admitted in the span, ordered by group; `daily`: by day, and then by group.

    `credits` are micro-dollars.
    """

    group_by: Grouping
    daily: bool
    span: Span
    time_zone: str | None
    rows: list[UsageGroup]
    total: Sums
    credits: int


@dataclass(slots=True)
class _Groups:
    """Sums by day (empty unless `daily`), team and group; with `user`, of that user only."""

    group_by: Grouping
    daily: bool
    user: str | None = None
    sums: dict[tuple[str, str, str], Sums] = field(default_factory=dict)
    credits: int = 0

    def add(self, team: str, day: str, tally: Tally) -> None:
        """Add a tally of a team's day."""
        if self.user not in {None, tally.user}:
            return
        if tally.credit:
            self.credits += tally.spent
            return
        groups = {"day": day, "team": team, "user": tally.user, "model": tally.model, "key": tally.key}
        sums = self.sums.setdefault((day if self.daily else "", team, groups[self.group_by]), Sums())
        sums.add(tally.jobs, tally.seconds, tally.spent, tally.held)


@dataclass(frozen=True, slots=True)
class Usage:
    """Reports of a team, of one of its users, or of all teams."""

    sums: UsageStore
    accounts: AccountStore
    clock: StoreClock

    async def span(self, start: str | None, end: str | None, *, zone: str) -> Span:
        """The span between two parameters, by default this month so far.

        A date is the beginning of a day in `zone`; a time has an offset. Unprocessable for anything else, and for
        a span that is empty or longer than MAX_DAYS.
        """
        to_ms = await self.clock.now_ms() if end is None else read_moment("to", end, zone)
        month_ms = periods(max(0, to_ms - 1), zone)[Window.MONTH].start_ms if start is None else 0
        from_ms = month_ms if start is None else read_moment("from", start, zone)
        if from_ms >= to_ms:
            raise invalid_at("/query/from", "out_of_range", "The time in `from` must be before the one in `to`.")
        if to_ms - from_ms > MAX_SPAN_MS:
            raise invalid_at("/query/from", "out_of_range", f"A report covers at most {MAX_DAYS} days.")
        return Span(from_ms, to_ms)

    async def report(
        self, whose: Caller | str | None, *, from_ms: int, to_ms: int, group_by: Grouping | str, daily: bool = False
    ) -> Report:
        """The usage of a team, of what a caller may see, or of all teams (None), deleted ones too.

        A job counts when it was admitted, not when it was settled. Hours that the span cuts count as a whole. After
        HOURS_KEPT_MS only days are known: one that the span cuts counts if its noon is in the span. With `daily`,
        each group has a row for each day. Unprocessable when there is too much for one report.
        """
        user = None
        if isinstance(whose, Caller):
            require_key(whose)
            require_scope(whose, Scope.JOBS_READ)
            user = None if whose.sees_team else whose.user
        teams = await self._teams(whose.team if isinstance(whose, Caller) else whose)
        by = Grouping(group_by)
        groups = _Groups(by, daily and by is not Grouping.DAY, user)
        span, now_ms, days_read = Span(max(0, from_ms), to_ms), await self.clock.now_ms(), 0
        for team in teams:
            await self.sums.catch_up(team.id)
            days = await self.sums.days(team.id, from_ms=span.from_ms, to_ms=span.to_ms)
            days_read += len(days)
            _require_room(days_read, MAX_TEAM_DAYS)
            await self._add(groups, team, days, span, now_ms)
            _require_room(len(groups.sums), MAX_ROWS)
        names = {team.id: await self._names(team, groups.group_by) for team in teams}
        return _report(groups, span, teams, names, None if whose is None else teams[0].time_zone)

    async def _add(self, groups: _Groups, team: Team, days: list[int], span: Span, now_ms: int) -> None:
        """Add the sums of whole days, and the sums of hours of days that the span cuts."""
        whole, cut = [], []
        for day in days:
            if span.from_ms <= day and (day + MAX_DAY_MS <= span.to_ms or now_ms < span.to_ms):
                whole.append(day)
            elif now_ms < day + HOURS_KEPT_MS:
                cut.append(day)
            elif span.from_ms <= day + NOON_MS < span.to_ms:
                whole.append(day)
        zone = ZoneInfo(team.time_zone)
        tallies = await self.sums.by_day(team.id, whole)
        for tally in await self.sums.by_hour(team.id, cut):
            if tally.start_ms < span.to_ms and span.from_ms < tally.start_ms + HOUR_MS:
                tallies.append(tally)
        for tally in tallies:
            groups.add(team.id, _date(tally.day_ms, zone), tally)

    async def _teams(self, team_id: str | None) -> list[Team]:
        if team_id is None:
            return await self.accounts.teams(deleted=True)
        return [await self.accounts.any_team(team_id)]

    async def _names(self, team: Team, group_by: Grouping) -> dict[str, str] | None:
        """The names of a team's users or keys, or its own, by id; None for groups without names."""
        if group_by is Grouping.TEAM:
            return {team.id: team.name}
        if group_by not in {Grouping.USER, Grouping.KEY}:
            return None
        users = await self.accounts.users(team.id, deleted=True)
        if group_by is Grouping.USER:
            return {user.id: user.name for user in users}
        return {key.id: key.name for _, key in await self.accounts.keys_of([user.id for user in users])}


def _date(day_ms: int, zone: ZoneInfo) -> str:
    """The date of the day that began then, also when the team had another time zone at that time.

    Twelve hours after midnight the date in UTC is the same, except in zones twelve hours and more ahead.
    """
    begin = datetime.fromtimestamp(day_ms / 1000, zone)
    if begin.hour > 1:  # another zone's day; in some, summer time begins at midnight
        begin = datetime.fromtimestamp((day_ms + NOON_MS) / 1000, UTC)
    return begin.date().isoformat()


def _require_room(found: int, most: int) -> None:
    if found > most:
        raise invalid_at("/query/from", "out_of_range", "This is too much for one report; ask for fewer days.")


def _report(
    groups: _Groups,
    span: Span,
    teams: Sequence[Team],
    names: Mapping[str, Mapping[str, str] | None],
    zone: str | None,
) -> Report:
    """The groups that are not zero, with names, and their total; `zone` is that of a single team."""
    rows, total = [], Sums()
    team_names = {team.id: team.name for team in teams}
    for (day, team, group), sums in sorted(groups.sums.items()):
        if not sums.is_zero:
            known = names[team]
            name = None if known is None else known.get(group, "")
            own, own_name = (None, None) if zone is not None else (team, team_names[team])
            rows.append(UsageGroup(own, own_name, day or None, group, name, sums))
            total.add(sums.jobs, sums.video_seconds, sums.spent, sums.held)
    return Report(groups.group_by, groups.daily, span, zone, rows, total, groups.credits)
