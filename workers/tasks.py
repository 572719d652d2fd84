"""The task functions that RQ calls; each runs its coroutine on the process's event loop."""

from workers.deliver import deliver_all
from workers.finalize import finalize_all
from workers.keep import keep_all
from workers.lane import run_lane
from workers.runtime import current
from workers.submit import submit_all


def lane(number: int) -> None:
    """One slice of a lane."""
    runtime = current()
    runtime.run(run_lane(runtime, number))


def submit(refs: list[str]) -> None:
    """Submit these jobs to fal, each at most once."""
    runtime = current()
    runtime.run(submit_all(runtime, refs))


def finalize(refs: list[str]) -> None:
    """Read the results of these jobs, and settle them."""
    runtime = current()
    runtime.run(finalize_all(runtime, refs))


def deliver(_: list[str]) -> None:
    """Make one attempt for each due delivery; the list is empty, because a round takes them itself."""
    runtime = current()
    runtime.run(deliver_all(runtime))


def keep(_: list[str]) -> None:
    """Copy the files of due jobs, and look after the storage; the list is empty, a round takes them itself."""
    runtime = current()
    runtime.run(keep_all(runtime))
