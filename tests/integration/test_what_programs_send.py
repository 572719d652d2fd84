"""Inputs of public programs, to one running system: at `/v1` and at both of fal's doors."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from tests.integration.fal_doors import DOORS
from tests.integration.refusals import assert_problem, nothing_changes
from tests.support.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, open_stack

pytestmark = pytest.mark.anyio

FAMILY = "fal-ai/kling-video"
_numbers = count(1)  # each key is used once


@pytest.fixture(scope="module")
async def stack(redis_server: RedisServer, emulator: Emulator) -> AsyncIterator[Stack]:
    """One gateway for all tables."""
    redis_server.flush()
    async with open_stack(redis_server, emulator) as made:
        yield made


IMG = "https://v3.fal.media/files/b/cat.png"
CLIP = "https://v3.fal.media/files/b/cat.mp4"
VOICE = "https://v3.fal.media/files/b/cat.mp3"
OTHER = "https://v3.fal.media/files/b/dog.png"
P = "A cat walks."
SHOTS = [{"prompt": "one", "duration": "3"}, {"prompt": "two", "duration": "4"}]


@dataclass(frozen=True, slots=True)
class Row:
    """What a public program sends to a model, and what comes of it.

    `refused` are places and the ends of their sentences at `/v1`; without any, the quote is `usd` there too. At
    fal's doors the input costs `usd`, with this warning, and the job has `reads` of it; without `usd` it is 422.
    """

    model: str
    given: dict[str, Any]
    usd: str | None
    refused: dict[str, str] = field(default_factory=dict)
    warning: str | None = None
    reads: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The whole id."""
        return self.model if self.model.startswith("kling/") else f"{FAMILY}/{self.model}"


def v3(**more: Any) -> dict[str, Any]:
    """An input of Kling 3.0."""
    return {"prompt": P, "start_image_url": IMG, **more}


def board(shots: Any, **more: Any) -> dict[str, Any]:
    """The same, with a storyboard."""
    return {"start_image_url": IMG, "multi_prompt": shots, **more}


