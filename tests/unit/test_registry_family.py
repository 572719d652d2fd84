"""What each model of the family costs, for inputs whose price was worked out by hand from fal's pages."""

from typing import Any

import pytest

from app.domain.errors import Unprocessable
from app.domain.money import format_usd
from app.registry.catalog import Catalog
from app.registry.pricing import Quote

CATALOG = Catalog.load()
KLING = "fal-ai/kling-video/"
IMAGE = "https://v3.fal.media/files/b/cat.png"
CLIP = "https://v3.fal.media/files/b/clip.mp4"  # its length is given
SOUND = "https://v3.fal.media/files/b/song.mp3"
ELSEWHERE = "https://example.com/long.mp4"  # nobody knows how long it is

TEXT: dict[str, Any] = {"prompt": "A cat walks."}
PICTURE: dict[str, Any] = {**TEXT, "image_url": IMAGE}
START: dict[str, Any] = {**TEXT, "start_image_url": IMAGE}
EDIT: dict[str, Any] = {**TEXT, "video_url": CLIP}
UNKNOWN: dict[str, Any] = {**TEXT, "video_url": ELSEWHERE}
MOVE: dict[str, Any] = {"image_url": IMAGE, "video_url": CLIP, "character_orientation": "video"}
FREE: dict[str, Any] = {"image_url": IMAGE, "video_url": ELSEWHERE}
AVATAR: dict[str, Any] = {"image_url": IMAGE, "audio_url": SOUND}
LIPS: dict[str, Any] = {"video_url": CLIP, "audio_url": SOUND}
SAID: dict[str, Any] = {"video_url": CLIP, "text": "Good morning.", "voice_id": "uk_man2"}
EFFECT: dict[str, Any] = {"effect_scene": "hug", "input_image_urls": [IMAGE, IMAGE]}
LOUD: dict[str, Any] = {"generate_audio": True}
SPEAKER: dict[str, Any] = {"elements": [{"video_url": CLIP, "voice_id": "v1"}]}


def shots(*seconds: int | str) -> dict[str, Any]:
    """A storyboard instead of a prompt."""
    return {"multi_prompt": [{"prompt": "A shot.", "duration": long} for long in seconds]}


