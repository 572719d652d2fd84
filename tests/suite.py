"""`./dev test`: the stages of the suite, one run of pytest each, and the sum of their results.

`./dev` reads the menu, with any Python and before anything is installed: only the standard library is imported.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parents[1]
CLIENTS = "tests/e2e/clients"
NO_TESTS = 5  # pytest's exit code when it collected nothing
REPORT = ROOT / ".venv" / "report.xml"
COVERAGE = ROOT / ".venv" / "coverage"  # a file for each process, then the combined one


class Stage(NamedTuple):
    """One run of pytest by so many processes; `share` is how pytest-xdist splits it: by test or by file.

    The numbers are for two cores: the more a stage's tests wait for other programs, the more run at once.
    """

    name: str
    paths: tuple[str, ...]
    share: str
    processes: int


STAGES = (
    Stage("units and guards", ("tests/unit", "tests/guards"), "load", 2),
    Stage("integration", ("tests/integration",), "worksteal", 4),  # a file's tests mostly share a server
    # In these a file's tests share an installation.
    Stage("end to end and crash", ("tests/e2e", f"--ignore={CLIENTS}", "tests/crash"), "loadfile", 4),
    Stage("clients and browser", (CLIENTS,), "loadfile", 3),
)
QUICK = (Stage("quick", ("tests/unit", "tests/guards", "tests/integration/test_journey.py"), "load", 2),)
MENU = f"""\
  ./dev test            everything, in stages: {"; ".join(stage.name for stage in STAGES)}
  ./dev test --quick    units, guards and one job's journey, in less than a minute
  ./dev test --full     everything, with the long forms
  ./dev test --cover    everything, and which branches of app and workers it took
  ./dev test PATH …     the tests named, with any of pytest's arguments"""


def named(args: list[str]) -> list[Path]:
    """The files and folders of tests that the arguments name; `tests/unit/test_x.py::test_y` names its file."""
    paths = [(ROOT / arg.split("::")[0]).resolve() for arg in args if not arg.startswith("-")]
    return [path for path in paths if path.is_relative_to(ROOT / "tests") and path.exists()]


def needs_clients(args: list[str]) -> bool:
    """True when these arguments run tests of fal's own clients, which need more than `.venv` holds."""
    if "--quick" in args:
        return False
    folder, paths = ROOT / CLIENTS, named(args)
    return not paths or any(path.is_relative_to(folder) or folder.is_relative_to(path) for path in paths)


def needs_servers(args: list[str]) -> bool:
    """True when these arguments may run a test with a server of a storage; units and guards have none."""
    if "--quick" in args:
        return False
    without, paths = (ROOT / "tests" / "unit", ROOT / "tests" / "guards"), named(args)
    return not paths or any(not any(path.is_relative_to(folder) for folder in without) for path in paths)


def split(stage: Stage, *, full: bool) -> list[str]:
    """pytest-xdist's options; it keeps the order of the files, which it would sort by their number of tests.

    Long forms say how long something takes, so fewer run at once.
    """
    processes = min(stage.processes, 3) if full else stage.processes
    return ["-n", str(processes), "--dist", stage.share, "--no-loadscope-reorder"]


def say(sentence: str) -> None:
    """Print one line of progress, flushed."""
    print(sentence, flush=True)  # noqa: T201  a program


def run_stage(name: str, args: list[str], *, measured: bool) -> Counter[str]:
    """One run of pytest; an exit code other than 0 without a failed test is a failure."""
    start = time.monotonic()
    say(f"\n=== {name} ===")
    REPORT.unlink(missing_ok=True)
    run = ["-m", "coverage", "run", "-m"] if measured else ["-m"]
    argv = [sys.executable, *run, "pytest", "-q", f"--junitxml={REPORT}", *args]
    with subprocess.Popen(argv, cwd=ROOT) as child:  # noqa: S603  our own
        code = None
        while code is None:
            with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C reaches pytest too; it exits by itself
                code = child.wait()
    say(f"=== {name}: {time.monotonic() - start:.1f} s ===")
    ended: Counter[str] = Counter()
    for suite in ET.parse(REPORT).iter("testsuite") if REPORT.is_file() else ():  # noqa: S314  our own
        ended.update({key: int(suite.get(key, "0")) for key in ("tests", "failures", "errors", "skipped")})
    failed, skipped = ended["failures"] + ended["errors"], ended["skipped"]
    passed = ended["tests"] - failed - skipped
    return Counter(passed=passed, failed=failed or int(code not in {0, NO_TESTS}), skipped=skipped)


def print_coverage() -> None:
    """Combine the coverage of all processes and print it, the least covered file first."""
    coverage = [sys.executable, "-m", "coverage"]
    subprocess.run([*coverage, "combine", "-q", str(COVERAGE)], cwd=ROOT, check=False)  # noqa: S603  our own
    subprocess.run([*coverage, "report"], cwd=ROOT, check=False)  # noqa: S603  our own


def main(args: list[str]) -> int:
    """Run the stages, or in one stage the named tests.

    Returns:
        0 when all passed, 1 when a test failed, or when there was none.
    """
    measured, quick = "--cover" in args, "--quick" in args
    args = [arg for arg in args if arg not in {"--cover", "--quick"}]
    if named(args):
        runs = [("the tests named", ["-n", "0", *args])]
    else:
        stages = QUICK if quick else STAGES
        runs = [(stage.name, [*split(stage, full="--full" in args), *stage.paths, *args]) for stage in stages]
    if measured:
        shutil.rmtree(COVERAGE, ignore_errors=True)
    total = Counter[str]()
    for name, words in runs:
        total += run_stage(name, words, measured=measured)
    say(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    if measured:
        print_coverage()
    if not total:
        say("No test was found.")
    return int(bool(total["failed"]) or not total)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
