"""The options of `filmgate generate`."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class GenerateOptions:
    """`job_id` continues with a job; otherwise the others make one, or `takes` of them.

    `image` and `end_image` are files or http(s) URLs; `fields` are members of the input, `members` others as name
    and text; `out` is a file, a folder, or None for a name like the image's.
    """

    image: str | None
    end_image: str | None
    fields: dict[str, Any]
    members: Sequence[tuple[str, str]]
    model: str | None
    out: Path | None
    force: bool
    job_id: str | None
    idempotency_key: str | None
    takes: int = 1

    @staticmethod
    def is_url(source: str) -> bool:
        """True when fal fetches it itself."""
        return urlsplit(source).scheme.lower() in {"http", "https"}

    def target(self, job_id: str, take: int) -> Path:
        """The path: the file of -o, or a name like the image's or the job's; of several takes with a number."""
        if self.out is not None and not os.path.isdir(self.out):  # noqa: PTH112  no error for a name that is too long
            named = self.out
        else:
            named = (self.out or Path()) / f"{self._stem() or self.job_id or job_id}.mp4"
        return named if self.takes == 1 else named.with_stem(f"{named.stem}-{take}")

    def _stem(self) -> str:
        if self.image is None:
            return ""
        path = unquote(urlsplit(self.image).path) if self.is_url(self.image) else self.image
        return "".join(char for char in PurePosixPath(path).stem if char.isprintable()).lstrip(".-")[:100]
