"""How long a job's video is, which seconds of input are paid, and the prices that follow."""

import re
from typing import Any

import pytest

from app.domain.errors import Unprocessable
from app.registry.catalog import Model, entries
from app.registry.model_file import ModelFile
from app.registry.pricing import Quote, Rate, read_price
from app.registry.schema import InputSchema

OURS = "https://v3.fal.media/files/b/ours.mp4"
OTHER = "https://example.com/other.mp4"
TEXT = {"type": "string", "documented": "schema"}
VIDEO = {"type": "string", "format": "video-url", "documented": "schema"}
AUDIO = {"type": "string", "format": "audio-url", "documented": "schema"}
LENGTH = {"type": "integer", "minimum": 3, "maximum": 30, "default": 5, "documented": "schema"}
LIMITS = {"min_seconds": 3, "max_seconds": 30.05}
EDIT: dict[str, Any] = {
    "input": {"properties": {"video_url": VIDEO, "orientation": TEXT}, "required": ["video_url"]},
    "seconds": {"output": ["video_url"], "input": ["video_url"]},
    "video_limits": LIMITS,
}
SEED = next(entry for entry in entries() if entry.id.endswith("v1.6/pro/elements"))
BOTH = {"per_second_usd": "0.1", "of": "input_and_output"}


def model(price: dict[str, Any], **changed: Any) -> Model:
    """A model with this price, and otherwise the form of a file of ours."""
    first = SEED.model_dump()
    entry = ModelFile.model_validate({**first, **changed, "price": price})
    schema = InputSchema(entry.input)
    tariff = read_price(price, schema.fields, counts_input=bool(entry.seconds.input))
    return Model(entry, schema, tariff, entry.price_source, entry.price_date)


def quoted(found: Model, given: dict[str, Any], measured: dict[str, float] | None = None) -> Quote:
    """The quote for an input, which is checked first."""
    clean = found.validate(given, strict_schema=False, private_images=False)
    found.check_media(clean, measured or {})
    return found.price(clean, measured or {})


def test_a_measured_file_gives_its_own_price() -> None:
    """An edit has the length of its video: 7.2 s are eight of input and eight of output."""
    quote = quoted(model(BOTH, **EDIT), {"video_url": OURS}, {OURS: 7.2})
    assert (quote.micro, quote.seconds, quote.input_seconds, quote.basis) == (1_600_000, 8, 8, "measured")
    assert quote.note is None


def test_an_unknown_file_gets_the_ceiling_and_the_quote_says_so() -> None:
    """The price is for the longest that the model reads; its 30.05 s count as thirty."""
    quote = quoted(model(BOTH, **EDIT), {"video_url": OTHER}, {OURS: 7.2})
    assert (quote.micro, quote.seconds, quote.input_seconds, quote.basis) == (6_000_000, 30, 30, "ceiling")
    assert quote.note is not None
    assert "length of video_url is not known" in quote.note
    assert "30 s" in quote.note


@pytest.mark.parametrize(("length", "seconds"), [(2.96, 3), (3.0, 3), (3.05, 3), (3.06, 4), (30.05, 30)])
def test_started_seconds_are_paid_except_for_a_containers_frames(length: float, seconds: int) -> None:
    """Up to 0.05 s above a whole second are the rounding of containers."""
    assert quoted(model(BOTH, **EDIT), {"video_url": OURS}, {OURS: length}).seconds == seconds


@pytest.mark.parametrize("length", [0.4, 2.9, 30.2, 3600.0])
def test_a_measured_file_that_the_model_does_not_read_is_refused(length: float) -> None:
    """Before it is bought, with its length and the model's bounds."""
    with pytest.raises(Unprocessable) as caught:
        quoted(model(BOTH, **EDIT), {"video_url": OURS}, {OURS: length})
    (fault,) = caught.value.violations
    assert (fault.pointer, fault.code) == ("/input/video_url", "out_of_range")
    assert fault.message == f"The video has {length:.1f} s; the model reads 3 to 30.05 s."


