"""The models that can be used: one JSON file for each of fal's endpoints, in `models/`.

A new endpoint is a new file and needs no code (docs/models.md). The operator's own prices are given as decoded
JSON, `{model id: price}`, and override the files'.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import Any

from app.domain.errors import Code, NotFound, Unprocessable, Violation
from app.registry.lengths import (
    DURATION,
    SHOTS,
    Lengths,
    MediaCount,
    MediaUrl,
    length_fault,
    media_urls,
    shots_seconds,
)
from app.registry.lenient import read_object
from app.registry.model_file import MediaLimits, ModelFile
from app.registry.pricing import Price, Quote, read_price
from app.registry.schema import InputSchema
from app.registry.violations import MAX_VIOLATIONS, input_pointer

LONGEST_ID = 100  # characters of an unknown id that are compared with known ones
ANY_ADDRESS = "https://example.com/file"
NO_MEDIA: Mapping[str, float] = {}


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

    @property
    def marks(self) -> list[str]:
        """What a caller should know before using it: `price_unknown`, `unverified`, `unlisted`, `deprecated`."""
        known = {
            "price_unknown": self.tariff is None,
            "unverified": bool(self.entry.unverified),
            "unlisted": self.entry.status == "unlisted",
            "deprecated": self.entry.status == "deprecated",
        }
        return [mark for mark, holds in known.items() if holds]

    @property
    def usual_input(self) -> dict[str, Any]:
        """An input with what is required, each with its first choice or any address or text."""
        fields, either = self.entry.input["properties"], self.entry.input.get("oneOf", ())
        names = (*self.entry.input["required"], *(option["required"][0] for option in either[:1]))
        return {name: _usual_value(fields[name]) for name in fields if name in names}

    @property
    def usual_quote(self) -> Quote | None:
        """The price of the default input: what is required, and all defaults."""
        if self.tariff is None:
            return None
        fields = self.entry.input["properties"]
        defaults = {name: field["default"] for name, field in fields.items() if "default" in field}
        return self.price(defaults | self.usual_input)

    def lenient(self, given: Mapping[str, Any], *, strict_schema: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The input as fal reads it, for `validate`, and the names of dropped fields.

        Unknown fields are dropped, also in lists of objects; a number is accepted for its text, and a text for its
        number.
        """
        fields = self.entry.input["properties"]
        known, dropped = read_object(fields, given, self.schema.known(strict_schema=strict_schema))
        return known, tuple(dropped)

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
        if found := list(self._faults(clean)):
            raise Unprocessable("The input is not valid.", violations=tuple(found))
        return clean

    def _faults(self, clean: Mapping[str, Any]) -> Iterator[Violation]:
        """What is wrong with fields together."""
        if SHOTS in clean and self._requested(clean) > self._longest:
            message = f"The shots must be at most {self._longest} seconds together."
            yield Violation(f"/input/{SHOTS}", "out_of_range", message)
        together = self.entry.together
        if together is not None and sum(len(clean.get(name, ())) for name in together.fields) > together.most:
            message = f"{' and '.join(together.fields)} may have {together.most} items together."
            yield Violation(input_pointer(together.fields[-1:]), "too_long", message)

    @property
    def _longest(self) -> int:
        field = self.entry.input["properties"][DURATION]
        return max(map(int, field["enum"])) if "enum" in field else int(field["maximum"])

    def media(self, clean: Mapping[str, Any]) -> list[MediaUrl]:
        """The videos and audio of a checked input, also those whose length decides nothing."""
        fields = self.entry.input["properties"]
        return [
            found for name in self.schema.media_fields for found in media_urls(name, fields[name], clean.get(name))
        ]

    def media_limits(self, found: MediaUrl) -> MediaLimits | None:
        """The limits of a file in this place; None where fal documents none, as for the videos of elements."""
        documented = len(found.loc) == 1 or found.loc[0] in self.entry.seconds.media
        return self.entry.limits_of(found.kind) if documented else None

    def check_media(self, clean: Mapping[str, Any], measured: Mapping[str, float]) -> None:
        """Unprocessable for a measured file that is too short or too long: fal would refuse it once bought."""
        faults = (
            length_fault(
                measured[found.url], shortest=limits.min_seconds, longest=limits.longest(clean), found=found
            )
            for found in self.media(clean)
            if found.url in measured and (limits := self.media_limits(found)) is not None
        )
        if found := tuple(fault for fault in faults if fault is not None)[:MAX_VIOLATIONS]:
            raise Unprocessable("The input is not valid.", violations=found)

    def lengths(self, clean: Mapping[str, Any], measured: Mapping[str, float] = NO_MEDIA) -> Lengths:
        """Seconds of the video that a checked input makes, and of the input that is paid.

        `measured` has the seconds of files by their addresses, as far as they are known.
        """
        if not self.entry.seconds.media:
            return Lengths(self._requested(clean))
        count = MediaCount(measured)
        output = self._output(clean, count)
        paid = sum(self._media_seconds(name, clean, count) for name in self.entry.seconds.input)
        return Lengths(output, paid, count.basis, count.note)

    def _output(self, clean: Mapping[str, Any], count: MediaCount) -> int:
        """Seconds of the output, by the first field that is given; 0 for a model that makes no video."""
        for name in self.entry.seconds.output:
            if name in {DURATION, SHOTS}:
                if name in clean or "assumed" in self.entry.input["properties"][name]:
                    return self._requested(clean)
            elif seconds := self._media_seconds(name, clean, count):
                return seconds
        return 0

    def _requested(self, clean: Mapping[str, Any]) -> int:
        """Seconds of video that `duration` and the shots ask for; 0 where neither does.

        For most models fal does not say whether `duration` or the sum of the shots counts, so it is the longer one;
        where the file's `seconds` names the shots first, they count alone.
        """
        names = self.entry.seconds.output
        if SHOTS in clean and names[:1] == (SHOTS,):
            return shots_seconds(clean)
        if DURATION not in names:
            return 0
        duration = int(clean.get(DURATION, self.entry.input["properties"][DURATION].get("assumed", 0)))
        return max(duration, shots_seconds(clean)) if SHOTS in clean else duration

    def _media_seconds(self, name: str, clean: Mapping[str, Any], count: MediaCount) -> int:
        """Whole seconds of a field's files together."""
        found = media_urls(name, self.entry.input["properties"][name], clean.get(name))
        return sum(count.seconds(one, name, longest=self._longest_media(one, clean)) for one in found)

    def _longest_media(self, found: MediaUrl, clean: Mapping[str, Any]) -> float:
        limits = self.entry.limits_of(found.kind)
        return limits.longest(clean) if limits is not None else 0

    def price(self, clean: Mapping[str, Any], measured: Mapping[str, float] = NO_MEDIA) -> Quote:
        """The price of a checked input; Unprocessable `price_unknown` for a model without one."""
        quote = None if self.tariff is None else self.tariff.quote(clean, self.lengths(clean, measured))
        if quote is None:
            which = self.id if self.tariff is None else f"This input of {self.id}"
            message = f"{which} has no known price. An operator can set one; until then it cannot be used."
            raise Unprocessable(message, code=Code.PRICE_UNKNOWN)
        return quote

    def price_of_length(self, clean: Mapping[str, Any], length: float) -> int | None:
        """Micro-dollars if the file that decides the length has so many seconds; None where several do."""
        urls = {found.url for found in self.media(clean)}
        return self.price(clean, dict.fromkeys(urls, length)).micro if len(urls) == 1 else None


