"""fal's synchronous call: what is `https://fal.run/…` for fal's clients is `/fal/run/…` here."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.api.body import release_body
from app.api.busy_routes import busy
from app.api.document_responses import refusals
from app.api.fal.queue import result_of
from app.api.fal.submission import ReadFalSubmission, job_headers, read_submission
from app.api.fal_errors import REQUEST_ID, TOO_MANY, fal_reply
from app.api.long_poll import long_poll
from app.api.stopping import stopping
from app.views.fields import Object

GONE, UNAVAILABLE = 499, 503
RESULTS = refusals(402, 413, 415, 499, 500, 502, 504)
RESTART_S = 2  # until this or another server is available
RESTARTING = "The server restarts; the request goes on."
router = APIRouter(prefix="/fal/run", tags=["run"])


@router.post("/{model_id:path}", response_model=Object, responses=RESULTS, summary="Submit, and wait for the end")
@busy(read_submission)
async def run(request: Request, incoming: ReadFalSubmission) -> Response:
    """Admits a job and waits until it ends: the output or the error, as the result's URL returns it.

    When the caller disconnects, the job continues, and the same request waits for it again.
    """
    submission = await incoming.submit("run")
    release_body(request, incoming.request.input)
    headers = job_headers(submission.job, submission=submission)
    gateway, caller = incoming.gateway, incoming.caller
    end = gateway.fal_compat.until_end(caller, submission)
    try:
        state = await long_poll(request, gateway, caller, end, disconnected=_disconnected(request))
    except BaseException:
        gateway.fal_compat.give_up(submission)
        raise
    if state is not None:
        base_url = gateway.settings.base_url
        reply = result_of(state, incoming.trace_id, base_url=base_url, headers=headers)
        return await incoming.recorded(reply, request, submission)
    if stopping(request).is_set():
        reply = _restarting(headers, repeatable=not incoming.request.force_new)
    else:
        reply = Response(status_code=GONE, headers=headers)  # nobody reads it
    return await incoming.recorded(reply, request, submission, is_result=False)


def _restarting(headers: dict[str, str], *, repeatable: bool) -> Response:
    """429, after which both clients repeat and wait for the same job; 503 where a repeat would buy another one."""
    status = TOO_MANY if repeatable else UNAVAILABLE
    advice = "Send the same call again to wait for its end." if repeatable else f"Ask for {headers[REQUEST_ID]}."
    sentence = f"{RESTARTING} {advice}"
    return fal_reply({"detail": sentence, "message": sentence}, status, {**headers, "Retry-After": str(RESTART_S)})


async def _disconnected(request: Request) -> None:
    """Returns when the caller has disconnected."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
