"""The emulator's models beside image to video: what each costs, returns and refuses."""

import asyncio
from typing import Any

import pytest

from tests.support.clips import clip, length
from tests.support.emulator import Emulator, FalCaller

pytestmark = pytest.mark.anyio
KLING = "fal-ai/kling-video/"
LIPSYNC = f"{KLING}lipsync/audio-to-video"
O3_CLIP = {"prompt": "p", "image_url": "IMAGE"}
EDIT = {"prompt": "p", "video_url": "V4"}  # a video of 4.04 s; V6 is one of 6.2 s, A7 a sound of 6.5 s
MOTION = {"image_url": "IMAGE", "video_url": "V6", "character_orientation": "video"}
SHOT_DURATION = "multi_prompt.0.duration"
SHOTS = [{"prompt": "a", "duration": "4"}, {"prompt": "b", "duration": "3"}]

# Micro-dollars by hand from the prices that fal's pages give.
BILLS: list[tuple[str, dict[str, Any], int]] = [
    (f"{KLING}v1/standard/image-to-video", O3_CLIP, 5 * 45_000),
    (f"{KLING}v1.5/pro/text-to-video", {"prompt": "p", "duration": "10"}, 10 * 100_000),
    (f"{KLING}v1.6/standard/effects", {"effect_scene": "hug", "input_image_urls": ["IMAGE"]}, 5 * 56_000),
    (f"{KLING}v1.6/pro/elements", {"prompt": "p", "input_image_urls": ["IMAGE"]}, 5 * 98_000),
    (f"{KLING}v3/pro/text-to-video", {"prompt": "p", "duration": None, "negative_prompt": None}, 5 * 168_000),
    (f"{KLING}v3/standard/text-to-video", {"multi_prompt": SHOTS, "prompt": None}, 7 * 126_000),
    (f"{KLING}o1/image-to-video", {"prompt": "p", "start_image_url": "IMAGE", "duration": "3"}, 3 * 112_000),
    (f"{KLING}o1/standard/reference-to-video", {"prompt": "p", "image_urls": ["IMAGE"]}, 5 * 84_000),
    (f"{KLING}o1/video-to-video/edit", EDIT, 4 * 168_000),
    (f"{KLING}o1/standard/video-to-video/reference", EDIT, 5 * 126_000),
    (f"{KLING}o3/standard/image-to-video", {**O3_CLIP, "elements": None}, 5 * 84_000),
    (f"{KLING}o3/standard/image-to-video", {**O3_CLIP, "generate_audio": True}, 5 * 112_000),
    (f"{KLING}o3/pro/text-to-video", {"prompt": "p", "duration": "15"}, 15 * 112_000),
    (f"{KLING}o3/4k/reference-to-video", {"prompt": "p", "generate_audio": True}, 5 * 420_000),
    (f"{KLING}o3/pro/video-to-video/edit", {**EDIT, "video_url": "V6"}, 7 * 168_000),
    (f"{KLING}o3/standard/video-to-video/reference", EDIT, 4 * 126_000),
    (f"{KLING}o3/standard/video-to-video/reference", {**EDIT, "duration": "8"}, 8 * 126_000),
    (f"{KLING}o3/4k/video-to-video/edit", EDIT, 4 * 420_000),
    ("kling/v4/text-to-video", {"prompt": "p"}, 5 * 235_000),
    ("kling/v4/text-to-video", {"multi_prompt": [{"prompt": "a", "duration": 20}]}, 20 * 235_000),
    ("kling/v4/image-to-video", {"start_image_url": "IMAGE", "prompt": "p", "resolution": "720p"}, 5 * 157_000),
    ("kling/v4/reference-to-video", {"prompt": "p", "image_urls": ["IMAGE"]}, 5 * 235_000),
    ("kling/v4/reference-to-video", {"prompt": "p", "video_urls": ["V4"], "duration": 10}, 20 * 141_000),
    (
        "kling/v4/reference-to-video",
        {"prompt": "p", "elements": [{"video_url": "V6"}], "duration": 3},
        10 * 141_000,
    ),
    ("kling/v4/video-to-video/edit", {**EDIT, "resolution": "720p"}, 8 * 94_000),
    (f"{KLING}v2.6/pro/motion-control", MOTION, 7 * 112_000),
    (f"{KLING}v3/standard/motion-control", {**MOTION, "video_url": "V2"}, 3 * 126_000),
    (f"{KLING}v3/pro/motion-control", MOTION, 7 * 168_000),
    (f"{KLING}ai-avatar/v2/standard", {"image_url": "IMAGE", "audio_url": "A7"}, 7 * 56_200),
    (f"{KLING}ai-avatar/v2/pro", {"image_url": "IMAGE", "audio_url": "A7"}, 7 * 115_000),
    (LIPSYNC, {"video_url": "V6", "audio_url": "A7"}, 10 * 14_000),
    (f"{KLING}lipsync/text-to-video", {"video_url": "V4", "text": "hello", "voice_id": "uk_man2"}, 5 * 14_000),
    (f"{KLING}create-voice", {"voice_url": "A7"}, 7_000),
    (f"{KLING}video-to-audio", {"video_url": "V6"}, 35_000),
]


