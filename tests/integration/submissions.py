"""Submissions as services pass them to the store."""

from dataclasses import replace
from typing import Any

from app.domain.jobs import Submission
from tests.support.stack import Stack

PLAIN = Submission(
    team="team",
    user="user",
    key="key",
    digest="digest",
    model="fal-ai/kling-video/v2/master/image-to-video",
    input={"prompt": "a lake", "image_url": "https://example.com/a.png", "duration": "5"},
    quoted_micro=1_400_000,
    seconds=5,
    price_version="test",
    deadline_s=3_600,
    fingerprint="one",
)


def submission_of(stack: Stack, **changes: Any) -> Submission:
    """One of the stack's account."""
    whose = replace(PLAIN, team=stack.account.team.id, user=stack.account.user.id, digest=stack.digest)
    return replace(whose, **changes)
