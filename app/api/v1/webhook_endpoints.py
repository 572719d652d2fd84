"""Webhook endpoints and the secrets that sign, over HTTP."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response

from app.api.body import json_body
from app.api.deps import CurrentCaller, TheGateway
from app.api.v1.schemas import PROBLEMS, body_schema
from app.api.v1.webhook_schemas import EndpointBody, EndpointChange, RotationBody, endpoint_view
from app.domain.endpoints import Endpoint, Secret, older_until
from app.domain.views import iso
from app.gateway import Gateway

NO_STORE = {"Cache-Control": "no-store"}

router = APIRouter(prefix="/v1", tags=["webhooks"], responses=PROBLEMS)

ReadEndpoint = Annotated[EndpointBody, Depends(json_body(EndpointBody))]
ReadChange = Annotated[EndpointChange, Depends(json_body(EndpointChange))]
ReadRotation = Annotated[RotationBody, Depends(json_body(RotationBody, optional=True))]


@router.post(
    "/webhook-endpoints", status_code=201, openapi_extra=body_schema(EndpointBody), summary="Add a webhook endpoint"
)
async def add_webhook_endpoint(caller: CurrentCaller, body: ReadEndpoint, owner: TheGateway) -> Response:
    """The team's events go to it from now on; its secret is shown this once."""
    endpoint = await owner.endpoints.add(caller, body.request())
    return JSONResponse(await _view(owner, endpoint, secret=True), 201, headers=NO_STORE)


@router.get("/webhook-endpoints", summary="List webhook endpoints")
async def list_webhook_endpoints(caller: CurrentCaller, owner: TheGateway) -> dict[str, Any]:
    """The team's, the oldest first."""
    return {"data": await _views(owner, await owner.endpoints.every(caller))}


@router.get("/webhook-endpoints/{endpoint_id}", summary="Read a webhook endpoint")
async def read_webhook_endpoint(endpoint_id: str, caller: CurrentCaller, owner: TheGateway) -> dict[str, Any]:
    """One of the team's."""
    return await _view(owner, await owner.endpoints.get(caller, endpoint_id))


@router.patch(
    "/webhook-endpoints/{endpoint_id}",
    openapi_extra=body_schema(EndpointChange),
    summary="Change, pause or resume a webhook endpoint",
)
async def change_webhook_endpoint(
    endpoint_id: str, caller: CurrentCaller, body: ReadChange, owner: TheGateway
) -> dict[str, Any]:
    """What is not given stays. While it is paused its deliveries wait; `"paused": false` also ends a disabling."""
    endpoint = await owner.endpoints.change(caller, endpoint_id, body.changes, paused=body.pause)
    return await _view(owner, endpoint)


@router.delete(
    "/webhook-endpoints/{endpoint_id}",
    status_code=204,
    response_class=Response,
    summary="Delete a webhook endpoint",
)
async def remove_webhook_endpoint(endpoint_id: str, caller: CurrentCaller, owner: TheGateway) -> None:
    """What waits for it is not sent any more."""
    await owner.endpoints.remove(caller, endpoint_id)


@router.post("/webhook-endpoints/{endpoint_id}/test", status_code=202, summary="Send a test event")
async def send_test_event(endpoint_id: str, caller: CurrentCaller, owner: TheGateway) -> dict[str, str]:
    """`endpoint.test` goes to it now, on the usual way; 409 `endpoint_not_active` while nothing does."""
    return {"delivery": await owner.endpoints.test(caller, endpoint_id)}


@router.post(
    "/webhook-endpoints/{endpoint_id}/rotate-secret",
    openapi_extra=body_schema(RotationBody, required=False),
    summary="Make a new secret for a webhook endpoint",
)
async def rotate_endpoint_secret(
    endpoint_id: str, caller: CurrentCaller, body: ReadRotation, owner: TheGateway
) -> Response:
    """It is shown this once. The one before signs on for the overlap; three may sign at the same time."""
    endpoint = await owner.endpoints.rotate(caller, endpoint_id, overlap_ms=body.overlap_ms)
    return JSONResponse(await _view(owner, endpoint, secret=True), headers=NO_STORE)


@router.get("/webhook-secret", summary="The secret that signs webhooks named by jobs")
async def read_webhook_secret(caller: CurrentCaller, owner: TheGateway) -> Response:
    """The team's Standard Webhooks secret, `whsec_…`, and until when older ones sign beside it."""
    return await _team_view(owner, await owner.endpoints.team_secrets(caller))


@router.post(
    "/webhook-secret/rotate",
    openapi_extra=body_schema(RotationBody, required=False),
    summary="Make a new secret for webhooks named by jobs",
)
async def rotate_webhook_secret(caller: CurrentCaller, body: ReadRotation, owner: TheGateway) -> Response:
    """The one before signs on for the overlap; three may sign at the same time."""
    return await _team_view(owner, await owner.endpoints.rotate_team_secret(caller, overlap_ms=body.overlap_ms))


async def _view(owner: Gateway, endpoint: Endpoint, *, secret: bool = False) -> dict[str, Any]:
    return (await _views(owner, [endpoint], secret=secret))[0]


async def _views(owner: Gateway, endpoints: Sequence[Endpoint], *, secret: bool = False) -> list[dict[str, Any]]:
    public_key = await owner.endpoints.public_key() if any(one.asymmetric for one in endpoints) else None
    now_ms, health = await owner.dispatch.now_ms(), await owner.endpoints.health(endpoints)
    return [
        endpoint_view(one, how, now_ms=now_ms, public_key=public_key, secret=secret)
        for one, how in zip(endpoints, health, strict=True)
    ]


async def _team_view(owner: Gateway, secrets: tuple[Secret, ...]) -> Response:
    older = [iso(until_ms) for until_ms in older_until(secrets, await owner.dispatch.now_ms())]
    return JSONResponse({"secret": secrets[0].text, "older_secrets_until": older}, headers=NO_STORE)
