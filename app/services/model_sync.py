"""What fal offers, compared with the registry: new models, deprecated ones, other fields, other prices.

It changes nothing: the result is a report with drafts, for a person to review. A price is never taken from a unit
price where fal has a sentence about it, and a sentence that is not understood leaves the price as it is.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from app.domain.errors import UpstreamUnavailable
from app.fal.platform import FalPlatform, OfferedModel, UnitPrice
from app.registry.catalog import Catalog
from app.registry.drift import Json, bound_price, differences, draft_of_known, draft_of_new
from app.registry.files import read_model
from app.registry.model_file import ModelFile
from app.registry.offered import Offered, read_openapi
from app.registry.tariff_text import (
    plain_text,
    price_words,
    read_sentence,
    read_unit_price,
    same_price,
    states_amount,
)

WORDS = "kling"
FAMILIES = ("fal-ai/kling-video/", "kling/")
Change = Literal["new", "deprecated", "different", "not at fal", "unreadable"]


@dataclass(frozen=True, slots=True)
class ModelDrift:
    """One model that differs: how, a line for each difference, and a draft of its file where one helps."""

    id: str
    title: str
    change: Change
    lines: tuple[str, ...]
    draft: Json | None = None


@dataclass(slots=True)
class SyncReport:
    """How many models were compared, those that differ, and what could not be compared.

    It is not `complete` when a list of fal's could not be read; a single price that fal does not show leaves it so.
    """

    offered: int
    known: int
    drifts: list[ModelDrift] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    complete: bool = True

    @property
    def clean(self) -> bool:
        """True when fal could be read and nothing differs."""
        return self.complete and not self.drifts


@dataclass(frozen=True, slots=True)
class Prices:
    """What fal says of prices: sentences by id, empty where there is none, and unit prices; None: not read."""

    sentences: Mapping[str, str] | None
    units: Mapping[str, UnitPrice] | None


@dataclass(frozen=True, slots=True)
class ReadPrice:
    """A model's price at fal: its sentence, the price in our form if it was understood, and a note if not."""

    text: str | None
    price: Json | None
    note: str | None


