"""A test process's peak memory, as Linux counts it.

`ru_maxrss` is no use for a test late in its process, nor for a child, which begins with its parent's peak.
"""

from pathlib import Path

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")


def peak_kb() -> int:
    """The peak memory of this process since its start or the last `forget_peak`, in kilobytes."""
    (line,) = [line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1])


def forget_peak() -> int:
    """Restart the measurement; the process's current memory, in kilobytes."""
    CLEAR_REFS.write_text("5", encoding="ascii")
    return peak_kb()


def resident_kb(pid: int) -> int:
    """Another process's current memory, in kilobytes."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = [line for line in text.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1])
