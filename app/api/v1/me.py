"""The caller's own key, team and user, and what is left of their money."""

from fastapi import APIRouter

from app.api.deps import CurrentCaller, TheGateway
from app.views.accounts import MeView, me_view

router = APIRouter(prefix="/v1", tags=["account"])


@router.get("/me", summary="Who am I?")
async def read_me(caller: CurrentCaller, gateway: TheGateway) -> MeView:
    """The key's team, user and scopes, and the team's money; a browser token sees its own caps only."""
    return me_view(caller, await gateway.accounts.who_am_i(caller))
