"""A command in a terminal, as a person sees it and types into it."""

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

CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def _at_a_terminal() -> None:
    """Restore Ctrl-C as a signal: a shell's background processes ignore it."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """A command in a terminal of 80 columns, where keys are pressed and the screen is read."""

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
        """Press keys."""
        os.write(self._screen, keys.encode())

    async def shows(self, pattern: str) -> str:
        """The first match in the output so far, without control sequences."""

        async def found() -> str:
            self._read()
            match = re.search(pattern, self.text)
            return match[0] if match else ""

        return await wait_until(found, f"{pattern!r} on the screen:\n{self.seen}", timeout=30)

    @property
    def text(self) -> str:
        """The output so far, without control sequences."""
        return CONTROLS.sub("", self.seen)

    async def ends(self) -> int:
        """The exit code."""

        async def ended() -> bool:
            self._read()
            return self._process.poll() is not None

        await wait_until(ended, "the command ends", timeout=40)
        self._read()
        return self._process.returncode

    def close(self) -> None:
        """Kill it, if it still runs."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        os.close(self._screen)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # nothing to read now, or the other end is closed
            while chunk := os.read(self._screen, 65536):
                self.seen += chunk.decode("utf-8", "replace")