class Catalog:
    """All models, looked up by their exact id."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        self._models = {model.id: model for model in sorted(models.values(), key=lambda model: model.entry.place)}
        (self.default,) = (model for model in self._models.values() if model.entry.default)

    @classmethod
    def load(cls, prices: Mapping[str, Any] | None = None, files: Iterable[ModelFile] = ()) -> "Catalog":
        """Reads the files of `models/`.

        Args:
            prices: the operator's own prices, as decoded from JSON: `{model id: price}`.
            files: the operator's own models (`app/registry/files.py`); they replace ours with the same id.

        Raises:
            ValueError: one sentence that names the model and the member of its price that is wrong.
        """
        models = dict(_own_models())
        default = next(model_id for model_id, model in models.items() if model.entry.default)
        for model in map(compiled, files):
            models[model.id] = model
            default = model.id if model.entry.default else default
        models = {model_id: _marked(model, default=model_id == default) for model_id, model in models.items()}
        for model_id, price in (prices or {}).items():
            if model_id not in models:
                raise ValueError(f'The price of "{model_id}" is for a model that is not in the registry.')
            models[model_id] = _repriced(models[model_id], price)
        return cls(models)

    def get(self, model_id: str) -> Model:
        """The model with exactly this id; NotFound `model_not_found` otherwise.

        Nothing is normalised: only ids that are in the registry exactly become part of a URL.
        """
        model = self.find(model_id)
        if model is None:
            similar = self.similar(model_id)
            hint = "" if similar is None else f" Did you mean {similar}?"
            raise NotFound(f"There is no such model; GET /v1/models lists them.{hint}", code=Code.MODEL_NOT_FOUND)
        return model

    def find(self, model_id: str) -> Model | None:
        """The model with exactly this id; None otherwise."""
        return self._models.get(model_id)

    def similar(self, model_id: str) -> str | None:
        """The id of a model with a price that is most like one that does not exist; None when all are far from it.

        One that continues it comes first: the end of the path is often forgotten.
        """
        priced = [model.id for model in self if model.tariff is not None]
        longer = [one for one in priced if one.startswith(f"{model_id}/")]
        if self.default.id in longer:
            return self.default.id
        return next(iter(longer or get_close_matches(model_id[:LONGEST_ID], priced, n=1)), None)

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
    return {model.id: model for model in map(compiled, entries())}


def compiled(entry: ModelFile) -> Model:
    """The model of a file; ValueError when its input or its price is not in the registry's form."""
    schema = InputSchema(entry.input)
    tariff = None if entry.price is None else _tariff(entry, schema, entry.price)
    return Model(entry, schema, tariff, entry.price_source, entry.price_date)


def _tariff(entry: ModelFile, schema: InputSchema, price: Any) -> Price:
    return read_price(price, schema.fields, counts_input=bool(entry.seconds.input))


def _marked(model: Model, *, default: bool) -> Model:
    """The model, as the default or not: a file of the operator's may be it, or may replace the one that is."""
    if model.entry.default == default:
        return model
    return replace(model, entry=model.entry.model_copy(update={"default": default}))


def _repriced(model: Model, entry: Any) -> Model:
    try:
        tariff = _tariff(model.entry, model.schema, entry)
    except ValueError as error:
        raise ValueError(f'The price of "{model.id}" is wrong: {error}.') from None
    return replace(model, tariff=tariff, price_source="operator", price_date=None)


def _usual_value(field: Mapping[str, Any]) -> Any:
    """A value of a required field."""
    if field["type"] == "array":
        return [_usual_value(field["items"])]
    if field["type"] == "object":
        return {name: _usual_value(field["properties"][name]) for name in field.get("required", ())}
    if "enum" in field:
        return field["enum"][0]
    return ANY_ADDRESS if "format" in field else "A cat walks."
