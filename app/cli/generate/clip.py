"""Downloads a clip: writes a part file next to the target, and renames it when it is complete."""

import asyncio
import os
from pathlib import Path
from typing import Self

import httpx

from app.cli.exits import Failure
from app.cli.generate.client import ApiClient, GatewayAway
from app.cli.generate.screen import Shows

MAX_ATTEMPTS = 5
NOT_CLIPS = ("text/", "application/json", "application/xml")


def refuse_target(target: Path, *, force: bool) -> None:
    """Failure when the clip cannot be written there; called before anything is bought."""
    try:
        if target.is_dir():
            raise Failure(f"{target} is a folder; -o names a file.")
        if target.exists() and not force:
            raise Failure(f"{target} exists; choose another name with -o, or replace it with --force.")
        if not target.parent.is_dir():
            raise Failure(f"The folder {target.parent} does not exist.")
    except OSError as error:
        raise Failure(f"{target} cannot be used: {error.strerror}.") from None
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise Failure(f"The folder {target.parent} cannot be written to.")


class PartFile:
    """`with PartFile(target) as part:` a file next to the target, removed at the end unless kept."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._path = target.with_name(f".{target.name[:200]}.{os.getpid()}.part")

    def __enter__(self) -> Self:
        try:
            self._file = self._path.open("wb")
        except OSError as error:
            raise self._unwritable(error) from None
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def restart(self) -> None:
        """Empty the file."""
        self._file.seek(0)
        self._file.truncate()

    def write(self, chunk: bytes) -> None:
        """Append; Failure when the disk does not accept it."""
        try:
            self._file.write(chunk)
        except OSError as error:
            raise self._unwritable(error) from None

    def keep(self, *, force: bool) -> None:
        """Rename to the target; Failure when a file has appeared there, unless forced."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            if self._target.exists() and not force:
                raise Failure(f"{self._target} has appeared meanwhile, and is kept.")
            self._path.replace(self._target)
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> Failure:
        return Failure(f"{self._target} cannot be written: {error.strerror}.")


async def save_clip(client: ApiClient, path: str, target: Path, *, force: bool, screen: Shows) -> int:
    """Download the clip or sound at `path` to `target`; its size in bytes. Restarts a download that is cut off."""
    screen.doing(f"Downloading {target.name}")
    with PartFile(target) as part:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            part.restart()
            try:
                count = await _read(client, path, part, screen)
            except (httpx.TransportError, GatewayAway) as error:
                if attempt == MAX_ATTEMPTS:
                    raise Failure(_why(error)) from None
                screen.notice("The download broke off; trying again …")
                await asyncio.sleep(attempt)
            else:
                screen.notice(None)
                part.keep(force=force)
                return count
    raise AssertionError("unreachable")


async def _read(client: ApiClient, path: str, part: PartFile, screen: Shows) -> int:
    done = 0
    async with client.clip(path) as reply:
        kind = reply.headers.get("content-type", "")
        if kind.startswith(NOT_CLIPS):
            raise Failure(f"{reply.request.url.host}, where the clip should be, sends {kind.partition(';')[0]}.")
        total = int(reply.headers.get("content-length", 0))
        async for chunk in reply.aiter_bytes():
            part.write(chunk)
            done += len(chunk)
            screen.progress(done, total)
    if done == 0:
        raise GatewayAway("The clip's address sends an empty file.")
    return done


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, GatewayAway) else "The download broke off again and again."
