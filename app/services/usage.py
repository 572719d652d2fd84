"""Usage: jobs, seconds of video and dollars, from sums by day and hour that follow the ledger."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from app.domain.access import require_key, require_scope
from app.domain.accounts import NO_TEAM, Caller, Scope, Team
from app.domain.errors import NotFound, Unprocessable, Violation
from app.domain.limits import Window, periods
from app.store.accounts import AccountStore
from app.store.clock import StoreClock
from app.store.usage import DAY_MS, HOUR_MS, HOURS_KEPT_MS, Tally, UsageStore

LONGEST_DAYS = 366
LONGEST_DAY_MS = DAY_MS + HOUR_MS  # the one that ends summer time
NOON_MS = 12 * HOUR_MS
LONGEST_MS = LONGEST_DAYS * DAY_MS + HOUR_MS  # such a stretch has an hour more when it ends in winter time
LAST_MS = 8000 * 365 * DAY_MS  # the years 1970 to 9964; calendars end with 9999
UNCODED_OFFSET = re.compile(r"(?<=\d) (?=\d\d:?\d\d$)")  # a plus sign that was not percent-encoded


class Grouping(StrEnum):
    """By what usage is added up. A day is one of the team's time zone."""

    DAY = "day"
    USER = "user"
    MODEL = "model"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class Span:
    """From when (ms) until before when."""

    from_ms: int
    to_ms: int


@dataclass(slots=True)
class Sums:
    """What was used: jobs that were not released, their seconds of video, micro-dollars spent and still held."""

    jobs: int = 0
    video_seconds: int = 0
    spent: int = 0
    held: int = 0

    def add(self, jobs: int, video_seconds: int, spent: int, held: int) -> None:
        """Add what another group, or a part of this one, used."""
        self.jobs += jobs
        self.video_seconds += video_seconds
        self.spent += spent
        self.held += held

    @property
    def nothing(self) -> bool:
        """True when all is zero, as after jobs that were all released."""
        return not (self.jobs or self.video_seconds or self.spent or self.held)


@dataclass(frozen=True, slots=True)
class UsageGroup:
    """One group: a day as `2026-11-22`, a model's id, or the id and the name of a user or a key.

    The group is empty for corrections about no job. `team` is None in the report of one team.
    """

    team: str | None
    group: str
    name: str | None
    sums: Sums


@dataclass(frozen=True, slots=True)
class Report:
    """Usage of jobs that were admitted in the span, in order of the groups. `credits` is micro-dollars given."""

    group_by: Grouping
    span: Span
    time_zone: str | None
    rows: list[UsageGroup]
    total: Sums
    credits: int


@dataclass(slots=True)
class Sheet:
    """Tallies of the span, added up by team and group. `user` leaves out everybody else's."""

    group_by: Grouping
    user: str | None = None
    groups: dict[tuple[str, str], Sums] = field(default_factory=dict)
    credits: int = 0

    def take(self, team: str, day: str, tally: Tally) -> None:
        """Add a tally of a team's day."""
        if self.user not in {None, tally.user}:
            return
        if tally.credit:
            self.credits += tally.spent
            return
        group = {
            Grouping.DAY: day,
            Grouping.USER: tally.user,
            Grouping.MODEL: tally.model,
            Grouping.KEY: tally.key,
        }[self.group_by]
        sums = self.groups.setdefault((team, group), Sums())
        sums.add(tally.jobs, tally.seconds, tally.spent, tally.held)


