"""Limits as they are set, and their present state."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NotRequired

from typing_extensions import TypedDict

from app.domain.limits import Limit, LimitState, Owner, Unit, Window, format_amount, tightest
from app.domain.times import iso
from app.views.fields import Time

if TYPE_CHECKING:
    from app.services.limits import UserLimits  # loads the store's client, which no command at a server needs

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


class LimitStateView(LimitNow):
    """A limit's state: the amount that applies, how much of it is used, held and left, and when it resets."""

    owner: Owner
    unit: Unit
    window: Window


class UserLimitsView(TypedDict):
    """A user, the states of their own limits, and of these the one that refuses first; null without limits."""

    id: str
    name: str
    limits: list[LimitStateView]
    tightest: LimitStateView | None


class UserLimitsPage(TypedDict):
    """Users of a team, the oldest first; `next_cursor` is null on the last page."""

    data: list[UserLimitsView]
    next_cursor: str | None
    has_more: bool


def limit_view(limit: Limit) -> LimitView:
    """A limit as it was set."""
    view: LimitView = {"unit": limit.unit, "window": limit.window, "amount": _amount(limit.unit, limit.amount)}
    if limit.raised_to is not None:
        view["raised_to"] = _amount(limit.unit, limit.raised_to)
        view["raised_until"] = iso(limit.raised_until_ms)
    return view


def present_limit_view(limit: Limit, state: LimitState) -> PresentLimitView:
    """A limit as it was set, and its state."""
    return {**limit_view(limit), "state": _now(state)}


def limits_view(limits: Sequence[Limit]) -> list[LimitView]:
    """An owner's limits, by unit and window."""
    return [limit_view(limit) for limit in sorted(limits, key=lambda limit: limit.name)]


def user_limits_page(users: Sequence["UserLimits"], next_cursor: str | None) -> UserLimitsPage:
    """A page of users."""
    return {
        "data": [
            {
                "id": one.user.id,
                "name": one.user.name,
                "limits": [limit_state_view(state) for state in one.limits],
                "tightest": tightest_view(one.limits),
            }
            for one in users
        ],
        "next_cursor": next_cursor,
        "has_more": next_cursor is not None,
    }


def tightest_view(states: Sequence[LimitState]) -> LimitStateView | None:
    """The state of the limit that refuses first, or None."""
    first = tightest(states)
    return None if first is None else limit_state_view(first)


def limit_state_view(state: LimitState) -> LimitStateView:
    """A limit's state."""
    return {
        "owner": state.owner,
        "unit": state.unit,
        "window": state.window,
        **_now(state),
    }


def _now(state: LimitState) -> LimitNow:
    return {
        "amount": _amount(state.unit, state.amount),
        "used": _amount(state.unit, state.used),
        "held": _amount(state.unit, state.held),
        "left": _amount(state.unit, state.left),
        "resets_at": iso(state.resets_ms),
    }


def _amount(unit: Unit, amount: int) -> Amount:
    return format_amount(unit, amount) if unit is Unit.USD else amount
