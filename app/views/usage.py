"""Usage: jobs, seconds of video and dollars."""

from typing import NotRequired, cast

from typing_extensions import TypedDict

from app.domain.money import format_usd
from app.domain.times import iso
from app.services.usage import Grouping, Report, Sums, UsageGroup
from app.views.fields import Time, Usd


class SumsView(TypedDict):
    """Jobs that were not released, their seconds of video, dollars spent and still held."""

    jobs: int
    video_seconds: int
    spent_usd: Usd
    held_usd: Usd


class UsageRow(SumsView):
    """One group, in the member that `group_by` names; `name` is that of a user or a key."""

    team: NotRequired[str]
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
    """`{"team"?, group, "name"?, "jobs", "video_seconds", "spent_usd", "held_usd"}`."""
    names = {} if row.team is None else {"team": row.team}
    names[group_by.value] = row.group
    if row.name is not None:
        names["name"] = row.name
    return cast("UsageRow", {**names, **sums_view(row.sums)})


def report_view(report: Report) -> UsageReport:
    """The report."""
    return {
        "from": iso(report.span.from_ms),
        "to": iso(report.span.to_ms),
        "time_zone": report.time_zone,
        "group_by": report.group_by,
        "data": [row_view(row, report.group_by) for row in report.rows],
        "total": sums_view(report.total),
        "credits_usd": format_usd(report.credits),
    }
