"""Rotation of log files by size, because the store's files are on the same disk.

The processes append to an open file, so a full file is copied and emptied. Logging does not depend on this process.
Lines written between copy and truncation are lost.
"""

import os
import shutil
from pathlib import Path

MAX_LOG_BYTES = 16 * 1024 * 1024
KEPT_FILES = 4  # older files: in all 80 MB for each log


def rotate(log: Path, *, most: int = MAX_LOG_BYTES, kept: int = KEPT_FILES) -> None:
    """Move the content of a log of more than `most` bytes to `name.1`, that to `name.2`, and so on.

    Keeps the last `most` bytes of a longer log. Empties the log also when the disk has no room for the copy.
    """
    try:
        size = log.stat().st_size
    except FileNotFoundError:
        return
    if size <= most:
        return
    older = [log, *(log.with_name(f"{log.name}.{number}") for number in range(1, kept + 1))]
    for number in range(kept, 1, -1):
        if older[number - 1].exists():
            older[number - 1].replace(older[number])
    with log.open("rb+") as full:
        full.seek(max(0, size - most))
        try:
            with older[1].open("wb") as copy:
                os.fchmod(copy.fileno(), 0o600)
                shutil.copyfileobj(full, copy)
        except OSError:
            older[1].unlink(missing_ok=True)
        full.truncate(0)