# Model, input, length of CLIP and SOUND in seconds, dollars, seconds of video, what the price follows from.
CASES: list[tuple[str, dict[str, Any], float, str, int, str]] = [
    (KLING + "o3/standard/image-to-video", PICTURE, 0, "0.42", 5, "requested"),  # 5 x 0.084
    (KLING + "o3/standard/image-to-video", {**PICTURE, **LOUD, "duration": "15"}, 0, "1.68", 15, "requested"),
    (KLING + "o3/standard/text-to-video", {**TEXT, "duration": "3"}, 0, "0.252", 3, "requested"),
    (KLING + "o3/standard/text-to-video", {**shots("4", "6"), **LOUD}, 0, "1.12", 10, "requested"),
    (KLING + "o3/standard/reference-to-video", {**TEXT, "image_urls": [IMAGE]}, 0, "0.42", 5, "requested"),
    (KLING + "o3/standard/reference-to-video", {**TEXT, **SPEAKER, **LOUD}, 8, "0.56", 5, "requested"),
    (KLING + "o3/pro/image-to-video", {**PICTURE, "duration": "10"}, 0, "1.12", 10, "requested"),
    (KLING + "o3/pro/image-to-video", {**PICTURE, **LOUD}, 0, "0.70", 5, "requested"),
    (KLING + "o3/pro/text-to-video", {**TEXT, **LOUD, "duration": "15"}, 0, "2.10", 15, "requested"),
    (KLING + "o3/pro/reference-to-video", {**TEXT, "start_image_url": IMAGE}, 0, "0.56", 5, "requested"),
    (KLING + "o3/4k/image-to-video", PICTURE, 0, "2.10", 5, "requested"),
    (KLING + "o3/4k/text-to-video", {**TEXT, **LOUD}, 0, "2.10", 5, "requested"),
    (KLING + "o3/4k/reference-to-video", {**TEXT, "duration": "15"}, 0, "6.30", 15, "requested"),
    (KLING + "o3/standard/video-to-video/edit", EDIT, 6.5, "0.882", 7, "measured"),  # 7 x 0.126
    (KLING + "o3/standard/video-to-video/edit", UNKNOWN, 0, "1.89", 15, "ceiling"),
    (KLING + "o3/standard/video-to-video/reference", {**UNKNOWN, "duration": "5"}, 0, "0.63", 5, "requested"),
    (KLING + "o3/standard/video-to-video/reference", EDIT, 3, "0.378", 3, "measured"),
    (KLING + "o3/pro/video-to-video/edit", EDIT, 15.04, "2.52", 15, "measured"),
    (KLING + "o3/pro/video-to-video/reference", UNKNOWN, 0, "2.52", 15, "ceiling"),
    (KLING + "o3/4k/video-to-video/edit", EDIT, 10, "4.20", 10, "measured"),
    ("kling/v4/text-to-video", TEXT, 0, "1.175", 5, "requested"),  # 1080p when nothing is said
    ("kling/v4/text-to-video", {**TEXT, "resolution": "720p", "duration": 30}, 0, "4.71", 30, "requested"),
    ("kling/v4/text-to-video", {**shots(3, 4), "duration": 30}, 0, "1.645", 7, "requested"),  # the sum of the shots
    ("kling/v4/image-to-video", START, 0, "1.175", 5, "requested"),
    ("kling/v4/image-to-video", {**START, "resolution": "720p", "duration": 10}, 0, "1.57", 10, "requested"),
    ("kling/v4/reference-to-video", TEXT, 0, "1.175", 5, "requested"),
    ("kling/v4/reference-to-video", {**TEXT, "resolution": "720p"}, 0, "0.785", 5, "requested"),
    (
        "kling/v4/reference-to-video",
        {**TEXT, "video_urls": [CLIP], "duration": 10},
        4,
        "2.82",
        10,
        "measured",
    ),  # 2 x 10
    (
        "kling/v4/reference-to-video",
        {**TEXT, "video_urls": [CLIP], "duration": 10},
        20,
        "4.23",
        10,
        "measured",
    ),  # 20 + 10
    ("kling/v4/reference-to-video", {**TEXT, **SPEAKER, "resolution": "720p"}, 10, "1.41", 5, "measured"),  # 10 + 5
    ("kling/v4/reference-to-video", {**TEXT, "video_urls": [ELSEWHERE]}, 0, "4.935", 5, "ceiling"),  # 30 + 5
    ("kling/v4/video-to-video/edit", EDIT, 5, "1.41", 5, "measured"),  # 10 x 0.141
    ("kling/v4/video-to-video/edit", {**EDIT, "resolution": "720p"}, 30.04, "5.64", 30, "measured"),
    ("kling/v4/video-to-video/edit", UNKNOWN, 0, "8.46", 30, "ceiling"),
    (KLING + "v3/pro/motion-control", MOVE, 12, "2.016", 12, "measured"),
    (KLING + "v3/pro/motion-control", {**FREE, "character_orientation": "image"}, 0, "1.68", 10, "ceiling"),
    (KLING + "v3/standard/motion-control", MOVE, 2, "0.378", 2, "measured"),  # at least 3 s
    (KLING + "v3/standard/motion-control", {**FREE, "character_orientation": "video"}, 0, "3.78", 30, "ceiling"),
    (KLING + "v2.6/pro/motion-control", MOVE, 7.2, "0.896", 8, "measured"),
    (KLING + "o1/image-to-video", START, 0, "0.56", 5, "requested"),
    (KLING + "o1/reference-to-video", {**TEXT, "duration": "10"}, 0, "1.12", 10, "requested"),
    (KLING + "o1/standard/image-to-video", {**START, "duration": "3"}, 0, "0.252", 3, "requested"),
    (KLING + "o1/standard/reference-to-video", TEXT, 0, "0.42", 5, "requested"),
    (KLING + "o1/video-to-video/edit", EDIT, 4, "0.672", 4, "measured"),
    (KLING + "o1/video-to-video/reference", {**UNKNOWN, "duration": "10"}, 0, "1.68", 10, "requested"),
    (KLING + "o1/standard/video-to-video/edit", UNKNOWN, 0, "1.26", 10, "ceiling"),
    (KLING + "o1/standard/video-to-video/reference", UNKNOWN, 0, "0.63", 5, "requested"),
    (KLING + "ai-avatar/v2/standard", AVATAR, 12.3, "0.7306", 13, "measured"),
    (KLING + "ai-avatar/v2/pro", AVATAR, 60, "6.90", 60, "measured"),
    (KLING + "ai-avatar/v2/pro", {**AVATAR, "audio_url": ELSEWHERE}, 0, "34.50", 300, "ceiling"),
    (KLING + "lipsync/audio-to-video", LIPS, 5, "0.07", 5, "measured"),
    (KLING + "lipsync/audio-to-video", {**LIPS, "video_url": ELSEWHERE}, 0, "0.14", 10, "ceiling"),
    (KLING + "lipsync/text-to-video", SAID, 11, "0.21", 11, "measured"),  # 15 x 0.014
    (KLING + "create-voice", {"voice_url": SOUND}, 9, "0.007", 0, "flat"),
    (KLING + "video-to-audio", {"video_url": CLIP}, 7, "0.035", 7, "flat"),
    (KLING + "v1.6/pro/effects", EFFECT, 0, "0.49", 5, "requested"),
    (KLING + "v1.6/standard/effects", {**EFFECT, "duration": "10"}, 0, "0.56", 10, "requested"),
    (KLING + "v1.5/pro/image-to-video", PICTURE, 0, "0.50", 5, "requested"),
    (KLING + "v1.5/pro/text-to-video", {**TEXT, "duration": "10"}, 0, "1.00", 10, "requested"),
    (KLING + "v1/standard/image-to-video", PICTURE, 0, "0.225", 5, "requested"),
    (KLING + "v1/standard/text-to-video", {**TEXT, "duration": "10"}, 0, "0.45", 10, "requested"),
    (KLING + "v1/pro/ai-avatar", AVATAR, 10, "1.15", 10, "measured"),
]
UNPRICED: list[tuple[str, dict[str, Any]]] = [
    ("kling/v4/flash/image-to-video", {"start_image_url": IMAGE}),
    ("kling/v4/flash/video-to-video", EDIT),
    (KLING + "v2.6/standard/motion-control", MOVE),
    (KLING + "v1.5/pro/effects", EFFECT),
    (KLING + "v1/standard/effects", EFFECT),
    (KLING + "v1/standard/ai-avatar", AVATAR),
    (KLING + "v1/tts", {"text": "Good morning."}),
    (KLING + "o3/4k/reference-to-video", {**TEXT, **SPEAKER}),  # elements with a video have a tier of their own
]
NAMES = {name for name, *_ in CASES} | {name for name, _ in UNPRICED}


