"""`RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11): every limit of the caller."""

from collections.abc import Sequence
from functools import cache

from app.domain.limits import LENGTH_MS, LimitState, Owner, Unit, Window

MOST = 999_999_999_999_999  # the largest integer of a structured field (RFC 9651); almost a billion dollars
QUOTA_UNITS = {
    Unit.JOBS: "requests",
    Unit.SUBMITS: "requests",
    Unit.USD: "micro-usd",
    Unit.VIDEO_SECONDS: "video-seconds",
}


def limit_headers(limits: Sequence[LimitState]) -> dict[str, str]:
    """Both headers, or none without limits.

    Names are `owner-unit-window`; money is counted in whole micro-dollars; `w` is the window's usual length and
    `t` the seconds until it resets; both are omitted for a window without an end. Amounts above MOST are MOST.
    """
    if not limits:
        return {}
    policies, states = [], []
    for limit in limits:
        name, terms = _named(limit.owner, limit.unit, limit.window)
        policies.append(f"{name};q={min(limit.amount, MOST)}{terms}")
        reset = "" if limit.resets_ms is None else f";t={max(0, -(-(limit.resets_ms - limit.now_ms) // 1000))}"
        states.append(f"{name};r={min(limit.left, MOST)}{reset}")
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(states)}


@cache
def _named(owner: Owner, unit: Unit, window: Window) -> tuple[str, str]:
    """A limit's name, and what follows the amount in its policy: the same in every reply."""
    quota_unit = "concurrent-requests" if window is Window.CONCURRENT else QUOTA_UNITS[unit]
    length = f";w={LENGTH_MS[window] // 1000}" if window in LENGTH_MS else ""
    return f'"{owner}-{unit}-{window}"', f';qu="{quota_unit}"{length}'
