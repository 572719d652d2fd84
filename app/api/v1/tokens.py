"""Browser tokens over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import AfterValidator, Field, model_validator

from app.api.body import json_body
from app.api.deps import CurrentCaller, TheGateway
from app.api.document_responses import refusals
from app.api.strict_body import StrictBody, web_origin
from app.api.v1.bodies import Usd
from app.domain.limits import MAX_COUNT
from app.services.tokens import DEFAULT_LIFETIME_S, MAX_LIFETIME_S, MIN_LIFETIME_S, TokenRequest
from app.views.accounts import TokenView, token_view

MAX_MODELS = 100

router = APIRouter(prefix="/v1", tags=["account"])


def _not_nothing(micro: int) -> int:
    if micro == 0:
        raise ValueError("A token that may cost nothing can ask for nothing")
    return micro


PositiveUsd = Annotated[Usd, AfterValidator(_not_nothing)]


class TokenBody(StrictBody):
    """What `POST /v1/tokens` takes."""

    expires_in: int = Field(
        DEFAULT_LIFETIME_S, ge=MIN_LIFETIME_S, le=MAX_LIFETIME_S, description="Seconds from now"
    )
    max_jobs: int | None = Field(None, ge=1, le=MAX_COUNT, description="The most jobs it may ask for")
    max_usd: PositiveUsd | None = Field(None, description="The most its jobs may cost together")
    models: Annotated[list[str], Field(min_length=1, max_length=MAX_MODELS)] | None = Field(
        None, description="The only models it may ask for; those of the key by default"
    )
    origin: Annotated[str, AfterValidator(web_origin)] | None = Field(None, description="The only page it works on")
    job: str | None = Field(None, max_length=64, description="The one job that it may read, and nothing else")

    @model_validator(mode="after")
    def _reads_or_submits(self) -> "TokenBody":
        """A token for one job submits nothing, so there is nothing to cap."""
        caps = (self.max_jobs, self.max_usd, self.models)
        if self.job is not None and any(cap is not None for cap in caps):
            raise ValueError("A token for one job submits nothing; leave max_jobs, max_usd and models out")
        return self

    def request(self) -> TokenRequest:
        """As the service takes it."""
        return TokenRequest(
            expires_in_s=self.expires_in,
            max_jobs=self.max_jobs,
            max_usd_micro=self.max_usd,
            models=self.models,
            origin=self.origin,
            job=self.job,
        )


ReadToken = Annotated[TokenBody, Depends(json_body(TokenBody))]


@router.post("/tokens", status_code=201, responses=refusals(404), summary="Make a browser token")
async def mint_token(caller: CurrentCaller, body: ReadToken, gateway: TheGateway) -> TokenView:
    """A short-lived key for a web page: at most the rights of the key that makes it, and revoked with it."""
    return token_view(await gateway.tokens.mint(caller, body.request()))
