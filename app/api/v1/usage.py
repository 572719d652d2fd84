"""Usage over HTTP, as JSON or CSV."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from app.api.accept import prefers
from app.api.csv_replies import AS_CSV, BY_ACCEPT, CSV, csv_file
from app.api.deps import CurrentCaller, TheGateway
from app.api.moments import LONGEST_TIME
from app.domain.times import date_in
from app.services.usage import Grouping, Report
from app.views.usage import UsageReport, csv_text, report_view

router = APIRouter(prefix="/v1", tags=["account"])


Start = Annotated[
    str | None, Query(alias="from", max_length=LONGEST_TIME, description="By default the first of the month")
]
End = Annotated[str | None, Query(alias="to", max_length=LONGEST_TIME, description="Exclusive; by default now")]
Daily = Annotated[bool, Query(description="A row for each day of each group")]


@router.get("/usage", response_model=UsageReport, responses=AS_CSV, summary="Jobs, seconds and dollars")
async def read_usage(
    request: Request,
    caller: CurrentCaller,
    gateway: TheGateway,
    start: Start = None,
    end: End = None,
    group_by: Grouping = Grouping.DAY,
    *,
    daily: Daily = False,
) -> Response:
    """Usage between two dates or times, by day, team, user, model or key; as CSV with `Accept: text/csv`."""
    span = await gateway.usage.span(start, end, zone=caller.zone)
    report = await gateway.usage.report(
        caller, from_ms=span.from_ms, to_ms=span.to_ms, group_by=group_by, daily=daily
    )
    return usage_reply(request, report)


def usage_reply(request: Request, report: Report) -> Response:
    """The report as JSON, or as a file of CSV where the request prefers that."""
    if not prefers(CSV, request.headers.get("accept", "")):
        return JSONResponse(report_view(report), headers=BY_ACCEPT)
    daily = "-daily" if report.daily else ""
    name = f"usage-{date_in(report.time_zone or 'UTC', report.span.from_ms)}-by-{report.group_by.value}{daily}.csv"
    return csv_file(name, csv_text(report))
