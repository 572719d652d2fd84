"""What the machine has."""

from pathlib import Path

from app.machine import memory_bytes


def test_memory_is_known_and_no_more_than_the_machine_has() -> None:
    """The least of what is installed and of what the groups around this process allow."""
    installed = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert 0 < (memory_bytes() or 0) <= installed
