"""The message in fal's shape, member by member as fal's documentation shows it."""

import json

import pytest

from app.domain.fal_states import TerminalResponse
from app.views.fal import fal_message

CLIP = {"video": {"url": "https://v3b.fal.media/files/b/0a/x.mp4"}}


def test_a_success_is_the_result_in_an_envelope() -> None:
    """The members are in fal's order, and there is no `error`."""
    message = fal_message("job_1", TerminalResponse(200, CLIP))
    assert json.dumps(message, separators=(",", ":")) == (
        '{"request_id":"job_1","gateway_request_id":"job_1","status":"OK",'
        '"payload":{"video":{"url":"https://v3b.fal.media/files/b/0a/x.mp4"}}}'
    )


@pytest.mark.parametrize("status", [400, 422, 499, 500, 502, 504])
def test_a_failure_names_the_status_and_carries_the_results_body(status: int) -> None:
    """The message is fal's; the error's own text is in the payload."""
    body = {"detail": [{"loc": ["body", "prompt"], "msg": "field required", "type": "value_error.missing"}]}
    assert fal_message(
        "job_1", TerminalResponse(status, body, error="field required", error_type="bad_request")
    ) == {
        "request_id": "job_1",
        "gateway_request_id": "job_1",
        "status": "ERROR",
        "error": f"Invalid status code: {status}",
        "payload": body,
    }


def test_a_success_without_a_result_says_so() -> None:
    """An empty payload is null, next to fal's message about it."""
    message = fal_message("job_1", TerminalResponse(200, {}))
    assert (message["status"], message["payload"]) == ("OK", None)
    assert message["payload_error"].startswith("Response payload is not JSON serializable.")