V3, V3S = "v3/pro/image-to-video", "v3/standard/image-to-video"
V26, V25, V21 = "v2.6/pro/image-to-video", "v2.5-turbo/pro/image-to-video", "v2.1/standard/image-to-video"
V21P, V16 = "v2.1/pro/image-to-video", "v1.6/pro/image-to-video"
OLD = {"prompt": P, "image_url": IMG}
NONE = "dropped unknown fields: "
RATIO = "the image decides the ratio."
ROWS = {
    "1.6 pro from text, with a number": Row(
        "v1.6/pro/text-to-video",
        {"prompt": P, "duration": 5, "aspect_ratio": "16:9"},
        "0.49",
        {"/input/duration": 'Write "5".'},
        reads={"duration": "5"},
    ),
    "1.6 pro with a ratio": Row(V16, {**OLD, "duration": "5", "aspect_ratio": "9:16"}, "0.49"),
    "2.1 standard": Row(V21, {**OLD, "duration": "5", "negative_prompt": "blur"}, "0.28"),
    "2.1 standard with a seed": Row(
        V21, {**OLD, "seed": 7}, "0.28", {"/input/seed": "leave it out."}, NONE + "seed"
    ),
    "2.1 pro with a ratio": Row(
        V21P, {**OLD, "aspect_ratio": "16:9"}, "0.49", {"/input/aspect_ratio": RATIO}, NONE + "aspect_ratio"
    ),
    "a unit in the duration": Row(
        V25,
        {**OLD, "duration": "5s", "seed": 1, "mode": "pro", "aspect_ratio": "16:9", "cfg_scale": 0.5},
        None,
        {
            "/input/duration": 'Write "5".',
            "/input/seed": "out.",
            "/input/mode": "out.",
            "/input/aspect_ratio": RATIO,
        },
    ),
    "the old name of the first frame": Row(
        V26,
        OLD,
        None,
        {"/input/image_url": "this model calls it start_image_url.", "/input/start_image_url": "is required."},
    ),
    "2.6 with voices": Row(V26, v3(voice_ids=["voice-1"]), "0.84"),
    "3.0, silent, 7 s": Row(V3, v3(duration="7", generate_audio=False), "0.784"),
    "3.0 with a ratio": Row(
        V3S,
        v3(negative_prompt="blur", cfg_scale=0.5, aspect_ratio="16:9"),
        "0.63",
        {"/input/aspect_ratio": RATIO},
        NONE + "aspect_ratio",
    ),
    "an element": Row(V3, v3(elements=[{"frontal_image_url": IMG}]), "0.84"),
    "an element without further pictures": Row(
        V3,
        v3(elements=[{"frontal_image_url": IMG, "reference_image_urls": []}]),
        "0.84",
        reads={"elements": [{"frontal_image_url": IMG}]},
    ),
    "an element with a voice": Row(V3, v3(elements=[{"video_url": IMG, "voice_id": "voice-1"}]), "0.98"),
    "a storyboard": Row(V3S, board(SHOTS), "0.882"),
    "a storyboard with numbers of shots": Row(
        V3S,
        board([{"index": number, **shot} for number, shot in enumerate(SHOTS)]),
        "0.882",
        {
            "/input/multi_prompt/0/index": "the order of the list counts.",
            "/input/multi_prompt/1/index": "the order of the list counts.",
        },
        NONE + "multi_prompt.index",
        {"multi_prompt": SHOTS},
    ),
    "a storyboard with numbers for durations": Row(
        V3S,
        board([{"prompt": "one", "duration": 3}, {"prompt": "two", "duration": 4}]),
        "0.882",
        {"/input/multi_prompt/0/duration": 'Write "3".', "/input/multi_prompt/1/duration": 'Write "4".'},
        reads={"multi_prompt": SHOTS},
    ),
    "fal's own example, with null": Row(
        V3, v3(multi_prompt=None, elements=None, end_image_url=None, generate_audio=None), "0.84"
    ),
    "an empty prompt beside a storyboard": Row(V3, board(SHOTS, prompt=""), "1.176"),
    "empty lists": Row(V3, v3(multi_prompt=[], elements=[]), "0.84"),
    "empty texts for lists": Row(V3, v3(multi_prompt="", elements="", end_image_url=""), "0.84"),
    "voices, as in the schema of April": Row(
        V3, v3(voice_ids=["voice-1"]), "0.84", {"/input/voice_ids": "leave it out."}, NONE + "voice_ids"
    ),
    "a number for the duration": Row(
        V3, v3(duration=5), "0.84", {"/input/duration": 'must be a string. Write "5".'}, reads={"duration": "5"}
    ),
    "cfg_scale, a habit of older models": Row(
        V26, v3(cfg_scale=0.5), "0.70", {"/input/cfg_scale": "leave it out."}, NONE + "cfg_scale"
    ),
    "the new name of the last frame": Row(
        V25,
        {**OLD, "end_image_url": OTHER},
        "0.35",
        {"/input/end_image_url": "this model calls it tail_image_url."},
        NONE + "end_image_url",
    ),
    "texts for numbers and truth": Row(
        V3,
        v3(cfg_scale="0.5", generate_audio="false"),
        "0.56",
        {"/input/cfg_scale": "without quotation marks.", "/input/generate_audio": "without quotation marks."},
        reads={"cfg_scale": 0.5, "generate_audio": False},
    ),
    "a storyboard with a last frame": Row(V3S, board([SHOTS[0]], end_image_url=OTHER), "0.63"),
    "1.5 pro with a last frame": Row(
        "v1.5/pro/image-to-video", {**OLD, "duration": "5", "tail_image_url": OTHER}, "0.50"
    ),
    "O3 with sound": Row(
        "o3/standard/image-to-video",
        {**OLD, "end_image_url": OTHER, "duration": "10", "generate_audio": True},
        "1.12",
    ),
    "O3 by references, with a number": Row(
        "o3/standard/reference-to-video",
        v3(duration=5, elements=[{"frontal_image_url": IMG, "reference_image_urls": []}]),
        "0.42",
        {"/input/duration": 'Write "5".'},
        reads={"duration": "5", "elements": [{"frontal_image_url": IMG}]},
    ),
    "O1": Row("o1/image-to-video", v3(end_image_url=OTHER, duration="5"), "0.56"),
    "O3, a clip to edit, 15 s at most": Row(
        "o3/standard/video-to-video/edit",
        {"prompt": P, "video_url": CLIP, "elements": None, "image_urls": []},
        "1.89",
    ),
    "motion of a clip, 30 s at most": Row(
        "v3/pro/motion-control",
        {"image_url": IMG, "video_url": CLIP, "character_orientation": "video", "prompt": "", "elements": []},
        "5.04",
    ),
    "lips, 10 s at most": Row("lipsync/audio-to-video", {"video_url": CLIP, "audio_url": VOICE}, "0.14"),
    "a voice": Row("create-voice", {"voice_url": VOICE}, "0.007"),
    "4.0 at 720p, with a number": Row(
        "kling/v4/image-to-video", v3(duration=5, resolution="720p"), "0.785", reads={"duration": 5}
    ),
    "4.0 with a text, at the dearer default": Row(
        "kling/v4/text-to-video",
        {"prompt": P, "duration": "5"},
        "1.175",
        {"/input/duration": "must be a whole number. Write only the number, without quotation marks."},
        reads={"duration": 5},
    ),
    "a prompt from Windows": Row(
        V3, v3(prompt="\u0093Go\u0094\r\n\u0096 now"), "0.84", reads={"prompt": "\u201cGo\u201d\n\u2013 now"}
    ),
    "a prompt with an escape": Row(
        V3, v3(prompt="a\u001b[31m"), None, {"/input/prompt": "other than line feeds and tabs."}
    ),
}