def quote(name: str, given: dict[str, Any], length: float) -> Quote:
    """The quote for an input with files of this length."""
    model = CATALOG.get(name)
    clean = model.validate(given, strict_schema=False, private_images=False)
    measured = {CLIP: length, SOUND: length} if length else {}
    model.check_media(clean, measured)
    return model.price(clean, measured)


@pytest.mark.parametrize(("name", "given", "length", "usd", "seconds", "basis"), CASES)
def test_each_example_costs_what_was_worked_out(
    name: str, given: dict[str, Any], length: float, usd: str, seconds: int, basis: str
) -> None:
    """The price of fal's page for this input, its seconds of video, and what they follow from."""
    found = quote(name, given, length)
    assert (format_usd(found.micro), found.seconds, found.basis) == (usd, seconds, basis)
    assert (found.note is not None) == (basis == "ceiling")


@pytest.mark.parametrize(("name", "given"), UNPRICED)
def test_what_has_no_known_price_is_refused(name: str, given: dict[str, Any]) -> None:
    """Its input is valid, and it cannot be bought."""
    with pytest.raises(Unprocessable) as caught:
        quote(name, given, 5)
    assert caught.value.code == "price_unknown"


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("kling/v4/image-to-video", {**START, "duration": 5}),
        ("kling/v4/reference-to-video", {**TEXT, "video_urls": [CLIP]}),
        ("kling/v4/video-to-video/edit", {**EDIT, "keep_audio": True}),
    ],
)
def test_what_could_not_be_read_is_refused_by_the_strict_schema(name: str, given: dict[str, Any]) -> None:
    """Sent to fal otherwise; the rest of the input is valid in both."""
    model = CATALOG.get(name)
    assert model.validate(given, strict_schema=False, private_images=False).items() >= given.items()
    with pytest.raises(Unprocessable) as caught:
        model.validate(given, strict_schema=True, private_images=False)
    assert [fault.code for fault in caught.value.violations] == ["unknown_field"]


def test_a_prompt_of_kling_4_may_be_long() -> None:
    """26,000 characters, and one more is refused; older models stay at 2,500."""
    model = CATALOG.get("kling/v4/text-to-video")
    model.validate({"prompt": "x" * 26_000}, strict_schema=True, private_images=False)
    with pytest.raises(Unprocessable):
        model.validate({"prompt": "x" * 26_001}, strict_schema=True, private_images=False)


def test_shots_of_kling_4_last_thirty_seconds_together() -> None:
    """One second more is refused before it is bought."""
    model = CATALOG.get("kling/v4/text-to-video")
    model.validate(shots(15, 15), strict_schema=False, private_images=False)
    with pytest.raises(Unprocessable):
        model.validate(shots(15, 16), strict_schema=False, private_images=False)
