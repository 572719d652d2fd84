"""Usage: jobs, seconds of video and dollars; as JSON, and as CSV."""

import csv
import io
from typing import NotRequired, cast

from typing_extensions import TypedDict

from app.domain.money import format_usd
from app.domain.times import iso
from app.services.usage import Grouping, Report, Sums, UsageGroup
from app.views.cells import harmless
from app.views.fields import Time, Usd


class SumsView(TypedDict):
    """Jobs that were not released, their seconds of video, dollars spent and still held."""

    jobs: int
    video_seconds: int
    spent_usd: Usd
    held_usd: Usd


class UsageRow(SumsView):
    """One group, in the member that `group_by` names; `name` is that of a user or a key.

    A daily report's rows have `day` too, those about every team `team` and `team_name`.
    """

    team: NotRequired[str]
    team_name: NotRequired[str]
    day: NotRequired[str]
    user: NotRequired[str]
    model: NotRequired[str]
    key: NotRequired[str]
    name: NotRequired[str]


# In this form because `from` is a keyword.
UsageReport = TypedDict(
    "UsageReport",
    {
        "from": Time,
        "to": Time,
        "time_zone": str | None,
        "group_by": Grouping,
        "daily": bool,
        "data": list[UsageRow],
        "total": SumsView,
        "credits_usd": Usd,
    },
)


def sums_view(sums: Sums) -> SumsView:
    """The four numbers."""
    return {
        "jobs": sums.jobs,
        "video_seconds": sums.video_seconds,
        "spent_usd": format_usd(sums.spent),
        "held_usd": format_usd(sums.held),
    }


def row_view(row: UsageGroup, group_by: Grouping) -> UsageRow:
    """`{"team"?, "team_name"?, "day"?, group, "name"?, "jobs", "video_seconds", "spent_usd", "held_usd"}`."""
    names = {} if row.team is None or row.team_name is None else {"team": row.team, "team_name": row.team_name}
    if row.day is not None:
        names["day"] = row.day
    names[group_by.value] = row.group
    if row.name is not None:
        names["team_name" if group_by is Grouping.TEAM else "name"] = row.name
    return cast("UsageRow", {**names, **sums_view(row.sums)})


def report_view(report: Report) -> UsageReport:
    """The report."""
    return {
        "from": iso(report.span.from_ms),
        "to": iso(report.span.to_ms),
        "time_zone": report.time_zone,
        "group_by": report.group_by,
        "daily": report.daily,
        "data": [row_view(row, report.group_by) for row in report.rows],
        "total": sums_view(report.total),
        "credits_usd": format_usd(report.credits),
    }


def csv_text(report: Report) -> str:
    """The rows as CSV with a header line (RFC 4180)."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*_columns(report), *sums_view(Sums())])
    for row in report.rows:
        numbers = sums_view(row.sums)
        view = row_view(row, report.group_by)
        texts = [harmless(str(text)) for column, text in view.items() if column not in numbers]
        writer.writerow([*texts, *numbers.values()])
    return out.getvalue()


def _columns(report: Report) -> list[str]:
    """The columns before the numbers, in the order of a row's members."""
    of_teams, by = ["team", "team_name"], report.group_by
    before = [*(of_teams if report.time_zone is None else []), *(["day"] if report.daily else [])]
    own = of_teams if by is Grouping.TEAM else [by.value]
    named = ["name"] if by in {Grouping.USER, Grouping.KEY} else []
    return list(dict.fromkeys([*before, *own, *named]))
