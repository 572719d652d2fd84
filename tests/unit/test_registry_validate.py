"""What a model's input must be."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import Unprocessable, Violation
from app.registry.catalog import Catalog, Model

CATALOG = Catalog.load()
MASTER = CATALOG.default
V3 = CATALOG.get("fal-ai/kling-video/v3/pro/image-to-video")
TURBO = CATALOG.get("fal-ai/kling-video/v3/turbo/standard/text-to-video")
IMAGE = "https://v3.fal.media/files/b/cat.png"
GIVEN = {"prompt": "A cat walks.", "image_url": IMAGE}
DEFAULTS = {"duration": "5", "negative_prompt": "blur, distort, and low quality", "cfg_scale": 0.5}

any_text = st.text(st.characters(codec=None), max_size=12)  # lone surrogates included
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)


def check(model: Model, given: dict[str, Any], *, strict: bool = False, private: bool = False) -> dict[str, Any]:
    """The validated input."""
    return model.validate(given, strict_schema=strict, private_images=private)


def faults(
    model: Model, given: dict[str, Any], *, strict: bool = False, private: bool = False
) -> dict[str, Violation]:
    """The violations, by pointer."""
    with pytest.raises(Unprocessable) as caught:
        check(model, given, strict=strict, private=private)
    assert caught.value.code == "invalid_input"
    assert caught.value.violations
    return {violation.pointer: violation for violation in caught.value.violations}


def test_defaults_are_filled_in_and_the_input_is_left_alone() -> None:
    """The result is a new dict in the schema's order."""
    given = dict(GIVEN)
    clean = check(MASTER, given)
    assert clean == {**GIVEN, **DEFAULTS}
    assert list(clean) == ["prompt", "image_url", *DEFAULTS]
    assert given == GIVEN


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("prompt", None, "wrong_type"),
        ("prompt", 5, "wrong_type"),
        ("prompt", ["a"], "wrong_type"),
        ("prompt", "", "empty"),
        ("prompt", "   \n\t ", "empty"),
        ("prompt", "\u200b\u200d\ufeff\u2060", "empty"),
        ("prompt", "\u3164\u2800\u3000", "empty"),
        ("prompt", "a" * 2501, "too_long"),
        ("prompt", "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 501, "too_long"),
        ("prompt", "a\ud800", "invalid_unicode"),
        ("prompt", "a\u0000b", "control_char"),
        ("prompt", "a\u001b[31m", "control_char"),
        ("prompt", "a\rb\u0000", "control_char"),
        ("prompt", "a\u0008b", "control_char"),
        ("prompt", "a\u007fb", "control_char"),
        ("prompt", "\u0081\u008d\u0085", "empty"),
        ("negative_prompt", "a\u0000", "control_char"),
        ("negative_prompt", "a" * 2501, "too_long"),
        ("duration", 5, "wrong_type"),
        ("duration", True, "wrong_type"),
        ("duration", [], "wrong_type"),
        ("duration", "6", "one_of"),
        ("duration", "05", "one_of"),
        ("duration", "5.0", "one_of"),
        ("duration", " 5", "one_of"),
        ("duration", "5s", "one_of"),
        ("cfg_scale", 1.01, "out_of_range"),
        ("cfg_scale", -0.01, "out_of_range"),
        ("cfg_scale", math.nan, "out_of_range"),
        ("cfg_scale", math.inf, "out_of_range"),
        ("cfg_scale", -math.inf, "out_of_range"),
        ("cfg_scale", json.loads("1e400"), "out_of_range"),
        ("cfg_scale", "0.5", "wrong_type"),
        ("cfg_scale", True, "wrong_type"),
        ("cfg_scale", [], "wrong_type"),
        ("image_url", None, "wrong_type"),
        ("image_url", 7, "wrong_type"),
        ("image_url", [IMAGE], "wrong_type"),
        ("image_url", "http://example.com/a.png", "url_scheme"),
        ("image_url", "data:image/png;base64,AAAA", "url_scheme"),
        ("image_url", "https://127.1/a.png", "url_not_allowed"),
        ("image_url", "https://example.com/\ud800", "url_invalid"),
        ("webhook_url", "https://example.com", "unknown_field"),
        ("tenant", "other", "unknown_field"),
        ("price", 0, "unknown_field"),
        ("seed", 10**30, "unknown_field"),
        ("tail_image_url", IMAGE, "unknown_field"),
        ("Prompt", "a", "unknown_field"),
        ("aspect_ratio", "4:3", "one_of"),
        ("static_mask_url", "ftp://example.com/", "url_scheme"),
        ("special_fx", " ", "empty"),
        ("seed", None, "unknown_field"),
        ("input_image_urls", {}, "wrong_type"),
        ("input_image_urls", [IMAGE] * 5, "too_long"),
        ("input_image_urls", IMAGE, "wrong_type"),
    ],
)
def test_a_bad_value_is_refused_with_its_code_and_place(field: str, value: Any, code: str) -> None:
    """One violation, at the field, without the value in its sentence."""
    found = faults(MASTER, {**GIVEN, field: value})
    assert {pointer: violation.code for pointer, violation in found.items()} == {f"/input/{field}": code}
    message = found[f"/input/{field}"].message
    assert message.endswith(".")
    assert message[0].isupper() or message.startswith(field)


