"""What fal's answer says about the cost of a job whose price was a ceiling."""

from dataclasses import replace
from typing import Any

import pytest

from app.domain.jobs import Job, Status
from app.registry.catalog import Catalog
from workers.ceilings import actual_micro

CATALOG = Catalog.load()
AVATAR = "fal-ai/kling-video/ai-avatar/v2/pro"


def avatar(**changed: Any) -> Job:
    """An avatar that speaks along a sound of unknown length: five minutes at 0.115 are reserved."""
    model = CATALOG.get(AVATAR)
    given = {"image_url": "https://example.com/a.png", "audio_url": "https://example.com/a.mp3", "prompt": "."}
    quote = model.price(given)
    job = Job(
        id="job_1",
        status=Status.FINALIZING,
        created_ms=0,
        deadline_ms=1,
        team="t",
        user="u",
        key="k",
        model=AVATAR,
        input=given,
        quoted_micro=quote.micro,
        seconds=quote.seconds,
        price_version=quote.price_version,
        basis="ceiling",
    )
    return replace(job, **changed)


@pytest.mark.parametrize(
    ("output", "micro"),
    [
        ({"duration": 12.3}, 1_495_000),  # 13 x 0.115
        ({"duration": 300}, 34_500_000),
        ({"duration": 301}, None),  # more than the ceiling
        ({"duration": 0}, None),
        ({"duration": -1}, None),
        ({"duration": True}, None),
        ({}, None),
    ],
)
def test_the_length_in_the_result_says_what_it_cost(output: dict[str, Any], micro: int | None) -> None:
    """Started seconds are paid; a length that cannot be is not believed."""
    assert actual_micro(CATALOG, avatar(), None, output) == micro


def test_a_price_or_a_model_that_is_gone_says_nothing() -> None:
    """The job keeps the quote it was admitted with, and fal's bill decides."""
    assert actual_micro(CATALOG, avatar(price_version="older"), None, {"duration": 5}) is None
    assert actual_micro(CATALOG, avatar(model="kling/v9/gone"), None, {"duration": 5}) is None
