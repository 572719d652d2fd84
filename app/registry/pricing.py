"""Prices: tables of rates, read from a model's file or from the operator's own.

A price is one of

    {"first_seconds": 5, "first_usd": "1.40", "each_further_second_usd": "0.28"}
    {"per_second_usd": "0.112"}
    {"variants": [{"when": {"generate_audio": false}, "per_second_usd": "0.07"}, {"per_second_usd": "0.14"}]}

The first variant whose conditions all hold applies; the last one has no conditions. A condition compares a field of
the checked input with a value, or is `{"minItems": n}` for a list, or `{"contains": name}`: an item of the list has
that member.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.money import parse_usd

_DOLLARS = re.compile(r"[0-9]{1,7}(\.[0-9]{1,6})?", re.ASCII)  # no signs, exponents or underscores
_STEPPED = {"first_seconds", "first_usd", "each_further_second_usd"}
_PER_SECOND = {"per_second_usd"}
_LONGEST_FIRST = 60
_VERSION_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Quote:
    """The cost of one job: micro-dollars, seconds of video, and the version of the price."""

    micro: int
    seconds: int
    price_version: str


@dataclass(frozen=True, slots=True)
class Rate:
    """Micro-dollars: `first` for the first seconds, however few are used, and `further` for each further one."""

    first_seconds: int
    first: int
    further: int

    def micro(self, seconds: int) -> int:
        """The cost of a clip of so many seconds, in micro-dollars."""
        return self.first + max(0, seconds - self.first_seconds) * self.further


@dataclass(frozen=True, slots=True)
class Variant:
    """A rate and the conditions under which it applies."""

    when: Mapping[str, Any]
    rate: Rate

    def holds(self, clean: Mapping[str, Any]) -> bool:
        """True when every condition is met by the checked input."""
        return not self.when or all(_met(condition, clean.get(field)) for field, condition in self.when.items())


@dataclass(frozen=True, slots=True)
class Price:
    """All rates of one model.

    Attributes:
        entry: the price as written.
        version: changes when, and only when, the entry does.
        variants: in the order in which they are tried; the last one has no conditions.
    """

    entry: Mapping[str, Any]
    version: str
    variants: tuple[Variant, ...]

    def quote(self, clean: Mapping[str, Any], seconds: int) -> Quote:
        """The quote for a checked input."""
        variant = next(variant for variant in self.variants if variant.holds(clean))
        return Quote(variant.rate.micro(seconds), seconds, self.version)


def read_price(entry: Any, fields: tuple[str, ...]) -> Price:
    """The price that `entry` states for a model with these input fields.

    Raises:
        ValueError: one sentence that names the member that is wrong.
    """
    if not isinstance(entry, dict):
        raise ValueError("a price must be an object")  # noqa: TRY004  one error type for the file
    if "variants" in entry:
        _only(entry, {"variants"})
        variants = _variants(entry["variants"], fields)
    else:
        variants = (Variant({}, _rate(entry)),)
    canonical = json.dumps(entry, sort_keys=True, separators=(",", ":"))
    version = hashlib.sha256(canonical.encode()).hexdigest()[:_VERSION_DIGITS]
    return Price(entry, version, variants)


def _variants(entries: Any, fields: tuple[str, ...]) -> tuple[Variant, ...]:
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("variants must be a list of at least one object")
    variants = tuple(_variant(entry, fields) for entry in entries)
    if variants[-1].when or not all(variant.when for variant in variants[:-1]):
        raise ValueError("the last of the variants, and no other, must be without when")
    return variants


def _variant(entry: Mapping[str, Any], fields: tuple[str, ...]) -> Variant:
    rate = _rate({name: value for name, value in entry.items() if name != "when"})
    when = entry.get("when", {})
    if not isinstance(when, dict):
        raise ValueError("when must be an object")  # noqa: TRY004 # as above
    if foreign := when.keys() - set(fields):
        raise ValueError(f"when names {min(foreign)}, which is not a field of this model's input")
    for field, condition in when.items():
        if isinstance(condition, dict) and not _is_list_condition(condition):
            raise ValueError(f"the condition on {field} must be a value, minItems or contains")
    return Variant(when, rate)


def _rate(entry: Mapping[str, Any]) -> Rate:
    if "per_second_usd" in entry:
        _only(entry, _PER_SECOND)
        return Rate(0, 0, _dollars(entry, "per_second_usd"))
    _only(entry, _STEPPED)
    if missing := _STEPPED - entry.keys():
        raise ValueError(f"{min(missing)} is missing")
    seconds = entry["first_seconds"]
    if type(seconds) is not int or not 0 < seconds <= _LONGEST_FIRST:
        raise ValueError(f"first_seconds must be a whole number from 1 to {_LONGEST_FIRST}")
    return Rate(seconds, _dollars(entry, "first_usd"), _dollars(entry, "each_further_second_usd"))


def _only(entry: Mapping[str, Any], members: set[str]) -> None:
    if foreign := entry.keys() - members:
        raise ValueError(f"{min(foreign)} is not a member of a price")


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
