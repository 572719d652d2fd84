"""Models from a directory of the operator's (`FILMGATE_MODELS`): files in the registry's form, read at the start.

All files are checked before one is used, and every fault becomes a sentence that names its file: a gateway does not
start with half of its models. A file with the id of one of our own models replaces it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from app.domain.model_ids import model_id_fault
from app.registry.catalog import compiled
from app.registry.form import form_faults, output_faults, when_faults
from app.registry.lengths import DURATION, SHOTS
from app.registry.model_file import ModelFile

MAX_FILES = 1000
MAX_BYTES = 1_000_000  # of one file; the largest of ours has 30,000
MAX_SENTENCES = 20


class ModelFilesError(ValueError):
    """Files that cannot be used: `sentences`, one for each fault."""

    def __init__(self, sentences: list[str]) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences


def read_directory(folder: Path) -> tuple[ModelFile, ...]:
    """The models of all `*.json` files in the folder, by name; other files and folders in it are not looked at.

    Raises:
        ModelFilesError: the folder or a file cannot be read, or a file is not in the registry's form.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".json" and path.name[0] != ".")
    except OSError as error:
        raise ModelFilesError([f"{folder}: the directory cannot be read ({error.strerror})."]) from None
    if len(paths) > MAX_FILES:
        raise ModelFilesError([f"{folder}: there are more than {MAX_FILES} files."])
    read = [(path.name, *_read(path)) for path in paths]
    sentences = [f"{name}: {fault}." for name, _, faults in read for fault in faults]
    entries = [(name, entry) for name, entry, _ in read if entry is not None]
    sentences += _faults_together(entries)
    if sentences:
        more = len(sentences) - MAX_SENTENCES
        raise ModelFilesError(sentences[:MAX_SENTENCES] + ([f"And {more} faults more."] if more > 0 else []))
    return tuple(entry for _, entry in entries)


def read_model(text: str) -> tuple[ModelFile | None, list[str]]:
    """The model that a file describes, or None and what is wrong with it, without full stops."""
    try:
        value = json.loads(text, object_pairs_hook=_members, parse_constant=_no_constant)
    except _TwiceError as error:
        return None, [str(error)]
    except (ValueError, RecursionError):
        return None, ["the file is not JSON"]
    if not isinstance(value, dict):
        return None, ["the file must hold a JSON object"]
    faults = [*form_faults(value.get("input")), *output_faults(value.get("output"))]
    try:
        entry = ModelFile.model_validate(value if not faults else {**value, "input": STAND_IN, "output": {}})
    except ValidationError as error:
        return None, [*faults, *_sentences(error, whole=not faults)]
    if (fault := model_id_fault(entry.id)) is not None:
        faults.append(fault)
    if not faults:
        faults += _compile_faults(entry)
    return (None, faults) if faults else (entry, [])


def _read(path: Path) -> tuple[ModelFile | None, list[str]]:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            return None, [f"the file has more than {MAX_BYTES:,} bytes"]
        return read_model(raw.decode("utf-8-sig"))
    except OSError as error:
        return None, [f"the file cannot be read ({error.strerror})"]
    except UnicodeDecodeError:
        return None, ["the file is not UTF-8"]


def _faults_together(entries: list[tuple[str, ModelFile]]) -> Iterator[str]:
    """An id or the default that two files claim."""
    by_id: dict[str, str] = {}
    default: str | None = None
    for name, entry in entries:
        if entry.id in by_id:
            yield f"{name}: {by_id[entry.id]} has the id {entry.id} too."
        by_id.setdefault(entry.id, name)
        if entry.default and default is not None:
            yield f"{name}: {default} is the default too; only one model can be."
        default = name if entry.default else default


def _compile_faults(entry: ModelFile) -> Iterator[str]:
    """Faults of the parts together: a price that cannot be computed would be found by a caller."""
    fields = entry.input["properties"]
    if SHOTS in fields and not _has_lengths(fields):
        yield f"input.{SHOTS} must be a list of objects with a {DURATION} that is always known, beside a {DURATION}"
        return
    try:
        model, _ = compiled(entry), entry.place
        faults = list(when_faults(entry.price or {}, fields))
        if not faults:
            _ = model.usual_quote
    except ValueError as error:
        yield f"price: {error}"
    except (TypeError, KeyError, AttributeError, StopIteration) as error:
        yield f"price: it cannot be computed for the usual input ({type(error).__name__})"
    else:
        yield from faults


def _has_lengths(fields: dict[str, Any]) -> bool:
    """True for a storyboard whose shots always have a length, beside a duration that limits them."""
    items = fields[SHOTS].get("items", {})
    shot = items.get("properties", {}).get(DURATION, {})
    listed = all(choice.isascii() and choice.isdecimal() for choice in shot.get("enum", ("",)))
    sized = listed or shot.get("type") == "integer"
    return DURATION in fields and sized and ("default" in shot or DURATION in items.get("required", ()))


def _sentences(error: ValidationError, *, whole: bool) -> Iterator[str]:
    """Pydantic's errors, without what the file holds."""
    for found in error.errors(include_url=False, include_input=False, include_context=False):
        where = ".".join(str(part) for part in found["loc"])
        if whole or not where.startswith(("input", "seconds")):
            text = found["msg"].removeprefix("Value error, ").rstrip(".")
            yield f"{where}: {text[0].lower()}{text[1:]}" if where else text


class _TwiceError(ValueError):
    """A member occurs twice."""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _TwiceError(f"{twice[:64]!r} is given twice")
    return members


def _no_constant(_: str) -> None:
    raise ValueError("not JSON")


# Stands in for an input with faults, so that the other members are checked too.
STAND_IN: dict[str, Any] = {
    "properties": {"duration": {"type": "string", "enum": ["5"], "default": "5", "documented": "schema"}},
    "required": [],
}
