"""Models, and uploaded images."""

import copy

from typing_extensions import TypedDict

from app.registry.catalog import Model
from app.services.uploads import StoredImage
from app.views.fields import Object


class ImageLimitsView(TypedDict):
    """The model's requirements for an image."""

    max_bytes: int
    min_side_px: int
    min_aspect_ratio: float
    max_aspect_ratio: float


class ModelView(TypedDict):
    """A model: its input and output as JSON Schemas, its price, and the price's source and date."""

    id: str
    title: str
    kind: str
    family: str
    version: str
    tier: str
    default: bool
    input: Object
    output: Object
    priced: bool
    price: Object | None
    price_source: str
    price_date: str | None
    price_note: str | None
    schema_source: str
    image_limits: ImageLimitsView


class ModelList(TypedDict):
    """Every model."""

    data: list[ModelView]


class ImageView(TypedDict):
    """An uploaded image, at a URL that fal can read."""

    type: str
    size: int
    sha256: str
    url: str
    width: int
    height: int


def model_view(model: Model, *, strict_schema: bool) -> ModelView:
    """A model, as copies; with `strict_schema`, without the fields that are only in fal's prose."""
    limits = model.entry.image_limits
    return {
        "id": model.id,
        "title": model.entry.title,
        "kind": model.entry.kind,
        "family": model.entry.family,
        "version": model.entry.version,
        "tier": model.entry.tier,
        "default": model.entry.default,
        "input": model.schema.describe(strict_schema=strict_schema),
        "output": copy.deepcopy(model.entry.output),
        "priced": model.tariff is not None,
        "price": copy.deepcopy(dict(model.tariff.entry)) if model.tariff else None,
        "price_source": model.price_source,
        "price_date": model.price_date.isoformat() if model.price_date else None,
        "price_note": model.entry.price_note,
        "schema_source": model.entry.schema_source,
        "image_limits": {
            "max_bytes": limits.max_bytes,
            "min_side_px": limits.min_side_px,
            "min_aspect_ratio": limits.min_aspect_ratio,
            "max_aspect_ratio": limits.max_aspect_ratio,
        },
    }


def image_view(image: StoredImage) -> ImageView:
    """An image that was just uploaded."""
    facts = image.facts
    return {
        "type": facts.content_type,
        "size": facts.size,
        "sha256": facts.sha256,
        "url": image.url,
        "width": facts.width,
        "height": facts.height,
    }
