"""A test process's peak memory, as Linux counts it.

`ru_maxrss` is no use for a test late in its process, nor for a child, which begins with its parent's peak.
"""

from pathlib import Path


def peak_kb(pid: int | None = None) -> int:
    """The peak memory of this process since its start or the last `forget_peak`, in kilobytes; or of another's."""
    return _line(pid, "VmHWM:")


def forget_peak(pid: int | None = None) -> int:
    """Restart the measurement; the process's current memory, in kilobytes."""
    Path(f"/proc/{pid or 'self'}/clear_refs").write_text("5", encoding="ascii")
    return peak_kb(pid)


def resident_kb(pid: int) -> int:
    """Another process's current memory, in kilobytes."""
    return _line(pid, "VmRSS:")


def _line(pid: int | None, name: str) -> int:
    text = Path(f"/proc/{pid or 'self'}/status").read_text(encoding="ascii")
    (line,) = [line for line in text.splitlines() if line.startswith(name)]
    return int(line.split()[1])
