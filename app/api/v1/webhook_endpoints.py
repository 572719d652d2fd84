"""Webhook endpoints and signing secrets over HTTP."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends

from app.api.body import json_body
from app.api.deps import CurrentCaller, TheGateway
from app.api.document_responses import NO_CONTENT, refusals
from app.api.v1.webhook_bodies import EndpointBody, EndpointChange, RotationBody
from app.domain.endpoints import Endpoint, Secret
from app.gateway import Gateway
from app.views.webhooks import (
    EndpointList,
    EndpointView,
    NewEndpointView,
    SecretView,
    SentTestView,
    endpoint_view,
    secret_view,
)

router = APIRouter(prefix="/v1", tags=["webhooks"])

ReadEndpoint = Annotated[EndpointBody, Depends(json_body(EndpointBody))]
ReadChange = Annotated[EndpointChange, Depends(json_body(EndpointChange))]
ReadRotation = Annotated[RotationBody, Depends(json_body(RotationBody, optional=True))]


@router.post("/webhook-endpoints", status_code=201, responses=refusals(404, 409), summary="Add a webhook endpoint")
async def add_webhook_endpoint(caller: CurrentCaller, body: ReadEndpoint, gateway: TheGateway) -> NewEndpointView:
    """The team's events are sent to it from now on; its secret is shown only in this reply."""
    return await with_secret(gateway, await gateway.endpoints.add(caller, body.request()))


@router.get("/webhook-endpoints", summary="List webhook endpoints")
async def list_webhook_endpoints(caller: CurrentCaller, gateway: TheGateway) -> EndpointList:
    """The team's endpoints, oldest first."""
    return {"data": await endpoint_views(gateway, await gateway.endpoints.of_team(caller))}


@router.get("/webhook-endpoints/{endpoint_id}", summary="Read a webhook endpoint")
async def read_webhook_endpoint(endpoint_id: str, caller: CurrentCaller, gateway: TheGateway) -> EndpointView:
    """One of the team's endpoints."""
    return await shown_endpoint(gateway, await gateway.endpoints.get(caller, endpoint_id))


@router.patch(
    "/webhook-endpoints/{endpoint_id}",
    responses=refusals(409),
    summary="Change, pause or resume a webhook endpoint",
)
async def change_webhook_endpoint(
    endpoint_id: str, caller: CurrentCaller, body: ReadChange, gateway: TheGateway
) -> EndpointView:
    """Omitted members keep their value. While it is paused, deliveries wait; `"paused": false` also enables it."""
    endpoint = await gateway.endpoints.change(caller, endpoint_id, body.changes, paused=body.pause)
    return await shown_endpoint(gateway, endpoint)


@router.delete("/webhook-endpoints/{endpoint_id}", **NO_CONTENT, summary="Delete a webhook endpoint")
async def remove_webhook_endpoint(endpoint_id: str, caller: CurrentCaller, gateway: TheGateway) -> None:
    """Its waiting deliveries are not sent."""
    await gateway.endpoints.remove(caller, endpoint_id)


@router.post(
    "/webhook-endpoints/{endpoint_id}/test", status_code=202, responses=refusals(409), summary="Send a test event"
)
async def send_test_event(endpoint_id: str, caller: CurrentCaller, gateway: TheGateway) -> SentTestView:
    """Sends `endpoint.test` like any other event; 409 `endpoint_not_active` while the endpoint gets none."""
    return {"delivery": await gateway.endpoints.test(caller, endpoint_id)}


@router.post(
    "/webhook-endpoints/{endpoint_id}/rotate-secret",
    responses=refusals(409),
    summary="Make a new secret for a webhook endpoint",
)
async def rotate_endpoint_secret(
    endpoint_id: str, caller: CurrentCaller, body: ReadRotation, gateway: TheGateway
) -> NewEndpointView:
    """Shown only in this reply. The previous one also signs during the overlap; at most three sign at once."""
    endpoint = await gateway.endpoints.rotate(caller, endpoint_id, overlap_ms=body.overlap_ms)
    return await with_secret(gateway, endpoint)


@router.get("/webhook-secret", summary="The secret that signs webhooks named by jobs")
async def read_webhook_secret(caller: CurrentCaller, gateway: TheGateway) -> SecretView:
    """The team's Standard Webhooks secret, `whsec_…`, and until when older ones also sign."""
    return await _team_view(gateway, await gateway.endpoints.team_secrets(caller))


@router.post(
    "/webhook-secret/rotate", responses=refusals(409), summary="Make a new secret for webhooks named by jobs"
)
async def rotate_webhook_secret(caller: CurrentCaller, body: ReadRotation, gateway: TheGateway) -> SecretView:
    """The previous one also signs during the overlap; at most three sign at once."""
    return await _team_view(gateway, await gateway.endpoints.rotate_team_secret(caller, overlap_ms=body.overlap_ms))


async def shown_endpoint(gateway: Gateway, endpoint: Endpoint) -> EndpointView:
    """An endpoint and its health."""
    return (await endpoint_views(gateway, [endpoint]))[0]


async def with_secret(gateway: Gateway, endpoint: Endpoint) -> NewEndpointView:
    """An endpoint with its newest secret, for the one reply that shows it."""
    return {**await shown_endpoint(gateway, endpoint), "secret": endpoint.secrets[0].text}


async def endpoint_views(gateway: Gateway, endpoints: Sequence[Endpoint]) -> list[EndpointView]:
    """Each of these with its health."""
    public_key = await gateway.endpoints.public_key() if any(one.asymmetric for one in endpoints) else None
    now_ms, health = await gateway.stores.clock.now_ms(), await gateway.endpoints.health(endpoints)
    return [
        endpoint_view(one, how, now_ms=now_ms, public_key=public_key)
        for one, how in zip(endpoints, health, strict=True)
    ]


async def _team_view(gateway: Gateway, secrets: tuple[Secret, ...]) -> SecretView:
    return secret_view(secrets, now_ms=await gateway.stores.clock.now_ms())
