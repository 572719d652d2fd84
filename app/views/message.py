"""The body of a webhook message."""

import json
from collections.abc import Mapping
from typing import Any

from app.domain.deliveries import MAX_MESSAGE_BYTES, Delivery
from app.domain.events import Event
from app.views.events import job_event, notice_view
from app.views.fal import fal_message, fal_result


def message_body(delivery: Delivery, *, base_url: str) -> bytes:
    """The body, with the same bytes in every attempt.

    Above MAX_MESSAGE_BYTES, logs and then the upstream error are dropped; GET returns both.
    """
    event = delivery.event
    if not isinstance(event, Event):
        return _written(notice_view(event))
    if delivery.style == "fal" and (end := fal_result(event.job, event.at_ms, base_url=base_url)) is not None:
        return _written(fal_message(event.job.id, end))
    view = job_event(event, base_url=base_url)
    body = _written(view)
    if len(body) > MAX_MESSAGE_BYTES:
        view["data"]["logs"] = []
        body = _written(view)
    if len(body) > MAX_MESSAGE_BYTES and view["data"]["error"] is not None:
        view["data"]["error"].pop("upstream", None)
        body = _written(view)
    return body


def _written(view: Mapping[str, Any]) -> bytes:
    return json.dumps(view, ensure_ascii=False, separators=(",", ":")).encode()
