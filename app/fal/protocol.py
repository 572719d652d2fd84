"""fal's queue on the wire: URLs built from the registry's ids, replies read defensively.

Source: fal's documentation and its official clients, 2026-11. URLs in replies are never followed: all are rebuilt.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeGuard, TypeVar

from app.domain.fal_addresses import FalHosts
from app.domain.foreign_json import read_json

REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
STATUSES = ("IN_QUEUE", "IN_PROGRESS", "COMPLETED")
STATUS_LIMIT = 40  # characters
LOG_LIMIT = 50
LOG_TEXT_LIMIT = 500
ZONELESS = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?", re.ASCII)
TIME_LIMIT = 40
FILE_NAME_LIMIT = 255
FILES = ("video", "audio")  # members of an output that are files
VOICE_ID = re.compile(r"[!-~]{1,128}")
DAY_S = 86_400
LARGEST_FILE = 1 << 50  # bytes; exact in every client, and no clip is larger
MEDIA_TYPE = re.compile(r"[!#$&^_.+\w-]{1,64}/[!#$&^_.+\w-]{1,64}(?:; ?[!-~ ]{1,100})?", re.ASCII)


Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class PlatformPage(Generic[Item]):
    """One page of a listing of fal's platform API, and the cursor of the next one."""

    items: list[Item]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class SubmitAccepted:
    """fal has the request: it will run and may be charged. `odd_urls`: its URLs are not on the queue's own host."""

    request_id: str
    odd_urls: bool = False


@dataclass(frozen=True, slots=True)
class SubmitRefused:
    """fal certainly did not take the request. `retryable`: the same request may be taken later."""

    code: str
    message: str
    retryable: bool
    account_fault: bool = False  # of fal's account or key, not of this request
    status: int | None = None
    cause: str = ""  # why fal could not be called, a key of errors.CAUSES


@dataclass(frozen=True, slots=True)
class SubmitUnknown:
    """It is unknown whether fal took the request; `reason` is a stable word."""

    reason: str


SubmitReply = SubmitAccepted | SubmitRefused | SubmitUnknown


@dataclass(frozen=True, slots=True)
class StatusReport:
    """The result of a status poll. `unclear`: the answer was unusable, poll again."""

    status: Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED", "missing", "unclear"]
    queue_position: int | None = None
    logs: list[dict[str, Any]] = field(default_factory=list)
    unknown_status: str = ""  # fal's own word, if it is not one of STATUSES


@dataclass(frozen=True, slots=True)
class Result:
    """The answer of the result URL: HTTP status, body (None when it is not JSON) and fal's error type.

    `billable_units` is how much of the model's unit fal charges, a decimal number; None when it does not say.
    """

    status: int
    body: Any
    error_type: str | None
    billable_units: str | None = None


def app_path(model_id: str) -> str:
    """`owner/app` of a model id: what status, result and cancel URLs are built from."""
    parts = model_id.split("/")
    length = 3 if parts[0] in {"workflows", "comfy"} else 2
    return "/".join(parts[:length])


def request_url(queue_url: str, model_id: str, request_id: str, tail: str = "") -> str:
    """The URL of a request at fal, never taken from a reply."""
    if not REQUEST_ID.fullmatch(request_id):
        raise ValueError("not a request id of fal's")
    return f"{queue_url}/{app_path(model_id)}/requests/{request_id}{tail}"


def parse_json(body: bytes) -> Any:
    """The sanitized JSON value (`read_json`), or None when it is not JSON. All of fal's answers are read here.

    Bytes that are not text become U+FFFD.
    """
    try:
        return read_json(body.decode(json.detect_encoding(body), "replace"))
    except ValueError:
        return None


def read_request_id(body: bytes) -> str | None:
    """The request id of a submit reply, or None when it cannot be trusted."""
    reply = parse_json(body)
    request_id = reply.get("request_id") if isinstance(reply, dict) else None
    if isinstance(request_id, str) and REQUEST_ID.fullmatch(request_id):
        return request_id
    return None


def names_odd_urls(body: bytes, *, queue_url: str) -> bool:
    """True when a URL in a submit reply is not below the queue's; it is not followed in any case."""
    reply = parse_json(body)
    if not isinstance(reply, dict):
        return False
    urls = [reply.get(f"{name}_url") for name in ("status", "response", "cancel")]
    known = (f"{queue_url}/", "https://queue.fal.run/")
    return any(isinstance(url, str) and not url.startswith(known) for url in urls)


def read_progress(body: bytes) -> StatusReport:
    """A status reply; an unknown status counts as running, because fal has the request."""
    reply = parse_json(body)
    if not isinstance(reply, dict) or not isinstance(reply.get("status"), str):
        return StatusReport("unclear")
    position = reply.get("queue_position")
    status = reply["status"]
    return StatusReport(
        status if status in {"IN_QUEUE", "COMPLETED"} else "IN_PROGRESS",
        position if _is_count(position) else None,
        read_logs(reply.get("logs")),
        "" if status in STATUSES else status[:STATUS_LIMIT],
    )


def read_logs(logs: Any) -> list[dict[str, Any]]:
    """At most 50 log lines, the newest, each `{message, timestamp}` and cut to 500 characters."""
    lines = logs if isinstance(logs, list) else []
    return [
        {"message": line["message"][:LOG_TEXT_LIMIT], "timestamp": _timestamp(line.get("timestamp"))}
        for line in lines[-LOG_LIMIT:]
        if isinstance(line, dict) and isinstance(line.get("message"), str)
    ]


def _timestamp(value: Any) -> str:
    """A time in fal's form, which is UTC without a zone; empty when missing."""
    text = str(value)[:TIME_LIMIT] if isinstance(value, str | int | float) else ""
    return f"{text}Z" if ZONELESS.fullmatch(text) else text


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def read_output(body: Any, *, hosts: FalHosts) -> dict[str, Any] | None:
    """What a result gives: `{video?, audio?, voice_id?, duration?}`; None without any of the first three.

    Files are `{url, content_type?, file_name?, file_size?}`; one at an address that is not allowed makes the whole
    output None. Malformed other members are omitted; a long name is cut.
    """
    if not isinstance(body, dict):
        return None
    files = {name: _read_file(body[name], hosts) for name in FILES if body.get(name) is not None}
    found: dict[str, Any] = {name: file for name, file in files.items() if file is not None}
    if len(found) < len(files):
        return None
    voice, duration = body.get("voice_id"), body.get("duration")
    if isinstance(voice, str) and VOICE_ID.fullmatch(voice):
        found["voice_id"] = voice
    if found and isinstance(duration, int | float) and not isinstance(duration, bool) and 0 <= duration <= DAY_S:
        found["duration"] = duration
    return found or None


def names_output(body: Any) -> bool:
    """True for a result with a member that an output has, usable or not."""
    return isinstance(body, dict) and any(name in body for name in (*FILES, "voice_id"))


def _read_file(file: Any, hosts: FalHosts) -> dict[str, Any] | None:
    """A file of a result; None where its URL is not on a host of fal's (`app/domain/fal_addresses.py`)."""
    if not isinstance(file, dict) or not hosts.include(file.get("url")):
        return None
    found: dict[str, Any] = {"url": file["url"]}
    media_type, name, size = (file.get(member) for member in ("content_type", "file_name", "file_size"))
    if isinstance(media_type, str) and MEDIA_TYPE.fullmatch(media_type):
        found["content_type"] = media_type
    if isinstance(name, str):
        found["file_name"] = name[:FILE_NAME_LIMIT]
    if _is_count(size) and size <= LARGEST_FILE:
        found["file_size"] = size
    return found