class Usage:
    """Reports for a team, for one of its users, or for all teams together."""

    def __init__(self, sums: UsageStore, accounts: AccountStore, clock: StoreClock) -> None:
        self._sums = sums
        self._accounts = accounts
        self._clock = clock

    async def span(self, start: str | None, end: str | None, *, zone: str) -> Span:
        """The span that two parameters name; this month so far where they are not given.

        A date is the beginning of a day in the time zone; a time says its offset. Unprocessable otherwise, and for
        a span that is empty or longer than 366 days.
        """
        to_ms = await self._clock.now_ms() if end is None else _moment("to", end, zone)
        month_ms = periods(max(0, to_ms - 1), zone)[Window.MONTH].start_ms if start is None else 0
        from_ms = month_ms if start is None else _moment("from", start, zone)
        if from_ms >= to_ms:
            raise _wrong("from", "out_of_range", "The time in `from` must be before the one in `to`.")
        if to_ms - from_ms > LONGEST_MS:
            raise _wrong("from", "out_of_range", f"A report covers at most {LONGEST_DAYS} days.")
        return Span(from_ms, to_ms)

    async def report(
        self, whose: Caller | str | None, *, from_ms: int, to_ms: int, group_by: Grouping | str
    ) -> Report:
        """The usage of a team, of what a caller may see, or of all teams (None), deleted ones too.

        A job counts where it was admitted, whenever it was settled. A time within an hour of the team takes the
        whole hour; hours are known for HOURS_KEPT_MS, and an older day counts where its noon is in the span.
        """
        user = None
        if isinstance(whose, Caller):
            require_key(whose)
            require_scope(whose, Scope.JOBS_READ)
            user = None if whose.sees_team else whose.user
        teams = await self._teams(whose.team if isinstance(whose, Caller) else whose)
        sheet = Sheet(Grouping(group_by), user)
        span, now_ms = Span(max(0, from_ms), to_ms), await self._clock.now_ms()
        for team in teams:
            await self._sums.catch_up(team.id)
            await self._add_up(sheet, team, span, now_ms)
        names = {team.id: await self._names(team, sheet.group_by) for team in teams}
        return _report(sheet, span, names, None if whose is None else teams[0].time_zone)

    async def _add_up(self, sheet: Sheet, team: Team, span: Span, now_ms: int) -> None:
        """Take whole days from the sums by day, and of those that the span cuts the hours in it."""
        whole, cut = [], []
        for day in await self._sums.days(team.id, from_ms=span.from_ms, to_ms=span.to_ms):
            if span.from_ms <= day and (day + LONGEST_DAY_MS <= span.to_ms or now_ms < span.to_ms):
                whole.append(day)
            elif now_ms < day + HOURS_KEPT_MS:
                cut.append(day)
            elif span.from_ms <= day + NOON_MS < span.to_ms:
                whole.append(day)
        zone = ZoneInfo(team.time_zone)
        for tally in await self._sums.by_day(team.id, whole):
            sheet.take(team.id, _date(tally.day_ms, zone), tally)
        for tally in await self._sums.by_hour(team.id, cut):
            if tally.start_ms < span.to_ms and span.from_ms < tally.start_ms + HOUR_MS:
                sheet.take(team.id, _date(tally.day_ms, zone), tally)

    async def _teams(self, team_id: str | None) -> list[Team]:
        if team_id is None:
            return await self._accounts.teams(deleted=True)
        team = await self._accounts.team(team_id)
        if team is None:
            raise NotFound(NO_TEAM)
        return [team]

    async def _names(self, team: Team, group_by: Grouping) -> dict[str, str] | None:
        """The names of a team's users or keys, by id; None where groups have none."""
        if group_by not in {Grouping.USER, Grouping.KEY}:
            return None
        users = await self._accounts.users(team.id, deleted=True)
        if group_by is Grouping.USER:
            return {user.id: user.name for user in users}
        return {key.id: key.name for _, key in await self._accounts.keys_of([user.id for user in users])}


def _date(day_ms: int, zone: ZoneInfo) -> str:
    """The date of a day that began then: the team's own, or the one it had in the time zone of those days.

    Noon after a midnight is the same date in UTC, except for zones twelve hours and more ahead of it.
    """
    begin = datetime.fromtimestamp(day_ms / 1000, zone)
    if begin.hour > 1:  # summer time may begin at midnight
        begin = datetime.fromtimestamp((day_ms + NOON_MS) / 1000, UTC)
    return begin.date().isoformat()


def _report(sheet: Sheet, span: Span, names: Mapping[str, Mapping[str, str] | None], zone: str | None) -> Report:
    """The sheet with names and a total, without groups of which nothing is left; `zone` is a single team's."""
    rows, total = [], Sums()
    for (team, group), sums in sorted(sheet.groups.items()):
        known = names[team]
        if not sums.nothing:
            name = None if known is None else known.get(group, "")
            rows.append(UsageGroup(team if zone is None else None, group, name, sums))
            total.add(sums.jobs, sums.video_seconds, sums.spent, sums.held)
    return Report(sheet.group_by, span, zone, rows, total, sheet.credits)


def _moment(name: str, text: str, zone: str) -> int:
    """Milliseconds of a date, or of a time with its offset."""
    try:
        if len(text) <= len("2026-11-22"):
            day = date.fromisoformat(text)
            moment = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
        else:
            moment = datetime.fromisoformat(UNCODED_OFFSET.sub("+", text))
        if moment.utcoffset() is not None:
            at_ms = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
            if 0 <= at_ms <= LAST_MS:
                return at_ms
    except (ValueError, OverflowError):  # no such day, or one at the end of all time
        pass
    raise _wrong(name, "not_a_time", "Send a date such as 2026-11-22, or a time such as 2026-11-22T12:00:00Z.")


def _wrong(name: str, code: str, sentence: str) -> Unprocessable:
    return Unprocessable(sentence, violations=(Violation(f"/query/{name}", code, sentence),))
