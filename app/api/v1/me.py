"""Who am I, and what is left."""

from typing import Any

from fastapi import APIRouter

from app.api.deps import CurrentCaller, TheGateway
from app.api.v1.schemas import PROBLEMS
from app.domain.limits import Owner
from app.domain.money import format_usd
from app.domain.views import limit_state_view

router = APIRouter(prefix="/v1", tags=["account"], responses=PROBLEMS)


@router.get("/me", summary="Who am I?")
async def read_me(caller: CurrentCaller, owner: TheGateway) -> dict[str, Any]:
    """The key's team, user and scopes, and the team's money; a browser token is told of its own caps only."""
    me = await owner.accounts.who_am_i(caller)
    view = {
        "team": {"id": me.team.id, "name": me.team.name},
        "user": {"id": me.user.id, "name": me.user.name},
        "key": {"id": caller.key, "scopes": sorted(caller.scopes)},
        "limits": [
            limit_state_view(state) for state in me.limits if caller.token is None or state.owner is Owner.TOKEN
        ],
    }
    if caller.token is None:
        view["usage"] = {"reserved_usd": format_usd(me.held_micro), "spent_usd": format_usd(me.spent_micro)}
    return view
