"""The crash matrix: each named point, the row it shows, and what a round needs to reach it.

Row C19 (a half-written mirrored clip) has no point: nothing is mirrored yet. C4 (a live stream), C25 (the store
dies at these points), C26 (everything dies at random) and C27 (a process is stopped) have their own tests.
"""

from dataclasses import dataclass
from typing import Literal

from tests.support.tcp_proxy import Cut


@dataclass(frozen=True, slots=True)
class Point:
    """One point: the row, and the process that dies there.

    `each`: every job passes it, so the kill may hit any of them. `needs`: what the jobs of a round have
    in addition to a prompt. `on_time`: fal's webhook must come at once, because it causes the passing of the point.
    """

    row: str
    process: Literal["api", "lanes", "work", "deliveries"]
    each: bool = True
    needs: Literal["", "upload", "cancel", "gone", "held"] = ""
    on_time: bool = False


POINTS = {
    "admit.before": Point("C1", "api"),
    "admit.after": Point("C2", "api"),
    "upload.stored": Point("C5", "api", needs="upload"),
    "hook.verified": Point("C6", "api", on_time=True),
    "hook.adopted": Point("C7", "api", on_time=True),
    "grant.before": Point("C8", "lanes"),
    "grant.after": Point("C9", "lanes", each=False),
    "ring.before": Point("C9", "lanes", each=False),
    "submit.before_claim": Point("C10", "work"),
    "submit.after_claim": Point("C11", "work"),
    "submit.answered": Point("C14", "work"),
    "submit.adopted": Point("C15", "work"),
    "poll.completed": Point("C16", "lanes"),
    "finalize.read": Point("C17", "work"),
    "finalize.settled": Point("C18", "work"),
    "deliver.sent": Point("C20", "deliveries"),
    "deliver.last": Point("C21", "deliveries", needs="gone"),
    "lane.taken": Point("C22", "lanes", each=False),
    "lane.left": Point("C22", "lanes", each=False),
    "resolve.found": Point("C23", "lanes", each=False, needs="held"),
    "cancel.sent": Point("C24", "lanes", needs="cancel"),
}
# Points on the wire: a proxy cuts the exchange and kills the process at its end.
WIRE = {
    Cut.REPLY_HALF.value: Point("C3", "api"),
    Cut.REQUEST_HALF.value: Point("C12", "work"),
    Cut.REPLY_LOST.value: Point("C13", "work"),
}
EVERY = {**POINTS, **WIRE}


def interleaved() -> list[str]:
    """All points, in turn for each process: a worker that dies twice in a row is restarted later each time."""
    groups = [[name for name, point in EVERY.items() if point.process == process] for process in PROCESSES]
    longest = max(map(len, groups))
    return [group[turn] for turn in range(longest) for group in groups if turn < len(group)]


PROCESSES = ("work", "lanes", "api", "deliveries")
