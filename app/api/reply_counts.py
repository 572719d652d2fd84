"""Counts replies by status, and submissions by their outcome, once each request has its reply."""

from collections.abc import Iterable

from starlette.types import Scope

from app.domain.errors import Code
from app.metrics.table import RESPONSES, SUBMISSIONS

ERROR_CODE = "error_code"  # of the scope: the code of the error that was the reply
REPEATED = b"idempotent-replayed"
OF_CODE = {
    Code.OVER_BUDGET: "over_budget",
    Code.OVER_MAX_USD: "over_budget",
    Code.IDEMPOTENCY_KEY_REUSED: "key_reused",
    Code.OVERLOADED: "overloaded",
}
OF_STATUS = {401: "forbidden", 403: "forbidden", 429: "over_limit", 500: "error", 503: "unavailable"}


def surface_of(method: str, path: str) -> str | None:
    """The API to which this request submits a job; None where it does not."""
    if method != "POST":
        return None
    if path == "/v1/jobs":
        return "v1"
    if path.startswith("/fal/queue/"):
        return None if "/requests/" in path else "queue"
    return "run" if path.startswith("/fal/run/") else None


def outcome_of(code: Code | None, headers: Iterable[tuple[bytes, bytes]]) -> str:
    """What became of a submission; without the code of a refusal it was admitted, however its job ended."""
    if code is None:
        return "repeated" if any(name == REPEATED for name, _ in headers) else "admitted"
    return OF_CODE.get(code) or OF_STATUS.get(code.status, "invalid")


def count_reply(scope: Scope, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Count a request that has its reply; `status` is 0 for one without, whose caller has left or which failed."""
    RESPONSES.add(f"{status // 100}xx" if status else "5xx")
    surface = surface_of(scope["method"], scope["path"])
    if surface is not None:
        SUBMISSIONS.add(surface, outcome_of(scope.get(ERROR_CODE), headers) if status else "error")
