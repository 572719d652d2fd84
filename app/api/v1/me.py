"""The caller's own key, team and user, and what is left of their money."""

from fastapi import APIRouter

from app.api.deps import CurrentCaller, TheGateway
from app.api.paging import PageCursor, PageSize, UserText
from app.domain.access import require_team_sight
from app.views.accounts import MeView, me_view
from app.views.limits import UserLimitsPage, user_limits_page

router = APIRouter(prefix="/v1", tags=["account"])


@router.get("/me", summary="Who am I?")
async def read_me(caller: CurrentCaller, gateway: TheGateway) -> MeView:
    """The key's team, user and scopes, and the team's money; a browser token sees its own caps only."""
    found = await gateway.accounts.who_am_i(caller)
    return me_view(caller, found, retention_days=gateway.settings.retention_days)


@router.get("/team/users", summary="What is left to the team's users")
async def list_own_team_users(
    caller: CurrentCaller,
    gateway: TheGateway,
    text: UserText = None,
    limit: PageSize = 50,
    cursor: PageCursor = None,
) -> UserLimitsPage:
    """The users of the team with the states of their own limits, the oldest first; for `team:read`."""
    require_team_sight(caller)
    team = await gateway.administration.team(caller.team)
    return user_limits_page(*await gateway.limits.of_users(team, text=text, limit=limit, cursor=cursor))
