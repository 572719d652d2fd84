"""`RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11): every limit of the caller."""

from collections.abc import Sequence

from app.domain.limits import LENGTH_MS, LimitState, Unit, Window

QUOTA_UNITS = {
    Unit.JOBS: "requests",
    Unit.SUBMITS: "requests",
    Unit.USD: "micro-usd",
    Unit.VIDEO_SECONDS: "video-seconds",
}


def limit_headers(limits: Sequence[LimitState]) -> dict[str, str]:
    """Both headers, or none without limits.

    Names are `owner-unit-window`; money is counted in whole micro-dollars; `w` is the window's usual length and
    `t` the seconds until it resets; both are omitted for a window without an end.
    """
    if not limits:
        return {}
    policies, states = [], []
    for limit in limits:
        name = f'"{limit.owner}-{limit.unit}-{limit.window}"'
        quota_unit = "concurrent-requests" if limit.window is Window.CONCURRENT else QUOTA_UNITS[limit.unit]
        window = f";w={LENGTH_MS[limit.window] // 1000}" if limit.window in LENGTH_MS else ""
        policies.append(f'{name};q={limit.amount};qu="{quota_unit}"{window}')
        reset = "" if limit.resets_ms is None else f";t={max(0, -(-(limit.resets_ms - limit.now_ms) // 1000))}"
        states.append(f"{name};r={limit.left}{reset}")
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(states)}
