"""Files that the storage keeps: how they are named, and how many bytes of a team's there are.

Names are `KIND/TEAM/…`: `clips/TEAM/JOB/FILE`, `files/TEAM/FILE`, `parts/TEAM/UPLOAD/NUMBER-ETAG`.
"""

from dataclasses import dataclass

UNITS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


@dataclass(frozen=True, slots=True)
class StorageUse:
    """A team's bytes in the storage: of files that are kept, of files on their way, and its limit (None: none)."""

    used: int
    held: int
    limit: int | None

    @property
    def left(self) -> int | None:
        """What is left of the limit, at least 0; None without one."""
        return None if self.limit is None else max(0, self.limit - self.used - self.held)

    def sentence(self, size: int) -> str:
        """Why a file of this size is not taken, and what to do."""
        limit, left = self.limit or 0, self.left or 0
        return (
            f"Your team may keep {in_bytes(limit)} here: {in_bytes(self.used)} are used, {in_bytes(self.held)} are "
            f"held by files on their way, {in_bytes(left)} are left, and this file has {in_bytes(size)}. "
            "Delete jobs and uploaded files that you no longer need, or ask an administrator for a higher storage "
            "limit."
        )


def in_bytes(size: int) -> str:
    """A size for people: `3.4 MB`, exact below a kilobyte."""
    for unit, name in UNITS:
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"


def team_of(name: str) -> str:
    """The team whose file this is."""
    return name.split("/", 2)[1]
