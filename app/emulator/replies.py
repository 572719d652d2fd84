"""fal's error shapes: of models, and of fal's infrastructure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ERROR_PAGES = "https://docs.fal.ai/errors/#"


@dataclass(frozen=True, slots=True)
class Reply:
    """The response of the result URL. `error` and `error_type` are also in the status, next to COMPLETED."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    error_type: str | None = None


@dataclass(frozen=True, slots=True)
class ModelFault:
    """An error of the model: a list under `detail`; the status has no error."""

    status: int
    type: str
    message: str
    where: str = ""
    context: Mapping[str, Any] = field(default_factory=dict)
    retryable: bool = False

    def reply(self, payload: Any) -> Reply:
        """The reply for an input; `input` repeats the offending value, as fal does."""
        offending = payload.get(self.where) if self.where and isinstance(payload, dict) else payload
        entry = {
            "loc": ["body", self.where] if self.where else ["body"],
            "msg": self.message,
            "type": self.type,
            "url": ERROR_PAGES + self.type,
            "ctx": dict(self.context),
            "input": offending,
        }
        return faults_reply(self.status, [entry], retryable=self.retryable)


@dataclass(frozen=True, slots=True)
class RequestFault:
    """An error of fal's infrastructure: a sentence and `error_type`, both also in the status."""

    status: int
    error_type: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def reply(self, _payload: Any = None) -> Reply:
        """The reply, the same for every input."""
        return Reply(
            self.status,
            {"detail": self.detail, "error_type": self.error_type},
            {"X-Fal-Error-Type": self.error_type, **self.headers},
            error=self.detail,
            error_type=self.error_type,
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """The response to a submit that is not accepted."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


def faults_reply(status: int, entries: list[dict[str, Any]], *, retryable: bool = False) -> Reply:
    """A model's error reply with these entries."""
    return Reply(status, {"detail": entries}, {"X-Fal-Retryable": str(retryable).lower()})


def nginx_page(status: int, reason: str) -> str:
    """The error page of a load balancer without a backend."""
    title = f"{status} {reason}"
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )


CANCELLED = RequestFault(499, "client_cancelled", "Request cancelled by the client")
NOT_STARTED_IN_TIME = RequestFault(
    504, "request_timeout", "Request timed out", {"X-Fal-Request-Timeout-Type": "user"}
)
INTERNAL = ModelFault(500, "internal_server_error", "Internal server error", retryable=True)
CONTENT_POLICY = ModelFault(
    422,
    "content_policy_violation",
    "The content could not be processed because it contained material flagged by a content checker.",
    "prompt",
)
BAD_KEY = Refusal(401, {"detail": "No user found for Key ID and Secret"})
LOCK_REASON = "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."
LOCKED = Refusal(403, {"detail": LOCK_REASON})
SERVER_ERROR = Refusal(500, {"detail": "Internal Server Error", "error_type": "internal_error"})
BAD_GATEWAY = Refusal(502, nginx_page(502, "Bad Gateway"))
CONCURRENCY = Refusal(
    429,
    {"detail": "Too many concurrent requests", "error_type": "concurrent_requests_limit"},
    {"X-Fal-Needs-Retry": "1", "X-Fal-Error-Type": "concurrent_requests_limit"},
)
EXPIRED = Reply(404, {"detail": "Request not found"})
