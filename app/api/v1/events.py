"""The team's events over HTTP: as pages for consumers that poll, or as a live stream."""

from functools import partial

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from fastapi.sse import format_sse_event

from app.api.deps import CurrentCaller, LastEventId, TheGateway
from app.api.document_responses import LIVE
from app.api.event_stream import MEDIA_TYPE, RETRY_MS, SENT, event_stream
from app.api.paging import PageCursor, PageSize
from app.services.live import Frame
from app.views.events import EventPage, listed_event

router = APIRouter(prefix="/v1", tags=["events"])


@router.get("/events", response_model=EventPage, responses={200: LIVE}, summary="What happened, in order")
async def list_events(
    request: Request,
    caller: CurrentCaller,
    gateway: TheGateway,
    after: LastEventId,
    cursor: PageCursor = None,
    limit: PageSize = 50,
) -> Response:
    """The events after the cursor, which is an event's id; `next_cursor` is always given, to continue later.

    With `Accept: text/event-stream`, a stream without an end, from the cursor, `Last-Event-ID`, or now on.
    """
    base_url = gateway.settings.base_url
    if MEDIA_TYPE in request.headers.get("accept", "").lower():
        following, write = gateway.feed.follow(caller, cursor=after or cursor), partial(_frame, base_url)
        return await event_stream(gateway, caller, following, write, headers={"Vary": "Accept"})
    page = await gateway.feed.page(caller, cursor=cursor, limit=limit)
    view: EventPage = {
        "data": [listed_event(event, base_url=base_url) for event in page.events],
        "next_cursor": page.next_cursor,
        "has_more": page.has_more,
    }
    return JSONResponse(view, headers={"Vary": "Accept"})


async def _frame(base_url: str, frame: Frame) -> bytes:
    """One frame of the stream. A ping's id advances the watcher's cursor past events that are not for them."""
    if frame.event is None:
        if frame.reset:
            return format_sse_event(event="reset", data_str="{}", id=frame.cursor, retry=RETRY_MS)
        return format_sse_event(comment="ping", id=frame.cursor, retry=RETRY_MS)
    return SENT.encoded(frame.event, base_url=base_url)
