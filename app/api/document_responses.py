"""Responses of routes beside their own reply, for the OpenAPI document."""

from typing import Any

from fastapi import Response

Answers = dict[int | str, dict[str, Any]]

NO_CONTENT: dict[str, Any] = {"status_code": 204, "response_class": Response}

LIVE: dict[str, Any] = {
    "description": "A stream of server-sent events: `event` the type, `id` a cursor, `data` an event in JSON",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}
# `Content-Type` is that of the file; generators of clients know this one.
_BYTES: dict[str, Any] = {
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
}
CLIP: Answers = {
    200: {"description": "The file, with `ETag`", **_BYTES},
    206: {"description": "The part that `Range` names, with `Content-Range`", **_BYTES},
    304: {"description": "`If-None-Match` names this file"},
}
LOCATION: dict[str, Any] = {"Location": {"schema": {"type": "string", "format": "uri"}}}


def refusals(*statuses: int) -> Answers:
    """Error statuses that not every route has; `app/api/document.py` fills them in."""
    return {status: {} for status in statuses}
