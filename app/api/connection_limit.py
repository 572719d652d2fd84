"""How many connections may be open, and which one is closed when there are more."""

import resource
from typing import Any, Protocol

DESCRIPTORS = 65_536  # asked of the machine at the start, where it lets us
KEPT_FREE = 192  # descriptors for the store, fal and files
FEWEST = 64  # connections, however few descriptors there are
USUAL = 5000  # connections, for so many event streams; a process with fewer says so when it starts


class Idle(Protocol):
    """What is asked of a connection."""

    transport: Any


class ConnectionLimit:
    """How many connections may be open, and which wait for a head or for a reader, the longest waiting first.

    At the limit, the one that has waited longest is closed: slow and silent callers block no others.
    """

    def __init__(self) -> None:
        self.most = 1000  # until `make_room` has asked the machine
        self._waiting: dict[Idle, None] = {}

    def make_room(self) -> None:
        """Raise this process's bound on descriptors as far as it may, and stay below it."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        self.most = max(FEWEST, min(soft, DESCRIPTORS) - KEPT_FREE)

    def shortage(self) -> str | None:
        """What to do about a machine that permits fewer connections than usual."""
        if self.most >= USUAL:
            return None
        return (
            f"At most {self.most} connections may be open at once, event streams included: the machine permits no "
            f"more files. Raise its hard limit (ulimit -Hn, LimitNOFILE, ulimits) to {USUAL + KEPT_FREE} or more."
        )

    def wait(self, connection: Idle, *, anew: bool = False) -> None:
        """The connection waits from now on; one that did already keeps its place, or waits `anew`."""
        if anew:
            self.leave(connection)
        self._waiting.setdefault(connection)

    def leave(self, connection: Idle) -> None:
        """It waits no more."""
        self._waiting.pop(connection, None)

    def let_go(self) -> bool:
        """End the connection that has waited longest; False when none waits."""
        if (longest := next(iter(self._waiting), None)) is None:
            return False
        self.leave(longest)
        longest.transport.abort()
        return True


ROOM = ConnectionLimit()  # of this process, which serves on one port
