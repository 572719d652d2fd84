"""fal's sentences about prices, read into the registry's form.

fal shows a price in one of two ways (https://fal.ai/api/models, `pricingInfoOverride`, 2026-11). Where there is a
sentence, it is the price, and the unit price of the platform API is only the scale of billable units; where there
is none, the page prints the unit price. The sentences of Kling have five forms, which fal writes by hand: a text
that is not wholly one of them is not read, because half of a price is a wrong one.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.domain.money import format_usd, parse_usd

_USD = r"\$([0-9]{1,4}(?:\.[0-9]{1,6})?)"
_NOTHING = re.compile(r"\$0+(?:\.0+)?(?![0-9]|\.[0-9])")  # a page that has no price yet says $0
_EXAMPLE = r"(?: for example,.*)?"
_SOUND = re.compile(
    rf"for every second of video you generated,? you will be charged {_USD} \(audio off\) or {_USD} \(audio on\)"
    rf"(?:, if voice control is used while generating audio,? you will be charged {_USD})?\.?{_EXAMPLE}"
)
_SECOND = re.compile(
    rf"for every second of video you generated,? you will be charged {_USD}"
    rf"(?: regardless of whether audio is on or off)?\.?{_EXAMPLE}"
)
_FIRST = re.compile(
    rf"for 5s video your request will cost {_USD}\. "
    rf"for every add?itional second you will be charged {_USD}\.?{_EXAMPLE}"
)
_INPUT = re.compile(
    rf"your request will be priced {_USD} per input video seconds, "
    r"rolling up to closest ([0-9]{1,2}) second increment\.?"
)
_BY_SIZE = rf"video costs {_USD} per second at ([0-9]{{3,4}}p|4k) and {_USD} per second at ([0-9]{{3,4}}p|4k)"
_SIZES = re.compile(rf"{_BY_SIZE}\.?")
_SIZES_BOTH = re.compile(rf"{_BY_SIZE}, billed on the input plus output length \(minimum 2. the output\)\.?")
_SECONDS = {"second", "seconds"}
_EACH = {"video", "videos", "generation", "generations", "request", "requests", "voice", "voices"}
LONGEST_TEXT = 2000


def plain_text(sentence: str) -> str:
    """A sentence without marks of Markdown and with single spaces, as it is kept in a file and compared."""
    return " ".join(sentence[:LONGEST_TEXT].replace("*", "").replace("_", " ").split())


def read_sentence(sentence: str, fields: Mapping[str, Any]) -> dict[str, Any] | None:
    """The price that a sentence states for a model with these fields; None when it is not wholly understood."""
    text = plain_text(sentence).lower()
    if _NOTHING.search(text):
        return None
    if found := _SOUND.fullmatch(text):
        return _by_sound(found, fields)
    if found := _SECOND.fullmatch(text):
        return {"per_second_usd": _usd(found[1])}
    if found := _FIRST.fullmatch(text):
        return {"first_seconds": 5, "first_usd": _usd(found[1]), "each_further_second_usd": _usd(found[2])}
    if found := _INPUT.fullmatch(text):
        return {"per_second_usd": _usd(found[1]), "of": "input", "in_steps_of": int(found[2])}
    return _by_size(text, fields)


def read_unit_price(unit_price: float, unit: str) -> dict[str, Any] | None:
    """The price of a model without a sentence; None for a unit that is not a second or a request."""
    if not 0 < unit_price < 1000:  # noqa: PLR2004  dollars
        return None
    amount = format_usd(round(unit_price * 1_000_000))
    if unit.lower() in _SECONDS:
        return {"per_second_usd": amount}
    return {"flat_usd": amount} if unit.lower() in _EACH else None


def same_price(ours: Any, theirs: Any) -> bool:
    """True when two prices state the same amounts under the same conditions, however they are written."""
    return bool(_canonical(ours) == _canonical(theirs))


def _by_sound(found: re.Match[str], fields: Mapping[str, Any]) -> dict[str, Any] | None:
    """Silent, with a voice, with sound; None where the input has no field that decides it."""
    if "generate_audio" not in fields:
        return None
    variants: list[dict[str, Any]] = [{"when": {"generate_audio": False}, "per_second_usd": _usd(found[1])}]
    if found[3]:
        chosen = [{"voice_ids": {"minItems": 1}}] if "voice_ids" in fields else []
        chosen += _with_member(fields, "voice_id")  # without a field for it, nobody can use voice control
        variants += [{"when": when, "per_second_usd": _usd(found[3])} for when in chosen]
    return {"variants": [*variants, {"per_second_usd": _usd(found[2])}]}


def _by_size(text: str, fields: Mapping[str, Any]) -> dict[str, Any] | None:
    """One or two sentences: of the output alone, and of the input with it where a video is given."""
    if "resolution" not in fields:
        return None
    head, both = text, _SIZES_BOTH.fullmatch(text)
    if both is None and (cut := text.find(". video costs ")) >= 0:
        head, both = text[: cut + 1], _SIZES_BOTH.fullmatch(text[cut + 2 :])
        if both is None:
            return None
    alone = None if head == text and both else _SIZES.fullmatch(head)
    if both is None:
        return None if alone is None else {"variants": _sizes(alone, {}, {})}
    counted = {"of": "input_and_output"}
    if head == text:
        return {"variants": _sizes(both, {}, counted)}
    given = [{name: {"minItems": 1}} for name in ("video_urls",) if name in fields] + _with_member(
        fields, "video_url"
    )
    if alone is None or not given:
        return None
    return {"variants": [*(row for when in given for row in _sizes(both, when, counted)), *_sizes(alone, {}, {})]}


def _sizes(found: re.Match[str], when: Mapping[str, Any], counted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rate of the first size under its condition, then the other one's."""
    first = {"when": {**when, "resolution": found[2]}, "per_second_usd": _usd(found[1]), **counted}
    rest = {"per_second_usd": _usd(found[3]), **counted}
    return [first, {"when": dict(when), **rest} if when else rest]


