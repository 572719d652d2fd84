"""What each model costs, and how an operator overrides it."""

from typing import Any

import pytest

from app.domain.errors import Unprocessable
from app.domain.money import format_usd
from app.registry.catalog import Catalog, Model
from app.registry.pricing import Quote, Rate
from app.views.models import model_view
from tests.unit.test_registry_family import NAMES

CATALOG = Catalog.load()
PREFIX = "fal-ai/kling-video/"
MASTER = CATALOG.default.id
IMAGE = "https://v3.fal.media/files/b/cat.png"
LONG = range(3, 16)

# Dollars by seconds, from fal's pages: `5 s + each further second`, or a rate for each second.
STEPPED = {
    "v2/master/image-to-video": ("1.40", "2.80"),
    "v2/master/text-to-video": ("1.40", "2.80"),
    "v2.1/standard/image-to-video": ("0.28", "0.56"),
    "v2.1/pro/image-to-video": ("0.49", "0.98"),
    "v2.1/master/image-to-video": ("1.40", "2.80"),
    "v2.1/master/text-to-video": ("1.40", "2.80"),
    "v2.5-turbo/standard/image-to-video": ("0.21", "0.42"),
    "v2.5-turbo/pro/image-to-video": ("0.35", "0.70"),
    "v2.5-turbo/pro/text-to-video": ("0.35", "0.70"),
    "v1.6/pro/image-to-video": ("0.49", "0.98"),
    "v1.6/pro/text-to-video": ("0.49", "0.98"),
    "v1.6/pro/elements": ("0.49", "0.98"),
    "v1.6/standard/image-to-video": ("0.28", "0.56"),
    "v1.6/standard/text-to-video": ("0.28", "0.56"),
    "v1.6/standard/elements": ("0.28", "0.56"),
}
SILENT: dict[str, Any] = {"generate_audio": False}
VOICES: dict[str, Any] = {"voice_ids": ["v1"]}
ELEMENT: dict[str, Any] = {"elements": [{"frontal_image_url": IMAGE}]}
SPEAKER: dict[str, Any] = {"elements": [{"frontal_image_url": IMAGE}, {"video_url": IMAGE, "voice_id": "v1"}]}
PER_SECOND: list[tuple[str, dict[str, Any], int]] = [  # thousandths of a dollar
    ("v2.6/pro/image-to-video", SILENT, 70),
    ("v2.6/pro/image-to-video", {}, 140),
    ("v2.6/pro/image-to-video", VOICES, 168),
    ("v2.6/pro/image-to-video", {**VOICES, **SILENT}, 70),
    ("v2.6/pro/text-to-video", SILENT, 70),
    ("v2.6/pro/text-to-video", {}, 140),
    ("v3/standard/image-to-video", SILENT, 84),
    ("v3/standard/image-to-video", {}, 126),
    ("v3/standard/image-to-video", ELEMENT, 126),
    ("v3/standard/image-to-video", SPEAKER, 154),
    ("v3/standard/text-to-video", SILENT, 84),
    ("v3/standard/text-to-video", {}, 126),
    ("v3/pro/image-to-video", SILENT, 112),
    ("v3/pro/image-to-video", {}, 168),
    ("v3/pro/image-to-video", SPEAKER, 196),
    ("v3/pro/text-to-video", SILENT, 112),
    ("v3/pro/text-to-video", {}, 168),
    ("v3/4k/image-to-video", SILENT, 420),
    ("v3/4k/image-to-video", {}, 420),
    ("v3/4k/text-to-video", {}, 420),
    ("v3/turbo/standard/image-to-video", {}, 112),
    ("v3/turbo/standard/text-to-video", {}, 112),
    ("v3/turbo/pro/image-to-video", {}, 140),
    ("v3/turbo/pro/text-to-video", {}, 140),
]
UNPRICED = ["v2/standard/image-to-video"]


def quote(model: Model, **more: Any) -> Quote:
    """The quote for the model's required fields, and `more`."""
    given: dict[str, Any] = {"prompt": "A cat walks.", **more}
    for name in model.entry.input["required"]:
        given.setdefault(name, [IMAGE] if name == "input_image_urls" else IMAGE)
    if "multi_prompt" in more:
        del given["prompt"]
    clean = model.validate(given, strict_schema=True, private_images=False)
    return model.price(clean)


