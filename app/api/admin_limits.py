"""Limits over HTTP: the same three routes for the whole gateway, for a team and for a user."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends

from app.api.admin_bodies import LimitsBody, RaiseBody
from app.api.body import json_array, json_body
from app.api.deps import Administrator, TheGateway, existing_team, existing_user
from app.api.paging import PageCursor, PageSize, UserText
from app.domain.limits import GATEWAY
from app.views.limits import (
    LimitList,
    LimitView,
    PresentLimitList,
    UserLimitsPage,
    limit_view,
    limits_view,
    present_limit_view,
    user_limits_page,
)

ReadLimits = Annotated[LimitsBody, Depends(json_array(LimitsBody))]
ReadRaise = Annotated[RaiseBody, Depends(json_body(RaiseBody))]

router = APIRouter(prefix="/v1", tags=["administration"])


async def _whole_gateway(_: Administrator) -> str:
    return GATEWAY


def _add_routes(path: str, find: Callable[..., Awaitable[str]], *, of: str, name: str) -> None:
    """Routes for the limits of what `find` returns; `of` names it in summaries, `name` in operation ids."""
    Owner = Annotated[str, Depends(find)]  # noqa: N806  a type

    @router.get(f"{path}/limits", name=f"read_{name}limits", summary=f"Read the limits of {of}")
    async def read(owner: Owner, _: Administrator, gateway: TheGateway) -> PresentLimitList:
        """The limits on all its jobs together, and what is used, held and left of each."""
        return {"data": [present_limit_view(*row) for row in await gateway.limits.present(owner)]}

    @router.put(f"{path}/limits", name=f"replace_{name}limits", summary=f"Set the limits of {of}")
    async def replace(owner: Owner, actor: Administrator, gateway: TheGateway, body: ReadLimits) -> LimitList:
        """Replaces all of its limits."""
        limits = body.limits()
        await gateway.limits.replace(actor, owner, limits)
        return {"data": limits_view(limits)}

    @router.post(
        f"{path}/raises", name=f"raise_{name}limit", status_code=201, summary=f"Raise a limit of {of} for a while"
    )
    async def raise_limit(owner: Owner, actor: Administrator, gateway: TheGateway, body: ReadRaise) -> LimitView:
        """A higher amount that replaces one of the limits until it expires."""
        return limit_view(await gateway.limits.raise_for(actor, owner, body.limit(), seconds=body.expires_in))


@router.get("/admin/teams/{team_id}/users", summary="What is left to the users of a team")
async def list_team_users(
    team_id: str,
    _: Administrator,
    gateway: TheGateway,
    text: UserText = None,
    limit: PageSize = 50,
    cursor: PageCursor = None,
) -> UserLimitsPage:
    """The users of a team with the states of their limits, the oldest first."""
    team = await gateway.administration.team(team_id)
    return user_limits_page(*await gateway.limits.of_users(team, text=text, limit=limit, cursor=cursor))


_add_routes("/admin", _whole_gateway, of="the whole gateway", name="")
_add_routes("/admin/teams/{team_id}", existing_team, of="a team", name="team_")
_add_routes("/admin/users/{user_id}", existing_user, of="a user", name="user_")
