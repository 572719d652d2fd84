"""The state that survives a restart: a JSON line for each submit, start, cancel and end."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Journal:
    """An append-only file. Each line is one write call: it survives `kill -9`, not a power cut."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._descriptor: int | None = None

    def read(self) -> Iterator[dict[str, Any]]:
        """The lines, oldest first, without a last one that a crash cut off."""
        if self._path is None or not self._path.exists():
            return
        with self._path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield json.loads(line)

    def open(self) -> None:
        """Opens the file for appending."""
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        _cut_torn_line(self._path)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, event: str, **facts: Any) -> None:
        """Appends one line."""
        if self._descriptor is not None:
            line = json.dumps({"event": event, **facts}, separators=(",", ":")).encode() + b"\n"
            view = memoryview(line)
            while view:
                view = view[os.write(self._descriptor, view) :]

    def close(self) -> None:
        """Closes the file; later writes are ignored."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _cut_torn_line(path: Path) -> None:
    """Removes what a crash left after the last newline."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        file.truncate(path.read_bytes().rfind(b"\n") + 1)
