"""Limits as they are set, and their present state."""

from collections.abc import Sequence
from typing import NotRequired

from typing_extensions import TypedDict

from app.domain.limits import Limit, LimitState, Owner, Unit, Window, format_amount
from app.domain.times import iso
from app.views.fields import Time

Amount = str | int  # dollars as a decimal string, other units as an integer


class LimitView(TypedDict):
    """A limit; until `raised_until`, `raised_to` applies instead of `amount`."""

    unit: Unit
    window: Window
    amount: Amount
    raised_to: NotRequired[Amount]
    raised_until: NotRequired[Time | None]


class LimitList(TypedDict):
    """An owner's limits."""

    data: list[LimitView]


class LimitNow(TypedDict):
    """The amount that applies now, with raises and credits; how much is used, held and left; when it resets."""

    amount: Amount
    used: Amount
    held: Amount
    left: Amount
    resets_at: Time | None


class PresentLimitView(LimitView):
    """A limit as it was set, and its present state."""

    state: LimitNow


class PresentLimitList(TypedDict):
    """An owner's limits, and what is left of them."""

    data: list[PresentLimitView]


class LimitStateView(TypedDict):
    """A limit's state: the amount that applies, how much of it is used, held and left, and when it resets."""

    owner: Owner
    unit: Unit
    window: Window
    amount: Amount
    used: Amount
    held: Amount
    left: Amount
    resets_at: Time | None


def limit_view(limit: Limit) -> LimitView:
    """A limit as it was set."""
    view: LimitView = {"unit": limit.unit, "window": limit.window, "amount": _amount(limit.unit, limit.amount)}
    if limit.raised_to is not None:
        view["raised_to"] = _amount(limit.unit, limit.raised_to)
        view["raised_until"] = iso(limit.raised_until_ms)
    return view


def present_limit_view(limit: Limit, state: LimitState) -> PresentLimitView:
    """A limit as it was set, and its state."""
    return {
        **limit_view(limit),
        "state": {
            "amount": _amount(state.unit, state.amount),
            "used": _amount(state.unit, state.used),
            "held": _amount(state.unit, state.held),
            "left": _amount(state.unit, state.left),
            "resets_at": iso(state.resets_ms),
        },
    }


def limits_view(limits: Sequence[Limit]) -> list[LimitView]:
    """An owner's limits, by unit and window."""
    return [limit_view(limit) for limit in sorted(limits, key=lambda limit: limit.name)]


def limit_state_view(state: LimitState) -> LimitStateView:
    """A limit's state."""
    return {
        "owner": state.owner,
        "unit": state.unit,
        "window": state.window,
        "amount": _amount(state.unit, state.amount),
        "used": _amount(state.unit, state.used),
        "held": _amount(state.unit, state.held),
        "left": _amount(state.unit, state.left),
        "resets_at": iso(state.resets_ms),
    }


def _amount(unit: Unit, amount: int) -> Amount:
    return format_amount(unit, amount) if unit is Unit.USD else amount
