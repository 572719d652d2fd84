"""The team's events over HTTP: by pages for consumers that poll, live for those that stay."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from fastapi.sse import format_sse_event

from app.api.deps import CurrentCaller, LastEventId, TheGateway
from app.api.document_responses import LIVE
from app.api.event_stream import MEDIA_TYPE, RETRY_MS, event_stream, sent_event
from app.services.live import Frame
from app.views.events import EventPage, event_view, listed_event

router = APIRouter(prefix="/v1", tags=["events"])


@router.get("/events", response_model=EventPage, responses={200: LIVE}, summary="What happened, in order")
async def list_events(
    request: Request,
    caller: CurrentCaller,
    gateway: TheGateway,
    after: LastEventId,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> Response:
    """The events after the cursor, which is an event's id; `next_cursor` is always there, to go on with later.

    With `Accept: text/event-stream` live and without end, from the cursor, from `Last-Event-ID`, or from now on.
    """
    base_url = gateway.settings.base_url
    if MEDIA_TYPE in request.headers.get("accept", "").lower():
        frames = gateway.feed.follow(caller, cursor=after or cursor)
        return await event_stream(
            request, gateway, caller, frames, partial(_frame, base_url), headers={"Vary": "Accept"}
        )
    page = await gateway.feed.page(caller, cursor=cursor, limit=limit)
    view: EventPage = {
        "data": [listed_event(event, base_url=base_url) for event in page.events],
        "next_cursor": page.next_cursor,
        "has_more": page.has_more,
    }
    return JSONResponse(view, headers={"Cache-Control": "no-store", "Vary": "Accept"})


async def _frame(base_url: str, frame: Frame) -> bytes:
    """One thing on the wire. A ping's id moves the watcher's cursor, past what is not for them, and is no event."""
    if frame.event is None:
        if frame.reset:
            return format_sse_event(event="reset", data_str="{}", id=frame.cursor, retry=RETRY_MS)
        return format_sse_event(comment="ping", id=frame.cursor, retry=RETRY_MS)
    return sent_event(frame.event, event_view(frame.event, base_url=base_url))
