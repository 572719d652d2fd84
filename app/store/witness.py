"""The witness: a file outside the store that remembers which store it was, and the last claim and admission in it.

Synchronous, because it waits for the disk; callers put it into a thread. Every process of a host that has the same
data directory shares one file.
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
REFRESH_MS = 60_000  # how old the time in the file may get while nothing is bought


@dataclass(frozen=True, slots=True)
class WitnessRecord:
    """What was seen last: the store's id, the newest claim's number and nonce, and when (ms, the store's clock).

    `restored` says which backup was put in the store's place since; "" when none was. `admitted` and `job` are the
    newest admission's; files of earlier versions have none.
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
        """What it remembers; None when there is no file or it says nothing that can be used."""
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

    def keep(self, compared: WitnessRecord | None, seen: WitnessRecord) -> bool:
        """Remember what was seen, unless somebody wrote since `compared` was read; False when it cannot be written.

        On disk when this returns. Within one store's id the number only grows.
        """
        try:
            with self._alone():
                current = self.read()
                if current is not None and not _is_news(current, compared, seen):
                    return True
                self._write(seen)
        except OSError:
            return False
        return True

    def distrust(self, record: WitnessRecord, *, backup: str) -> None:
        """Remember that a backup was put in the store's place: what comes next is no continuation. OSError."""
        with self._alone():
            self._write(replace(self.read() or record, restored=backup))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One process writes at a time."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _write(self, record: WitnessRecord) -> None:
        """Replace the file whole, on disk."""
        draft = self.path.with_suffix(".new")
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(fd, json.dumps({"format": FORMAT, **asdict(record)}).encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        draft.replace(self.path)
        sync_directory(self.path.parent)


def _is_news(current: WitnessRecord, compared: WitnessRecord | None, seen: WitnessRecord) -> bool:
    if current.id != seen.id or current.restored:
        return current == compared  # a new epoch: only who has compared with this very record may write it
    if seen.number < current.number or seen.admitted < current.admitted:
        return False  # read before somebody else wrote
    grown = seen.number > current.number or seen.admitted > current.admitted
    return grown or seen.seen_ms - current.seen_ms >= REFRESH_MS


def sync_directory(directory: Path) -> None:
    """Put the directory's names on disk, after a file in it was made or renamed."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
