"""Inputs of O1, O3 and Kling 4.0. `@Image1`, `@Video1`, `@Element1` in a prompt name the inputs."""

from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from app.emulator.kling.parts import (
    Input,
    KlingV3ComboElementInput,
    KlingV3ImageElementInput,
    KlingV3MultiPromptElement,
    LongPrompt,
    MediaLimits,
    OmniVideoElementInput,
    Picture,
    PictureV4,
    Prompt,
    Ratio,
    RatioOrAuto,
    ShotType,
    Storyboard,
    UpToFifteen,
    UpToTen,
    one_of,
)

LONGEST_O3, LONGEST_FLASH, LONGEST_V4 = 15, 20, 30
VideoO1 = Annotated[str, MediaLimits(200, seconds=(3.0, 10.05), pixels=(720, 2160), fps=(24.0, 60.0), timeout=30.0)]
VideoO3 = Annotated[str, MediaLimits(200, seconds=(3.0, 15.0), pixels=(720, 3840), timeout=30.0)]
VideoV4 = Annotated[
    str,
    MediaLimits(300, seconds=(3.0, 30.05), pixels=(700, 4553), ratio=(0.4, 2.5), fps=(23.9, 60.05), timeout=30.0),
]
Resolution = Annotated[str, one_of("720p", "1080p")]


class FramesInputO1(Input):
    """Image to video of O1."""

    prompt: Prompt
    start_image_url: Picture
    end_image_url: str | None = None
    duration: UpToTen | None = "5"


class ReferenceInputO1(Input):
    """References to video of O1."""

    prompt: Prompt
    image_urls: list[str] | None = None
    elements: list[OmniVideoElementInput] | None = None
    duration: UpToTen | None = "5"
    aspect_ratio: Ratio | None = "16:9"


class EditInputO1(Input):
    """An edit of a video by O1: as long as the video."""

    prompt: Prompt
    video_url: VideoO1
    keep_audio: bool | None = False
    image_urls: list[str] | None = None
    elements: list[OmniVideoElementInput] | None = None


class VideoReferenceInputO1(EditInputO1):
    """A new video of O1 after a given one."""

    aspect_ratio: RatioOrAuto | None = "auto"
    duration: UpToTen | None = "5"


class StoryboardO3(Storyboard):
    """What the inputs of O3 share. Sound is off unless it is asked for."""

    prompt: Prompt | None = None
    multi_prompt: list[KlingV3MultiPromptElement] | None = None
    duration: UpToFifteen | None = "5"
    generate_audio: bool | None = False
    shot_type: ShotType | None = "customize"

    @model_validator(mode="after")
    def _one_prompt(self) -> Self:
        self.check_prompts(LONGEST_O3)
        return self


class TextInputO3(StoryboardO3):
    """Text to video of O3."""

    aspect_ratio: Ratio | None = "16:9"


class FramesInputO3(StoryboardO3):
    """Image to video of O3."""

    image_url: Picture
    end_image_url: str | None = None

    @model_validator(mode="after")
    def _no_last_frame_of_shots(self) -> Self:
        if self.multi_prompt and self.end_image_url:
            raise PydanticCustomError("value_error", "end_image_url cannot be used with multi_prompt")
        return self


class ReferenceInputO3(StoryboardO3):
    """References to video of O3."""

    start_image_url: str | None = None
    end_image_url: str | None = None
    image_urls: list[str] | None = None
    elements: list[KlingV3ComboElementInput] | None = None
    aspect_ratio: Ratio | None = "16:9"


class EditInputO3(Input):
    """An edit of a video by O3: as long as the video."""

    prompt: Prompt
    video_url: VideoO3
    image_urls: list[str] | None = None
    keep_audio: bool | None = True
    elements: list[KlingV3ImageElementInput] | None = None
    shot_type: str | None = "customize"


class VideoReferenceInputO3(EditInputO3):
    """A new video of O3 after a given one; as long as that one unless a duration is given."""

    aspect_ratio: RatioOrAuto | None = "auto"
    duration: UpToFifteen | None = None


class KlingV4Shot(Input):
    """One shot. fal's page names the type only, so its members are those of 3.0 with a number for the duration."""

    prompt: LongPrompt
    duration: Annotated[int, Field(ge=1, le=LONGEST_V4)] | None = 5


class StoryboardV4(Storyboard):
    """What the inputs of 4.0 share. The default resolution is the dearer one."""

    prompt: LongPrompt | None = None
    multi_prompt: list[KlingV4Shot] | None = None
    duration: Annotated[int, Field(ge=3, le=LONGEST_V4)] | None = 5
    resolution: Resolution | None = "1080p"

    @model_validator(mode="after")
    def _one_prompt(self) -> Self:
        self.check_prompts(LONGEST_V4)
        return self


class TextInputV4(StoryboardV4):
    """Text to video of 4.0."""

    aspect_ratio: Annotated[str, one_of("auto", "16:9", "9:16", "1:1", "21:9")] | None = "16:9"


class FramesInputV4(StoryboardV4):
    """Image to video of 4.0."""

    start_image_url: PictureV4
    end_image_url: str | None = None


class ReferenceInputV4(StoryboardV4):
    """References to video of 4.0; with a video among them its seconds are billed too."""

    image_urls: list[str] | None = Field(default=None, max_length=10)
    video_urls: list[str] | None = Field(default=None, max_length=5)
    elements: list[KlingV3ComboElementInput] | None = Field(default=None, max_length=7)
    voice_ids: list[str] | None = Field(default=None, max_length=3)
    aspect_ratio: Annotated[str, one_of("auto", "16:9", "9:16", "1:1", "21:9")] | None = "16:9"

    @property
    def videos(self) -> list[str]:
        """Those of the input and of its elements."""
        of_elements = [element.video_url for element in self.elements or []]
        return [*(self.video_urls or []), *(url for url in of_elements if url)]


class EditInputV4(Input):
    """An edit of a video by 4.0: as long as the video."""

    prompt: LongPrompt
    video_url: VideoV4
    image_urls: list[str] | None = None
    elements: list[KlingV3ImageElementInput] | None = None
    keep_audio: bool | None = None
    resolution: Resolution | None = "1080p"


class FlashInput(Input):
    """Image to video of 4.0 Flash; the picture alone is enough."""

    start_image_url: PictureV4
    end_image_url: str | None = None
    prompt: LongPrompt | None = None
    duration: Annotated[int, Field(ge=3, le=LONGEST_FLASH)] | None = 5


class FlashEditInput(Input):
    """An edit of a video by 4.0 Flash: as long as the video."""

    prompt: LongPrompt
    video_url: VideoV4
    image_urls: list[str] | None = None
