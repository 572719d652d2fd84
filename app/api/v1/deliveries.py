"""The delivery log over HTTP, and replays."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from app.api.body import json_body
from app.api.deps import CurrentCaller, OwnJob, TheGateway
from app.api.document_responses import refusals
from app.api.moments import Moment, require_order
from app.api.paging import PageCursor, PageSize, link_to_next
from app.api.strict_body import StrictBody
from app.api.v1.webhook_bodies import EventType, EventTypes
from app.domain.accounts import Caller
from app.domain.deliveries import MAX_REPLAYED_PER_REQUEST, DeliveryStatus, LogFilter
from app.gateway import Gateway
from app.services.delivery_log import DeliveryPage
from app.views.webhooks import DeliveryList, DeliveryView, ReplayedView, delivery_list, delivery_view, replayed_view

router = APIRouter(prefix="/v1", tags=["webhooks"])


From = Annotated[Moment | None, Query(alias="from", description="Written then or later")]
To = Annotated[Moment | None, Query(alias="to", description="Written before")]
Events = Annotated[list[EventType] | None, Query(description="Only these types; may be given more than once")]
EndpointId = Annotated[str | None, Query(max_length=64, description="Only those to this endpoint")]


class ReplayBody(StrictBody):
    """What `POST /v1/deliveries/replay` takes: which deliveries, and how many at most."""

    endpoint: str | None = Field(None, max_length=64, description="Only those to this endpoint")
    status: DeliveryStatus | None = Field(
        None, description="dead by default; in a range of time, dead and delivered"
    )
    events: EventTypes | None = Field(None, description="Only these types")
    start: Moment | None = Field(None, alias="from", description="Written then or later")
    end: Moment | None = Field(None, alias="to", description="Written before")
    limit: int = Field(MAX_REPLAYED_PER_REQUEST, ge=1, le=MAX_REPLAYED_PER_REQUEST)
    cursor: str | None = Field(None, max_length=200, description="Where to continue, from an earlier reply")

    def filter(self) -> LogFilter:
        """As a domain value."""
        require_order(self.start, self.end, where="/from")
        return replace(_filter(self.status, self.events, self.start, self.end), endpoint=self.endpoint)


ReadReplay = Annotated[ReplayBody, Depends(json_body(ReplayBody, optional=True))]


async def _page_query(
    status: DeliveryStatus | None = None,
    event: Events = None,
    start: From = None,
    end: To = None,
    limit: PageSize = 50,
    cursor: PageCursor = None,
) -> tuple[LogFilter, int, str | None]:
    return _filter(status, event, start, end), limit, cursor


PageQuery = Annotated[tuple[LogFilter, int, str | None], Depends(_page_query)]


@router.get("/jobs/{job_id}/deliveries", response_model=DeliveryList, summary="A job's webhooks")
async def job_deliveries(
    request: Request,
    job: OwnJob,
    caller: CurrentCaller,
    gateway: TheGateway,
    limit: PageSize = 50,
    cursor: PageCursor = None,
) -> Response:
    """Every delivery of the job with every attempt, newest first; not for browser tokens."""
    return _page(request, gateway, await gateway.delivery_log.of_job(caller, job, limit=limit, cursor=cursor))


@router.get(
    "/webhook-endpoints/{endpoint_id}/deliveries",
    response_model=DeliveryList,
    summary="What went to a webhook endpoint",
)
async def endpoint_deliveries(
    request: Request, endpoint_id: str, caller: CurrentCaller, gateway: TheGateway, query: PageQuery
) -> Response:
    """Its deliveries with every attempt, newest first."""
    return await listed_deliveries(request, gateway, caller, query, endpoint=endpoint_id)


@router.get("/deliveries", response_model=DeliveryList, responses=refusals(404), summary="The team's webhooks")
async def list_deliveries(
    request: Request, caller: CurrentCaller, gateway: TheGateway, query: PageQuery, endpoint: EndpointId = None
) -> Response:
    """All deliveries, newest first; with `status=dead`, dead letters in the order in which they were given up."""
    return await listed_deliveries(request, gateway, caller, query, endpoint=endpoint)


@router.get("/deliveries/{delivery_id}", summary="Read one webhook")
async def read_delivery(delivery_id: str, caller: CurrentCaller, gateway: TheGateway) -> DeliveryView:
    """One delivery with every attempt, also of a test event."""
    return delivery_view(await gateway.delivery_log.get(caller, delivery_id))


@router.post(
    "/deliveries/{delivery_id}/replay", status_code=202, responses=refusals(409), summary="Send a webhook again"
)
async def replay_delivery(delivery_id: str, caller: CurrentCaller, gateway: TheGateway) -> DeliveryView:
    """Sends the same message with the same `webhook-id` now, and restarts its schedule."""
    return delivery_view(await gateway.delivery_log.replay(caller, delivery_id))


@router.post("/deliveries/replay", status_code=202, responses=refusals(404), summary="Send many webhooks again")
async def replay_deliveries(caller: CurrentCaller, body: ReadReplay, gateway: TheGateway) -> ReplayedView:
    """Dead letters, a filter or a range of time, oldest first and spread; if `more`, continue at `next_cursor`."""
    done = await gateway.delivery_log.replay_all(caller, body.filter(), limit=body.limit, cursor=body.cursor)
    return replayed_view(done)


def _filter(
    status: DeliveryStatus | None, events: list[str] | None, start: int | None, end: int | None
) -> LogFilter:
    require_order(start, end)
    statuses = None if status is None else frozenset({status})
    return LogFilter(None, statuses, None if events is None else frozenset(events), start, end)


async def listed_deliveries(
    request: Request, gateway: Gateway, caller: Caller, query: PageQuery, *, endpoint: str | None
) -> Response:
    """A page of the team's deliveries, or of those to one endpoint."""
    log_filter, limit, cursor = query
    log_filter = replace(log_filter, endpoint=endpoint)
    page = await gateway.delivery_log.page(caller, log_filter, limit=limit, cursor=cursor)
    return _page(request, gateway, page)


def _page(request: Request, gateway: Gateway, page: DeliveryPage) -> Response:
    return JSONResponse(delivery_list(page), headers=link_to_next(request, gateway, page.next_cursor))
