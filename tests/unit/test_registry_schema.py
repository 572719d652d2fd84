"""The subset of JSON Schema that a model's file may use."""

import math
from typing import Any

import pytest

from app.domain.errors import Unprocessable
from app.registry.catalog import entries
from app.registry.model_file import ModelFile
from app.registry.schema import InputSchema

SCHEMA = InputSchema(
    {
        "properties": {
            "seed": {"type": "integer", "minimum": 0, "maximum": 2**32 - 1, "documented": "schema"},
            "loop": {"type": "boolean", "documented": "schema"},
            "scale": {"type": "number", "documented": "schema"},
            "camera": {
                "type": "object",
                "documented": "schema",
                "properties": {
                    "pan": {"type": "number", "default": 0.5},
                    "name": {"type": "string", "minLength": 1},
                },
                "required": ["name"],
            },
        },
    }
)


def check(given: dict[str, Any]) -> dict[str, Any]:
    """The validated input."""
    return SCHEMA.check(given, strict_schema=False, private_urls=False)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"seed": 0},
        {"seed": 2**32 - 1},
        {"loop": True},
        {"loop": False},
        {"scale": -3},
        {"scale": 1e300},
        {"camera": {"pan": 1, "name": "a"}},
    ],
)
def test_what_fits_is_kept(given: dict[str, Any]) -> None:
    """Without defaults, nothing is added."""
    assert check(given) == given


def test_defaults_reach_into_objects() -> None:
    """A nested field's default is filled in when its object is given."""
    assert check({"camera": {"name": "a"}}) == {"camera": {"pan": 0.5, "name": "a"}}


@pytest.mark.parametrize(
    ("given", "pointer", "code", "message"),
    [
        ({"seed": 2**32}, "/input/seed", "out_of_range", "seed must be at most 4294967295."),
        ({"seed": 10**30}, "/input/seed", "out_of_range", "seed must be at most 4294967295."),
        ({"seed": -1}, "/input/seed", "out_of_range", "seed must be at least 0."),
        ({"seed": 1.0}, "/input/seed", "wrong_type", "seed must be a whole number."),
        ({"seed": True}, "/input/seed", "wrong_type", "seed must be a whole number."),
        (
            {"seed": "1s"},
            "/input/seed",
            "wrong_type",
            "seed must be a whole number. Write only the number, without quotation marks.",
        ),
        ({"seed": "soon"}, "/input/seed", "wrong_type", "seed must be a whole number."),
        ({"loop": 1}, "/input/loop", "wrong_type", "loop must be true or false."),
        (
            {"loop": "true"},
            "/input/loop",
            "wrong_type",
            "loop must be true or false. Write true or false without quotation marks.",
        ),
        ({"scale": math.nan}, "/input/scale", "out_of_range", "scale must be a finite number."),
        ({"scale": -math.inf}, "/input/scale", "out_of_range", "scale must be a finite number."),
        ({"camera": []}, "/input/camera", "wrong_type", "camera must be an object."),
        ({"camera": {}}, "/input/camera/name", "missing", "name is required."),
        (
            {"camera": {"name": "a", "tilt": 1}},
            "/input/camera/tilt",
            "unknown_field",
            "There is no such field here; leave it out.",
        ),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, Any], pointer: str, code: str, message: str) -> None:
    """Nothing is converted, and large numbers are shown in full."""
    with pytest.raises(Unprocessable) as caught:
        check(given)
    (violation,) = caught.value.violations
    assert (violation.pointer, violation.code, violation.message) == (pointer, code, message)


@pytest.mark.parametrize(
    "field",
    [
        {"type": "string", "pattern": "a+"},
        {"type": "number", "multipleOf": 2},
        {"type": "string", "format": "date"},
        {"type": "array", "items": {"type": "string", "pattern": "a"}, "maxItems": 1},
        {"type": "object", "properties": {"x": {"type": "boolean", "minimum": 1}}},
    ],
)
def test_a_keyword_that_would_not_be_checked_is_refused(field: dict[str, Any]) -> None:
    """A file cannot use what the validator does not check."""
    with pytest.raises(ValueError, match="is not a"):
        InputSchema({"properties": {"x": {**field, "documented": "schema"}}})


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "image-to-image"},
        {"id": "fal-ai/../tokens"},
        {"prize": None},
        {"price_date": "soon"},
        {"image_limits": {"max_bytes": -1}},
        {"input": {"properties": {"prompt": {"type": "string", "documented": "schema"}}}},
        {"input": {"properties": {"duration": {"type": "string", "enum": ["5"], "default": "5"}}}},
    ],
)
def test_a_file_of_another_form_is_refused(changed: dict[str, Any]) -> None:
    """Unknown members, kinds and formats prevent the start."""
    first = next(iter(entries()))
    with pytest.raises(ValueError, match=next(iter(changed))):
        ModelFile.model_validate({**first.model_dump(), **changed})
