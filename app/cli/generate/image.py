"""Reads an image and uploads it to the gateway."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.cli.cells import printable
from app.cli.exits import Failure
from app.cli.generate.client import ApiClient
from app.cli.generate.screen import Screen, size

MAX_FILE_BYTES = 30_000_000  # bytes; the gateway refuses more
KINDS = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".webp": "webp"}


def read_image(path: Path) -> bytes:
    """The bytes of a file; Failure when it is missing, empty, unreadable or too large."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise Failure(f"{path} is larger than {size(MAX_FILE_BYTES)}, the most Kling reads.")
        content = path.read_bytes()
    except FileNotFoundError:
        raise Failure(f"There is no file {path}.") from None
    except (OSError, ValueError) as error:
        raise Failure(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'not a file name'}.") from None
    if not content:
        raise Failure(f"{path} is empty.")
    return content


def image_field(model: dict[str, Any]) -> str:
    """The field of the model's input that takes the image, or a list of them.

    A required field comes first, then the others in the schema's order: effects and references need no image.
    """
    schema = model["input"]
    for name in (*schema.get("required", []), *schema["properties"]):
        field = schema["properties"].get(name, {})
        item = field.get("items", field)
        if item.get("format") == "image-url":
            return str(name)
    raise Failure(f"{printable(str(model['id']))} takes no image; leave --image out.")


def duration_value(model: dict[str, Any], value: Any) -> Any:
    """The duration as the model's input has it: most models take a text, the newer ones a number."""
    field, text = model["input"].get("properties", {}).get("duration", {}), str(value)
    if field.get("type") == "integer":
        return int(text) if text.isascii() and text.isdecimal() else value
    return text


def data_uri(content: bytes, path: str) -> str:
    """The image as a data URI."""
    kind = KINDS.get(Path(path).suffix.lower(), "jpeg")  # the gateway checks the bytes
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


class _ProgressReader(io.BytesIO):
    """Bytes that report how many were read."""

    def __init__(self, content: bytes, report: Callable[[int, int], None]) -> None:
        super().__init__(content)
        self._report = report
        self._total = len(content)

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = super().read(size)
        self._report(self.tell(), self._total)
        return chunk


async def upload(client: ApiClient, path: Path, content: bytes, screen: Screen) -> str:
    """The URL of the uploaded image; says so when the gateway made a JPEG or PNG of it."""
    screen.doing(f"Uploading {printable(path.name)}")
    name = f"image{path.suffix.lower() if path.suffix.isascii() else ''}"
    stored = await client.upload(lambda: {"files": {"file": (name, _ProgressReader(content, screen.progress))}})
    if "converted_from" in stored:
        kinds = [printable(str(stored.get(name))).removeprefix("image/") for name in ("converted_from", "type")]
        screen.done(f"{printable(path.name)} was converted from {kinds[0]} to {kinds[1]}.")
    return str(stored["url"])
