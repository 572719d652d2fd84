"""The models of the emulated fal, and the changes that a test asked for: new, gone, deprecated, dearer."""

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.emulator.kling.models import KlingModel
    from app.emulator.kling.tariffs import Tariff

MICRO = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChange:
    """One model's difference from the table. `fields`: schemas of the input's fields, null for one that is gone."""

    absent: bool = False
    like: str = ""  # the id of a model that this new one equals
    status: str = ""
    unit_price: float | None = None  # dollars
    unit: str = ""
    price_text: str | None = None
    fields: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    required: list[str] | None = None
    openapi_fails: bool = False  # the list says so in place of the document


class FalModels:
    """Looks models up by their ids.

    Changes of fields, units and sentences are in what fal says of a model only. A unit price is also the price of a
    second where none was found.
    """

    def __init__(self) -> None:
        self._changes: dict[str, ModelChange] = {}

    @cached_property
    def _table(self) -> "dict[str, KlingModel]":
        # pydantic and the models take 12 MB and half a second, which an idle emulator should not.
        from app.emulator.kling.models import MODELS  # noqa: PLC0415  see above

        return MODELS

    def change(self, asked: dict[str, Any]) -> None:
        """Replaces all changes. TypeError and ValueError say what is wrong with one, and change nothing."""
        changes = {endpoint: ModelChange(**one) for endpoint, one in asked.items()}
        for endpoint, one in changes.items():
            source = one.like or endpoint
            if source not in self._table:
                raise ValueError(f"{source} is not a model of this emulator; `like` names one for a new id.")
            if one.status not in {"", "active", "deprecated"}:
                raise ValueError(f"The status of {endpoint} must be active or deprecated.")
            if one.unit_price is not None and not 0 < one.unit_price < MICRO:
                raise ValueError(f"The unit_price of {endpoint} must be a number of dollars above 0.")
        self._changes = changes

    def find(self, endpoint: str) -> "KlingModel | None":
        """The model with this id; None when fal has none."""
        change = self._change(endpoint)
        if change.absent:
            return None
        model = self._table.get(change.like or endpoint)
        if model is None:
            return None
        deprecated = change.status == "deprecated" if change.status else model.deprecated
        tariff = model.tariff
        if tariff is None and change.unit_price is not None:
            tariff = self._by_second(change.unit_price)
        return dataclasses.replace(model, id=endpoint, deprecated=deprecated, tariff=tariff)

    def all(self) -> "list[KlingModel]":
        """All models, in the order of the table; new ones last."""
        found = [self.find(endpoint) for endpoint in {**self._table, **self._changes}]
        return [model for model in found if model is not None]

    def unit_price(self, model: "KlingModel") -> tuple[int, str] | None:
        """Micro-dollars for a unit, and fal's word for it; None when the price was not found."""
        change = self._change(model.id)
        unit = change.unit or (model.tariff.unit if model.tariff else "seconds")
        if change.unit_price is not None:
            return round(change.unit_price * MICRO), unit
        return (model.tariff.unit_micro, unit) if model.tariff else None

    def price_text(self, model: "KlingModel") -> str:
        """The sentence about the price on the model's page; empty where the page prints the unit price."""
        text = self._change(model.id).price_text
        if text is not None:
            return text
        return model.tariff.sentence if model.tariff else ""

    def openapi(self, model: "KlingModel") -> dict[str, Any]:
        """The OpenAPI document of a model."""
        from app.emulator.kling import openapi  # noqa: PLC0415  as above

        change = self._change(model.id)
        if change.openapi_fails:
            return {"error": {"code": "expansion_failed", "message": "The OpenAPI schema could not be loaded"}}
        described = openapi.document(model)
        schema = openapi.input_schema(described)
        fields = {**schema["properties"], **change.fields}
        schema["properties"] = {name: one for name, one in fields.items() if one is not None}
        schema["x-fal-order-properties"] = list(schema["properties"])
        schema["required"] = schema.get("required", []) if change.required is None else change.required
        return described

    @staticmethod
    def _by_second(dollars: float) -> "Tariff":
        from app.emulator.kling.tariffs import PerSecond  # noqa: PLC0415  as above

        return PerSecond(round(dollars * MICRO))

    def _change(self, endpoint: str) -> ModelChange:
        return self._changes.get(endpoint, ModelChange())