def test_a_lower_limit_holds_under_its_condition() -> None:
    """As for motion control: ten seconds where the picture decides, and thirty where the video does."""
    limits = {**LIMITS, "less_when": [{"when": {"orientation": "image"}, "max_seconds": 10}]}
    motion = model({"per_second_usd": "0.1"}, **{**EDIT, "video_limits": limits})
    assert quoted(motion, {"video_url": OTHER, "orientation": "image"}).micro == 1_000_000
    assert quoted(motion, {"video_url": OTHER, "orientation": "video"}).micro == 3_000_000
    with pytest.raises(Unprocessable):
        quoted(motion, {"video_url": OURS, "orientation": "image"}, {OURS: 12})


def test_a_duration_counts_before_the_video_that_would_decide_it() -> None:
    """As for references to a video: without a duration the output is as long as the video."""
    fields = {"video_url": VIDEO, "duration": {"type": "string", "enum": ["3", "10"], "documented": "schema"}}
    found = model(
        {"per_second_usd": "0.1"},
        input={"properties": fields, "required": ["video_url"]},
        seconds={"output": ["duration", "video_url"]},
        video_limits=LIMITS,
    )
    asked = quoted(found, {"video_url": OTHER, "duration": "10"})
    assert (asked.micro, asked.seconds, asked.basis) == (1_000_000, 10, "requested")
    assert quoted(found, {"video_url": OTHER}).seconds == 30
    assert quoted(found, {"video_url": OURS}, {OURS: 4}).seconds == 4


def test_input_that_is_given_costs_by_both_lengths() -> None:
    """Input and output together, and at least twice the output; without input the rate of the output alone."""
    element = {"type": "object", "properties": {"video_url": VIDEO}}
    fields = {
        "duration": LENGTH,
        "video_urls": {"type": "array", "items": VIDEO, "maxItems": 5, "documented": "schema"},
        "elements": {"type": "array", "items": element, "maxItems": 7, "documented": "schema"},
    }
    price = {
        "variants": [
            {"when": {"video_urls": {"minItems": 1}}, **BOTH},
            {"when": {"elements": {"contains": "video_url"}}, **BOTH},
            {"per_second_usd": "0.2"},
        ]
    }
    found = model(
        price,
        input={"properties": fields, "required": []},
        seconds={"input": ["video_urls", "elements"]},
        video_limits=LIMITS,
    )
    assert quoted(found, {"duration": 10}) == quoted(found, {"duration": 10, "elements": [{}]})
    assert (quoted(found, {"duration": 10}).micro, quoted(found, {"duration": 10}).basis) == (
        2_000_000,
        "requested",
    )
    short, long = {"duration": 10, "video_urls": [OURS]}, {"duration": 10, "video_urls": [OURS, OTHER]}
    assert quoted(found, short, {OURS: 4}).micro == 2_000_000  # 14 s, and twice the output is more
    assert quoted(found, short, {OURS: 25}).micro == 3_500_000
    assert quoted(found, long, {OURS: 4}).micro == 4_400_000  # 4 + 30 + 10
    assert quoted(found, {"duration": 30, "elements": [{"video_url": OTHER}]}).micro == 6_000_000


def test_a_flat_price_has_no_length() -> None:
    """A voice, of audio whose length nobody knows: one price, and no seconds of video."""
    found = model(
        {"flat_usd": "0.007"},
        input={"properties": {"voice_url": AUDIO}, "required": ["voice_url"]},
        seconds={"output": []},
    )
    quote = quoted(found, {"voice_url": OTHER})
    assert (quote.micro, quote.seconds, quote.basis, quote.note) == (7000, 0, "flat", None)


def test_seconds_are_rounded_up_to_steps_and_to_a_least() -> None:
    """Lipsync pays multiples of five seconds of input; another model at least three seconds."""
    steps = model({"per_second_usd": "0.014", "of": "input", "in_steps_of": 5}, **EDIT)
    assert [quoted(steps, {"video_url": OURS}, {OURS: long}).micro for long in (4, 5, 6, 10)] == [
        70_000,
        70_000,
        140_000,
        140_000,
    ]
    assert Rate(0, 0, 100, least=3).counted(steps.lengths({"video_url": OURS}, {OURS: 2})) == 3


