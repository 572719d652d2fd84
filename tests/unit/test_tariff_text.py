"""fal's sentences about prices: read wholly, or not at all."""

from typing import Any

import pytest

from app.registry.tariff_text import price_words, read_sentence, read_unit_price, same_price, states_amount

SECOND = "For every second of video you generated"
VOICES = ", if voice control is used while generating audio you will be charged"
FIELDS: dict[str, Any] = {
    "generate_audio": {"type": "boolean"},
    "resolution": {"type": "string"},
    "voice_ids": {"type": "array", "items": {"type": "string"}},
    "elements": {"type": "array", "items": {"type": "object", "properties": {"voice_id": {}, "video_url": {}}}},
}
SIZES = "Video costs **$0.157** per second at **720p** and **$0.235** per second at **1080p**"
BOTH = "Video costs $0.094 per second at 720p and $0.141 per second at 1080p, billed on the input plus output length (minimum 2× the output)."  # noqa: E501, RUF001  fal's sentence


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        (f"{SECOND}, you will be charged $0.42 regardless of whether audio is on or off.", "$0.42/s"),
        (f"{SECOND} you will be charged **$0.056**.  For example, a 5s video costs $0.28.", "$0.056/s"),
        (
            f"{SECOND}, you will be charged $0.084 (audio off) or $0.112 (audio on).",
            "$0.084/s when generate_audio is false, else $0.112/s",
        ),
        (
            f"{SECOND}, you will be charged $0.112 (audio off) or $0.168 (audio on){VOICES} $0.196.",
            (
                "$0.112/s when generate_audio is false, else $0.196/s when voice_ids is given"
                ", else $0.196/s when elements has voice_id, else $0.168/s"
            ),
        ),
        (
            "For 5s video your request will cost $0.49. For every aditional second you will be charged $0.098.",
            "$0.49 for 5 s, then $0.098/s",
        ),
        (
            "Your request will be priced $0.014 per input video seconds, rolling up to closest 5 second increment.",
            "$0.014/s of input in steps of 5 s",
        ),
        (f"{SIZES}.", "$0.157/s when resolution is 720p, else $0.235/s"),
        (BOTH, "$0.094/s of input and output when resolution is 720p, else $0.141/s of input and output"),
        (
            f"{SIZES}. {BOTH}",
            (
                "$0.094/s of input and output when elements has video_url and resolution is 720p"
                ", else $0.141/s of input and output when elements has video_url"
                ", else $0.157/s when resolution is 720p, else $0.235/s"
            ),
        ),
    ],
)
def test_a_sentence_that_is_understood_is_a_price(sentence: str, words: str) -> None:
    """The five forms, with Markdown, odd spaces and an example."""
    assert price_words(read_sentence(sentence, FIELDS)) == words


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        "Ask our sales team.",
        f"{SECOND}, you will be charged $0.42, and $0.10 for each element.",
        f"{SECOND}, you will be charged $0.42. Video elements may be priced under a separate tier.",
        f"{SECOND}, you will be charged €0.42.",
        f"{SECOND}, you will be charged $0.0000001.",
        f"{SIZES}, and $0.40 per second at 4k.",
        f"{SIZES}. Weekends are free.",
        "For 5s video your request will cost $0.49.",
        "Your request will cost $0.1 per compute second.",
        f"{SECOND}, you will be charged $0.00.",
        f"{SECOND}, you will be charged $" + "9" * 3000,
    ],
)
def test_what_is_not_wholly_understood_is_no_price(sentence: str) -> None:
    """Half of a price is a wrong one."""
    assert read_sentence(sentence, FIELDS) is None


def test_a_price_by_a_field_that_the_input_does_not_have_is_none() -> None:
    """Voices without a field for them cannot be used, so that rate is left out."""
    sound = f"{SECOND}, you will be charged $0.07 (audio off) or $0.14 (audio on)"
    assert read_sentence(f"{sound}.", {}) is None
    assert read_sentence(f"{SIZES}.", {}) is None
    voices = f"{sound}{VOICES} $0.168."
    audio = {"generate_audio": {"type": "boolean"}}
    assert price_words(read_sentence(voices, audio)) == "$0.07/s when generate_audio is false, else $0.14/s"


@pytest.mark.parametrize(
    ("unit_price", "unit", "words"),
    [
        (0.112, "seconds", "$0.112/s"),
        (0.112, "second", "$0.112/s"),
        (0.007, "voices", "$0.007 each"),
        (0.035, "videos", "$0.035 each"),
        (0.014, "units", "none"),
        (0.0001, "compute seconds", "none"),
        (0.5, "10 seconds", "none"),
        (0, "seconds", "none"),
        (float("inf"), "seconds", "none"),
    ],
)
def test_a_unit_price_is_a_price_by_the_second_or_by_the_request(unit_price: float, unit: str, words: str) -> None:
    """Other units, such as machine time, say nothing about the cost of a clip."""
    assert price_words(read_unit_price(unit_price, unit)) == words


def test_prices_are_compared_by_what_they_charge() -> None:
    """However they are written."""
    first = {"first_seconds": 5, "first_usd": "0.28", "each_further_second_usd": "0.056"}
    assert same_price(first, {"per_second_usd": "0.0560", "unit_usd": "0.14"})
    assert not same_price(first | {"first_usd": "0.30"}, {"per_second_usd": "0.056"})
    assert not same_price({"per_second_usd": "0.056", "of": "input"}, {"per_second_usd": "0.056"})
    assert not same_price(None, first)
    doubtful = {
        "variants": [{"when": {"elements": {"contains": "video_url"}}, "unknown": True}, {"per_second_usd": "0.42"}]
    }
    assert same_price(doubtful, {"variants": [{"per_second_usd": "0.42"}]})
    assert price_words(doubtful) == "unknown when elements has video_url, else $0.42/s"
    assert states_amount({"per_second_usd": "0.112", "of": "input"}, {"per_second_usd": "0.112"})
    assert not states_amount({"per_second_usd": "0.112"}, {"per_second_usd": "0.113"})
    assert not states_amount(None, {"per_second_usd": "0.113"})