@pytest.mark.parametrize("name", STEPPED)
def test_five_and_ten_seconds_cost_what_fal_says(name: str) -> None:
    """The price for the first five seconds, and for five more."""
    model = CATALOG.get(PREFIX + name)
    quotes = [quote(model), quote(model, duration="5"), quote(model, duration="10")]
    assert [format_usd(quoted.micro) for quoted in quotes] == [STEPPED[name][0], *STEPPED[name]]
    assert [quoted.seconds for quoted in quotes] == [5, 5, 10]


@pytest.mark.parametrize(("name", "more", "thousandths"), PER_SECOND)
def test_each_second_costs_what_fal_says(name: str, more: dict[str, Any], thousandths: int) -> None:
    """Sound, voices and silence have their own rates; every duration is a multiple."""
    model = CATALOG.get(PREFIX + name)
    for choice in model.entry.input["properties"]["duration"]["enum"]:
        quoted = quote(model, **more, duration=choice)
        assert (quoted.micro, quoted.seconds) == (thousandths * 1000 * int(choice), int(choice))


def test_every_model_is_in_one_of_the_tables() -> None:
    """So the price of a new endpoint cannot be used untested."""
    tables = {*STEPPED, *(name for name, _, _ in PER_SECOND), *UNPRICED}
    assert {model.id for model in CATALOG} == {PREFIX + name for name in tables} | NAMES


@pytest.mark.parametrize("name", UNPRICED)
def test_a_model_without_a_price_is_refused(name: str) -> None:
    """It is listed and described, but cannot be bought."""
    model = CATALOG.get(PREFIX + name)
    with pytest.raises(Unprocessable) as caught:
        quote(model)
    assert caught.value.code == "price_unknown"
    shown = model_view(model, strict_schema=False)
    assert (shown["priced"], shown["price"]) == (False, None)


@pytest.mark.parametrize(
    ("shots", "duration", "seconds"),
    [(["5", "5"], "5", 10), (["3"], "10", 10), (["5", "10"], "3", 15), (["3", "3"], "6", 6)],
)
def test_a_storyboard_is_priced_by_the_longer_reading(shots: list[str], duration: str, seconds: int) -> None:
    """Fal does not say which counts, so the reservation covers both."""
    model = CATALOG.get(PREFIX + "v3/turbo/pro/text-to-video")
    storyboard = [{"prompt": "A shot.", "duration": shot} for shot in shots]
    quoted = quote(model, multi_prompt=storyboard, duration=duration)
    assert (quoted.seconds, quoted.micro) == (seconds, seconds * 140_000)


def test_the_first_seconds_are_paid_in_full() -> None:
    """A shorter clip costs as much as one of exactly that length."""
    rate = Rate(first_seconds=5, first=100, further=7)
    assert [rate.micro(seconds) for seconds in (1, 5, 6, 10)] == [100, 100, 107, 135]


def test_an_operators_price_wins() -> None:
    """In each of the three shapes, also for a model that had none; other prices are unchanged."""
    unpriced, v26 = PREFIX + UNPRICED[0], PREFIX + "v2.6/pro/image-to-video"
    catalog = Catalog.load(
        {
            MASTER: {"per_second_usd": "0.20"},
            unpriced: {"first_seconds": 5, "first_usd": "0.5", "each_further_second_usd": "0.000001"},
            v26: {"variants": [{"when": VOICES, "per_second_usd": "9"}, {"per_second_usd": "0"}]},
        }
    )
    assert quote(catalog.default, duration="10").micro == 2_000_000
    assert quote(catalog.get(unpriced), duration="10").micro == 500_005
    assert quote(catalog.get(v26)).micro == 0
    assert quote(catalog.get(v26), **VOICES).micro == 45_000_000
    shown = model_view(catalog.default, strict_schema=False)
    assert (shown["price"], shown["price_source"], shown["price_date"]) == (
        {"per_second_usd": "0.20"},
        "operator",
        None,
    )
    untouched = PREFIX + "v2.1/pro/image-to-video"
    assert model_view(catalog.get(untouched), strict_schema=False) == model_view(
        CATALOG.get(untouched), strict_schema=False
    )


