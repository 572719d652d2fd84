"""Errors as `application/problem+json` (RFC 9457)."""

from typing import NotRequired

from typing_extensions import TypedDict

from app.domain.errors import FilmgateError
from app.views.limits import LimitStateView, limit_state_view


class ViolationView(TypedDict):
    """One fault: its location (a JSON pointer), a stable code, and a sentence."""

    pointer: str
    code: str
    message: str


class Problem(TypedDict):
    """An error (RFC 9457). `code` is stable; `errors` are faults of the input, `limits` the exceeded ones."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    trace_id: str
    errors: NotRequired[list[ViolationView]]
    limits: NotRequired[list[LimitStateView]]


def problem_view(error: FilmgateError, *, path: str, trace_id: str, base_url: str) -> Problem:
    """The problem of an error."""
    view: Problem = {
        "type": f"{base_url}/problems/{error.code}",
        "title": error.code.meaning,
        "status": error.status,
        "detail": error.message,
        "instance": path,
        "code": error.code,
        "trace_id": trace_id,
    }
    if error.violations:
        view["errors"] = [
            {"pointer": item.pointer, "code": item.code, "message": item.message} for item in error.violations
        ]
    if error.limits:
        view["limits"] = [limit_state_view(state) for state in error.limits if state.over]
    return view
