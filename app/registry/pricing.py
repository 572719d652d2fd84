"""Prices: tables of rates, read from a model's file or from the operator's own.

A price is one of

    {"first_seconds": 5, "first_usd": "1.40", "each_further_second_usd": "0.28"}
    {"per_second_usd": "0.112"}
    {"flat_usd": "0.007"}
    {"variants": [{"when": {"generate_audio": false}, "per_second_usd": "0.07"}, {"per_second_usd": "0.14"}]}
    {"unknown": true}, for a variant: such an input is refused

The seconds are those of the video that is made, unless a rate by the second says otherwise: `"of": "input"` counts
the seconds of the input's videos or audio, `"of": "input_and_output"` their sum with the output, and at least twice
the output. `"in_steps_of": 5` rounds up to a multiple of five, and `"at_least_seconds": 3` charges three for less.

The first variant whose conditions all hold applies; the last one has no conditions. A condition compares a field of
the checked input with a value, or is `{"minItems": n}` for a list, or `{"contains": name}`: an item of the list has
that member.

Beside them may stand `"unit_usd": "0.14"`: what one of the units costs that fal counts in `X-Fal-Billable-Units`.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal, get_args

from app.domain.money import MAX_MICRO, parse_usd
from app.registry.lengths import Basis, Lengths

Counted = Literal["output", "input", "input_and_output"]

_DOLLARS = re.compile(r"[0-9]{1,7}(\.[0-9]{1,6})?", re.ASCII)  # no signs, exponents or underscores
_UNITS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)
_STEPPED = {"first_seconds", "first_usd", "each_further_second_usd"}
_PER_SECOND = {"per_second_usd", "of", "in_steps_of", "at_least_seconds"}
_FLAT = {"flat_usd"}
_MOST_SECONDS = 60
_VERSION_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Quote:
    """The cost of one job: micro-dollars, seconds of video, and the version of the price.

    `basis` says what the seconds follow from (`Lengths.basis`), and `note` is a sentence about a ceiling.
    """

    micro: int
    seconds: int
    price_version: str
    input_seconds: int = 0
    basis: Basis = "requested"
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Rate:
    """Micro-dollars: `first` for the first seconds, however few are used, and `further` for each further one."""

    first_seconds: int
    first: int
    further: int
    of: Counted = "output"
    step: int = 1
    least: int = 0

    def micro(self, seconds: int) -> int:
        """The cost of so many counted seconds, in micro-dollars."""
        return self.first + max(0, seconds - self.first_seconds) * self.further

    def counted(self, lengths: Lengths) -> int:
        """The seconds that are paid."""
        match self.of:
            case "output":
                seconds = lengths.output
            case "input":
                seconds = lengths.input
            case _:
                seconds = max(lengths.input + lengths.output, 2 * lengths.output)
        return max(self.least, -(-seconds // self.step) * self.step)

    @property
    def depends_on_length(self) -> bool:
        """False for a flat price."""
        return self.further > 0


@dataclass(frozen=True, slots=True)
class Variant:
    """A rate and the conditions under which it applies."""

    when: Mapping[str, Any]
    rate: Rate | None  # None: fal sells it, and its price is not known

    def holds(self, clean: Mapping[str, Any]) -> bool:
        """True when every condition is met by the checked input."""
        return not self.when or meets(self.when, clean)


@dataclass(frozen=True, slots=True)
class Price:
    """All rates of one model.

    Attributes:
        entry: the price as written.
        version: changes when, and only when, the entry does.
        variants: in the order in which they are tried; the last one has no conditions.
        unit_micro: what one of fal's billable units costs; None where that is not known.
    """

    entry: Mapping[str, Any]
    version: str
    variants: tuple[Variant, ...]
    unit_micro: int | None = None

    def quote(self, clean: Mapping[str, Any], lengths: Lengths) -> Quote | None:
        """The quote for a checked input; None when its price is not known. A flat one depends on no length."""
        rate = next(variant for variant in self.variants if variant.holds(clean)).rate
        if rate is None:
            return None
        basis, note = (lengths.basis, lengths.note) if rate.depends_on_length else ("flat", None)
        micro = rate.micro(rate.counted(lengths))
        return Quote(micro, lengths.output, self.version, lengths.input, basis, note)

    def of_units(self, units: str | None) -> int | None:
        """Micro-dollars of so many of fal's billable units, half up; None when that cannot be said."""
        if self.unit_micro is None or units is None or not _UNITS.fullmatch(units):
            return None
        micro = int((Decimal(units) * self.unit_micro).quantize(Decimal(1), ROUND_HALF_UP))
        return micro if 0 < micro <= MAX_MICRO else None


def meets(when: Mapping[str, Any], clean: Mapping[str, Any]) -> bool:
    """True when every condition is met by the checked input."""
    return all(_met(condition, clean.get(field)) for field, condition in when.items())


