"""The machine's resources."""

from pathlib import Path

from app.machine import memory_bytes


def test_memory_is_known_and_no_more_than_the_machine_has() -> None:
    """The lowest of the installed memory and the limits of this process's control groups."""
    installed = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert 0 < (memory_bytes() or 0) <= installed
