"""The team's events over HTTP, for consumers that poll."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response

from app.api.deps import CurrentCaller, TheGateway
from app.api.v1.schemas import PROBLEMS
from app.domain.events import BudgetNotice, Event
from app.domain.views import event_view, notice_view

router = APIRouter(prefix="/v1", tags=["events"], responses=PROBLEMS)


@router.get("/events", response_model=dict[str, Any], summary="What happened, in order")
async def list_events(
    caller: CurrentCaller,
    owner: TheGateway,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> Response:
    """The events after the cursor, which is an event's id; `next_cursor` is always there, to go on with later."""
    page = await owner.feed.page(caller, cursor=cursor, limit=limit)
    base_url = owner.settings.base_url
    data = [_view(event, base_url) for event in page.events]
    view = {"data": data, "next_cursor": page.next_cursor, "has_more": page.has_more}
    return JSONResponse(view, headers={"Cache-Control": "no-store"})


def _view(event: Event | BudgetNotice, base_url: str) -> dict[str, Any]:
    """`{id, type, timestamp, sequence, data}`; an alert is about no job, and has no sequence."""
    if isinstance(event, BudgetNotice):
        return {"id": event.id, "sequence": None, **notice_view(event)}
    return {"id": event.id, **event_view(event, base_url=base_url)}