@pytest.mark.parametrize("case", ROWS)
async def test_an_input_of_a_public_program_is_quoted_or_told_what_to_write(stack: Stack, case: str) -> None:
    """`/v1` is strict about what says something; each refusal has its place and a remedy."""
    row = ROWS[case]
    async with nothing_changes(stack):
        reply = await stack.api.post("/v1/quotes", json={"model": row.id, "input": row.given})
    if not row.refused:
        assert (reply.status_code, reply.json().get("quoted_usd")) == (200, row.usd), reply.text
        return
    problem = assert_problem(reply, 422, "invalid_input")
    said = {error["pointer"]: error["message"] for error in problem["errors"]}
    assert said.keys() == row.refused.keys()
    assert [said[place] for place, end in row.refused.items() if not said[place].endswith(end)] == []


@pytest.mark.parametrize("case", ROWS)
async def test_an_input_of_a_public_program_is_taken_at_fals_doors_as_fal_takes_it(stack: Stack, case: str) -> None:
    """What the model does not have is dropped and named, at any depth; the job has what was read, at its price."""
    row = ROWS[case]
    for door in DOORS:
        headers = {"Idempotency-Key": f"row {next(_numbers)}"}
        reply = await door(stack, row.id, json.dumps(row.given).encode(), headers)
        if row.usd is None:
            assert reply.status_code == 422, reply.text
            assert {found["loc"][0] for found in reply.json()["detail"]} == {"body"}
            continue
        assert reply.status_code == 200, reply.text
        assert reply.headers.get("x-filmgate-warning") == row.warning
        job = await stack.job(reply.json()["request_id"])
        assert job["quoted_usd"] == row.usd
        assert {name: job["input"].get(name) for name in row.reads} == row.reads


async def test_one_wish_has_one_fingerprint_however_it_is_written(stack: Stack) -> None:
    """With null, with empty values or without, with other line ends: the idempotency key finds its job."""
    headers = {"Idempotency-Key": f"spelling {next(_numbers)}"}
    spellings = [
        v3(prompt="one\ntwo"),
        v3(prompt="one\r\ntwo", multi_prompt=None, elements=[], end_image_url="", duration=None),
        {**v3(prompt="one\rtwo", elements=""), "start_image_url": f" {IMG}#a"},
    ]
    model = f"{FAMILY}/{V3}"
    found = set()
    for given in spellings:
        nothing = {"webhook_url": None, "metadata": None, "priority": None, "max_usd": None, "deadline": None}
        reply = await stack.api.post("/v1/jobs", json={"model": model, "input": given, **nothing}, headers=headers)
        assert reply.status_code == 202, reply.text
        found.add(reply.json()["id"])
    assert len(found) == 1