def test_a_bounded_whole_number_is_a_duration() -> None:
    """As of Kling 4.0: 3 to 30, and fal's own default where it is not sent."""
    known = model({"per_second_usd": "0.2"}, input={"properties": {"duration": LENGTH}, "required": []})
    assert [quoted(known, given).seconds for given in ({}, {"duration": 3}, {"duration": 30})] == [5, 3, 30]
    assumed = {"type": "integer", "minimum": 3, "maximum": 30, "assumed": 5, "documented": "unverified"}
    unsure = model({"per_second_usd": "0.2"}, input={"properties": {"duration": assumed}, "required": []})
    assert quoted(unsure, {}).seconds == 5
    assert unsure.validate({}, strict_schema=True, private_images=False) == {}
    with pytest.raises(Unprocessable, match="not valid") as caught:
        unsure.validate({"duration": 5}, strict_schema=True, private_images=False)
    assert (
        caught.value.violations[0].message
        == "duration is not verified in fal's schema, and the strict schema is on."
    )


def test_lists_can_share_one_limit() -> None:
    """Pictures and elements together."""
    texts = {"type": "array", "items": TEXT, "maxItems": 7, "documented": "schema"}
    found = model(
        {"per_second_usd": "0.2"},
        input={"properties": {"duration": LENGTH, "image_urls": texts, "elements": texts}, "required": []},
        together={"fields": ["image_urls", "elements"], "most": 4},
    )
    quoted(found, {"image_urls": ["a", "b"], "elements": ["c", "d"]})
    with pytest.raises(Unprocessable) as caught:
        quoted(found, {"image_urls": ["a", "b", "c"], "elements": ["d", "e"]})
    assert [(fault.pointer, fault.code) for fault in caught.value.violations] == [("/input/elements", "too_long")]


@pytest.mark.parametrize(
    ("units", "micro"),
    [("5", 700_000), ("3.0", 420_000), ("0.0000001", None), ("", None), (None, None), ("-1", None), ("1e3", None)],
)
def test_billable_units_have_a_price_where_it_is_known(units: str | None, micro: int | None) -> None:
    """Anything but a plain number above zero says nothing, and so do units without a price."""
    price = read_price({"per_second_usd": "0.112", "unit_usd": "0.14"}, ())
    assert price.of_units(units) == micro
    assert read_price({"per_second_usd": "0.112"}, ()).of_units(units) is None


@pytest.mark.parametrize(
    ("price", "sentence"),
    [
        ({"flat_usd": "0.1", "per_second_usd": "0.1"}, "per_second_usd is not a member of a price"),
        ({"per_second_usd": "0.1", "of": "everything"}, "of must be output, input or input_and_output"),
        ({"per_second_usd": "0.1", "in_steps_of": 0}, "in_steps_of must be a whole number from 1 to 60"),
        (
            {"per_second_usd": "0.1", "at_least_seconds": "3"},
            "at_least_seconds must be a whole number from 1 to 60",
        ),
        ({"per_second_usd": "0.1", "unit_usd": 1}, 'unit_usd must be a string of dollars such as "0.28"'),
        (BOTH, "of counts seconds of input, and this model's file names no field for them"),
    ],
)
def test_a_wrong_rate_is_refused_in_one_sentence(price: dict[str, Any], sentence: str) -> None:
    """It names the member."""
    with pytest.raises(ValueError, match=re.escape(sentence)):
        read_price(price, ("duration",))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"seconds": {"output": ["length"]}}, "seconds names length"),
        ({"seconds": {"output": ["prompt"]}}, "seconds names prompt, which has no video or audio"),
        ({**EDIT, "video_limits": None}, "video_limits must give max_seconds"),
        ({"input": {"properties": {"duration": {**TEXT, "default": "5"}}}}, "duration must have an enum"),
        ({"together": {"fields": ["prompt", "input_image_urls"], "most": 4}}, "together names prompt"),
        ({"version": "Omni"}, "generation must be a number"),
        ({**EDIT, "video_limits": {**LIMITS, "less_when": [{"when": {"x": 1}, "max_seconds": 1}]}}, "when names x"),
        (
            {"input": {"properties": {"duration": {**LENGTH, "documented": "unverified"}}}},
            "duration is not in fal's schema",
        ),
    ],
)
def test_a_file_whose_lengths_do_not_fit_is_refused(changed: dict[str, Any], words: str) -> None:
    """In one sentence that names the field."""
    first = SEED.model_dump()
    with pytest.raises(ValueError, match=words):
        ModelFile.model_validate({**first, **changed})
