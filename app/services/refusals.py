"""The error for a job that exceeds limits."""

import math

from app.domain.errors import OverBudget, OverLimit
from app.domain.jobs import Order
from app.domain.limits import LimitState, Unit, Window

WAIT_S = {Window.CONCURRENT: 10, Window.QUEUED: 10, Window.TOTAL: 3600}  # a guess: these have no time of reset


def limit_error(limits: tuple[LimitState, ...], order: Order) -> OverBudget | OverLimit:
    """Why the limits marked `over` refuse a job; OverBudget if money is among them, since waiting rarely helps."""
    over = [state for state in limits if state.over]
    need = {Unit.USD: order.quoted_micro, Unit.VIDEO_SECONDS: order.seconds}
    over.sort(key=lambda state: state.unit is not Unit.USD)
    sentence = " ".join(state.sentence(need.get(state.unit, 1)) for state in over)
    if over[0].unit is Unit.USD:
        return OverBudget(sentence, limits=limits)
    waits = [
        WAIT_S.get(state.window, 60)
        if state.resets_ms is None
        else math.ceil((state.resets_ms - state.now_ms) / 1000)
        for state in over
    ]
    error = OverLimit(sentence, limits=limits, retry_after=max(1, *waits))
    error.retryable = all(need.get(state.unit, 1) <= state.amount for state in over)
    return error
