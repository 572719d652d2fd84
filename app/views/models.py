"""Models, and uploaded images."""

import copy
from typing import NotRequired, cast

from typing_extensions import TypedDict

from app.domain.money import format_usd
from app.registry.catalog import Model
from app.registry.lengths import Basis
from app.registry.model_file import MediaLimits
from app.registry.pricing import Quote
from app.services.uploads import StoredImage, StoredMedia
from app.views.fields import Object, Usd


class ImageLimitsView(TypedDict):
    """The model's requirements for an image."""

    max_bytes: int
    min_side_px: int
    min_aspect_ratio: float
    max_aspect_ratio: float


class MediaLimitsView(TypedDict):
    """The model's requirements for a video or audio; null where fal documents none."""

    max_bytes: int | None
    min_seconds: float
    max_seconds: float
    min_side_px: int | None
    max_side_px: int | None
    min_aspect_ratio: float | None
    max_aspect_ratio: float | None
    min_fps: float | None
    max_fps: float | None


class UsualPriceView(TypedDict):
    """The price of the default input: what is required, and the model's defaults.

    `basis` is `ceiling` where the length of a video or audio decides the price: it is the highest one then.
    """

    usd: Usd
    video_seconds: int
    basis: Basis


class ModelView(TypedDict):
    """A model: its input and output as JSON Schemas, its price, and the price's source and date.

    `marks` has `price_unknown` (it cannot be bought until an operator sets a price), `unverified` (some fields
    could not be read in fal's schema, see their `documented`), `unlisted` (in no list of fal's) and `deprecated`.
    """

    id: str
    title: str
    kind: str
    family: str
    version: str
    tier: str
    default: bool
    marks: list[str]
    input: Object
    output: Object
    priced: bool
    price: Object | None
    usual_price: UsualPriceView | None
    price_source: str
    price_date: str | None
    price_note: str | None
    schema_source: str
    schema_note: str | None
    image_limits: ImageLimitsView
    video_limits: MediaLimitsView | None
    audio_limits: MediaLimitsView | None


class ModelList(TypedDict):
    """Every model."""

    data: list[ModelView]


class ImageView(TypedDict):
    """An uploaded image, at a URL that fal can read; `converted_from` is the type that it had, if another."""

    type: str
    size: int
    sha256: str
    url: str
    width: int
    height: int
    converted_from: NotRequired[str]


class MediaView(TypedDict):
    """An uploaded video or sound; `seconds` as its container says, absent where it does not."""

    type: str
    size: int
    sha256: str
    url: str
    seconds: NotRequired[float]
    width: NotRequired[int]
    height: NotRequired[int]


def model_view(model: Model, *, strict_schema: bool) -> ModelView:
    """A model, as copies; with `strict_schema`, without the fields that are only in fal's prose."""
    limits, usual = model.entry.image_limits, model.usual_quote
    return {
        "id": model.id,
        "title": model.entry.title,
        "kind": model.entry.kind,
        "family": model.entry.family,
        "version": model.entry.version,
        "tier": model.entry.tier,
        "default": model.entry.default,
        "marks": model.marks,
        "input": model.schema.describe(strict_schema=strict_schema),
        "output": copy.deepcopy(model.entry.output),
        "priced": model.tariff is not None,
        "price": copy.deepcopy(dict(model.tariff.entry)) if model.tariff else None,
        "usual_price": _usual_price(usual) if usual is not None else None,
        "price_source": model.price_source,
        "price_date": model.price_date.isoformat() if model.price_date else None,
        "price_note": model.entry.price_note,
        "schema_source": model.entry.schema_source,
        "schema_note": model.entry.schema_note,
        "image_limits": {
            "max_bytes": limits.max_bytes,
            "min_side_px": limits.min_side_px,
            "min_aspect_ratio": limits.min_aspect_ratio,
            "max_aspect_ratio": limits.max_aspect_ratio,
        },
        "video_limits": _media_limits(model.entry.video_limits),
        "audio_limits": _media_limits(model.entry.audio_limits),
    }


def _usual_price(quote: Quote) -> UsualPriceView:
    return {"usd": format_usd(quote.micro), "video_seconds": quote.seconds, "basis": quote.basis}


def _media_limits(limits: MediaLimits | None) -> MediaLimitsView | None:
    return None if limits is None else cast("MediaLimitsView", limits.model_dump(exclude={"less_when"}))


def file_view(stored: StoredImage | StoredMedia) -> ImageView | MediaView:
    """A file that was just uploaded."""
    return image_view(stored) if isinstance(stored, StoredImage) else media_view(stored)


def media_view(media: StoredMedia) -> MediaView:
    """A video or a sound that was just uploaded."""
    facts = media.facts
    view: MediaView = {"type": facts.type, "size": facts.size, "sha256": media.sha256, "url": media.url}
    if facts.seconds is not None:
        view["seconds"] = float(facts.seconds)
    if facts.width is not None and facts.height is not None:
        view |= {"width": facts.width, "height": facts.height}
    return view


def image_view(image: StoredImage) -> ImageView:
    """An image that was just uploaded."""
    facts = image.facts
    view: ImageView = {
        "type": facts.content_type,
        "size": facts.size,
        "sha256": facts.sha256,
        "url": image.url,
        "width": facts.width,
        "height": facts.height,
    }
    if image.converted_from is not None:
        view["converted_from"] = image.converted_from
    return view
