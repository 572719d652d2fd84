"""A team's webhooks over HTTP, for the administrator's key: as a key of the team with `team:admin` has them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from app.api.deps import Administrator, TheGateway, existing_team
from app.api.document_responses import NO_CONTENT, refusals
from app.api.v1.deliveries import EndpointId, PageQuery, ReadReplay, listed_deliveries
from app.api.v1.webhook_endpoints import (
    ReadChange,
    ReadEndpoint,
    ReadRotation,
    endpoint_views,
    shown_endpoint,
    with_secret,
)
from app.domain.accounts import Caller, Scope
from app.views.webhooks import (
    DeliveryList,
    DeliveryView,
    EndpointList,
    EndpointView,
    NewEndpointView,
    ReplayedView,
    SentTestView,
    delivery_view,
    replayed_view,
)

router = APIRouter(prefix="/v1/admin/teams/{team_id}", tags=["administration"])


async def _for_team(team: Annotated[str, Depends(existing_team)], actor: Administrator) -> Caller:
    """The administrator in the place of a key of this team; the audit log names the administrator."""
    rights = frozenset({Scope.TEAM_ADMIN})
    return Caller(team=team, user=actor, key=actor, scopes=rights, reads_prompts=False)


ForTeam = Annotated[Caller, Depends(_for_team)]


@router.post(
    "/webhook-endpoints", status_code=201, responses=refusals(404, 409), summary="Add a team's webhook endpoint"
)
async def add_teams_endpoint(caller: ForTeam, body: ReadEndpoint, gateway: TheGateway) -> NewEndpointView:
    """The team's events are sent to it from now on; its secret is shown only in this reply."""
    return await with_secret(gateway, await gateway.endpoints.add(caller, body.request()))


@router.get("/webhook-endpoints", summary="List a team's webhook endpoints")
async def list_teams_endpoints(caller: ForTeam, gateway: TheGateway) -> EndpointList:
    """The team's endpoints, oldest first."""
    return {"data": await endpoint_views(gateway, await gateway.endpoints.of_team(caller))}


@router.get("/webhook-endpoints/{endpoint_id}", summary="Read a team's webhook endpoint")
async def read_teams_endpoint(endpoint_id: str, caller: ForTeam, gateway: TheGateway) -> EndpointView:
    """One of the team's endpoints."""
    return await shown_endpoint(gateway, await gateway.endpoints.get(caller, endpoint_id))


@router.patch(
    "/webhook-endpoints/{endpoint_id}", responses=refusals(409), summary="Change a team's webhook endpoint"
)
async def change_teams_endpoint(
    endpoint_id: str, caller: ForTeam, body: ReadChange, gateway: TheGateway
) -> EndpointView:
    """Omitted members keep their value. While it is paused, deliveries wait; `"paused": false` also enables it."""
    endpoint = await gateway.endpoints.change(caller, endpoint_id, body.changes, paused=body.pause)
    return await shown_endpoint(gateway, endpoint)


@router.delete("/webhook-endpoints/{endpoint_id}", **NO_CONTENT, summary="Delete a team's webhook endpoint")
async def remove_teams_endpoint(endpoint_id: str, caller: ForTeam, gateway: TheGateway) -> None:
    """Its waiting deliveries are not sent."""
    await gateway.endpoints.remove(caller, endpoint_id)


@router.post(
    "/webhook-endpoints/{endpoint_id}/test",
    status_code=202,
    responses=refusals(409),
    summary="Send a test event to a team's endpoint",
)
async def try_teams_endpoint(endpoint_id: str, caller: ForTeam, gateway: TheGateway) -> SentTestView:
    """Sends `endpoint.test` like any other event; 409 `endpoint_not_active` while the endpoint gets none."""
    return {"delivery": await gateway.endpoints.test(caller, endpoint_id)}


@router.post(
    "/webhook-endpoints/{endpoint_id}/rotate-secret",
    responses=refusals(409),
    summary="Make a new secret for a team's endpoint",
)
async def rotate_teams_secret(
    endpoint_id: str, caller: ForTeam, body: ReadRotation, gateway: TheGateway
) -> NewEndpointView:
    """Shown only in this reply. The previous one also signs during the overlap; at most three sign at once."""
    endpoint = await gateway.endpoints.rotate(caller, endpoint_id, overlap_ms=body.overlap_ms)
    return await with_secret(gateway, endpoint)


@router.get("/deliveries", response_model=DeliveryList, responses=refusals(404), summary="A team's webhooks")
async def list_teams_deliveries(
    request: Request, caller: ForTeam, gateway: TheGateway, query: PageQuery, endpoint: EndpointId = None
) -> Response:
    """With every attempt, newest first; with `status=dead`, dead letters in the order of their deaths."""
    return await listed_deliveries(request, gateway, caller, query, endpoint=endpoint)


@router.get("/deliveries/{delivery_id}", summary="Read a team's webhook")
async def read_teams_delivery(delivery_id: str, caller: ForTeam, gateway: TheGateway) -> DeliveryView:
    """One delivery with every attempt, also of a test event."""
    return delivery_view(await gateway.delivery_log.get(caller, delivery_id))


@router.post(
    "/deliveries/{delivery_id}/replay",
    status_code=202,
    responses=refusals(409),
    summary="Send a team's webhook again",
)
async def replay_teams_delivery(delivery_id: str, caller: ForTeam, gateway: TheGateway) -> DeliveryView:
    """Sends the same message with the same `webhook-id` now, and restarts its schedule."""
    return delivery_view(await gateway.delivery_log.replay(caller, delivery_id))


@router.post(
    "/deliveries/replay", status_code=202, responses=refusals(404), summary="Send many of a team's webhooks again"
)
async def replay_teams_deliveries(caller: ForTeam, body: ReadReplay, gateway: TheGateway) -> ReplayedView:
    """Dead letters, a filter or a range of time, oldest first and spread; if `more`, continue at `next_cursor`."""
    done = await gateway.delivery_log.replay_all(caller, body.filter(), limit=body.limit, cursor=body.cursor)
    return replayed_view(done)
