"""The sums that usage reports read: by team and day, and by hour for recent days.

They follow the ledger: `fold_usage.lua` adds new entries, called by a periodic task and before each report. The
scripts of admission and settlement do not touch them, so these stay fast.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain.errors import Unavailable
from app.domain.ledger import Entry
from app.domain.limits import DAY_MS, Window
from app.store import keys, scripts
from app.store.client import Client
from app.store.connection import store_errors
from app.store.reads import read_hashes

PAGE = 200  # entries of one call of the script, which takes a few milliseconds
MAX_PAGES = 50  # calls of one report, before it is refused as too early
HOUR_MS = 3_600_000
HOURS_KEPT_MS = 40 * DAY_MS  # from a day's beginning
DAYS_AT_ONCE = 32
MAX_DAYS = 4000  # a request names at most 366
CREDIT = "credit"  # the field of credits; every other one is `user key model`


@dataclass(frozen=True, slots=True)
class Tally:
    """What one user's key used of one model in an hour or a day; all three are "" for entries without a job.

    `start_ms` is the beginning of that hour or day, `day_ms` of the day. A `credit` has its amount in `spent`.
    """

    day_ms: int
    start_ms: int
    user: str
    key: str
    model: str
    jobs: int
    seconds: int
    spent: int
    held: int
    credit: bool = False


class UsageStore:
    """Updates the sums from the ledger, and reads them."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def fold(self, team: str) -> bool:
        """Add the next entries of the team's ledger; True when there may be more."""
        with store_errors():
            counted = await scripts.fold_usage(
                self._redis,
                ledger=keys.ledger(team),
                days=keys.usage_days(team),
                team=team,
                entries=PAGE,
                hours_ms=HOURS_KEPT_MS,
            )
        return counted == PAGE

    async def counted(self) -> dict[str, str]:
        """By team, the last ledger entry that is in its sums."""
        with store_errors():
            return await self._redis.hgetall(keys.USAGE_COUNTED)

    async def behind(self) -> list[str]:
        """The teams with ledger entries that are not in their sums yet."""
        with store_errors():
            return await scripts.find_usage_behind(self._redis)

    async def catch_up(self, team: str, *, pages: int = MAX_PAGES) -> None:
        """Add all new entries; Unavailable when they are too many for one request."""
        for _ in range(pages):
            if not await self.fold(team):
                return
        raise Unavailable("Usage is being added up for the first time; ask again in a minute.", retry_after=60)

    async def days(self, team: str, *, from_ms: int, to_ms: int) -> list[int]:
        """Beginnings (ms) of the days that have sums, from the day that may contain `from_ms` until `to_ms`."""
        earliest = from_ms - DAY_MS - HOUR_MS  # a day of 25 hours
        with store_errors():
            found = await self._redis.zrange(
                keys.usage_days(team), earliest, f"({to_ms}", byscore=True, offset=0, num=MAX_DAYS
            )
        return [int(start) for start in found]

    async def by_day(self, team: str, days: Sequence[int]) -> list[Tally]:
        """The sums of these days."""
        return await self._read({day: keys.usage_day(team, day) for day in days}, hours=False)

    async def by_hour(self, team: str, days: Sequence[int]) -> list[Tally]:
        """The sums of these days by hour; none for a day whose hours have expired."""
        return await self._read({day: keys.usage_hours(team, day) for day in days}, hours=True)

    async def _read(self, names: Mapping[int, str], *, hours: bool) -> list[Tally]:
        tallies: list[Tally] = []
        days = list(names)
        for page in (days[start : start + DAYS_AT_ONCE] for start in range(0, len(days), DAYS_AT_ONCE)):
            rows = await read_hashes(self._redis, (names[day] for day in page))
            for day, row in zip(page, rows, strict=True):
                for field, text in row.items():
                    start, _, rest = field.partition(" ") if hours else (str(day), "", field)
                    tallies.append(_tally(day, int(start), rest, text))
        return tallies


def _tally(day_ms: int, start_ms: int, field: str, text: str) -> Tally:
    jobs, seconds, spent, held = map(int, text.split())
    user, key, model = ("", "", "") if field == CREDIT else field.split(" ")
    return Tally(day_ms, start_ms, user, key, model, jobs, seconds, spent, held, credit=field == CREDIT)


def hour_and_day(entry: Entry) -> tuple[int, int]:
    """The beginnings (ms) of the hour and the day that an entry counts in: its job's, or UTC's without a job."""
    if starts := entry.starts.team:
        return starts[Window.HOUR], starts[Window.DAY]
    return entry.admitted_ms - entry.admitted_ms % HOUR_MS, entry.admitted_ms - entry.admitted_ms % DAY_MS


def usage_change(entry: Entry) -> tuple[str, tuple[int, int, int, int]] | None:
    """The field, and what an entry adds to it: jobs, seconds, spent, held; None for an entry without a change."""
    field = CREDIT if entry.type == "credit" else f"{entry.user} {entry.key} {entry.model}"
    match entry.type:
        case "settle" | "release" if not entry.user:
            return None  # its reservation is not in the ledger
        case "reserve":
            return field, (1, entry.seconds, 0, entry.amount)
        case "release":
            return field, (-1, -entry.seconds, 0, -entry.amount)
        case "settle":
            return field, (0, 0, entry.amount, -entry.amount)
        case "correction" | "credit":
            return field, (0, 0, entry.amount, 0)
    return None
