"""This machine or container: its memory, and how its processes are named in the store."""

import socket
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")
OWN_GROUP = Path("/proc/self/cgroup")


def process_name(pid: int) -> str:
    """`host:pid`: the name of a process of this machine in the store."""
    return f"{socket.gethostname()}:{pid}"


def memory_bytes() -> int | None:
    """The memory that processes here may use: the minimum of the machine's and of all enclosing groups'."""
    return min((value for value in (_installed(), *_limits()) if value), default=None)


def _installed() -> int | None:
    for line in _lines(MEMINFO):
        name, _, value = line.partition(":")
        if name == "MemTotal":
            return int(value.split()[0]) * 1024
    return None


def _limits() -> list[int]:
    """The limits of this process's groups, of both cgroup versions."""
    found = []
    for line in _lines(OWN_GROUP):
        _, controllers, path = line.split(":", 2)
        if controllers not in {"", "memory"} and "memory" not in controllers.split(","):
            continue
        root = CGROUP_ROOT / "memory" if controllers else CGROUP_ROOT
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        group = root / path.strip("/")
        for folder in (group, *group.parents):
            found += [int(text) for text in _lines(folder / name) if text.isdigit()]
            if folder == root:
                break
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
