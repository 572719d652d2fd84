"""What the machine has, or the container that we are in: its memory."""

from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")
OWN_GROUP = Path("/proc/self/cgroup")


def memory_bytes() -> int | None:
    """The memory that processes here may use: the least of the machine's and of every group's around us."""
    found = [value for value in (_installed(), *_limits()) if value]
    return min(found, default=None)


def _installed() -> int | None:
    for line in _lines(MEMINFO):
        name, _, value = line.partition(":")
        if name == "MemTotal":
            return int(value.split()[0]) * 1024
    return None


def _limits() -> list[int]:
    """What the groups around this process allow, in both of Linux's forms."""
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
