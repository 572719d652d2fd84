"""Measures calls to fal: how long each takes, and which errors they end with."""

import time
from typing import Self

from app.fal.errors import cause_of
from app.fal.web import FalAnswerTooLarge
from app.metrics.table import FAL_CALL, FAL_ERRORS, FAULTS

FIRST_ERROR = 400
FIRST_SERVER_ERROR = 500


class measured:  # noqa: N801  read as contextlib's are
    """One call by its name in the metrics; the block sets the answer's `status`. A cancelled one is not counted."""

    __slots__ = ("_began", "_call", "status")

    def __init__(self, call: str) -> None:
        self._call = call
        self.status = 0

    def __enter__(self) -> Self:
        """Begin to measure."""
        self._began = time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        """Count the call; the error itself goes on."""
        if error is not None and not isinstance(error, Exception):
            return
        FAL_CALL.observe(time.perf_counter() - self._began, self._call)
        if isinstance(error, FalAnswerTooLarge):
            FAL_ERRORS.add(self._call, "too_large")
        elif error is not None:
            FAL_ERRORS.add(self._call, cause_of(error))
        elif self.status >= FIRST_ERROR:
            FAL_ERRORS.add(self._call, _kind_of(self.status))


def _kind_of(status: int) -> str:
    exact = f"http_{status}"
    if exact in FAULTS:
        return exact
    return "http_5xx" if status >= FIRST_SERVER_ERROR else "http_4xx"
