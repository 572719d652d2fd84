"""A person at a terminal: keys are pressed, the screen is read."""

import contextlib
import fcntl
import os
import pty
import re
import signal
import subprocess
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.waiting import wait_until


def _at_a_terminal() -> None:
    """Ctrl-C is a signal, and is not ignored, as it is for whatever a shell starts in the background."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """A command at a terminal of 80 columns, where keys are pressed and the screen is read."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.seen = ""
        self._screen, theirs = pty.openpty()
        termios.tcsetwinsize(self._screen, (24, 80))
        self._process = subprocess.Popen(  # noqa: S603  the program under test
            command,
            env={**environment, "TERM": "xterm-256color"},
            cwd=folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_at_a_terminal,  # noqa: PLW1509  two system calls
        )
        os.close(theirs)
        os.set_blocking(self._screen, False)

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._screen, keys.encode())

    async def shows(self, pattern: str) -> str:
        """The first match on the screen so far; control sequences are left out."""

        async def found() -> str:
            self._read()
            match = re.search(pattern, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.seen))
            return match[0] if match else ""

        return await wait_until(found, f"{pattern!r} on the screen:\n{self.seen}", timeout=30)

    async def ends(self) -> int:
        """The exit code."""

        async def ended() -> bool:
            self._read()
            return self._process.poll() is not None

        await wait_until(ended, "the command ends", timeout=40)
        self._read()
        return self._process.returncode

    def close(self) -> None:
        """End it, if it has not ended."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        os.close(self._screen)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # nothing to read now, or nobody writes any more
            while chunk := os.read(self._screen, 65536):
                self.seen += chunk.decode("utf-8", "replace")
