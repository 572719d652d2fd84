"""Which limit refuses a job, as an error that explains itself."""

from app.domain.errors import OverBudget, OverLimit
from app.domain.jobs import Order
from app.domain.limits import LimitState, Unit, Window

WAIT_S = {Window.CONCURRENT: 10, Window.QUEUED: 10, Window.TOTAL: 3600}  # a guess, where no time is known


def refusal(limits: tuple[LimitState, ...], asked: Order) -> OverBudget | OverLimit:
    """Why the limits marked `over` refuse a job: money first, because waiting does not bring it back soon."""
    over = [state for state in limits if state.over]
    need = {Unit.USD: asked.quoted_micro, Unit.VIDEO_SECONDS: asked.seconds}
    over.sort(key=lambda state: state.unit is not Unit.USD)
    sentence = " ".join(state.sentence(need.get(state.unit, 1)) for state in over)
    if over[0].unit is Unit.USD:
        return OverBudget(sentence, limits=limits)
    waits = [
        WAIT_S.get(state.window, 60) if state.resets_ms is None else -(-(state.resets_ms - state.now_ms) // 1000)
        for state in over
    ]
    error = OverLimit(sentence, limits=limits, retry_after=max(1, *waits))
    error.retryable = all(need.get(state.unit, 1) <= state.amount for state in over)  # else waiting brings nothing
    return error
