"""When a child process that died may be restarted, and what a forked one has of its parent."""

import os
import subprocess
import sys

from app.children import Restarts
from tests.support.repo import ROOT

FORKED = """
import os, random, signal, sys, time
from app.children import SignalWatch, fork

reader, writer = os.pipe()

def tell() -> int:
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)]
    fresh = handlers == [signal.SIG_DFL, signal.default_int_handler, signal.SIG_DFL]
    print(random.random(), os.getpgrp() == os.getpid(), fresh, signal.set_wakeup_fd(-1), flush=True)
    return 7

def wait() -> int:
    os.read(reader, 1)  # until the end of the last process that has the other end
    return 0

def fail() -> int:
    raise RuntimeError("of the child")

with SignalWatch() as watch:
    random.random()
    for program in (tell, tell, fail, wait):
        pid = fork(program, name="a copy")
        if program is wait:
            os.kill(pid, signal.SIGTERM)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    watch.wait(60)
    print(watch.stopping, flush=True)
"""


ANSWERING = """
import os, signal, sys
from app.children import result_of
from app.domain.errors import StoreUnavailable

def load() -> dict[str, int]:
    import xml.dom.minidom
    return {"loaded": "xml.dom.minidom" in sys.modules}

def fail() -> None:
    raise StoreUnavailable("The store is away.")

print(result_of(load, name="a copy"), "xml.dom.minidom" in sys.modules)
try:
    result_of(fail, name="a copy")
except StoreUnavailable as error:
    print(error.message, error.status, "in fail" in error.__notes__[0])
try:
    result_of(lambda: os.kill(os.getpid(), signal.SIGKILL), name="a copy")
except ChildProcessError as error:
    print(error)
"""


def test_a_child_that_always_dies_is_restarted_without_end() -> None:
    """After growing pauses, up to some seconds, even after hours of consecutive deaths."""
    restarts = Restarts()
    assert restarts.due
    for _ in range(2000):
        restarts.started()
        restarts.died()
    assert not restarts.due


def test_a_forked_process_has_no_signal_handler_and_no_random_number_of_its_parent() -> None:
    """It exits with its program's code, in its own group; a SIGTERM sent at once ends it, a failure only it."""
    done = subprocess.run(  # noqa: S603  the script above
        [sys.executable, "-c", FORKED],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    first, code, second, _, failed, terminated, stopping = done.stdout.splitlines()
    assert first.split()[0] != second.split()[0], "two copies drew the same number"
    assert first.split()[1:] == ["True", "True", "-1"]
    assert (code, failed, terminated, stopping) == ("7", "1", "-15", "True")
    assert "RuntimeError: of the child" in done.stderr


def test_a_copy_answers_with_what_it_returns_or_raises() -> None:
    """What it loaded stays with it; an error says where it was raised; a killed copy is an error."""
    done = subprocess.run(  # noqa: S603  the script above
        [sys.executable, "-c", ANSWERING],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "{'loaded': True} False",
        "The store is away. 503 True",
        "The process 'a copy' ended without an answer.",
    ]