def _with_member(fields: Mapping[str, Any], member: str) -> list[dict[str, Any]]:
    """Conditions on lists of objects: an item has this member."""
    return [
        {name: {"contains": member}}
        for name, field in fields.items()
        if field["type"] == "array" and member in field["items"].get("properties", {})
    ]


def _usd(text: str) -> str:
    return format_usd(parse_usd(text))


def _canonical(price: Any) -> Any:
    """A list of conditions and rates with amounts in micro-dollars; without those that the file leaves unknown."""
    if not isinstance(price, dict):
        return price
    rows: Sequence[Mapping[str, Any]] = price.get("variants", [price])
    return [(row.get("when", {}), _rate(row)) for row in rows if "unknown" not in row]


def _rate(row: Mapping[str, Any]) -> dict[str, Any]:
    """The rate; a first amount that is no dearer than its seconds is a rate by the second."""
    rate = {name: parse_usd(value) if name.endswith("_usd") else value for name, value in row.items()}
    rate.pop("when", None)
    rate.pop("unit_usd", None)
    further = rate.get("each_further_second_usd")
    if further is not None and rate.get("first_usd") == rate.get("first_seconds", 0) * further:
        return {"per_second_usd": further}
    if rate.get("of") == "output":
        del rate["of"]
    return rate


def states_amount(price: Any, amount: Mapping[str, Any]) -> bool:
    """True when one of a price's rates has the amount of a unit price; what is counted, fal's unit does not say."""
    (wanted,) = (parse_usd(value) for value in amount.values())
    rates = [rate for _, rate in _canonical(price)] if isinstance(price, dict) else []
    names = ("per_second_usd", "flat_usd", "each_further_second_usd")
    return any(rate.get(name) == wanted for rate in rates for name in names)


def price_words(price: Any) -> str:
    """A price in a line: `$0.07/s when generate_audio is false, else $0.14/s`."""
    if not isinstance(price, dict):
        return "none"
    rows = price.get("variants", [price])
    return ", else ".join(map(_row_words, rows))


def _row_words(row: Mapping[str, Any]) -> str:
    if "unknown" in row:
        words = "unknown"
    elif "flat_usd" in row:
        words = f"${row['flat_usd']} each"
    elif "first_usd" in row:
        words = f"${row['first_usd']} for {row['first_seconds']} s, then ${row['each_further_second_usd']}/s"
    else:
        words = f"${row['per_second_usd']}/s"
    more = [f"of {row['of'].replace('_', ' ')}"] if "of" in row else []
    more += [f"in steps of {row['in_steps_of']} s"] if "in_steps_of" in row else []
    more += [f"at least {row['at_least_seconds']} s"] if "at_least_seconds" in row else []
    conditions = [f"{name} {_condition(one)}" for name, one in row.get("when", {}).items()]
    return " ".join([words, *more, *([f"when {' and '.join(conditions)}"] if conditions else [])])


def _condition(condition: Any) -> str:
    match condition:
        case {"minItems": _}:
            return "is given"
        case {"contains": member}:
            return f"has {member}"
        case bool():
            return f"is {str(condition).lower()}"
        case _:
            return f"is {condition}"
