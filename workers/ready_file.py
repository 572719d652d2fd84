"""The file that tells probes, such as `filmgate ready worker`, that the workers of this host can do their work."""

import json
import os
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from socket import gethostname

import structlog

from app.domain.heartbeats import READY_FILE

log = structlog.get_logger()


class ReadyFile:
    """In the data directory: it is there, and a few seconds old at most, while the workers are ready."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / READY_FILE
        self._reported = False

    def write(self, queues: Iterable[str]) -> None:
        """The workers are ready: one for each of these queues or more."""
        text = json.dumps({"host": gethostname(), "workers": dict(sorted(Counter(queues).items()))})
        temporary = self._path.with_suffix(f".{os.getpid()}")
        try:
            temporary.write_text(f"{text}\n", encoding="utf-8")
            temporary.replace(self._path)
        except OSError as error:
            if not self._reported:
                log.warning("workers.no_ready_file", file=str(self._path), reason=error.strerror)
            self._reported = True
            return
        self._reported = False

    def remove(self) -> None:
        """They are not ready, or stop."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
