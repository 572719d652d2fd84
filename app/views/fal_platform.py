"""Models and prices in the shapes of fal's platform API (https://fal.ai/docs/platform-apis/v1/models, 2026-10)."""

from collections.abc import Mapping
from typing import Literal, NotRequired

from typing_extensions import TypedDict

from app.domain.fal_targets import Terms
from app.registry.catalog import Model
from app.registry.openapi import openapi_of
from app.views.fields import Object

MICRO = 1_000_000
SERVER_ERROR = 500
UNIT, UNIT_OF_A_FLAT_PRICE = "seconds", "requests"  # fal's units are free text; these are words of its own


class FalMetadata(TypedDict):
    """What fal shows of a model; `is_favorited` is null where nobody could say."""

    display_name: str
    category: str
    description: str
    status: Literal["active", "deprecated"]
    tags: list[str]
    updated_at: str
    is_favorited: None
    thumbnail_url: str
    model_url: str
    date: str
    highlighted: bool
    pinned: bool
    license_type: Literal["commercial"]
    kind: Literal["inference"]


class FalModel(TypedDict):
    """A model; `openapi` when it was asked for."""

    endpoint_id: str
    metadata: FalMetadata
    openapi: NotRequired[Object]


class FalModels(TypedDict):
    """A page of models."""

    models: list[FalModel]
    next_cursor: str | None
    has_more: bool


class FalPrice(TypedDict):
    """The price of one unit."""

    endpoint_id: str
    unit_price: float
    unit: str
    currency: Literal["USD"]


class FalPrices(TypedDict):
    """Prices; always one page."""

    prices: list[FalPrice]
    next_cursor: None
    has_more: Literal[False]


FalFaultKind = Literal["authorization_error", "validation_error", "not_found", "rate_limited", "server_error"]


class FalPlatformFault(TypedDict):
    """What is wrong; `type` is one of fal's words."""

    type: FalFaultKind
    message: str
    docs_url: str
    request_id: str


class FalPlatformError(TypedDict):
    """An error."""

    error: FalPlatformFault


_KINDS: Mapping[int, FalFaultKind] = {
    401: "authorization_error",
    403: "authorization_error",
    404: "not_found",
    429: "rate_limited",
}


def fal_status(model: Model) -> Literal["active", "deprecated"]:
    """Fal's word for a model's status."""
    return "deprecated" if model.entry.status == "deprecated" else "active"


def fal_model(model: Model, *, base_url: str, terms: Terms, openapi: bool, strict_schema: bool) -> FalModel:
    """A model as fal lists it; its URLs are in the caller's terms."""
    entry = model.entry
    moment = f"{entry.price_date.isoformat()}T00:00:00Z"
    view: FalModel = {
        "endpoint_id": model.id,
        "metadata": {
            "display_name": entry.title,
            "category": entry.kind,
            "description": f"{entry.title}.",
            "status": fal_status(model),
            "tags": [word for word in (entry.version, entry.tier) if word],
            "updated_at": moment,
            "is_favorited": None,
            "thumbnail_url": f"{base_url}/static/icon.svg",
            "model_url": f"{terms.run}/{model.id}",
            "date": moment,
            "highlighted": False,
            "pinned": False,
            "license_type": "commercial",
            "kind": "inference",
        },
    }
    if openapi:
        view["openapi"] = openapi_of(model, queue_url=terms.queue, strict_schema=strict_schema)
    return view


def fal_price(model: Model) -> FalPrice | None:
    """What a second costs with the default input; None for a model without a price.

    One number cannot say that sound or a first second costs more: a quote can.
    """
    quote = model.usual_quote
    if quote is None:
        return None
    flat = quote.basis == "flat"
    price = quote.micro / (1 if flat else max(1, quote.seconds)) / MICRO
    unit = UNIT_OF_A_FLAT_PRICE if flat else UNIT
    return {"endpoint_id": model.id, "unit_price": round(price, 6), "unit": unit, "currency": "USD"}


def fal_platform_error(status: int, message: str, *, docs_url: str, request_id: str) -> FalPlatformError:
    """An error as fal's platform API answers it."""
    other: FalFaultKind = "server_error" if status >= SERVER_ERROR else "validation_error"
    kind = _KINDS.get(status, other)
    return {"error": {"type": kind, "message": message, "docs_url": docs_url, "request_id": request_id}}
