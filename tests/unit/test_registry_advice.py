"""What a refusal advises: the name that the model has for a field, and what to write for a value."""

import math
from typing import Any

import pytest

from app.domain.errors import Unprocessable
from app.registry.catalog import Catalog, Model

CATALOG = Catalog.load()
MASTER = CATALOG.default
V3 = CATALOG.get("fal-ai/kling-video/v3/pro/image-to-video")
TURBO = CATALOG.get("fal-ai/kling-video/v3/turbo/standard/text-to-video")
GIVEN = {"prompt": "A cat walks.", "image_url": "https://v3.fal.media/files/b/cat.png"}


def said(model: Model, field: str, value: Any) -> str:
    """The sentence about this field."""
    with pytest.raises(Unprocessable) as caught:
        model.validate({**GIVEN, field: value}, strict_schema=False, private_images=False)
    return next(found.message for found in caught.value.violations if found.pointer == f"/input/{field}")


@pytest.mark.parametrize(
    ("model", "field", "says"),
    [
        (V3, "image_url", "this model calls it start_image_url."),
        (V3, "tail_image_url", "this model calls it end_image_url."),
        (V3, "image_tail", "this model calls it end_image_url."),
        (V3, "cfgScale", "this model calls it cfg_scale."),
        (V3, "negative-prompt", "this model calls it negative_prompt."),
        (V3, "shots", "this model calls it multi_prompt."),
        (V3, "sound", "this model calls it generate_audio."),
        (V3, "negativ_prompt", "Did you mean negative_prompt?"),
        (V3, "aspect_ratio", "the image decides the ratio."),
        (V3, "seed", "leave it out."),
        (MASTER, "start_image_url", "this model calls it image_url."),
        (MASTER, "tail_image_url", "leave it out."),
        (CATALOG.get("fal-ai/kling-video/v2.5-turbo/pro/image-to-video"), "end_image_url", "it tail_image_url."),
        (TURBO, "ratio", "this model calls it aspect_ratio."),
    ],
)
def test_an_unknown_field_is_told_what_this_model_calls_it(model: Model, field: str, says: str) -> None:
    """By the names of its sisters, by another spelling, or by what decides instead."""
    message = said(model, field, 1)
    assert message.startswith("There is no such field here")
    assert message.endswith(says)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("duration", "5s", 'Write "5".'),
        ("duration", 5, 'Write "5".'),
        ("duration", 10.0, 'Write "10".'),
        ("duration", " 05.0 seconds", 'Write "5".'),
        ("duration", "7s", "must be '5' or '10'."),
        ("duration", True, "must be a string."),
        ("duration", math.inf, "must be a string."),
        ("aspect_ratio", "16x9", 'Write "16:9".'),
        ("cfg_scale", "0.5", "Write only the number, without quotation marks."),
    ],
)
def test_a_value_that_is_nearly_right_is_told_what_to_write(field: str, value: Any, says: str) -> None:
    """Behind what is wrong; a value that is not near to any gets no advice."""
    assert said(MASTER, field, value).endswith(says)
