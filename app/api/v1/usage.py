"""Usage over HTTP, as JSON or CSV."""

import csv
import io
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from app.api.accept import prefers
from app.api.deps import CurrentCaller, TheGateway
from app.domain.times import iso
from app.services.usage import Grouping, Report, Sums
from app.views.usage import UsageReport, report_view, row_view, sums_view

CSV = "text/csv"
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # spreadsheets run a cell that begins so (OWASP, CSV injection)
HEADERS = {"Vary": "Accept"}
LONGEST_TIME = 40  # characters
router = APIRouter(prefix="/v1", tags=["account"])


@router.get(
    "/usage",
    response_model=UsageReport,
    responses={200: {"content": {CSV: {"schema": {"type": "string"}}}}},
    summary="Jobs, seconds and dollars",
)
async def read_usage(
    request: Request,
    caller: CurrentCaller,
    gateway: TheGateway,
    start: Annotated[str | None, Query(alias="from", max_length=LONGEST_TIME)] = None,
    end: Annotated[str | None, Query(alias="to", max_length=LONGEST_TIME)] = None,
    group_by: Grouping = Grouping.DAY,
) -> Response:
    """Usage between two dates or times, by day, user, model or key; as CSV with `Accept: text/csv`."""
    span = await gateway.usage.span(start, end, zone=caller.zone)
    report = await gateway.usage.report(caller, from_ms=span.from_ms, to_ms=span.to_ms, group_by=group_by)
    if not prefers(CSV, request.headers.get("accept", "")):
        return JSONResponse(report_view(report), headers=HEADERS)
    name = f"usage-{iso(span.from_ms)[:10]}-by-{group_by.value}.csv"
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(csv_text(report), headers=headers, media_type=CSV)


def csv_text(report: Report) -> str:
    """The rows as CSV with a header line (RFC 4180)."""
    out = io.StringIO()
    writer = csv.writer(out)
    with_name = report.group_by in {Grouping.USER, Grouping.KEY}
    team = ["team"] if report.time_zone is None else []
    writer.writerow([*team, report.group_by.value, *(["name"] if with_name else []), *sums_view(Sums())])
    for row in report.rows:
        numbers = sums_view(row.sums)
        view = row_view(row, report.group_by)
        texts = [_harmless(str(text)) for column, text in view.items() if column not in numbers]
        writer.writerow([*texts, *numbers.values()])
    return out.getvalue()


def _harmless(text: str) -> str:
    """Text that a spreadsheet shows instead of running it."""
    return f"'{text}" if text.startswith(FORMULA) else text
