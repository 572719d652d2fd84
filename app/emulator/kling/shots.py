"""Inputs of Kling 1 to 3: text, first frame, elements, effects."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from app.emulator.kling.names import EFFECTS
from app.emulator.kling.parts import (
    Input,
    KlingV3ComboElementInput,
    KlingV3MultiPromptElement,
    LargePicture,
    Negative,
    OneOf,
    Picture,
    Prompt,
    Ratio,
    Scale,
    Short,
    ShotType,
    Storyboard,
    UpToFifteen,
    one_of,
)

UGLY = "blur, distort, and low quality"
LONGEST = 15


class TextInput(Input):
    """Text to video of 1.5 to 2.5."""

    prompt: Prompt
    duration: Short | None = "5"
    aspect_ratio: Ratio | None = "16:9"
    negative_prompt: Negative | None = UGLY
    cfg_scale: Scale | None = 0.5


class CameraMovement(Input):
    """One movement of the camera."""

    movement_type: Annotated[str, one_of("horizontal", "vertical", "pan", "tilt", "roll", "zoom")]
    movement_value: int


class TextInputV1(TextInput):
    """Text to video of 1.0."""

    camera_control: (
        Annotated[str, one_of("down_back", "forward_up", "right_turn_forward", "left_turn_forward")] | None
    ) = None
    advanced_camera_control: CameraMovement | None = None


class FrameInput(Input):
    """Image to video of most models: the first frame is `image_url`."""

    prompt: Prompt
    image_url: Picture
    duration: Short | None = "5"
    negative_prompt: Negative | None = UGLY
    cfg_scale: Scale | None = 0.5


class FramesInput(FrameInput):
    """Also with the last frame."""

    tail_image_url: str | None = None


class FramesInputWithRatio(FramesInput):
    """Image to video of 1.6 Pro."""

    aspect_ratio: Ratio | None = "16:9"


class TrajectoryPoint(Input):
    """One point of a path, in pixels."""

    x: int
    y: int


class DynamicMask(Input):
    """What moves along a path."""

    mask_url: str
    trajectories: list[TrajectoryPoint] | None = None


class MaskedInput(FramesInput):
    """Image to video of 1.0."""

    static_mask_url: str | None = None
    dynamic_masks: list[DynamicMask] | None = None


class MaskedInputWithRatio(MaskedInput):
    """Image to video of 1.5 Pro."""

    aspect_ratio: Ratio | None = "16:9"


class ElementsInput(Input):
    """Up to four pictures of what is to be seen."""

    prompt: Prompt
    input_image_urls: list[str] = Field(min_length=1, max_length=4)
    duration: Short | None = "5"
    aspect_ratio: Ratio | None = "16:9"
    negative_prompt: Negative | None = UGLY


class EffectsInput(Input):
    """A ready-made scene with one or two figures. There is no prompt."""

    effect_scene: Annotated[str, OneOf(EFFECTS)]
    input_image_urls: list[str] | None = None
    duration: Short | None = "5"


class TextInputV26(TextInput):
    """Text to video of 2.6."""

    generate_audio: bool | None = True


class FramesInputV26(Input):
    """Image to video of 2.6."""

    prompt: Prompt
    start_image_url: Picture
    end_image_url: str | None = None
    duration: Short | None = "5"
    negative_prompt: Negative | None = UGLY
    generate_audio: bool | None = True
    voice_ids: list[str] | None = Field(default=None, max_length=2)


class StoryboardV3(Storyboard):
    """What the inputs of 3.0 share."""

    prompt: Prompt | None = None
    multi_prompt: list[KlingV3MultiPromptElement] | None = None
    duration: UpToFifteen | None = "5"
    generate_audio: bool | None = True
    shot_type: ShotType | None = "customize"
    negative_prompt: Negative | None = UGLY
    cfg_scale: Scale | None = 0.5

    @model_validator(mode="after")
    def _one_prompt(self) -> Self:
        self.check_prompts(LONGEST)
        return self


class TextInputV3(StoryboardV3):
    """Text to video of 3.0."""

    aspect_ratio: Ratio | None = "16:9"


class FramesInputV3(StoryboardV3):
    """Image to video of 3.0."""

    start_image_url: Picture
    end_image_url: str | None = None
    elements: list[KlingV3ComboElementInput] | None = None


class TurboStoryboard(Storyboard):
    """What the inputs of 3.0 Turbo share."""

    prompt: Prompt | None = None
    multi_prompt: list[KlingV3MultiPromptElement] | None = Field(default=None, max_length=6)
    duration: UpToFifteen | None = "5"

    @model_validator(mode="after")
    def _one_prompt(self) -> Self:
        self.check_prompts(LONGEST)
        return self


class TurboTextInput(TurboStoryboard):
    """Text to video of 3.0 Turbo."""

    aspect_ratio: Ratio | None = "16:9"


class TurboFrameInput(TurboStoryboard):
    """Image to video of 3.0 Turbo."""

    image_url: LargePicture
