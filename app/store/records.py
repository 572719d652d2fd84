"""A job's record in a Redis hash: every field is text, JSON where it has structure."""

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pydantic_core

from app.domain.fal_addresses import is_plain_url
from app.domain.foreign_json import read_error_type, to_none
from app.domain.jobs import TERMINAL_STATES, Job, JobError, Status
from app.store.packing import FACTS, FIELDS, pack, unpacked
from app.store.reads import pairs


def to_json(value: Any) -> str:
    """Compact JSON without escapes, by pydantic's fast writer."""
    return pydantic_core.to_json(value).decode()


MAX_OUTPUT_CHARS = 4096  # of its JSON
MAX_VALUE_CHARS = 2048  # of a member of a file in a longer output

# Older versions stored NaN and Infinity as fal sent them; replies and messages must not contain them.
_read_json = json.JSONDecoder(parse_constant=to_none).decode


def _error(text: str) -> JobError:
    """Why a job failed; an odd error type of fal's, which older versions stored, is None."""
    error = JobError(**_read_json(text))
    if error.upstream is None or "error_type" not in error.upstream:
        return error
    error_type = read_error_type(error.upstream["error_type"])
    return replace(error, upstream={**error.upstream, "error_type": error_type})


def _output(text: str) -> dict[str, Any] | None:
    """A job's output; None with an odd URL, which older versions stored. A long output loses its long members."""
    output: dict[str, Any] = _read_json(text)
    files = {name: file for name, file in output.items() if isinstance(file, dict)}  # a video, a sound
    if len(text) > MAX_OUTPUT_CHARS:
        for name, file in files.items():
            output[name] = {member: value for member, value in file.items() if len(str(value)) <= MAX_VALUE_CHARS}
    return output if all(is_plain_url(output[name].get("url")) for name in files) else None


def _images(text: str) -> dict[str, Any]:
    """The images of a job, by the field's name; an address that is none is left out, as above."""
    images: dict[str, Any] = _read_json(text)
    return {
        name: image if is_plain_url(image.get("url")) else {**image, "url": None} for name, image in images.items()
    }


def _reader(annotation: Any) -> Callable[[str], Any] | None:
    """The parser of a field's text, by its type; None where it stays text."""
    (kind,) = [
        kind
        for kind in (get_args(annotation) if isinstance(annotation, UnionType) else (annotation,))
        if kind is not NoneType
    ]
    if get_origin(kind) in {dict, list}:
        return _read_json
    if kind is bool:
        return lambda text: text == "1"
    return None if kind is str else kind


READ: dict[str, Callable[[str], Any]] = {
    **{name: read for name, annotation in get_type_hints(Job).items() if (read := _reader(annotation))},
    "images": _images,
    "output": _output,
    "error": _error,
}
WRITE: dict[type, Callable[[Any], str]] = {  # by the value's type; `str` for others
    dict: to_json,
    list: to_json,
    bool: lambda value: str(int(value)),
    JobError: lambda error: to_json(asdict(error)),
}
# The states in which a field already has its present value, for `job_at`; other fields have it in all.
ALL_STATES = frozenset(Status)
NO_STATES: frozenset[Status] = frozenset()
VALID_IN: dict[str, frozenset[Status]] = {
    **dict.fromkeys(("input", "nonce", "sequence", "charged_micro", "held_reason"), NO_STATES),
    "submitted_ms": TERMINAL_STATES | {Status.RUNNING, Status.FINALIZING},
    "logs": TERMINAL_STATES | {Status.FINALIZING},
    **dict.fromkeys(("completed_ms", "expires_ms", "output", "error"), TERMINAL_STATES),
}
NAMES = frozenset(field.name for field in fields(Job))
REQUIRED = frozenset(
    field.name for field in fields(Job) if field.default is MISSING and field.default_factory is MISSING
)
# What a poll reads of a record: nothing that may be large, except fal's log lines.
POLLED_FIELDS = (
    *sorted(REQUIRED - {"input"}),
    *("upstream_request_id", "upstream_status", "logs", "misses", "submitted_ms", "polled_ms"),
    *("cancel_requested_ms", "cancel_sent_ms"),
)


