"""The table of models. `prefix` of most ids: `fal-ai/kling-video/`."""

import re
from dataclasses import dataclass

from pydantic import BaseModel

from app.emulator.kling import omni, performance, shots
from app.emulator.kling.parts import AvatarOutput, Input, SoundtrackOutput, SpeechOutput, VideoOutput, VoiceOutput
from app.emulator.kling.tariffs import ByResolution, Flat, PerInputSecond, PerSecond, Tariff

PREFIX = "fal-ai/kling-video/"
V4 = {"720p": 157_000, "1080p": 235_000}
V4_WITH_VIDEO = {"720p": 94_000, "1080p": 141_000}
O3_SCALE = 140_000


@dataclass(frozen=True, slots=True, kw_only=True)
class KlingModel:
    """One endpoint. Without a tariff its price was not found, and nothing can be bought."""

    id: str
    input: type[Input]
    output: type[BaseModel] = VideoOutput
    tariff: Tariff | None
    follows: str = ""  # the field with the video or sound that says how long the output is
    deprecated: bool = False

    @property
    def title(self) -> str:
        """A name such as `Kling 2.6 Pro Image to Video`."""
        parts = self.id.removeprefix(PREFIX).removeprefix("kling/").split("/")
        words = " ".join(parts).replace("-", " ").title().replace(" To ", " to ")
        whole = re.sub(r"\bV(\d+)(?![.\d])", r"\1.0", words)
        return "Kling " + re.sub(r"\bV(?=\d)", "", whole)

    @property
    def category(self) -> str:
        """The category at fal."""
        last = self.id.rsplit("/", 1)[-1]
        return CATEGORIES.get(last, "image-to-video")


CATEGORIES = {
    "text-to-video": "text-to-video",
    "edit": "video-to-video",
    "reference": "video-to-video",
    "video-to-video": "video-to-video",
    "motion-control": "video-to-video",
    "audio-to-video": "video-to-video",
    "video-to-audio": "video-to-audio",
    "create-voice": "audio-to-audio",
    "tts": "text-to-speech",
}


def _model(name: str, fields: type[Input], tariff: Tariff | None, follows: str = "") -> KlingModel:
    return KlingModel(id=PREFIX + name, input=fields, tariff=tariff, follows=follows)


def _old(name: str, fields: type[Input], tariff: Tariff | None) -> KlingModel:
    return KlingModel(id=PREFIX + name, input=fields, tariff=tariff, deprecated=True)


def _generations() -> list[KlingModel]:
    """Kling 1 to 3: from text, from frames, with elements, with an effect."""
    frame, frames, text = shots.FrameInput, shots.FramesInput, shots.TextInput
    v1, v15 = PerSecond(45_000), PerSecond(100_000)
    standard, pro = PerSecond(56_000), PerSecond(98_000)
    master = PerSecond(280_000, said="first five")
    v26 = PerSecond(70_000, 140_000, 168_000, said="sound")
    rows = [
        _old("v1/standard/image-to-video", shots.MaskedInput, v1),
        _old("v1/standard/text-to-video", shots.TextInputV1, v1),
        _model("v1/standard/effects", shots.EffectsInput, None),
        _old("v1.5/pro/image-to-video", shots.MaskedInputWithRatio, v15),
        _old("v1.5/pro/text-to-video", text, v15),
        _model("v1.5/pro/effects", shots.EffectsInput, None),
        _model("v1.6/standard/image-to-video", frame, standard),
        _model("v1.6/pro/image-to-video", shots.FramesInputWithRatio, pro),
        _model("v2/master/image-to-video", frame, master),
        _model("v2/master/text-to-video", text, master),
        _model("v2.1/master/image-to-video", frame, master),
        _model("v2.1/master/text-to-video", text, master),
        _model("v2.1/pro/image-to-video", frames, PerSecond(98_000, said="first five")),
        _model("v2.1/standard/image-to-video", frame, PerSecond(56_000, said="first five")),
        _model("v2.5-turbo/pro/image-to-video", frames, PerSecond(70_000, said="first five")),
        _model("v2.5-turbo/pro/text-to-video", text, PerSecond(70_000, said="first five")),
        _model("v2.5-turbo/standard/image-to-video", frame, PerSecond(42_000, said="first five")),
        _model("v2.6/pro/image-to-video", shots.FramesInputV26, v26),
        _model("v2.6/pro/text-to-video", shots.TextInputV26, v26),
    ]
    for tier, tariff in (("standard", standard), ("pro", pro)):
        rows += [
            _model(f"v1.6/{tier}/text-to-video", text, tariff),
            _model(f"v1.6/{tier}/elements", shots.ElementsInput, tariff),
            _model(f"v1.6/{tier}/effects", shots.EffectsInput, tariff),
        ]
    for tier, tariff in (
        ("standard", PerSecond(84_000, 126_000, 154_000, said="sound")),
        ("pro", PerSecond(112_000, 168_000, 196_000, said="sound")),
        ("4k", PerSecond(420_000, said="always")),
    ):
        rows += [
            _model(f"v3/{tier}/image-to-video", shots.FramesInputV3, tariff),
            _model(f"v3/{tier}/text-to-video", shots.TextInputV3, tariff),
        ]
    for tier, tariff in (("standard", PerSecond(112_000)), ("pro", PerSecond(140_000))):
        rows += [
            _model(f"v3/turbo/{tier}/image-to-video", shots.TurboFrameInput, tariff),
            _model(f"v3/turbo/{tier}/text-to-video", shots.TurboTextInput, tariff),
        ]
    return rows


