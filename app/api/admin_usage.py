"""Usage of every team over HTTP, for the administrator."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from app.api.csv_replies import AS_CSV
from app.api.deps import Administrator, TheGateway
from app.api.document_responses import refusals
from app.api.strict_body import LONGEST_ID
from app.api.v1.usage import Daily, End, Start, usage_reply
from app.services.usage import Grouping
from app.views.usage import UsageReport

router = APIRouter(prefix="/v1", tags=["administration"])


@router.get(
    "/admin/usage",
    name="read_usage_of_all",
    response_model=UsageReport,
    responses={**AS_CSV, **refusals(404)},
    summary="Every team's jobs, seconds and dollars",
)
async def read_usage_of_all(
    request: Request,
    _: Administrator,
    gateway: TheGateway,
    team: Annotated[str | None, Query(max_length=LONGEST_ID, description="Only this team's")] = None,
    start: Start = None,
    end: End = None,
    group_by: Grouping = Grouping.DAY,
    *,
    daily: Daily = False,
) -> Response:
    """As `GET /v1/usage`, of all teams or one, deleted ones too. Days are those of each team's time zone.

    Dates in `from` and `to` are the named team's, and UTC's for all teams.
    """
    zone = "UTC" if team is None else (await gateway.accounts.any_team(team)).time_zone
    span = await gateway.usage.span(start, end, zone=zone)
    report = await gateway.usage.report(
        team, from_ms=span.from_ms, to_ms=span.to_ms, group_by=group_by, daily=daily
    )
    return usage_reply(request, report)
