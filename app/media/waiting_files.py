"""Where a video or a sound waits while it arrives: a file without a name, on the disk of the data directory.

A name would outlive a killed process; this file is gone with its descriptor. How much may wait at once is counted
with the body that fills it (`app/api/incoming.py`).
"""

import io
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, cast

import structlog

from app.domain.errors import Unavailable

RESERVE_BYTES = 1_000_000_000  # that stay free on the disk; the store's files may be on it
COPY_BYTES = 1024 * 1024

log = structlog.get_logger()


def open_waiting_file(folder: Path) -> BinaryIO:
    """An empty file below `folder`; Unavailable when it cannot be written, or the disk is nearly full."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if free >= RESERVE_BYTES:
            return cast("BinaryIO", tempfile.TemporaryFile(dir=folder))
        reason: str | None = f"{free} bytes are free"
    except OSError as error:
        reason = error.strerror
    log.error("files.no_room", folder=str(folder), reason=reason)
    sentence = "Large files and parts of files cannot be kept here at the moment; send a picture in one go."
    raise Unavailable(sentence, retry_after=60)


def copy_joined(paths: Sequence[Path], target: BinaryIO) -> None:
    """Write the contents of these files, one after the other."""
    for path in paths:
        with path.open("rb") as source:
            shutil.copyfileobj(source, target, COPY_BYTES)
    target.seek(0, io.SEEK_SET)
