"""What inputs and outputs are made of.

Inputs are pydantic models, as fal's own are: unknown members are ignored at any depth, and null is allowed for
whatever is optional. Errors carry fal's types where they differ from pydantic's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

PICTURES = ("start_image_url", "image_url", "input_image_urls", "image_urls")
MEDIA = ("video_url", "audio_url", "voice_url")
ONE_PROMPT = "Provide either prompt or multi_prompt"


@dataclass(frozen=True, slots=True)
class OneOf:
    """A text from a fixed list; fal's error for another one is `one_of`. A number is not read as its text."""

    words: tuple[str, ...]

    def __get_pydantic_core_schema__(self, _source: Any, _handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(self, _core: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.words)}

    def check(self, value: Any) -> str:
        """The word itself; raises fal's error for any other value."""
        if isinstance(value, str) and value in self.words:
            return value
        quoted = [f"'{word}'" for word in self.words]
        known = f"{', '.join(quoted[:-1])} or {quoted[-1]}" if len(quoted) > 1 else quoted[0]
        raise PydanticCustomError("one_of", f"Input should be {known}", {"expected": list(self.words)})


def one_of(*words: str) -> OneOf:
    """A text from these words."""
    return OneOf(words)


def seconds_from(first: int, last: int) -> OneOf:
    """A number of seconds as a text, as Kling wants it up to 3.0."""
    return OneOf(tuple(str(number) for number in range(first, last + 1)))


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """What a model takes as a picture, video or sound. They end the field's description in fal's words."""

    megabytes: float = 0  # 0 here and below: fal's page gives no such limit
    seconds: tuple[float, float] = (0, 0)
    pixels: tuple[int, int] = (0, 0)
    ratio: tuple[float, float] | None = None
    fps: tuple[float, float] | None = None
    timeout: float = 20.0

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core), "description": self.sentence}

    @property
    def sentence(self) -> str:
        """The limits as fal's schemas say them."""
        (short, long), (small, large) = self.seconds, self.pixels
        parts = [f"Max file size: {self.megabytes:.1f}MB"] if self.megabytes else []
        parts += [f"Min width: {small}px, Min height: {small}px"] if small else []
        parts += [f"Max width: {large}px, Max height: {large}px"] if large else []
        if self.ratio:
            parts += [f"Min aspect ratio: {self.ratio[0]:.2f}, Max aspect ratio: {self.ratio[1]:.2f}"]
        parts += [f"Min duration: {short}s"] if short else []
        parts += [f"Max duration: {long}s"] if long else []
        if self.fps:
            parts += [f"Min FPS: {self.fps[0]}, Max FPS: {self.fps[1]}"]
        return ", ".join([*parts, f"Timeout: {self.timeout}s"])


def _at_most(limit: int) -> Callable[[str], str]:
    """A check that is not in the schema, because fal's schemas give no length: Kling itself refuses."""

    def check(text: str) -> str:
        if len(text) > limit:
            sentence = f"String should have at most {limit} characters"
            raise PydanticCustomError("string_too_long", sentence, {"max_length": limit})
        return text

    return check


Prompt = Annotated[str, AfterValidator(_at_most(2_500))]
LongPrompt = Annotated[str, AfterValidator(_at_most(26_000))]

Short = Annotated[str, one_of("5", "10")]
UpToTen = Annotated[str, seconds_from(3, 10)]
UpToFifteen = Annotated[str, seconds_from(3, 15)]
Ratio = Annotated[str, one_of("16:9", "9:16", "1:1")]
RatioOrAuto = Annotated[str, one_of("auto", "16:9", "9:16", "1:1")]
ShotType = Annotated[str, one_of("customize", "intelligent")]
Negative = Prompt
Scale = Annotated[float, Field(ge=0, le=1)]

# Pictures by the two sets of limits that fal's pages give.
Picture = Annotated[str, MediaLimits(10, pixels=(300, 0), ratio=(0.4, 2.5))]
LargePicture = Annotated[str, MediaLimits(50, pixels=(300, 0), ratio=(0.4, 2.5))]
PictureV4 = Annotated[str, MediaLimits(30, pixels=(300, 0), ratio=(0.4, 2.5))]


class Input(BaseModel):
    """The input of an endpoint."""

    model_config = ConfigDict(defer_build=True)

    def value(self, name: str) -> Any:
        """The value of a field, with null as its default; None if this input has no such field."""
        given = getattr(self, name, None)
        field = type(self).model_fields.get(name)
        return field.default if given is None and field is not None and not field.is_required() else given

    @classmethod
    def limits(cls, name: str) -> MediaLimits | None:
        """What a field takes as a file; None for one that takes no file, or without known limits."""
        field = cls.model_fields.get(name)
        found = [one for one in field.metadata if isinstance(one, MediaLimits)] if field else []
        return found[0] if found else None

    @classmethod
    def media_fields(cls) -> list[str]:
        """The fields with a video or a sound."""
        return [name for name in MEDIA if name in cls.model_fields]

    def first_picture(self) -> tuple[str, str | None]:
        """Field and URL of the first frame, else of the first picture; no URL without any."""
        for name in PICTURES:
            value = self.value(name)
            if value:
                return name, value if isinstance(value, str) else value[0]
        return "", None

    def longest(self, name: str) -> float:
        """Seconds that a video or sound may have; 0 without a limit."""
        limits = self.limits(name)
        return limits.seconds[1] if limits else 0

    @property
    def videos(self) -> list[str]:
        """Videos in lists whose seconds are billed."""
        return []

    @property
    def seconds(self) -> int | None:
        """Seconds of video that are asked for; None when an input decides. A storyboard is the sum of its shots."""
        if shots := self.value("multi_prompt"):
            return sum(int(shot.value("duration")) for shot in shots)
        asked = self.value("duration")
        return None if asked is None else int(asked)


class Storyboard(Input):
    """An input with one prompt, or with a list of shots."""

    def check_prompts(self, longest: int) -> None:
        """Exactly one of the two, and shots that fit in one clip."""
        if bool(self.value("prompt")) == bool(self.value("multi_prompt")):
            raise PydanticCustomError("value_error", f"{ONE_PROMPT}, not both and not neither")
        if (self.seconds or 0) > longest:
            raise PydanticCustomError("value_error", "The shots are longer than the longest video")


class KlingV3MultiPromptElement(Input):
    """One shot."""

    prompt: Prompt
    duration: Annotated[str, seconds_from(1, 15)] | None = "5"


class KlingV3ImageElementInput(Input):
    """A figure or thing by its pictures."""

    frontal_image_url: str | None = None
    reference_image_urls: list[str] | None = Field(default=None, max_length=3)


class KlingV3ComboElementInput(KlingV3ImageElementInput):
    """A figure or thing by its pictures or by a video, perhaps with a voice."""

    video_url: str | None = None
    voice_id: str | None = None


class OmniVideoElementInput(Input):
    """A figure or thing of O1: a picture from the front and one to three others."""

    frontal_image_url: Picture
    reference_image_urls: list[str] | None = Field(default=None, min_length=1, max_length=3)


class File(BaseModel):
    """A file of an output."""

    url: str
    content_type: str | None = None
    file_name: str | None = None
    file_size: int | None = None


class VideoOutput(BaseModel):
    """A video."""

    video: File


class AvatarOutput(VideoOutput):
    """A video and its length in seconds."""

    duration: float


class SoundtrackOutput(VideoOutput):
    """A video with its new sound, and the sound alone."""

    audio: File


class SpeechOutput(BaseModel):
    """Speech."""

    audio: File


class VoiceOutput(BaseModel):
    """A voice that later inputs may name."""

    voice_id: str
