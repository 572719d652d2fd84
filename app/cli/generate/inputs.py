"""The model's input from the command line: values of the schema's types, and files that are uploaded later."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from app.cli.cells import printable
from app.cli.exits import Failure

DEFAULT_MODEL = "fal-ai/kling-video/v2/master/image-to-video"  # the gateway's, when a job names none
END_IMAGES = ("end_image_url", "tail_image_url")  # names of the last frame
SCALARS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "integer": ("a whole number", int),
    "number": ("a number", float),
    "boolean": ("true or false", lambda text: {"true": True, "false": False}[text.lower()]),
}


@dataclass(frozen=True, slots=True)
class FileInput:
    """A file of this machine in the input, in the place of its URL."""

    path: Path


@dataclass(frozen=True, slots=True)
class InputBuilder:
    """Collects the input of one model, whose description is that of `GET /v1/models/{model_id}`."""

    model: Mapping[str, Any]
    fields: dict[str, Any] = field(default_factory=dict)

    def set(self, name: str, text: str) -> None:
        """A value of the type that the schema gives this member; Failure for another one.

        Lists and objects are JSON; `@FILE` is a file where a URL is wanted, and a list takes one more each time.
        """
        member = self._member(name)
        if member.get("type") == "array" and not text.lstrip().startswith("["):
            self.fields.setdefault(name, [])
            self.fields[name].append(self._value(name, text, member.get("items", {})))
        else:
            self._once(name)
            self.fields[name] = self._value(name, text, member)

    def put(self, name: str, value: Any) -> None:
        """The value of an option of its own, as it is; a list's only one where the member is a list."""
        listed = self._member(name).get("type") == "array"
        self._once(name)
        self.fields[name] = [value] if listed else value

    def end_image(self) -> str:
        """The member that takes the last frame; Failure when there is none."""
        for name in END_IMAGES:
            if name in self._properties:
                return name
        raise Failure(f"{self._id} takes no last frame; leave --end-image out.")

    @property
    def _properties(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.model["input"].get("properties", {})
        return found

    @property
    def _id(self) -> str:
        return printable(str(self.model["id"]))

    def _once(self, name: str) -> None:
        if name in self.fields:
            raise Failure(f"{name} is given twice.")

    def _member(self, name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] | None = self._properties.get(name)
        if found is None:
            near = get_close_matches(name, self._properties, 1)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(self._properties)}."
            raise Failure(f"{self._id} has no input {printable(name)}; {hint}")
        return found

    def _value(self, name: str, text: str, member: Mapping[str, Any]) -> Any:
        kind = member.get("type")
        if kind in SCALARS:
            words, read = SCALARS[kind]
            try:
                return read(text)
            except (ValueError, KeyError):
                raise Failure(f"{name} is {words}, not {printable(text)[:60]!r}.") from None
        if kind in {"array", "object"}:
            return with_files(self._json(name, text), member)
        return with_files(text, member)

    @staticmethod
    def _json(name: str, text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError:
            raise Failure(f"{name} is a list or an object, as JSON: {name}='[…]'.") from None


def with_files(value: Any, schema: Mapping[str, Any]) -> Any:
    """The value, with FileInput for each `@FILE` where the schema wants a URL."""
    if isinstance(value, list):
        return [with_files(one, schema.get("items", {})) for one in value]
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        return {name: with_files(one, properties.get(name, {})) for name, one in value.items()}
    if isinstance(value, str) and value.startswith("@") and str(schema.get("format", "")).endswith("-url"):
        return FileInput(Path(value[1:]))
    return value


def files_of(value: Any) -> Iterable[FileInput]:
    """Every file in the input."""
    if isinstance(value, FileInput):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from files_of(one)


def with_urls(value: Any, url_of: Callable[[FileInput], str]) -> Any:
    """The input with a URL in the place of each file."""
    if isinstance(value, FileInput):
        return url_of(value)
    if isinstance(value, dict):
        return {name: with_urls(one, url_of) for name, one in value.items()}
    if isinstance(value, list):
        return [with_urls(one, url_of) for one in value]
    return value
