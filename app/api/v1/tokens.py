"""Browser tokens over HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from app.api.body import json_body
from app.api.deps import CurrentCaller, TheGateway
from app.api.v1.schemas import PROBLEMS, Usd, body_schema
from app.domain.addresses import read_origin
from app.domain.limits import HIGHEST_COUNT
from app.domain.views import iso, limit_view
from app.services.tokens import LONGEST_S, SHORTEST_S, USUAL_S, Minted, TokenRequest

MODELS = 100  # that one token may name

router = APIRouter(prefix="/v1", tags=["account"], responses=PROBLEMS)


def _origin(text: str) -> str:
    try:
        return read_origin(text)
    except ValueError:
        raise ValueError("An origin is as browsers send it: https://app.example.com") from None


class TokenBody(BaseModel):
    """What `POST /v1/tokens` takes."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)

    expires_in: int = Field(USUAL_S, ge=SHORTEST_S, le=LONGEST_S, description="Seconds from now")
    max_jobs: int | None = Field(None, ge=1, le=HIGHEST_COUNT, description="The most jobs it may ask for")
    max_usd: Annotated[Usd, Field(ge=1)] | None = Field(None, description="The most its jobs may cost together")
    models: Annotated[list[str], Field(min_length=1, max_length=MODELS)] | None = Field(
        None, description="The only models it may ask for; those of the key by default"
    )
    origin: Annotated[str, AfterValidator(_origin)] | None = Field(None, description="The only page it works on")
    job: str | None = Field(None, max_length=64, description="The one job that it may read, and nothing else")

    @model_validator(mode="after")
    def _reads_or_submits(self) -> "TokenBody":
        """A token for one job submits nothing, so there is nothing to cap."""
        caps = (self.max_jobs, self.max_usd, self.models)
        if self.job is not None and any(cap is not None for cap in caps):
            raise ValueError("A token for one job submits nothing; leave max_jobs, max_usd and models out")
        return self

    def request(self) -> TokenRequest:
        """The same, in the services' words."""
        return TokenRequest(
            expires_in_s=self.expires_in,
            max_jobs=self.max_jobs,
            max_usd_micro=self.max_usd,
            models=self.models,
            origin=self.origin,
            job=self.job,
        )


ReadToken = Annotated[TokenBody, Depends(json_body(TokenBody))]


@router.post("/tokens", status_code=201, openapi_extra=body_schema(TokenBody), summary="Make a browser token")
async def mint_token(caller: CurrentCaller, body: ReadToken, owner: TheGateway) -> Response:
    """A key for a web page, for minutes: with at most the rights of the key that asks, and gone with it."""
    minted = await owner.tokens.mint(caller, body.request())
    return JSONResponse(_view(minted), 201, headers={"Cache-Control": "no-store"})


def _view(minted: Minted) -> dict[str, Any]:
    """The token, which is shown this once, and what it is good for; null where its key alone decides."""
    record = minted.record
    return {
        "id": record.id,
        "token": minted.token,
        "expires_at": iso(record.expires_ms),
        "scopes": sorted(record.scopes),
        "models": record.models,
        "origin": record.origins[0] if record.origins is not None and len(record.origins) == 1 else None,
        "job": record.job,
        "limits": [limit_view(limit) for limit in minted.limits],
    }
