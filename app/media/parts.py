"""Parts of unfinished uploads, as files: up to 30 MB each time, which is nothing for the store's memory.

All API processes of one machine share the folder. Several machines have to share it as well, or a load balancer has
to send one upload's parts to one of them; otherwise `join` says which part is not here.
"""

import asyncio
import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from app.domain.errors import TooLarge, Unavailable, Unprocessable

LIFETIME_S = 3600 + 600  # since the last part; an upload itself may take an hour
OF_ONE_USER = 128 * 1024 * 1024  # bytes: four images at their largest
OF_ALL = 1024 * 1024 * 1024  # bytes


class PartFolder:
    """`root/team.user/upload/number-etag`, with a quota and a lifetime. The names are ids of ours."""

    def __init__(
        self, root: Path, *, of_one_user: int = OF_ONE_USER, of_all: int = OF_ALL, lifetime_s: float = LIFETIME_S
    ) -> None:
        self._root = root
        self._of_one_user = of_one_user
        self._of_all = of_all
        self._lifetime_s = lifetime_s
        self._writing = threading.Lock()

    async def write(self, owner: str, upload: str, number: int, etag: str, content: bytes) -> None:
        """Keep a part; TooLarge when the owner's unfinished uploads fill their quota, Unavailable when all do."""
        await asyncio.to_thread(self._write, owner, upload, number, etag, content)

    async def join(self, owner: str, upload: str, parts: Sequence[tuple[int, str]]) -> bytes:
        """The parts in this order as one; Unprocessable when one of them is not here."""
        return await asyncio.to_thread(self._join, owner, upload, parts)

    async def drop(self, owner: str, upload: str) -> None:
        """Forget an upload's parts."""
        await asyncio.to_thread(shutil.rmtree, self._root / owner / upload, ignore_errors=True)

    def _write(self, owner: str, upload: str, number: int, etag: str, content: bytes) -> None:
        with self._writing:  # measured and written by one at a time; other processes may overshoot by one part each
            self._sweep()
            if _size(self._root / owner) + len(content) > self._of_one_user:
                raise TooLarge("Your unfinished uploads leave no room; complete them, or wait for an hour.")
            if _size(self._root) + len(content) > self._of_all:
                raise Unavailable("There is no room for further parts at the moment.", retry_after=60)
            folder = self._root / owner / upload
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for older in folder.glob(f"{number}-*"):
                older.unlink(missing_ok=True)
            unfinished = folder / f".{number}-{etag}"
            unfinished.write_bytes(content)
            unfinished.rename(folder / f"{number}-{etag}")

    def _join(self, owner: str, upload: str, parts: Sequence[tuple[int, str]]) -> bytes:
        pieces = []
        for number, etag in parts:
            try:
                pieces.append((self._root / owner / upload / f"{number}-{etag}").read_bytes())
            except FileNotFoundError:
                raise Unprocessable(f"Part {number} is not on this machine; send it again.") from None
        return b"".join(pieces)

    def _sweep(self) -> None:
        """Remove what nobody will complete any more."""
        oldest = time.time() - self._lifetime_s
        for folder in self._root.glob("*/*"):
            if _changed(folder) < oldest:
                shutil.rmtree(folder, ignore_errors=True)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()  # gone meanwhile


def _size(folder: Path) -> int:
    """Bytes of all files below; those that go meanwhile count nothing."""
    total = 0
    for path in folder.rglob("*-*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total
