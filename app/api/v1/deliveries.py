"""The log of webhooks over HTTP, and sending them again."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BeforeValidator, Field, WithJsonSchema

from app.api.body import json_body
from app.api.deps import CurrentCaller, OwnJob, TheGateway
from app.api.document_responses import refusals
from app.api.strict_body import StrictBody
from app.api.v1.webhook_bodies import EventType, EventTypes
from app.domain.accounts import Caller
from app.domain.deliveries import MAX_REPLAYED_PER_REQUEST, DeliveryStatus, LogFilter
from app.domain.errors import Unprocessable
from app.gateway import Gateway
from app.services.delivery_log import DeliveryPage
from app.views.webhooks import (
    DeliveryList,
    DeliveryView,
    ReplayedView,
    delivery_list,
    delivery_view,
    replayed_view,
)

LONGEST_TIME = 40  # characters

router = APIRouter(prefix="/v1", tags=["webhooks"])


def _milliseconds(text: object) -> object:
    """Of an ISO 8601 time with its zone."""
    if isinstance(text, str) and len(text) <= LONGEST_TIME:
        with suppress(ValueError, OverflowError):
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is not None and moment.timestamp() >= 0:
                return round(moment.timestamp() * 1000)
    raise ValueError("A time is written with its zone, such as 2026-11-22T12:00:00Z")


_TIME = WithJsonSchema({"type": "string", "format": "date-time"})
Moment = Annotated[int, BeforeValidator(_milliseconds), _TIME]
From = Annotated[Moment | None, Query(alias="from", description="Written then or later")]
To = Annotated[Moment | None, Query(alias="to", description="Written before")]
Events = Annotated[list[EventType] | None, Query(description="Only these types; may be given more than once")]
EndpointId = Annotated[str | None, Query(max_length=64, description="Only those to this endpoint")]
Limit = Annotated[int, Query(ge=1, le=100)]
DeliveryCursor = Annotated[str | None, Query(max_length=200)]


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
    cursor: str | None = Field(None, max_length=200, description="Where an earlier reply says to go on")

    def wanted(self) -> LogFilter:
        """The same, in the services' words."""
        return _wanted(
            self.endpoint,
            self.status,
            self.start,
            self.end,
            None if self.events is None else frozenset(self.events),
        )


ReadReplay = Annotated[ReplayBody, Depends(json_body(ReplayBody, optional=True))]


@dataclass(frozen=True, slots=True)
class DeliveryPageQuery:
    """Which deliveries of a list, and where in it."""

    status: DeliveryStatus | None
    events: frozenset[str] | None
    start: int | None
    end: int | None
    limit: int
    cursor: str | None


async def _delivery_page_query(
    status: DeliveryStatus | None = None,
    event: Events = None,
    start: From = None,
    end: To = None,
    limit: Limit = 50,
    cursor: DeliveryCursor = None,
) -> DeliveryPageQuery:
    return DeliveryPageQuery(status, None if event is None else frozenset(event), start, end, limit, cursor)


PageQuery = Annotated[DeliveryPageQuery, Depends(_delivery_page_query)]


@router.get("/jobs/{job_id}/deliveries", response_model=DeliveryList, summary="A job's webhooks")
async def job_deliveries(
    request: Request,
    job: OwnJob,
    caller: CurrentCaller,
    gateway: TheGateway,
    limit: Limit = 50,
    cursor: DeliveryCursor = None,
) -> Response:
    """Every delivery of the job with every attempt, newest first; not for a browser token."""
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
    return await _listed(request, gateway, caller, query, endpoint=endpoint_id)


@router.get("/deliveries", response_model=DeliveryList, summary="The team's webhooks")
async def list_deliveries(
    request: Request, caller: CurrentCaller, gateway: TheGateway, query: PageQuery, endpoint: EndpointId = None
) -> Response:
    """All of them, newest first; `status=dead`: dead letters, in the order in which they were given up."""
    return await _listed(request, gateway, caller, query, endpoint=endpoint)


@router.get("/deliveries/{delivery_id}", summary="Read one webhook")
async def read_delivery(delivery_id: str, caller: CurrentCaller, gateway: TheGateway) -> DeliveryView:
    """One message with every attempt; what `POST …/test` names is found here."""
    return delivery_view(await gateway.delivery_log.get(caller, delivery_id))


@router.post(
    "/deliveries/{delivery_id}/replay", status_code=202, responses=refusals(409), summary="Send a webhook again"
)
async def replay_delivery(delivery_id: str, caller: CurrentCaller, gateway: TheGateway) -> DeliveryView:
    """The same message under the same `webhook-id`, now, with the schedule from its beginning."""
    return delivery_view(await gateway.delivery_log.replay(caller, delivery_id))


@router.post("/deliveries/replay", status_code=202, responses=refusals(404), summary="Send many webhooks again")
async def replay_deliveries(caller: CurrentCaller, body: ReadReplay, gateway: TheGateway) -> ReplayedView:
    """Dead letters, a filter or a range of time, the oldest first and spread; `more`: go on with `next_cursor`."""
    done = await gateway.delivery_log.replay_all(caller, body.wanted(), limit=body.limit, cursor=body.cursor)
    return replayed_view(done)


def _wanted(
    endpoint: str | None,
    status: DeliveryStatus | None,
    start: int | None,
    end: int | None,
    events: frozenset[str] | None = None,
) -> LogFilter:
    if start is not None and end is not None and start >= end:
        raise Unprocessable("The range of time ends before it begins.")
    return LogFilter(endpoint, None if status is None else frozenset({status}), events, start, end)


async def _listed(
    request: Request, gateway: Gateway, caller: Caller, query: DeliveryPageQuery, *, endpoint: str | None
) -> Response:
    wanted = _wanted(endpoint, query.status, query.start, query.end, query.events)
    page = await gateway.delivery_log.page(caller, wanted, limit=query.limit, cursor=query.cursor)
    return _page(request, gateway, page)


def _page(request: Request, gateway: Gateway, page: DeliveryPage) -> Response:
    headers = {}
    if page.next_cursor is not None:
        kept = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
        parameters = urlencode([*kept, ("cursor", page.next_cursor)])
        headers = {"Link": f'<{gateway.settings.base_url}{request.url.path}?{parameters}>; rel="next"'}
    return JSONResponse(delivery_list(page), headers=headers)
