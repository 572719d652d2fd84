"""What an export contains: a span of time, and where an interrupted one goes on."""

import re
from dataclasses import dataclass

POSITION = re.compile(r"(?:([A-Za-z0-9_-]{1,64})/)?(\d{1,20}-\d{1,20})")


@dataclass(frozen=True, slots=True)
class ExportRange:
    """Rows of `from_ms` (inclusive) to `to_ms` (exclusive; None: no end), after the row with the cursor `after`."""

    from_ms: int = 0
    to_ms: int | None = None
    after: str | None = None

    def position(self) -> tuple[str, str | None]:
        """The team ("" where there is none) and the id in `after`; ValueError when it is no cursor."""
        if self.after is None:
            return "", None
        found = POSITION.fullmatch(self.after)
        if found is None:
            raise ValueError(f"{self.after!r} is no cursor: take it from the last row of an earlier export.")
        return found[1] or "", found[2]

    def ends_before(self, row_id: str) -> bool:
        """True when the row with this id (`ms-number`) is after the span."""
        return self.to_ms is not None and int(row_id.partition("-")[0]) >= self.to_ms