@pytest.mark.parametrize("missing", ["prompt", "image_url"])
def test_a_missing_field_is_named(missing: str) -> None:
    """Code `missing` at the absent field."""
    found = faults(MASTER, {name: value for name, value in GIVEN.items() if name != missing})
    assert [(v.pointer, v.code) for v in found.values()] == [(f"/input/{missing}", "missing")]


@pytest.mark.parametrize(
    "prompt", ["a" * 2500, "\U0001f600" * 2500, "a\nb\tc", "\u202egnisrever\u202c", "a\u2028b", "\u65e5\u672c", "."]
)
def test_a_prompt_up_to_the_limit_is_kept_as_it_is(prompt: str) -> None:
    """2,500 code points, not bytes; nothing is trimmed or normalised."""
    assert check(MASTER, {**GIVEN, "prompt": prompt})["prompt"] == prompt
    assert len(prompt.encode()) <= 10_240


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("one\r\ntwo\rthree\n\r\nfour", "one\ntwo\nthree\n\nfour"),
        ("one\u000btwo\u000cthree\u0085four", "one\ntwo\nthree\nfour"),
        ("\u0093Don\u0092t\u0094 \u0096 \u0080 5", "\u201cDon\u2019t\u201d \u2013 \u20ac 5"),
        ("a\u0081b\u008d\u008f\u0090\u009d", "ab"),
        ("a" * 2498 + "\r\n\u0081b", "a" * 2498 + "\nb"),
    ],
)
def test_texts_of_other_systems_are_read_as_meant(written: str, read: str) -> None:
    """Line ends become line feeds, and U+0080 to U+009F what they mean in Windows-1252; then the length counts."""
    assert check(MASTER, {**GIVEN, "prompt": written, "negative_prompt": written}) == {
        **GIVEN,
        **DEFAULTS,
        "prompt": read,
        "negative_prompt": read,
    }


@pytest.mark.parametrize(
    "written",
    [f" {IMAGE}", f"{IMAGE}\n", f"\u00a0{IMAGE} ", f"{IMAGE}#top", IMAGE.replace(".media/", ".media:/") + " #a#b"],
)
def test_an_address_is_read_without_what_it_does_not_need(written: str) -> None:
    """White space around it, a fragment, the colon of an empty port: also in lists."""
    given = {**GIVEN, "image_url": written, "input_image_urls": [written, IMAGE]}
    clean = check(MASTER, given)
    assert (clean["image_url"], clean["input_image_urls"]) == (IMAGE, [IMAGE, IMAGE])


@pytest.mark.parametrize("value", [0, 1, 0.0, 1.0, 0.35])
def test_a_whole_number_is_a_number(value: float) -> None:
    """JSON does not distinguish 1 from 1.0."""
    assert check(MASTER, {**GIVEN, "cfg_scale": value})["cfg_scale"] == value


ABSENT: list[dict[str, Any]] = [
    {"elements": None, "multi_prompt": None, "duration": None, "cfg_scale": None, "negative_prompt": None},
    {"elements": [], "multi_prompt": [], "end_image_url": None},
    {
        "elements": "",
        "multi_prompt": "",
        "end_image_url": "",
        "duration": "",
        "cfg_scale": "",
        "generate_audio": "",
    },
]


@pytest.mark.parametrize("absent", ABSENT)
def test_an_optional_field_that_says_nothing_is_absent(absent: dict[str, Any]) -> None:
    """`null`, an empty list and an empty text give the input that is given without them, with its defaults."""
    given = {"prompt": "a", "start_image_url": IMAGE}
    assert check(V3, {**given, **absent}) == check(V3, given)


