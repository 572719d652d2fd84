"""Child processes: they end with their parent, and are restarted after growing pauses."""

import ctypes
import os
import pickle
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import NoReturn, Self, TypeVar, cast

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
NAME_BYTES = 15  # Linux keeps no more
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
WAKING_SIGNALS = (*STOP_SIGNALS, signal.SIGCHLD)
FAILED = 1
PAUSE_S = 0.2  # doubled for each death in a row
MAX_PAUSE_S = 10.0
STABLE_S = 10.0  # a child that lived so long begins a new row of deaths

Result = TypeVar("Result")

_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Restarts:
    """When a child may be restarted: at once after its first death, later after each further one in a row."""

    def __init__(self) -> None:
        self._deaths = 0
        self._started = 0.0
        self._not_before = 0.0

    @property
    def due(self) -> bool:
        """True when its pause is over."""
        return self.pause_s <= 0

    @property
    def pause_s(self) -> float:
        """Seconds until its pause is over, at least 0."""
        return max(0.0, self._not_before - time.monotonic())

    def started(self) -> None:
        """Note a start."""
        self._started = time.monotonic()

    def died(self) -> float:
        """Note a death; how many seconds the child lived."""
        now = time.monotonic()
        lived = now - self._started
        self._deaths = 1 if lived > STABLE_S else self._deaths + 1
        pause = min(MAX_PAUSE_S, PAUSE_S * 2 ** min(self._deaths - 1, 10))  # within a float's range
        self._not_before = now + (pause if self._deaths > 1 else 0)
        return lived


def die_with_parent() -> Callable[[], None]:
    """A `preexec_fn` that calls `die_with` in the child."""
    return partial(die_with, os.getpid())


def die_with(parent: int) -> None:
    """Ask Linux for a SIGTERM when the parent's thread ends; exit at once if the parent has ended already."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def end_on_stop() -> None:
    """Let SIGTERM and SIGINT end this process at once with 0, until it has an order of its own: nothing was begun.

    For a program's first line: Python needs a second to load the rest. Those that a program before this one held
    back (`hold_stop`) count too.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: os._exit(0))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def hold_stop() -> None:
    """Hold SIGTERM and SIGINT back, for the program that takes this process over and begins with `end_on_stop`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


class SignalWatch:
    """While entered: notes SIGTERM and SIGINT as `stopping`, and waits for these and for the death of a child."""

    def __init__(self) -> None:
        self.stopping = False

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe()
        for end in (self._reader, self._writer):
            os.set_blocking(end, False)
        self._before = {number: signal.signal(number, self._note) for number in WAKING_SIGNALS}
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)
        for number, action in self._before.items():
            signal.signal(number, action)
        for end in (self._reader, self._writer):
            os.close(end)

    def wait(self, seconds: float | None = None) -> None:
        """Return after a signal, also one that arrived before the call, or when the time is over."""
        select.select([self._reader], [], [], seconds)
        with suppress(BlockingIOError):
            os.read(self._reader, 4096)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.stopping = self.stopping or number in STOP_SIGNALS


def fork(program: Callable[[], int], *, name: str) -> int:
    """Run `program` in a copy of this process, which exits with what it returns; the copy's process id.

    The caller must have one thread, no event loop and no open connection. The copy has the signal handlers of a new
    process, ends with this one, and is in a process group of its own: Ctrl-C reaches only the parent, which stops
    its children in order. `name` is what process lists show on Linux.
    """
    parent = os.getpid()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WAKING_SIGNALS)  # one for the copy waits for its own handlers
    try:
        pid = os.fork()
        if pid:
            return pid
        _run(program, name, parent, before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def result_of(program: Callable[[], Result], *, name: str) -> Result:
    """What `program` returns or raises in a copy of this process (see `fork`); both must be picklable.

    What it loads and leaves behind ends with the copy.
    """
    reader, writer = os.pipe()

    def send() -> int:
        try:
            sent: tuple[bool, object] = True, program()
        except Exception as error:  # noqa: BLE001  raised again in the parent
            error.add_note(traceback.format_exc())  # pickling drops where it was raised
            sent = False, error
        with os.fdopen(writer, "wb") as answer:
            pickle.dump(sent, answer)
        return 0

    pid = fork(send, name=name)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        received = answer.read()
    os.waitpid(pid, 0)
    if not received:
        raise ChildProcessError(f"The process {name!r} ended without an answer.")
    succeeded, result = pickle.loads(received)  # noqa: S301  from a copy of ourselves
    if not succeeded:
        raise cast("Exception", result)
    return cast("Result", result)


def _run(program: Callable[[], int], name: str, parent: int, mask: set[int]) -> NoReturn:
    """The copy's whole life. It skips the parent's clean-up at exit."""
    code = FAILED
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        name_process(name)
        die_with(parent)
        code = program()
    except BaseException:  # noqa: BLE001  nothing may get into the parent's code
        sys.excepthook(*sys.exc_info())
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def name_process(name: str) -> None:
    """What `ps -e`, `top` and `pstree` show of this process, where the system has that."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_NAME, name.encode()[:NAME_BYTES] + b"\0", 0, 0, 0)
