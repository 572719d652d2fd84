"""Responses of routes beside their own reply, for the OpenAPI document."""

from typing import Any

from fastapi import Response

Answers = dict[int | str, dict[str, Any]]

NO_CONTENT: dict[str, Any] = {"status_code": 204, "response_class": Response}

LIVE: dict[str, Any] = {
    "description": "A stream of server-sent events: `event` the type, `id` a cursor, `data` an event in JSON",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}
LOCATION: dict[str, Any] = {"Location": {"schema": {"type": "string", "format": "uri"}}}


def refusals(*statuses: int) -> Answers:
    """Error statuses that not every route has; `app/api/document.py` fills them in."""
    return {status: {} for status in statuses}
