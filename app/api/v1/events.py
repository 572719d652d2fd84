"""The team's events over HTTP: by pages for consumers that poll, live for those that stay."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.sse import format_sse_event

from app.api.answers import LIVE
from app.api.deps import CurrentCaller, LastEventId, TheGateway
from app.services.feed import Told
from app.services.watch import until_closed
from app.views.events import EventPage, event_view, listed_event

STREAM = "text/event-stream"
RETRY_MS = 3000
router = APIRouter(prefix="/v1", tags=["events"])


@router.get("/events", response_model=EventPage, responses={200: LIVE}, summary="What happened, in order")
async def list_events(
    request: Request,
    caller: CurrentCaller,
    owner: TheGateway,
    after: LastEventId,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> Response:
    """The events after the cursor, which is an event's id; `next_cursor` is always there, to go on with later.

    With `Accept: text/event-stream` live and without end, from the cursor, from `Last-Event-ID`, or from now on.
    """
    base_url = owner.settings.base_url
    if STREAM in request.headers.get("accept", "").lower():
        owner.accounts.streams.require_room(caller)
        told = owner.feed.follow(caller, cursor=after or cursor)
        frames = until_closed(told, owner.accounts.streams.watching(caller))
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", "Vary": "Accept"}
        return StreamingResponse(_written(frames, base_url), headers=headers, media_type=STREAM)
    page = await owner.feed.page(caller, cursor=cursor, limit=limit)
    view: EventPage = {
        "data": [listed_event(event, base_url=base_url) for event in page.events],
        "next_cursor": page.next_cursor,
        "has_more": page.has_more,
    }
    return JSONResponse(view, headers={"Cache-Control": "no-store", "Vary": "Accept"})


async def _written(told: AsyncGenerator[Told, None], base_url: str) -> AsyncIterator[bytes]:
    """The stream's bytes; it closes what it reads, also when the watcher has gone."""
    async with aclosing(told):
        async for one in told:
            yield _frame(one, base_url)


def _frame(told: Told, base_url: str) -> bytes:
    """One thing on the wire. A ping's id moves the watcher's cursor, past what is not for them, and is no event."""
    if told.event is None:
        if told.reset:
            return format_sse_event(event="reset", data_str="{}", id=told.cursor, retry=RETRY_MS)
        return format_sse_event(comment="ping", id=told.cursor, retry=RETRY_MS)
    data = json.dumps(event_view(told.event, base_url=base_url), ensure_ascii=False, separators=(",", ":"))
    return format_sse_event(event=told.event.type, data_str=data, id=told.cursor, retry=RETRY_MS)