async def material(caller: FalCaller) -> dict[str, str]:
    """URLs of a picture, and of videos and a sound in the emulator's own storage."""
    urls = {"IMAGE": caller.picture}
    for name, kind, content in (
        ("V2", "video/mp4", clip("mp4", seconds=2)),
        ("V4", "video/mp4", clip("mp4", seconds=4.04)),
        ("V6", "video/mp4", clip("mp4", seconds=6.2)),
        ("V40", "video/mp4", clip("mp4", seconds=40)),
        ("A7", "audio/wav", clip("wav", seconds=6.5)),
        ("A90", "audio/mpeg", clip("mp3", seconds=90)),
    ):
        headers = {"Content-Type": kind, "X-Fal-File-Name": name}
        answer = await caller.web.post("/files/upload", content=content, headers=headers)
        urls[name] = answer.json()["access_url"]
    return urls


def filled(value: Any, urls: dict[str, str]) -> Any:
    """The value with URLs in the place of their names."""
    if isinstance(value, dict):
        return {name: filled(one, urls) for name, one in value.items()}
    if isinstance(value, list):
        return [filled(one, urls) for one in value]
    return urls.get(value, value) if isinstance(value, str) else value


async def test_every_family_is_billed_at_its_price(fal: Emulator, caller: FalCaller) -> None:
    """By output, by measured input, by both, rounded, flat; the units times the unit price are the charge."""
    urls = await material(caller)

    async def one(model: str, fields: dict[str, Any]) -> tuple[str, float]:
        reply = (await caller.web.post(f"/{model}", json=filled(fields, urls))).json()
        answer = await caller.result(reply)
        assert answer.status_code == 200, (model, answer.text)
        prices = (await caller.web.get("/v1/models/pricing", params={"endpoint_id": model})).json()["prices"]
        return reply["request_id"], float(answer.headers["x-fal-billable-units"]) * prices[0]["unit_price"]

    made = await asyncio.gather(*(one(model, fields) for model, fields, _ in BILLS))
    costs = {charge["request_id"]: charge["cost_micro"] for charge in (await fal.ledger())["charges"]}
    found = [(model, costs[request_id]) for (model, _, _), (request_id, _) in zip(BILLS, made, strict=True)]
    assert found == [(model, cost) for model, _, cost in BILLS]
    assert [round(dollars * 1e6) for _, dollars in made] == [cost for *_, cost in BILLS]


TOO_LONG_SOUND = {"video_url": "V4", "audio_url": "A90"}
REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("kling/v4/text-to-video", {"prompt": "p", "duration": 31}, "less_than_equal", "duration"),
    ("kling/v4/text-to-video", {"prompt": "p" * 26_001}, "string_too_long", "prompt"),
    (f"{KLING}v3/pro/text-to-video", {"prompt": "p", "duration": 5}, "one_of", "duration"),
    (f"{KLING}v3/pro/text-to-video", {"prompt": "p", "multi_prompt": SHOTS}, "value_error", ""),
    (f"{KLING}v3/pro/text-to-video", {}, "value_error", ""),
    (
        f"{KLING}v3/pro/text-to-video",
        {"multi_prompt": [{"prompt": "a", "duration": "99"}]},
        "one_of",
        SHOT_DURATION,
    ),
    (f"{KLING}o3/pro/video-to-video/edit", {"prompt": "p"}, "missing", "video_url"),
    (f"{KLING}o1/video-to-video/edit", {**EDIT, "video_url": "V2"}, "video_duration_too_short", "video_url"),
    (f"{KLING}v3/pro/motion-control", {**MOTION, "video_url": "V40"}, "video_duration_too_long", "video_url"),
    (LIPSYNC, TOO_LONG_SOUND, "audio_duration_too_long", "audio_url"),
    (f"{KLING}video-to-audio", {"video_url": "IMAGE"}, "unsupported_video_format", "video_url"),
    (f"{KLING}create-voice", {"voice_url": "https://127.0.0.1:9/v.mp3"}, "file_download_error", "voice_url"),
    (f"{KLING}v1.6/pro/effects", {"effect_scene": "nap"}, "one_of", "effect_scene"),
    (f"{KLING}o1/image-to-video", {"prompt": "p"}, "missing", "start_image_url"),
]


