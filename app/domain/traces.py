"""W3C Trace Context: one id for all that belongs to a request, here, at fal and at consumers of webhooks.

A trace id in our logs is 32 hex digits, or the caller's own `X-Request-ID`. Where the standard's form is needed, an
id of another form is hashed.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass

SPAN_DIGITS = 16
SAMPLED = 1  # a flag: the caller records this trace
FIRST_VERSION = "00"
_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}", re.ASCII)
# `version-trace-parent-flags`; versions after the first may have more behind a dash.
_TRACEPARENT = re.compile(
    r"(?P<version>(?!ff)[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<span>(?!0{16})[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class TraceParent:
    """A trace, the span in it that the next one belongs to, and whether the trace is recorded.

    In a caller's `traceparent` that is the caller's span. It is empty where a trace begins.
    """

    trace_id: str
    span: str
    sampled: bool


def read_traceparent(text: str) -> TraceParent | None:
    """The parts of a `traceparent`; None for one that the standard calls invalid."""
    found = _TRACEPARENT.fullmatch(text)
    if found is None or (found["version"] == FIRST_VERSION and found["more"]):
        return None
    return TraceParent(found["trace"], found["span"], bool(int(found["flags"], 16) & SAMPLED))


def write_traceparent(trace_id: str, span: str, *, sampled: bool) -> str:
    """The header for a call that we make: of version 00, with our span as the parent."""
    return f"{FIRST_VERSION}-{standard_id(trace_id)}-{span}-{SAMPLED if sampled else 0:02x}"


def standard_id(trace_id: str) -> str:
    """32 hex digits: the trace id, or a hash of one that has another form."""
    if _TRACE_ID.fullmatch(trace_id):
        return trace_id
    return hashlib.sha256(trace_id.encode()).hexdigest()[:32]


def new_span() -> str:
    """The id of a span: 64 random bits as hex, never all zero."""
    return f"{secrets.randbits(64) or 1:016x}"


def span_of(job_id: str) -> str:
    """The span of a job's admission, from its id: every process finds it there, and need not be told."""
    return job_id[-SPAN_DIGITS:]