def read_job(record: Mapping[str, str]) -> Job:
    """The job in a hash or in a copy of one; fields that a job does not have are ignored.

    Optional fields that cannot be read are left out, so that one odd value does not break a list.
    """
    return Job(**{"input": None, **read_fields(unpacked(record))})


def read_fields(record: Mapping[str, str | None]) -> dict[str, Any]:
    """The values of a job's fields in a record, by name."""
    values: dict[str, Any] = {}
    for name, text in record.items():
        if text is not None and name in NAMES:
            try:
                values[name] = READ[name](text) if name in READ else text
            except (ValueError, TypeError):
                if name in REQUIRED:
                    raise
    return values


def job_at(record: Mapping[str, str], status: Status, at_ms: int, own: Mapping[str, str]) -> Job:
    """The job at an event that gave it this status, from its present record and the event's own fields.

    Fields that were written later are left out; each is written once, with its status. An erased job is erased in
    its earlier states too. There is no input and no nonce.
    """
    then = {name: text for name, text in unpacked(record).items() if status in VALID_IN.get(name, ALL_STATES)}
    if int(then.get("cancel_requested_ms", 0)) > at_ms:
        del then["cancel_requested_ms"]
    return read_job({**then, "status": status, **own})


@dataclass(frozen=True, slots=True)
class Packed:
    """A packed record: the bytes, the names of the fields in them, and the facts in them, `name, text, …`."""

    content: bytes
    names: list[str]
    facts: list[str]


def packed_fields(job: Job, end: Mapping[str, Any], *, facts: bool) -> Packed:
    """The job's fields with those of its end, packed; with `facts` its facts too, then hidden from scripts."""
    values = {name: end.get(name) or getattr(job, name) for name in FIELDS}
    texts = write_fields({name: value for name, value in values.items() if value})
    packed_facts = facts_of(job) if facts else []
    content = pack(pairs(texts), pairs(packed_facts))
    return Packed(content, texts[::2], packed_facts) if content else Packed(b"", [], [])


def facts_of(job: Job) -> list[str]:
    """`field, value, …` of all facts that the job has; the older `periods` only where it has no `starts`."""
    facts = {name: getattr(job, name) or None for name in FACTS}
    return write_fields({**facts, "periods": None} if job.starts else facts)


def write_fields(values: Mapping[str, Any]) -> list[str]:
    """`field, value, …` for a script's rest: JSON for structures, text otherwise; None is left out."""
    flat: list[str] = []
    for name, value in values.items():
        if value is not None:
            flat += (name, WRITE.get(type(value), str)(value))
    return flat


@dataclass(frozen=True, slots=True)
class DuePoll:
    """A running job that was taken for a poll: its ref, and the part of its record that a poll reads."""

    ref: str
    record: dict[str, str]

    def job(self) -> Job:
        """The job without its input, images and metadata; ValueError when the record cannot be read."""
        return read_job(self.record)


def due_poll(ref: str | None, *values: str | None) -> DuePoll:
    """From the ref and the values of POLLED_FIELDS, None for one that the record lacks."""
    fields = zip(POLLED_FIELDS, values, strict=True)
    return DuePoll(ref or "", {name: value for name, value in fields if value is not None})


@dataclass(frozen=True, slots=True)
class Made:
    """What a generation gave: its output, when fal may delete the files (ms), and fal's units.

    Where the gateway copies files: the secret of their addresses, and when these end (ms).
    """

    output: dict[str, Any] | None = None
    expires_ms: int | str | None = None
    billable_units: str | None = None
    clip_secret: str | None = None
    clip_until_ms: str | None = None


MADE_FIELDS = tuple(field.name for field in fields(Made))