def _omni() -> list[KlingModel]:
    """O1 and O3: from frames, from references, from a video."""
    rows = []
    for tier, rate, video_rate in (("", 112_000, 168_000), ("standard/", 84_000, 126_000)):
        rows += [
            _model(f"o1/{tier}image-to-video", omni.FramesInputO1, PerSecond(rate)),
            _model(f"o1/{tier}reference-to-video", omni.ReferenceInputO1, PerSecond(rate)),
            _model(f"o1/{tier}video-to-video/edit", omni.EditInputO1, PerSecond(video_rate), "video_url"),
            _model(f"o1/{tier}video-to-video/reference", omni.VideoReferenceInputO1, PerSecond(video_rate)),
        ]
    for tier, tariff, video_tariff in (
        ("standard", PerSecond(84_000, 112_000, said="sound", scale=O3_SCALE), PerSecond(126_000)),
        ("pro", PerSecond(112_000, 140_000, said="sound", scale=O3_SCALE), PerSecond(168_000)),
        ("4k", PerSecond(420_000, said="always"), PerSecond(420_000)),
    ):
        rows += [
            _model(f"o3/{tier}/image-to-video", omni.FramesInputO3, tariff),
            _model(f"o3/{tier}/text-to-video", omni.TextInputO3, tariff),
            _model(f"o3/{tier}/reference-to-video", omni.ReferenceInputO3, tariff),
            _model(f"o3/{tier}/video-to-video/edit", omni.EditInputO3, video_tariff, "video_url"),
        ]
        if tier != "4k":
            name = f"o3/{tier}/video-to-video/reference"
            rows.append(_model(name, omni.VideoReferenceInputO3, video_tariff, "video_url"))
    return rows


def _fourth() -> list[KlingModel]:
    """Kling 4.0, whose owner is `kling`. Of Flash neither price nor whole input was found."""
    new, with_video = ByResolution(V4), ByResolution(V4, V4_WITH_VIDEO)
    return [
        KlingModel(id="kling/v4/text-to-video", input=omni.TextInputV4, tariff=new),
        KlingModel(id="kling/v4/image-to-video", input=omni.FramesInputV4, tariff=new),
        KlingModel(id="kling/v4/reference-to-video", input=omni.ReferenceInputV4, tariff=with_video),
        KlingModel(
            id="kling/v4/video-to-video/edit",
            input=omni.EditInputV4,
            tariff=ByResolution({}, V4_WITH_VIDEO),
            follows="video_url",
        ),
        KlingModel(id="kling/v4/flash/image-to-video", input=omni.FlashInput, tariff=None),
        KlingModel(id="kling/v4/flash/video-to-video", input=omni.FlashEditInput, tariff=None, follows="video_url"),
    ]


def _performances() -> list[KlingModel]:
    """Motion control, avatars, lip sync, voices, sound."""
    motion, motion_v3 = performance.MotionInput, performance.MotionInputV3
    rows = [
        _model("v2.6/standard/motion-control", motion, None, "video_url"),
        _model("v2.6/pro/motion-control", motion, PerInputSecond(112_000), "video_url"),
        _model("v3/standard/motion-control", motion_v3, PerInputSecond(126_000, least=3), "video_url"),
        _model("v3/pro/motion-control", motion_v3, PerInputSecond(168_000), "video_url"),
    ]
    for name, tariff in (
        ("ai-avatar/v2/standard", PerInputSecond(56_200)),
        ("ai-avatar/v2/pro", PerInputSecond(115_000)),
        ("v1/standard/ai-avatar", None),
        ("v1/pro/ai-avatar", PerInputSecond(115_000)),
    ):
        rows.append(
            KlingModel(
                id=PREFIX + name,
                input=performance.AvatarInput,
                output=AvatarOutput,
                tariff=tariff,
                follows="audio_url",
            )
        )
    lipsync = PerInputSecond(14_000, step=5, unit="units")
    return [
        *rows,
        _model("lipsync/audio-to-video", performance.LipsyncInput, lipsync, "video_url"),
        _model("lipsync/text-to-video", performance.LipsyncTextInput, lipsync, "video_url"),
        KlingModel(
            id=PREFIX + "create-voice",
            input=performance.VoiceInput,
            output=VoiceOutput,
            tariff=Flat(7_000, "requests"),
            follows="voice_url",
        ),
        KlingModel(id=PREFIX + "v1/tts", input=performance.SpeechInput, output=SpeechOutput, tariff=None),
        KlingModel(
            id=PREFIX + "video-to-audio",
            input=performance.SoundtrackInput,
            output=SoundtrackOutput,
            tariff=Flat(35_000),
            follows="video_url",
        ),
    ]


MODELS = {model.id: model for model in (*_generations(), *_omni(), *_fourth(), *_performances())}
