"""Drafts of model files: written whole or not at all, and never over a file without being told to."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from app.cli.exits import Failure

Written = Literal["written", "replaced", "unchanged", "kept"]
PREFIX = "fal-ai/kling-video/"
MODE = 0o644


def file_name(model_id: str) -> str:
    """`v3-pro-image-to-video.json`, as the registry names its files; of other owners with the whole id."""
    return model_id.removeprefix(PREFIX).replace("/", "-") + ".json"


def draft_text(draft: Mapping[str, Any]) -> str:
    """A draft as it is written."""
    return json.dumps(draft, indent=2, ensure_ascii=False) + "\n"


def write_draft(folder: Path, name: str, text: str, *, overwrite: bool) -> Written:
    """Write one draft; `kept`: another file is there and stays. Failure when it cannot be written."""
    path = folder / name
    try:
        if path.is_file() and path.read_text(encoding="utf-8", errors="replace") == text:
            return "unchanged"
        new = _complete_file(folder, text)
        try:
            if overwrite:
                there = path.exists()
                new.replace(path)
                return "replaced" if there else "written"
            os.link(new, path)  # fails when there is one, also one that has just come
        except FileExistsError:
            return "kept"
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        raise Failure(f"{path} cannot be written ({error.strerror}).") from None
    return "written"


def _complete_file(folder: Path, text: str) -> Path:
    """The text on disk under a name that nothing reads."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, prefix=".draft-", suffix=".new")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
        os.fchmod(file.fileno(), MODE)
    return Path(name)