def test_what_says_nothing_in_a_list_of_objects_is_absent() -> None:
    """At any depth; an element whose optional fields all say nothing is empty, but stays in its place."""
    element: dict[str, Any] = {"frontal_image_url": IMAGE, "reference_image_urls": [], "voice_id": None}
    given = {"multi_prompt": [{"prompt": "a", "duration": None}], "prompt": "", "start_image_url": IMAGE}
    clean = check(V3, {**given, "elements": [element, {"voice_id": ""}]})
    assert clean["elements"] == [{"frontal_image_url": IMAGE}, {}]
    assert clean["multi_prompt"] == [{"prompt": "a", "duration": "5"}]
    assert "prompt" not in clean


def test_an_empty_text_is_kept_where_the_model_takes_one() -> None:
    """An empty `negative_prompt` is not the default one; its `null` is."""
    assert check(MASTER, {**GIVEN, "negative_prompt": ""})["negative_prompt"] == ""
    assert check(MASTER, {**GIVEN, "negative_prompt": None}) == {**GIVEN, **DEFAULTS}


def test_all_violations_are_reported_at_once() -> None:
    """So the caller can fix an input at once."""
    found = faults(MASTER, {"duration": "7", "cfg_scale": 2, "image_url": "http://a.example", "colour": "red"})
    assert {pointer.removeprefix("/input/"): violation.code for pointer, violation in found.items()} == {
        "prompt": "missing",
        "duration": "one_of",
        "cfg_scale": "out_of_range",
        "image_url": "url_scheme",
        "colour": "unknown_field",
    }
    assert found["/input/duration"].message == "duration must be '5' or '10'."


def test_at_most_twenty_violations_are_reported() -> None:
    """The answer to a thousand unknown fields has a normal length."""
    assert len(faults(MASTER, {**GIVEN, **{f"field{n}": n for n in range(1000)}})) == 20


def test_what_was_given_is_never_repeated() -> None:
    """No sentence and no pointer has a value, or an overlong or strange name."""
    secret = "hunter2-hunter2"  # any text that a caller may send
    given: dict[str, Any] = {"prompt": [secret], "image_url": secret, "duration": secret, "cfg_scale": secret}
    strange = {secret * 10: 1, f"{secret}\n": 1, "\ud800": 1}
    with pytest.raises(Unprocessable) as caught:
        check(MASTER, {**given, **strange})
    assert secret not in repr(caught.value.violations)
    assert len(caught.value.violations) == 7


def test_a_pointer_is_escaped() -> None:
    """RFC 6901: `~` and `/` in a name."""
    assert list(faults(MASTER, {**GIVEN, "a/b~c": 1})) == ["/input/a~1b~0c"]


PROSE = {
    "aspect_ratio": "9:16",
    "static_mask_url": IMAGE,
    "dynamic_mask_url": IMAGE,
    "special_fx": "hug",
    "input_image_urls": [IMAGE] * 4,
}


def test_fields_from_prose_are_forwarded_only_when_given() -> None:
    """They have no defaults."""
    assert check(MASTER, {**GIVEN, **PROSE}) == {**GIVEN, **DEFAULTS, **PROSE}
    assert not PROSE.keys() & check(MASTER, GIVEN).keys()


def test_fields_from_prose_are_refused_when_the_schema_is_strict() -> None:
    """Each with a sentence that says why."""
    found = faults(MASTER, {**GIVEN, **PROSE}, strict=True)
    assert {pointer.removeprefix("/input/") for pointer in found} == PROSE.keys()
    assert {violation.code for violation in found.values()} == {"unknown_field"}
    assert all("prose" in violation.message for violation in found.values())
    assert check(MASTER, GIVEN, strict=True) == {**GIVEN, **DEFAULTS}


def test_a_private_image_is_accepted_only_with_an_emulator() -> None:
    """The flag applies to lists and nested fields too."""
    near = "http://127.0.0.1:8001/cat.png"
    assert check(MASTER, {**GIVEN, "input_image_urls": [near]}, private=True)["input_image_urls"] == [near]
    assert list(faults(MASTER, {**GIVEN, "input_image_urls": [IMAGE, near]})) == ["/input/input_image_urls/1"]
    element = {"frontal_image_url": near}
    assert check(V3, {"prompt": "a", "start_image_url": near, "elements": [element]}, private=True)


