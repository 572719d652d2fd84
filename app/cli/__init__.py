"""The command `filmgate`. Exit codes: 0 done, 1 failed, 2 wrong usage, 78 configuration refused."""

import atexit
import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn

INTERRUPTED = 130  # as a shell reports a program ended by Ctrl-C
LASTING = ("up", "serve", "worker", "emulator")  # commands that run until they are stopped
PROBES = (["alive"], ["ready", "api"], ["ready", "worker"])


def main() -> NoReturn:
    """Run the command; Ctrl-C while it loads ends it silently."""
    code: object = 1  # of an exception that nobody expected
    _open_what_is_closed()
    atexit.register(lambda: _end_with_the_storage(code))  # registered first, so called last
    try:
        _run()
    except SystemExit as end:
        code = end.code or 0
        raise


def _open_what_is_closed() -> None:
    """Give a process that was started without stdout or stderr, as `>&-` does, ones that lead nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123  until the end


def _run() -> NoReturn:
    if sys.argv[1:] in PROBES:
        sys.exit(_probe(sys.argv[1:]))
    if sys.argv[1:2] and sys.argv[1] in LASTING:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # a stop while it loads is no failure
    try:
        from app.cli.command import run  # noqa: PLC0415  loading takes time, in which Ctrl-C may come
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    run(before_command=_send_logs_to_stderr)


def _end_with_the_storage(code: object) -> None:
    """End the process before Python takes itself apart, when the storage's library is loaded.

    Its threads are not Python's. One that still gives an object back then asks for the interpreter, is ended by it
    (before Python 3.14), and aborts the process: with exit code 134 and without a word.
    """
    if "obstore" in sys.modules:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code if isinstance(code, int) else 1)


def _send_logs_to_stderr() -> None:
    """Stdout is for output."""
    from app.telemetry import set_up_logs  # noqa: PLC0415  slow to load, and not needed for the help

    set_up_logs("auto", process="cli")


def _probe(words: list[str]) -> int:
    """A probe's exit code. It loads next to nothing: one is started every few seconds."""
    from app.cli.probes import why_not_alive, why_not_ready  # noqa: PLC0415  the others do not need it

    why = why_not_alive() if words == ["alive"] else why_not_ready("worker" if words[-1] == "worker" else "api")
    if why is not None:
        print(f"filmgate: {why}", file=sys.stderr)  # noqa: T201  a command
    return int(why is not None)
