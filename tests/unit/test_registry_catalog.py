"""Looking models up, and describing them."""

import pytest

from app.domain.errors import NotFound
from app.registry.catalog import Catalog, Model
from app.views.models import model_view

CATALOG = Catalog.load()
MASTER = "fal-ai/kling-video/v2/master/image-to-video"


@pytest.mark.parametrize(
    "model_id",
    [
        "",
        "fal-ai/kling-video",
        "fal-ai/kling-video/v9/master/image-to-video",
        MASTER.upper(),
        "Fal-ai/kling-video/v2/master/image-to-video",
        f"{MASTER}/",
        f"/{MASTER}",
        f" {MASTER}",
        f"{MASTER}\n",
        f"{MASTER}\r\nHost: evil.com",
        f"{MASTER}\x00",
        f"{MASTER}#",
        f"{MASTER}@evil.com",
        f"{MASTER}?fal_webhook=https://evil.com",
        f"{MASTER}/requests/id/cancel",
        "fal-ai/../../tokens",
        "fal-ai/kling-video/v2/master/../master/image-to-video",
        "fal-ai/kling-video/v2/./master/image-to-video",
        "fal-ai//kling-video/v2/master/image-to-video",
        "%2e%2e/%2e%2e/tokens",
        "..%2f..%2ftokens",
        "fal-ai%2Fkling-video%2Fv2%2Fmaster%2Fimage-to-video",
        "//evil.com/x",
        "https://evil.com/",
        "\\\\evil",
        "fal\u2024ai/kling-video/v2/master/image-to-video",
        "fal-ai\u2044kling-video/v2/master/image-to-video",
    ],
)
def test_only_the_exact_id_finds_a_model(model_id: str) -> None:
    """Nothing is decoded, case-folded or shortened; the answer does not repeat the id."""
    with pytest.raises(NotFound) as caught:
        CATALOG.get(model_id)
    assert (caught.value.code, caught.value.status) == ("model_not_found", 404)
    assert caught.value.message.startswith("There is no such model; GET /v1/models lists them.")


@pytest.mark.parametrize(
    ("model_id", "near"),
    [
        (MASTER.replace("video", "vidoe"), MASTER),
        (MASTER + "/", MASTER),
        (MASTER.rpartition("/")[0], MASTER),
        ("fal-ai/kling-video", MASTER),
        (
            "fal-ai/kling-video/v2/standard/image-to-vide",
            "fal-ai/kling-video/v2.1/standard/image-to-video",
        ),  # v2/standard has no price
        (MASTER.upper(), None),
        ("veo3", None),
        ("", None),
        ("x" * 100_000, None),
    ],
)
def test_an_id_close_to_a_models_gets_a_suggestion(model_id: str, near: str | None) -> None:
    """One of ours, without the given text; if none is close, no suggestion."""
    with pytest.raises(NotFound) as caught:
        CATALOG.get(model_id)
    hint = f" Did you mean {near}?" if near else ""
    assert caught.value.message == f"There is no such model; GET /v1/models lists them.{hint}"


def test_the_seed_endpoint_is_the_default() -> None:
    """The model of a job without `model`."""
    assert CATALOG.default is CATALOG.get(MASTER)


def test_the_order_is_current_before_old_and_deprecated_last() -> None:
    """Lists and pages can rely on it: what fal offers, newest first, then the others."""
    ids = [model.id for model in CATALOG]
    assert ids == [model.id for model in Catalog.load()]
    assert len(ids) == len(CATALOG)
    marks = [next((mark for mark in model.marks if mark in {"unlisted", "deprecated"}), "") for model in CATALOG]
    assert marks == sorted(marks, key=["", "unlisted", "deprecated"].index)
    for status in ("current", "deprecated"):
        newest = [m.entry.generation or float(m.entry.version) for m in CATALOG if m.entry.status == status]
        assert newest == sorted(newest, reverse=True)


def test_the_default_model_is_described_as_fal_documents_it() -> None:
    """Fields, defaults and bounds of the schema, with the prose fields marked."""
    shown = model_view(CATALOG.default, strict_schema=False)
    fields = shown["input"]["properties"]
    assert (shown["input"]["type"], shown["input"]["additionalProperties"]) == ("object", False)
    assert shown["input"]["required"] == ["prompt", "image_url"]
    assert [name for name in fields if fields[name]["documented"] == "schema"] == [
        "prompt",
        "image_url",
        "duration",
        "negative_prompt",
        "cfg_scale",
    ]
    assert [name for name in fields if fields[name]["documented"] == "prose"] == [
        "aspect_ratio",
        "static_mask_url",
        "dynamic_mask_url",
        "special_fx",
        "input_image_urls",
    ]
    assert (fields["duration"]["enum"], fields["duration"]["default"]) == (["5", "10"], "5")
    assert [fields["cfg_scale"][key] for key in ("minimum", "maximum", "default")] == [0, 1, 0.5]
    assert fields["negative_prompt"]["default"] == "blur, distort, and low quality"
    assert shown["output"]["properties"]["video"]["required"] == ["url"]
    assert shown["price"] == {"first_seconds": 5, "first_usd": "1.40", "each_further_second_usd": "0.28"}
    assert shown["priced"] is True
    assert shown["image_limits"] == {
        "max_bytes": 10 * 1024 * 1024,
        "min_side_px": 300,
        "min_aspect_ratio": 0.4,
        "max_aspect_ratio": 2.5,
    }


def test_the_strict_description_leaves_prose_out() -> None:
    """What is described is what is accepted."""
    strict = model_view(CATALOG.default, strict_schema=True)["input"]["properties"]
    assert list(strict) == ["prompt", "image_url", "duration", "negative_prompt", "cfg_scale"]


@pytest.mark.parametrize("model", list(CATALOG), ids=lambda model: model.id)
def test_a_description_is_the_callers_own(model: Model) -> None:
    """Changing a returned description changes no model."""
    first = model_view(model, strict_schema=False)
    first["input"]["properties"].clear()
    first["output"].clear()
    if first["price"]:
        first["price"].clear()
    assert model_view(model, strict_schema=False)["input"]["properties"]
    assert model_view(model, strict_schema=False)["output"]
    assert bool(model_view(model, strict_schema=False)["price"]) == model_view(model, strict_schema=False)["priced"]