class ModelSync:
    """Compares. `day` is today, for drafts: 2026-11-29."""

    def __init__(self, catalog: Catalog, fal: FalPlatform, *, day: str) -> None:
        self._entries = {model.id: model.entry for model in catalog}
        self._fal = fal
        self._day = day

    async def compare(self, *, prices: bool = True) -> SyncReport:
        """The report.

        1. search fal's models, and keep those of our families
        2. read the documents of these and of all that the registry has
        3. read sentences about prices; where a model has none, its unit price
        4. compare each model
        """
        found = {model.id: model for model in await self._fal.search(WORDS) if model.id.startswith(FAMILIES)}
        offered = await self._fal.models([*self._entries, *found])
        report = SyncReport(len(offered), len(self._entries))
        found_prices = await self._prices(offered.values(), report) if prices else Prices(None, None)
        for model_id, entry in self._entries.items():
            drift = self._known(entry, offered.get(model_id), found_prices)
            if drift is not None:
                report.drifts.append(drift)
        new = (model for model_id, model in offered.items() if model_id not in self._entries)
        report.drifts += [self._new(model, found_prices) for model in new]
        report.remarks += [
            f"{found_id} was found, and fal does not describe it." for found_id in found.keys() - offered
        ]
        if self._fal.odd_ids:
            report.remarks.append(f"{self._fal.odd_ids} rows of fal's lists could not be read; they were left out.")
        return report

    async def _prices(self, models: Iterable[OfferedModel], report: SyncReport) -> Prices:
        try:
            sentences = await self._fal.sentences(WORDS)
        except UpstreamUnavailable as error:
            report.remarks.append(f"Prices were not compared: {error.message}")
            report.complete = False
            return Prices(None, None)
        ids = [
            model.id for model in models if not model.deprecated or model.id in sentences
        ]  # fal's page has no old ones
        if missing := [one for one in ids if one not in sentences]:
            report.remarks.append(
                f"The prices of {len(missing)} models are not in fal's list: {', '.join(missing[:5])}."
            )
        plain = [one for one in ids if sentences.get(one) == ""]
        if not plain:
            return Prices(sentences, {})
        if not self._fal.has_key:
            found = f"{len(plain)} models have only a unit price, which fal shows to a key"
            report.remarks.append(f"{found}; set FAL_KEY to compare them.")
            return Prices(sentences, None)
        return Prices(sentences, await self._fal.unit_prices(plain))

    def _known(self, entry: ModelFile, model: OfferedModel | None, prices: Prices) -> ModelDrift | None:
        """How a model of the registry differs; None when it does not."""
        if model is None:
            if entry.status == "unlisted":
                return None
            return ModelDrift(entry.id, entry.title, "not at fal", ("fal does not know this id",))
        offered = _schema(model)
        if offered is None:
            return ModelDrift(entry.id, entry.title, "unreadable", ("fal's schema of it cannot be read",))
        lines = differences(entry, offered)
        draft = draft_of_known(entry, offered) if lines else entry.model_dump(mode="json", exclude_unset=True)
        status = "deprecated" if model.deprecated else "current"
        if status != entry.status:
            lines.insert(0, f"~ status: {entry.status} → {status}")
            draft["status"] = status
        lines += self._price_lines(entry, offered, prices, draft)
        if not lines:
            return None
        gone = model.deprecated and entry.status != "deprecated"
        return _checked(
            ModelDrift(entry.id, entry.title, "deprecated" if gone else "different", tuple(lines), draft)
        )

    def _price_lines(self, entry: ModelFile, offered: Offered, prices: Prices, draft: Json) -> list[str]:
        """The difference in price, which is also written into the draft."""
        found = _read_price(entry.id, offered, prices)
        if found.text is None and found.price is None:
            return []
        if found.text is None and found.price is not None:
            equal = states_amount(entry.price, found.price)
        elif entry.price_text is not None and plain_text(entry.price_text) == found.text:
            equal = True  # a person has read this sentence
        else:
            equal = found.price is not None and same_price(entry.price, found.price)
        if equal:
            return []
        draft |= {"price_date": self._day, **({"price_text": found.text} if found.text else {})}
        lines = [f"  fal says: {found.text}"] if found.text else []
        if found.price is None:
            return [f"~ price: {price_words(entry.price)}; {found.note}", *lines]
        draft["price"] = found.price
        if (unbounded := bound_price(draft)) is not None:
            draft["price"] = entry.price
            lines.append(f"! {unbounded}")
        return [f"~ price: {price_words(entry.price)} → {price_words(found.price)}", *lines]

    def _new(self, model: OfferedModel, prices: Prices) -> ModelDrift:
        """A model that the registry does not have."""
        title, source = model.title or model.id, f"https://fal.ai/models/{model.id}"
        offered = _schema(model)
        if offered is None:
            return ModelDrift(model.id, title, "unreadable", ("fal's schema of it cannot be read",))
        draft = draft_of_new(model.id, title, model.category, offered, source=source, day=self._day)
        found = _read_price(model.id, offered, prices)
        draft |= {"price": found.price, **({"price_text": found.text} if found.text else {})}
        why = bound_price(draft) or found.note
        note = why or "Read by `filmgate models sync`; compare it with fal's page."
        draft |= {"price_note": note, **({"status": "deprecated"} if model.deprecated else {})}
        about = f"{model.category}{', deprecated' if model.deprecated else ''}"
        lines = [f"{about}; price: {price_words(found.price)}{f' ({why})' if why else ''}"]
        lines += [f"  fal says: {found.text}"] if found.text else []
        lines += [f"! {note}" for note in offered.notes]
        return _checked(ModelDrift(model.id, title, "new", tuple(lines), draft))


def _schema(model: OfferedModel) -> Offered | None:
    return None if model.openapi is None else read_openapi(model.openapi, model.id)


def _read_price(model_id: str, offered: Offered, prices: Prices) -> ReadPrice:
    """The price by the sentence, or where fal has none by the unit price."""
    sentence = None if prices.sentences is None else prices.sentences.get(model_id)
    if sentence is None:
        return ReadPrice(None, None, "fal's sentence about the price was not read")
    if sentence:
        text = plain_text(sentence)
        price = read_sentence(text, offered.fields)
        return ReadPrice(text, price, None if price else "fal's sentence is not one that a program understands")
    unit = None if prices.units is None else prices.units.get(model_id)
    if unit is None:
        return ReadPrice(
            None, None, "fal shows its unit price to a key" if prices.units is None else "fal shows no price"
        )
    price = read_unit_price(unit.usd, unit.unit)
    return ReadPrice(
        None, price, None if price else f"fal's unit is {unit.unit!r}, which is no second and no request"
    )


def _checked(drift: ModelDrift) -> ModelDrift:
    """The drift, with what a person has to mend in the draft before it can be used."""
    _, faults = read_model(json.dumps(drift.draft))
    lines = (*drift.lines, *(f"! draft: {fault}" for fault in faults))
    return ModelDrift(drift.id, drift.title, drift.change, lines, drift.draft)
