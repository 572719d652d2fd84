"""fal's synchronous call: what is `https://fal.run/…` for fal's clients is `/fal/run/…` here."""

from fastapi import APIRouter, BackgroundTasks, Request
from fastapi.responses import Response

from app.api.body import release_body
from app.api.document_responses import refusals
from app.api.fal.queue import result_of
from app.api.fal.submission import ReadFalSubmission, answer_headers
from app.api.fal_errors import REQUEST_ID, TOO_MANY, fal_reply
from app.api.long_poll import long_poll
from app.api.stopping import stopping
from app.views.fields import Object

GONE, UNAVAILABLE = 499, 503
ENDS = refusals(402, 413, 415, 499, 500, 502, 504)
RESTART_S = 2  # until another server, or this one again, takes the call
RESTARTING = "The server restarts; the request goes on."
router = APIRouter(prefix="/fal/run", tags=["run"])


@router.post("/{model_id:path}", response_model=Object, responses=ENDS, summary="Submit, and wait for the end")
async def run(request: Request, incoming: ReadFalSubmission) -> Response:
    """Admit a job and hold until its end: the output, or the error, exactly as the result's URL answers.

    A caller who leaves loses nothing: the job goes on, and the same request sent again holds for it again.
    """
    compat = incoming.gateway.fal_compat
    taken = await compat.submit(
        incoming.caller,
        incoming.request,
        surface="run",
        idempotency_key=incoming.key,
        trace_id=request.scope["trace_id"],
    )
    release_body(request, incoming.request.input)
    headers = answer_headers(taken.job, taken=taken)
    seen = await long_poll(
        request,
        incoming.gateway,
        incoming.caller,
        compat.until_end(incoming.caller, taken.job),
        disconnected=_disconnected(request),
    )
    if seen is None and stopping(request).is_set():
        return _restarting(headers, repeatable=not incoming.request.force_new)
    if seen is None:
        return Response(status_code=GONE, headers=headers)  # nobody reads it
    reply = result_of(seen, request.scope["trace_id"], headers=headers)
    reply.background = BackgroundTasks()
    reply.background.add_task(compat.acknowledge, taken, surface="run")
    return reply


def _restarting(headers: dict[str, str], *, repeatable: bool) -> Response:
    """429, which both clients send again, and then hold for the same job; 503 where that would buy another one."""
    status = TOO_MANY if repeatable else UNAVAILABLE
    advice = "Send the same call again to wait for its end." if repeatable else f"Ask for {headers[REQUEST_ID]}."
    sentence = f"{RESTARTING} {advice}"
    return fal_reply({"detail": sentence, "message": sentence}, status, {**headers, "Retry-After": str(RESTART_S)})


async def _disconnected(request: Request) -> None:
    """Returns when the caller has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
