"""The models, with their input schemas and prices."""

from fastapi import APIRouter

from app.api.deps import AnyReader, TheGateway
from app.views.models import ModelList, ModelView, model_view

router = APIRouter(prefix="/v1", tags=["models"])


@router.get("/models", summary="All models")
async def list_models(_: AnyReader, gateway: TheGateway) -> ModelList:
    """Every model with its input schema, price, and the price's source and date; for the administrator too."""
    strict = gateway.settings.strict_schema
    return {"data": [model_view(model, strict_schema=strict) for model in gateway.catalog]}


@router.get("/models/{model_id:path}", summary="One model")
async def read_model(model_id: str, _: AnyReader, gateway: TheGateway) -> ModelView:
    """One model; the id is fal's endpoint path, with slashes as they are or as `%2F`."""
    model = gateway.catalog.get(model_id.replace("%2F", "/"))
    return model_view(model, strict_schema=gateway.settings.strict_schema)