def test_exactly_one_of_prompt_and_storyboard_is_wanted() -> None:
    """Neither is `missing`, both are `exclusive`."""
    shots = [{"prompt": "One."}, {"prompt": "Two.", "duration": "3"}]
    assert check(TURBO, {"prompt": "a"})["prompt"] == "a"
    assert check(TURBO, {"multi_prompt": shots})["multi_prompt"][0] == {"prompt": "One.", "duration": "5"}
    assert {p: v.code for p, v in faults(TURBO, {}).items()} == {"/input/prompt": "missing"}
    both = faults(TURBO, {"prompt": "a", "multi_prompt": shots})
    assert {p: v.code for p, v in both.items()} == {"/input/multi_prompt": "exclusive"}


@pytest.mark.parametrize(
    ("shots", "pointer", "code"),
    [
        ([{"prompt": "a"}] * 7, "", "too_long"),
        ([{"duration": "3"}], "/0/prompt", "missing"),
        ([{"prompt": "a", "camera": 1}], "/0/camera", "unknown_field"),
        ([{"prompt": "a"}, "b"], "/1", "wrong_type"),
        ([{"prompt": "a", "duration": 3}], "/0/duration", "wrong_type"),
        ([{"prompt": " "}], "/0/prompt", "empty"),
        ([{"prompt": None}], "/0/prompt", "wrong_type"),
        ([{"prompt": "a", "\ud800": 1}], "/0", "invalid_unicode"),
        ([{"prompt": "a", "duration": "8"}] * 2, "", "out_of_range"),
    ],
)
def test_a_storyboard_is_checked_shot_by_shot(shots: list[Any], pointer: str, code: str) -> None:
    """Pointers lead into the list; all shots together have a limit."""
    found = faults(TURBO, {"multi_prompt": shots})
    assert {p: v.code for p, v in found.items()} == {f"/input/multi_prompt{pointer}": code}


def test_image_fields_are_those_that_hold_images() -> None:
    """So uploads and data URIs are found without knowing the model."""
    assert MASTER.schema.image_fields == ("image_url", "static_mask_url", "dynamic_mask_url", "input_image_urls")
    assert V3.schema.image_fields == ("start_image_url", "end_image_url")
    assert TURBO.schema.image_fields == ()


@pytest.mark.parametrize("model", list(CATALOG), ids=lambda model: model.id)
def test_an_input_that_was_checked_passes_again_unchanged(model: Model) -> None:
    """Validation is idempotent: a stored input can be submitted again."""
    clean = check(model, model.usual_input, strict=True)
    assert clean.items() >= model.usual_input.items()
    assert check(model, clean, strict=True) == clean
    usual = model.entry.input["properties"].get("duration", {}).get("default")
    assert clean.get("duration") == usual


def refusal(action: Callable[[], object]) -> tuple[Violation, ...]:
    """The violations that `action` raised; none if it succeeded."""
    try:
        action()
    except Unprocessable as refused:
        return refused.violations
    return ()


def is_presentable(violations: tuple[Violation, ...]) -> bool:
    """Few, with the right place, and text that can be sent."""
    text = "".join(violation.pointer + violation.message for violation in violations)
    in_place = all(violation.pointer.startswith("/input") for violation in violations)
    return len(violations) <= 20 and in_place and len(text.encode()) < 8000


@given(st.dictionaries(st.sampled_from([*V3.schema.fields, "x"]), json_values), st.booleans(), st.booleans())
def test_no_json_breaks_the_check(given: dict[str, Any], strict: bool, private: bool) -> None:  # noqa: FBT001 # by position
    """Whatever the input is, it is accepted or Unprocessable."""
    assert is_presentable(refusal(lambda: check(V3, given, strict=strict, private=private)))


plain_text = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=50)
choices: dict[str, st.SearchStrategy[object]] = {
    "duration": st.sampled_from(["5", "10"]),
    "cfg_scale": st.floats(0, 1) | st.integers(0, 1),
    "negative_prompt": plain_text,
    "aspect_ratio": st.sampled_from(["16:9", "9:16", "1:1"]),
}


@given(st.fixed_dictionaries({}, optional=choices))
def test_every_valid_input_is_accepted(chosen: dict[str, Any]) -> None:
    """What the schema allows comes out unchanged."""
    assert check(MASTER, {**GIVEN, **chosen}) == {**GIVEN, **DEFAULTS, **chosen}


@given(st.dictionaries(any_text, json_values, max_size=5))
def test_no_field_name_breaks_the_check(given: dict[str, Any]) -> None:
    """Names are as untrusted as values."""
    assert is_presentable(refusal(lambda: check(MASTER, given)))
