"""The public half of the key that signs messages to customers."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from app.api.deps import TheGateway
from app.webhooks import signing

FRESH_S = 3600

# fal's own key set is below rest.fal.ai, which `/fal/rest` replaces.
PATHS = ("/.well-known/jwks.json", "/fal/rest/.well-known/jwks.json")

router = APIRouter(include_in_schema=False)


@router.get(PATHS[0])
@router.get(PATHS[1])
async def read_keys(gateway: TheGateway) -> Response:
    """A public JWK set, cached for an hour: it verifies webhooks in fal's form and `v1a` signatures."""
    keys = signing.jwks(await gateway.stores.secrets.of_webhooks())
    return JSONResponse(keys, headers={"Cache-Control": f"public, max-age={FRESH_S}"})