async def test_what_a_model_refuses_is_not_charged(fal: Emulator, caller: FalCaller) -> None:
    """200 at the submit, 422 with fal's type and the place in the input at the result."""
    urls = await material(caller)
    before = (await fal.ledger())["total_micro"]

    async def one(model: str, fields: dict[str, Any]) -> tuple[int, str, str]:
        answer = await caller.result((await caller.web.post(f"/{model}", json=filled(fields, urls))).json())
        finding = answer.json()["detail"][0]
        return answer.status_code, finding["type"], ".".join(map(str, finding["loc"][1:]))

    found = await asyncio.gather(*(one(model, fields) for model, fields, *_ in REFUSED))
    assert found == [(422, kind, where) for *_, kind, where in REFUSED]
    assert (await fal.ledger())["total_micro"] == before


async def test_every_output_is_a_real_file_of_its_length(caller: FalCaller) -> None:
    """A soundtrack has video and sound, an avatar says its length, a voice has only an id."""
    urls = await material(caller)

    async def output(model: str, fields: dict[str, Any]) -> dict[str, Any]:
        reply = (await caller.web.post(f"/{model}", json=filled(fields, urls))).json()
        found: dict[str, Any] = (await caller.result(reply)).json()
        return found

    async def length_of(file: dict[str, Any]) -> float:
        return length((await caller.web.get(file["url"])).content)

    soundtrack = await output(f"{KLING}video-to-audio", {"video_url": "V4"})
    assert soundtrack.keys() == {"video", "audio"}
    assert soundtrack["audio"]["content_type"] == "audio/wav"
    assert await length_of(soundtrack["audio"]) == pytest.approx(4.04, abs=0.01)
    avatar = await output(f"{KLING}ai-avatar/v2/pro", {"image_url": "IMAGE", "audio_url": "A7"})
    assert avatar.keys() == {"video", "duration"}
    assert avatar["duration"] == pytest.approx(6.5, abs=0.03)
    voice = await output(f"{KLING}create-voice", {"voice_url": "A7"})
    assert voice.keys() == {"voice_id"}
    assert voice["voice_id"].isdecimal()


async def test_nothing_is_sold_at_a_guessed_price(fal: Emulator, caller: FalCaller) -> None:
    """Unknown ids are 404; a model whose price was not found too, until a test gives it one."""
    flash = "kling/v4/flash/image-to-video"
    body = {"start_image_url": caller.picture}
    for unknown in ("kling/v9/image-to-video", f"{KLING}v3/ultra/text-to-video", "fal-ai/flux/dev"):
        answer = await caller.web.post(f"/{unknown}", json=body)
        assert (answer.status_code, answer.json()["detail"]) == (404, f'Application "{unknown}" not found')
    answer = await caller.web.post(f"/{flash}", json=body)
    assert answer.status_code == 404
    assert "POST /emulator/models" in answer.json()["detail"]
    await fal.drift({flash: {"unit_price": 0.094}, "kling/v5/image-to-video": {"like": "kling/v4/image-to-video"}})
    for model, cost in ((flash, 5 * 94_000), ("kling/v5/image-to-video", 5 * 235_000)):
        reply = (await caller.web.post(f"/{model}", json={"prompt": "p", **body})).json()
        assert (await caller.result(reply)).status_code == 200
        assert (await fal.request(reply["request_id"]))["charged_micro"] == cost


async def test_a_body_is_read_whatever_its_content_type(caller: FalCaller) -> None:
    """A form's type, plain text, none, a byte order mark; unknown members of lists are ignored."""
    body = '{"multi_prompt": [{"prompt": "a", "index": 1, "duration": "3"}], "prompt": null}'
    for kind in ("application/x-www-form-urlencoded", "text/plain", ""):
        answer = await caller.web.post(
            f"/{KLING}v3/pro/text-to-video",
            content=b"\xef\xbb\xbf" + body.encode(),
            headers={"Content-Type": kind} if kind else {},
        )
        assert answer.status_code == 200, kind
        assert (await caller.result(answer.json())).status_code == 200
