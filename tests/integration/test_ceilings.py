"""Prices by the length of a file: measured, or a ceiling that is settled by what fal says afterwards."""

import hashlib
import json
from typing import Any

import pytest

from app.domain.jobs import Money, Status
from tests.integration.refusals import assert_problem, nothing_changes
from tests.support.clips import clip
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.receiver import Receiver, Reply
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, open_stack

pytestmark = pytest.mark.anyio
EDIT = "fal-ai/kling-video/o1/video-to-video/edit"
CEILING = 1_680_000  # ten seconds at 0.168
ELSEWHERE = "https://example.com/long.mp4"
RESULT = json.dumps({"video": {"url": "https://v3.fal.media/files/a/output.mp4"}}).encode()


def edit(url: str) -> dict[str, Any]:
    """An edit of this video."""
    return {"prompt": "Make it snow.", "video_url": url}


@pytest.mark.parametrize(
    ("units", "money", "charged", "entries"),
    [
        ("4", Money.SPENT, 672_000, ["reserve", "dispute", "settle", "correction"]),
        ("10.0", Money.SPENT, CEILING, ["reserve", "dispute", "settle"]),
        ("11", Money.DISPUTED, None, ["reserve", "dispute"]),
        ("0", Money.DISPUTED, None, ["reserve", "dispute"]),
        ("many", Money.DISPUTED, None, ["reserve", "dispute"]),
        (None, Money.DISPUTED, None, ["reserve", "dispute"]),
    ],
)
async def test_a_ceiling_is_settled_by_fals_units_or_stays_disputed(
    store: RedisServer, emulator: Emulator, units: str | None, money: Money, charged: int | None, entries: list[str]
) -> None:
    """Four units of 0.168 are what it cost; more than the ceiling, or nothing readable, proves nothing."""
    named = {} if units is None else {"X-Fal-Billable-Units": units}
    async with Receiver() as fal, open_stack(store, emulator, FILMGATE_FAL_QUEUE_URL=fal.url) as stack:
        accepted, done = Reply(200, body=b'{"request_id": "abc-1"}'), Reply(200, body=b'{"status": "COMPLETED"}')
        fal.answers([accepted, done, Reply(200, named, RESULT)])
        pipeline = Pipeline(stack)
        job = await pipeline.bought(model=EDIT, input=edit(ELSEWHERE))
        assert (job.quoted_micro, job.seconds, job.basis) == (CEILING, 10, "ceiling")
        await pipeline.completed(job.id)
        ended = await pipeline.finalized(job.id)
        assert (ended.status, ended.money, ended.charged_micro) == (Status.SUCCEEDED, money, charged)
        assert await pipeline.entries(job.id) == entries


async def uploaded(stack: Stack, **facts: Any) -> str:
    """The address at fal of a file that was uploaded here, with these facts."""
    url = f"{stack.emulator.url}/files/b/{hashlib.sha256(repr(facts).encode()).hexdigest()}.mp4"
    record = {"type": "video/mp4", "size": 1000, "sha256": "0" * 64, "url": url, "kind": "video", **facts}
    digest = hashlib.sha256(url.encode()).hexdigest()
    await stack.gateway.stores.uploaded_files.remember(
        stack.account.team.id, digest, record, seconds=60, listed=False
    )
    return url


async def test_a_file_that_came_in_here_is_quoted_by_its_length(stack: Stack) -> None:
    """The same as the job's quote; another address is quoted as the longest, and the quote says so."""
    file = await stack.api.post("/v1/files", files={"file": ("clip.mp4", clip("mp4"))})  # of three seconds
    body = {"model": EDIT, "input": edit(file.json()["url"])}
    quote = (await stack.api.post("/v1/quotes", json=body)).json()
    shown = ("quoted_usd", "video_seconds", "basis", "note")
    assert [quote[name] for name in shown] == ["0.504", 3, "measured", None]
    assert (await stack.api.post("/v1/jobs", json=body)).json()["quoted_usd"] == "0.504"
    unknown = (await stack.api.post("/v1/quotes", json={"model": EDIT, "input": edit(ELSEWHERE)})).json()
    assert [unknown[name] for name in shown[:3]] == ["1.68", 10, "ceiling"]
    assert unknown["note"].startswith("The length of video_url is not known here")


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"seconds": "11"}, "out_of_range"),
        ({"seconds": "2"}, "out_of_range"),
        ({"seconds": "5", "size": 201 * 1024 * 1024}, "too_long"),
        ({"kind": "audio", "type": "audio/mpeg", "seconds": "5"}, "url_not_allowed"),
    ],
)
async def test_a_file_that_the_model_would_refuse_is_not_bought(
    stack: Stack, facts: dict[str, Any], code: str
) -> None:
    """Too long, too short, too large, or no video: before anything is reserved."""
    url = await uploaded(stack, **facts)
    async with nothing_changes(stack):
        reply = await stack.api.post("/v1/jobs", json={"model": EDIT, "input": edit(url)})
    assert_problem(reply, 422, "invalid_input")
    assert [(fault["pointer"], fault["code"]) for fault in reply.json()["errors"]] == [("/input/video_url", code)]
