"""The models that can be used: one JSON file for each of fal's endpoints, in `models/`.

A new endpoint is a new file and needs no code (docs/models.md). The operator's own prices are given as decoded
JSON, `{model id: price}`, and override the files'.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from app.domain.errors import Code, NotFound, Unprocessable, Violation
from app.registry.pricing import Price, Quote, read_price
from app.registry.schema import InputSchema, read_leniently

_SHOTS = "multi_prompt"
LONGEST_ID = 100  # characters of an unknown id that are compared with known ones


class ImageLimits(BaseModel):
    """The limits that a model sets on images; the defaults are those that fal documents for Kling."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    max_bytes: int = Field(default=10 * 1024 * 1024, gt=0)
    min_side_px: int = Field(default=300, gt=0)
    min_aspect_ratio: float = Field(default=0.4, gt=0)  # width divided by height
    max_aspect_ratio: float = Field(default=2.5, gt=0)


class ModelFile(BaseModel):
    """One file of `models/`, as written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*(/[a-z0-9][a-z0-9.-]*)+$")
    title: str
    kind: Literal["image-to-video", "text-to-video"]
    family: str
    version: str
    tier: str
    default: bool = False
    input: dict[str, Any]
    output: dict[str, Any]
    price: dict[str, Any] | None
    price_source: str
    price_date: date  # when the source was looked up
    price_note: str | None = None
    schema_source: str
    image_limits: ImageLimits = ImageLimits()

    @field_validator("input")
    @classmethod
    def _require_documented(cls, schema: dict[str, Any]) -> dict[str, Any]:
        """Each model has a duration, because prices are per second; each field names where it is documented."""
        properties = schema["properties"]
        if not {"enum", "default"} <= properties.get("duration", {}).keys():
            raise ValueError("duration must be a field with enum and default")
        for name, field in properties.items():
            if field.get("documented") not in {"schema", "prose"}:
                raise ValueError(f"{name} must say where it is documented: schema or prose")
        return schema


@dataclass(frozen=True, slots=True)
class Model:
    """One endpoint of fal: its input and its price."""

    entry: ModelFile
    schema: InputSchema
    tariff: Price | None
    price_source: str
    price_date: date | None  # None for the operator's own price

    @property
    def id(self) -> str:
        """The full endpoint id, such as `fal-ai/kling-video/v2/master/image-to-video`."""
        return self.entry.id

    def lenient(self, given: Mapping[str, Any], *, strict_schema: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The input as fal reads it, for `validate`, and the names of dropped fields.

        Unknown fields are dropped; a number is accepted for its text, and a text for its number.
        """
        known = {
            name: read_leniently(self.entry.input["properties"][name], value)
            for name, value in given.items()
            if self.schema.knows(name, strict_schema=strict_schema)
        }
        return known, tuple(name for name in given if name not in known)

    def validate(
        self,
        input: Mapping[str, Any],  # noqa: A002 # fal's word for it, and the API's
        *,
        strict_schema: bool,
        private_images: bool,
    ) -> dict[str, Any]:
        """A new dict: the checked input with the schema's defaults; fields from prose only when given.

        Args:
            input: what the caller gave, as decoded from JSON.
            strict_schema: refuse fields that only the endpoint's prose documents.
            private_images: allow http and private hosts in URLs, for an emulator on this machine.

        Raises:
            Unprocessable: `invalid_input`, with up to 20 violations that point below /input.
        """
        clean = self.schema.check(input, strict_schema=strict_schema, private_urls=private_images)
        if _SHOTS in clean and self.seconds(clean) > self._longest:
            message = f"The shots must be at most {self._longest} seconds together."
            fault = Violation(f"/input/{_SHOTS}", "out_of_range", message)
            raise Unprocessable("The input is not valid.", violations=(fault,))
        return clean

    @property
    def _longest(self) -> int:
        return max(map(int, self.entry.input["properties"]["duration"]["enum"]))

    def seconds(self, clean: Mapping[str, Any]) -> int:
        """Seconds of video that a checked input asks for.

        fal does not document whether `duration` or the sum of the shots counts, so it is the longer of the two.
        """
        duration = int(clean["duration"])
        if _SHOTS not in clean:
            return duration
        return max(duration, sum(int(shot["duration"]) for shot in clean[_SHOTS]))

    def price(self, clean: Mapping[str, Any]) -> Quote:
        """The price of a checked input; Unprocessable `price_unknown` for a model without one."""
        if self.tariff is None:
            message = f"{self.id} has no known price. An operator can set one; until then it cannot be used."
            raise Unprocessable(message, code=Code.PRICE_UNKNOWN)
        return self.tariff.quote(clean, self.seconds(clean))


class Catalog:
    """All models, looked up by their exact id."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        self._models = dict(sorted(models.items()))
        (self.default,) = (model for model in self._models.values() if model.entry.default)

    @classmethod
    def load(cls, prices: Mapping[str, Any] | None = None) -> "Catalog":
        """Reads the files of `models/`.

        Args:
            prices: the operator's own prices, as decoded from JSON: `{model id: price}`.

        Raises:
            ValueError: one sentence that names the model and the member of its price that is wrong.
        """
        models = dict(_own_models())
        for model_id, price in (prices or {}).items():
            if model_id not in models:
                raise ValueError(f'The price of "{model_id}" is for a model that is not in the registry.')
            models[model_id] = _repriced(models[model_id], price)
        return cls(models)

    def get(self, model_id: str) -> Model:
        """The model with exactly this id; NotFound `model_not_found` otherwise.

        Nothing is normalised: only ids that are in the registry exactly become part of a URL.
        """
        model = self._models.get(model_id)
        if model is None:
            similar = get_close_matches(model_id[:LONGEST_ID], self._models, n=1)
            hint = f" Did you mean {similar[0]}?" if similar else ""
            raise NotFound(f"There is no such model; GET /v1/models lists them.{hint}", code=Code.MODEL_NOT_FOUND)
        return model

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def __len__(self) -> int:
        return len(self._models)


def entries() -> Iterator[ModelFile]:
    """The files of `models/`, by name."""
    folder = resources.files("app.registry").joinpath("models")
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".json"):
            yield ModelFile.model_validate(json.loads(file.read_text(encoding="utf-8")))


@cache
def _own_models() -> Mapping[str, Model]:
    """The models of the files, read once by a process and by those that it forks."""
    return {model.id: model for model in map(_model, entries())}


def _model(entry: ModelFile) -> Model:
    schema = InputSchema(entry.input)
    tariff = None if entry.price is None else read_price(entry.price, schema.fields)
    return Model(entry, schema, tariff, entry.price_source, entry.price_date)


def _repriced(model: Model, entry: Any) -> Model:
    try:
        tariff = read_price(entry, model.schema.fields)
    except ValueError as error:
        raise ValueError(f'The price of "{model.id}" is wrong: {error}.') from None
    return replace(model, tariff=tariff, price_source="operator", price_date=None)