def read_price(entry: Any, fields: tuple[str, ...], *, counts_input: bool = False) -> Price:
    """The price that `entry` states for a model with these input fields.

    Args:
        entry: as decoded from JSON.
        fields: the names of the model's input fields.
        counts_input: the model's file says which seconds of input count.

    Raises:
        ValueError: one sentence that names the member that is wrong.
    """
    if not isinstance(entry, dict):
        raise ValueError("a price must be an object")  # noqa: TRY004  one error type for the file
    rates = {name: value for name, value in entry.items() if name != "unit_usd"}
    if "variants" in rates:
        _only(rates, {"variants"})
        variants = _variants(rates["variants"], fields)
    else:
        variants = (Variant({}, _rate(rates)),)
    if not counts_input and any(variant.rate is not None and variant.rate.of != "output" for variant in variants):
        raise ValueError("of counts seconds of input, and this model's file names no field for them")
    canonical = json.dumps(entry, sort_keys=True, separators=(",", ":"))
    version = hashlib.sha256(canonical.encode()).hexdigest()[:_VERSION_DIGITS]
    price = Price(entry, version, variants)
    return replace(price, unit_micro=_dollars(entry, "unit_usd")) if "unit_usd" in entry else price


def _variants(entries: Any, fields: tuple[str, ...]) -> tuple[Variant, ...]:
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("variants must be a list of at least one object")
    variants = tuple(_variant(entry, fields) for entry in entries)
    if variants[-1].when or not all(variant.when for variant in variants[:-1]):
        raise ValueError("the last of the variants, and no other, must be without when")
    return variants


def _variant(entry: Mapping[str, Any], fields: tuple[str, ...]) -> Variant:
    priced = {name: value for name, value in entry.items() if name != "when"}
    rate = None if priced == {"unknown": True} else _rate(priced)
    return Variant(read_when(entry.get("when", {}), fields), rate)


def read_when(when: Any, fields: tuple[str, ...]) -> Mapping[str, Any]:
    """Conditions on the fields of an input; ValueError with a sentence for wrong ones."""
    if not isinstance(when, dict):
        raise ValueError("when must be an object")  # noqa: TRY004 # as above
    if foreign := when.keys() - set(fields):
        raise ValueError(f"when names {min(foreign)}, which is not a field of this model's input")
    for field, condition in when.items():
        if isinstance(condition, dict) and not _is_list_condition(condition):
            raise ValueError(f"the condition on {field} must be a value, minItems or contains")
    return when


def _rate(entry: Mapping[str, Any]) -> Rate:
    if "flat_usd" in entry:
        _only(entry, _FLAT)
        return Rate(0, _dollars(entry, "flat_usd"), 0)
    if "per_second_usd" in entry:
        return _per_second(entry)
    _only(entry, _STEPPED)
    if missing := _STEPPED - entry.keys():
        raise ValueError(f"{min(missing)} is missing")
    seconds = _seconds(entry, "first_seconds")
    return Rate(seconds, _dollars(entry, "first_usd"), _dollars(entry, "each_further_second_usd"))


def _per_second(entry: Mapping[str, Any]) -> Rate:
    _only(entry, _PER_SECOND)
    rate = Rate(0, 0, _dollars(entry, "per_second_usd"))
    if len(entry) == 1:
        return rate
    counted = entry.get("of", "output")
    if counted not in get_args(Counted):
        raise ValueError("of must be output, input or input_and_output")
    step = _seconds(entry, "in_steps_of") if "in_steps_of" in entry else 1
    least = _seconds(entry, "at_least_seconds") if "at_least_seconds" in entry else 0
    return replace(rate, of=counted, step=step, least=least)


def _only(entry: Mapping[str, Any], members: set[str]) -> None:
    if foreign := entry.keys() - members:
        raise ValueError(f"{min(foreign)} is not a member of a price")


def _seconds(entry: Mapping[str, Any], member: str) -> int:
    seconds = entry[member]
    if type(seconds) is not int or not 0 < seconds <= _MOST_SECONDS:
        raise ValueError(f"{member} must be a whole number from 1 to {_MOST_SECONDS}")
    return seconds


def _dollars(entry: Mapping[str, Any], member: str) -> int:
    text = entry[member]
    if not isinstance(text, str) or not _DOLLARS.fullmatch(text):
        raise ValueError(f'{member} must be a string of dollars such as "0.28"')
    return parse_usd(text)


def _is_list_condition(condition: Mapping[str, Any]) -> bool:
    match condition:
        case {"minItems": int(), **rest} | {"contains": str(), **rest}:
            return not rest
        case _:
            return False


def _met(condition: Any, value: Any) -> bool:
    if not isinstance(condition, dict):
        return bool(condition == value)
    items: list[Any] = value or []
    if "minItems" in condition:
        return bool(len(items) >= condition["minItems"])
    return any(condition["contains"] in item for item in items)