def test_the_price_version_follows_the_price() -> None:
    """Equal in every process, different for another price."""
    again = Catalog.load().default
    dearer = Catalog.load({MASTER: {"per_second_usd": "0.29"}}).default
    assert quote(CATALOG.default).price_version == quote(again).price_version
    assert quote(CATALOG.default, duration="10").price_version == quote(again).price_version
    assert quote(dearer).price_version != quote(again).price_version


CLASSIC = {"first_seconds": 5, "first_usd": "1.40", "each_further_second_usd": "0.28"}


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (None, "a price must be an object"),
        ("1.40", "a price must be an object"),
        ({}, "each_further_second_usd is missing"),
        ({"first_seconds": 5, "first_usd": "1.40"}, "each_further_second_usd is missing"),
        ({"per_second_usd": 0.2}, 'per_second_usd must be a string of dollars such as "0.28"'),
        ({"per_second_usd": "-0.2"}, 'per_second_usd must be a string of dollars such as "0.28"'),
        ({"per_second_usd": "0.0000001"}, 'per_second_usd must be a string of dollars such as "0.28"'),
        ({"per_second_usd": "1e3"}, 'per_second_usd must be a string of dollars such as "0.28"'),
        ({"per_second_usd": "1_0"}, 'per_second_usd must be a string of dollars such as "0.28"'),
        ({"per_second_usd": "NaN"}, 'per_second_usd must be a string of dollars such as "0.28"'),
        ({"per_second_usd": "\u0661"}, 'per_second_usd must be a string of dollars such as "0.28"'),
        ({"per_second_usd": "$1"}, 'per_second_usd must be a string of dollars such as "0.28"'),
        ({"per_second_usd": None}, 'per_second_usd must be a string of dollars such as "0.28"'),
        ({"per_secnd_usd": "0.2"}, "per_secnd_usd is not a member of a price"),
        ({"per_second_usd": "0.2", "currency": "EUR"}, "currency is not a member of a price"),
        ({**CLASSIC, "per_second_usd": "0.2"}, "each_further_second_usd is not a member of a price"),
        ({**CLASSIC, "first_seconds": "5"}, "first_seconds must be a whole number from 1 to 60"),
        ({**CLASSIC, "first_seconds": True}, "first_seconds must be a whole number from 1 to 60"),
        ({**CLASSIC, "first_seconds": 0}, "first_seconds must be a whole number from 1 to 60"),
        ({**CLASSIC, "first_usd": 1.4}, 'first_usd must be a string of dollars such as "0.28"'),
        ({"variants": []}, "variants must be a list of at least one object"),
        ({"variants": ["0.2"]}, "variants must be a list of at least one object"),
        (
            {"variants": [{"per_second_usd": "1"}], "per_second_usd": "1"},
            "per_second_usd is not a member of a price",
        ),
        (
            {"variants": [{"when": {"duration": "5"}, "per_second_usd": "1"}]},
            "the last of the variants, and no other, must be without when",
        ),
        (
            {"variants": [{"per_second_usd": "1"}, {"per_second_usd": "2"}]},
            "the last of the variants, and no other, must be without when",
        ),
        (
            {"variants": [{"when": {"sound": True}, "per_second_usd": "1"}, {"per_second_usd": "2"}]},
            "when names sound, which is not a field of this model's input",
        ),
        ({"variants": [{"when": [], "per_second_usd": "1"}]}, "when must be an object"),
        (
            {
                "variants": [
                    {"when": {"duration": {"minItems": "1"}}, "per_second_usd": "1"},
                    {"per_second_usd": "2"},
                ]
            },
            "the condition on duration must be a value, minItems or contains",
        ),
    ],
)
def test_a_wrong_price_is_refused_in_one_sentence(entry: Any, sentence: str) -> None:
    """It names the model and the member."""
    with pytest.raises(ValueError, match=r"^The price of .*\.$") as caught:
        Catalog.load({MASTER: entry})
    assert str(caught.value) == f'The price of "{MASTER}" is wrong: {sentence}.'


@pytest.mark.parametrize("model_id", [PREFIX + "v9/master/image-to-video", MASTER + "/", MASTER.upper(), ""])
def test_a_price_for_an_unknown_model_is_refused(model_id: str) -> None:
    """Otherwise a typo in the id would leave the old price in force unnoticed."""
    with pytest.raises(ValueError, match="not in the registry"):
        Catalog.load({model_id: {"per_second_usd": "0.20"}})
