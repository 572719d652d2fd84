"""How a job is written in a Redis hash: every field a string, JSON where it has structure."""

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
    """Compact JSON, readable in any language; pydantic's writer, because every admission passes here."""
    return pydantic_core.to_json(value).decode()


LONGEST_OUTPUT = 4096  # characters, as we write it
LONGEST_FACT = 2048  # of a clip

# Older versions have written NaN and Infinity as fal sent them; no reply and no message may carry them on.
_read_json = json.JSONDecoder(parse_constant=to_none).decode


def _error(text: str) -> JobError:
    """Why a job failed; an error type that an older version took from fal as it came is none."""
    error = JobError(**_read_json(text))
    if error.upstream is None or "error_type" not in error.upstream:
        return error
    known = read_error_type(error.upstream["error_type"])
    return replace(error, upstream={**error.upstream, "error_type": known})


def _output(text: str) -> dict[str, Any] | None:
    """What a job made, unless an older version took an address from fal that no version shows; no long names."""
    output: dict[str, Any] = _read_json(text)
    video = output.get("video")
    if isinstance(video, dict) and len(text) > LONGEST_OUTPUT:
        output["video"] = {name: value for name, value in video.items() if len(str(value)) <= LONGEST_FACT}
    return output if not isinstance(video, dict) or is_plain_url(video.get("url")) else None


def _images(text: str) -> dict[str, Any]:
    """The images of a job, by the field's name; an address that is none is left out, as above."""
    images: dict[str, Any] = _read_json(text)
    return {
        name: image if is_plain_url(image.get("url")) else {**image, "url": None} for name, image in images.items()
    }


def _reader(hint: Any) -> Callable[[str], Any] | None:
    """How the text of a field is read, by its type; None where it stays a text."""
    (kind,) = [one for one in (get_args(hint) if isinstance(hint, UnionType) else (hint,)) if one is not NoneType]
    if get_origin(kind) in {dict, list}:
        return _read_json
    if kind is bool:
        return lambda text: text == "1"
    return None if kind is str else kind


READ: dict[str, Callable[[str], Any]] = {
    **{name: read for name, hint in get_type_hints(Job).items() if (read := _reader(hint))},
    "images": _images,
    "output": _output,
    "error": _error,
}
# From when on a field says what it says now; an event has its own word for those of `NEVER`.
EVER = frozenset(Status)
NEVER: frozenset[Status] = frozenset()
SINCE: dict[str, frozenset[Status]] = {
    **dict.fromkeys(("input", "nonce", "sequence", "charged_micro", "held_reason"), NEVER),
    "submitted_ms": TERMINAL_STATES | {Status.RUNNING, Status.FINALIZING},
    "logs": TERMINAL_STATES | {Status.FINALIZING},
    **dict.fromkeys(("completed_ms", "expires_ms", "output", "error"), TERMINAL_STATES),
}
NAMES = frozenset(field.name for field in fields(Job))
REQUIRED = frozenset(one.name for one in fields(Job) if one.default is MISSING and one.default_factory is MISSING)


def read_job(record: Mapping[str, str]) -> Job:
    """The job in a hash or in a snapshot; names that are not a job's are ignored.

    What cannot be read of what a job can be without is left out: one odd word must not close a list.
    """
    return Job(**{"input": None, **read_fields(unpacked(record))})


def read_fields(record: Mapping[str, str | None]) -> dict[str, Any]:
    """What fields of a job say that stand in a record, by their names."""
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
    """The job as it was when an event gave it this status, of its present record and the event's own fields.

    What it got later is left out: each such field is written once, with the status that it belongs to. An erased
    job is erased in its past too. There is no input and no nonce.
    """
    then = {name: text for name, text in unpacked(record).items() if status in SINCE.get(name, EVER)}
    if int(then.get("cancel_requested_ms", 0)) > at_ms:
        del then["cancel_requested_ms"]
    return read_job({**then, "status": status, **own})


@dataclass(frozen=True, slots=True)
class Packed:
    """What an end packs of a record: the bytes, the names of the fields in them, and the facts, `name, text, …`."""

    content: bytes
    names: list[str]
    facts: list[str]


def packed_fields(job: Job, more: Mapping[str, Any], *, facts: bool) -> Packed:
    """The job's fields, with what its end adds; and its facts, unless scripts will ask for them."""
    values = {name: more.get(name) or getattr(job, name) for name in FIELDS}
    texts = write_fields({name: value for name, value in values.items() if value})
    known = facts_of(job) if facts else []
    content = pack(pairs(texts), pairs(known))
    return Packed(content, texts[::2], known) if content else Packed(b"", [], [])


def facts_of(job: Job) -> list[str]:
    """`field, value, …` of all facts known of the job; its periods without names only where it has no others."""
    known = {name: getattr(job, name) or None for name in FACTS}
    return write_fields({**known, "periods": None} if job.starts else known)


def write_fields(values: Mapping[str, Any]) -> list[str]:
    """`field, value, …` for a script's rest: JSON for structures, text otherwise; None is left out."""
    flat: list[str] = []
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, JobError):
            text = to_json(asdict(value))
        elif isinstance(value, dict | list):
            text = to_json(value)
        elif isinstance(value, bool):
            text = str(int(value))
        else:
            text = str(value)
        flat += [name, text]
    return flat
