"""The data directory: owned by this user, and used by one gateway at a time."""

import contextlib
import fcntl
import json
import os
import time
from pathlib import Path
from typing import Self

from app.engines import EmbeddedError

OTHERS_WRITE = 0o022
MOUNTS = Path("/proc/self/mountinfo")
KERNELS_OWN = {"proc", "sysfs", "devtmpfs", "devpts", "cgroup", "cgroup2", "securityfs", "debugfs", "tracefs"}
IN_MEMORY = {"tmpfs", "ramfs"}  # file systems that a restart of the machine empties; those above keep no files


class NotPrivate(EmbeddedError):
    """The data directory is not this user's own, or cannot be made or written; nothing was changed."""


class InUse(EmbeddedError):
    """Another gateway holds the data directory: its `pid` and `address`."""

    def __init__(self, pid: int, address: str) -> None:
        remedy = "stop it, or set FILMGATE_DATA_DIR to another directory"
        super().__init__(f"The data directory is in use by another gateway: process {pid}, {address}; {remedy}.")
        self.pid = pid
        self.address = address


class DataDirLock:
    """One gateway for each data directory: an flock that the kernel drops when its holder dies.

    The descriptor is closed on exec, so no child started as a program inherits the lock.
    """

    def __init__(self, data_dir: Path, address: str) -> None:
        self._path = data_dir / "lock"
        self._address = address
        self._fd: int | None = None

    def acquire(self) -> None:
        """Takes the lock, and makes the directory if needed; InUse when another gateway has the lock.

        NotPrivate when it cannot be written.
        """
        make_private(self._path.parent)
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            if not flock(fd):
                os.close(fd)
                raise self._in_use()
            self._fd = fd
            os.ftruncate(fd, 0)
            os.pwrite(fd, json.dumps({"pid": os.getpid(), "address": self._address}).encode(), 0)
        except OSError as error:
            raise NotPrivate(_unusable(self._path.parent, "written", error)) from error

    def release(self) -> None:
        """Gives the lock back; harmless when it is not held."""
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None

    def _in_use(self) -> InUse:
        for _ in range(20):  # the holder may not have written its address yet
            with contextlib.suppress(ValueError, KeyError, TypeError):
                holder = json.loads(self._path.read_text())
                return InUse(int(holder["pid"]), str(holder["address"]))
            time.sleep(0.01)  # noqa: TID251 - the process that holds it has no event loop
        return InUse(0, "which has not said its address")

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def running_address(data_dir: Path) -> str | None:
    """The URL of the gateway that runs in the directory, as its lock says; None when it says none."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        address = str(json.loads((data_dir / "lock").read_text())["address"])
        return address if address.startswith(("http://", "https://")) else None
    return None


def make_private(directory: Path) -> None:
    """Makes the directory, for this user only; NotPrivate when that fails.

    An existing directory's permissions are not changed: it may be `/tmp`. Files with keys or jobs have their own.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise NotPrivate(_unusable(directory, "made or kept private", error)) from error
    require_private(directory)


def _unusable(directory: Path, what: str, error: OSError) -> str:
    return (
        f"The data directory {directory} cannot be {what} ({error.strerror}); "
        "set FILMGATE_DATA_DIR to a directory of this user."
    )


def require_private(directory: Path) -> None:
    """NotPrivate when an existing directory is another user's, or others may write in it."""
    try:
        found = directory.stat()
    except OSError:
        return  # it is missing or unreadable, which its use will report
    remedy = (
        f"name a directory of this user's own, such as {directory / 'filmgate'}, which is made if it is missing"
    )
    if found.st_uid != os.geteuid():
        raise NotPrivate(f"FILMGATE_DATA_DIR: {directory} belongs to another user; {remedy}.")
    if found.st_mode & OTHERS_WRITE:
        close = f"or close it with `chmod go-w {directory}`"
        raise NotPrivate(f"FILMGATE_DATA_DIR: others may write in {directory}; {remedy}, {close}.")


def nearest_folder(path: Path) -> Path:
    """The path, or the nearest directory above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def file_system(folder: Path) -> str | None:
    """The kind of the file system that an existing directory is on, where the system tells it (Linux)."""
    found, depth = None, -1
    try:
        lines = MOUNTS.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return None
    resolved = folder.resolve()
    for line in lines:
        before, _, after = line.partition(" - ")
        place = Path(before.split()[4].replace("\\040", " "))
        if resolved.is_relative_to(place) and len(place.parts) >= depth:
            found, depth = after.split()[0], len(place.parts)
    return found


def flock(fd: int) -> bool:
    """Take the kernel's lock on an open file; False when another process has it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
