"""The message that tells a job's end as fal's own webhooks do: the result, with its HTTP status in words."""

from typing import Any

from app.domain.fal_views import OK, Ending

# fal's sentence, word for word, for a result that a message cannot carry; its readers fetch the result instead.
NO_PAYLOAD = (
    "Response payload is not JSON serializable. Either return a JSON serializable object or use the queue endpoint"
    " to retrieve the response."
)


def fal_message(request_id: str, end: Ending) -> dict[str, Any]:
    """The body; `end` is what the result URL at fal's door answers.

    A caller sees one attempt of ours, so that `gateway_request_id` is the request id too.
    """
    message: dict[str, Any] = {"request_id": request_id, "gateway_request_id": request_id}
    if end.status == OK:
        message |= {"status": "OK", "payload": end.body or None}
    else:
        message |= {"status": "ERROR", "error": f"Invalid status code: {end.status}", "payload": end.body or None}
    return message if end.body else {**message, "payload_error": NO_PAYLOAD}
