"""The witness: a file outside the store with the store's id, its newest claim and its newest admission.

It is synchronous, because it waits for the disk; callers run it in a thread. All processes with the same data
directory share one file.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

FILE = "epoch.json"
FORMAT = 1
REFRESH_MS = 60_000  # the age at which the time in the file is updated while nothing is bought


@dataclass(frozen=True, slots=True)
class WitnessRecord:
    """What was last read: the store's id, the newest claim's number and nonce, and when (ms, the store's clock).

    `restored` names the backup that has replaced the store since, or is "". `admitted` and `job` are the number and
    job of the newest admission; files of older versions do not have them.
    """

    id: str
    number: int
    nonce: str
    seen_ms: int
    restored: str = ""
    admitted: int = 0
    job: str = ""


class Witness:
    """The file in the data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / FILE

    def read(self) -> WitnessRecord | None:
        """The record in the file; None when there is no file, or it cannot be read."""
        try:
            written = json.loads(self.path.read_text(encoding="utf-8"))
            return WitnessRecord(
                id=str(written["id"]),
                number=int(written["number"]),
                nonce=str(written["nonce"]),
                seen_ms=int(written["seen_ms"]),
                restored=str(written.get("restored", "")),
                admitted=int(written.get("admitted", 0)),
                job=str(written.get("job", "")),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def keep(self, compared: WitnessRecord | None, new: WitnessRecord) -> bool:
        """Write `new`, unless the file has changed since `compared` was read; False when it cannot be written.

        It is on disk when this returns. For one store's id the numbers only grow.
        """
        try:
            with self._lock():
                current = self.read()
                if current is not None and not _replaces(current, compared, new):
                    return True
                self._write(new)
        except OSError:
            return False
        return True

    def distrust(self, record: WitnessRecord, *, backup: str) -> None:
        """Record that a backup replaced the store, so that the next comparison starts an epoch. Raises OSError."""
        with self._lock():
            self._write(replace(self.read() or record, restored=backup))

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Exclude other writing processes."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _write(self, record: WitnessRecord) -> None:
        """Replace the file atomically, on disk."""
        draft = self.path.with_suffix(".new")
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(fd, json.dumps({"format": FORMAT, **asdict(record)}).encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        draft.replace(self.path)
        sync_directory(self.path.parent)


def _replaces(current: WitnessRecord, compared: WitnessRecord | None, new: WitnessRecord) -> bool:
    if current.id != new.id or current.restored:
        return current == compared  # a new epoch may be written only after a comparison with the current record
    if new.number < current.number or new.admitted < current.admitted:
        return False  # another process has written a newer one
    grown = new.number > current.number or new.admitted > current.admitted
    return grown or new.seen_ms - current.seen_ms >= REFRESH_MS


def sync_directory(directory: Path) -> None:
    """Write the directory's names to disk, after a file in it was created or renamed."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
