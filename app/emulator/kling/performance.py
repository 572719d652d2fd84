"""Inputs where a given video or sound says how long it is: motion control, avatars, lip sync; voices and sound."""

from typing import Annotated

from pydantic import Field

from app.emulator.kling.names import VOICES
from app.emulator.kling.parts import Input, KlingV3ImageElementInput, MediaLimits, OneOf, Picture, Prompt, one_of

LONGEST_WITH_IMAGE = 10
CHARACTERS_IN_A_SECOND = 15
Voice = Annotated[str, OneOf(VOICES)]
MotionVideo = Annotated[str, MediaLimits(seconds=(0, 30.0))]
Sound = Annotated[str, MediaLimits(5, seconds=(2.0, 60.0))]
SpokenSound = Annotated[str, MediaLimits()]


class MotionInput(Input):
    """A picture's figure moves as the one in a video."""

    image_url: Picture
    video_url: MotionVideo
    character_orientation: Annotated[str, one_of("image", "video")]
    prompt: Prompt | None = None
    keep_original_sound: bool | None = True

    def longest(self, name: str) -> float:
        """Ten seconds when the figure keeps the picture's orientation, else thirty."""
        if name == "video_url" and self.character_orientation == "image":
            return LONGEST_WITH_IMAGE
        return super().longest(name)


class MotionInputV3(MotionInput):
    """Motion control of 3.0: one element."""

    elements: list[KlingV3ImageElementInput] | None = Field(default=None, max_length=1)


class AvatarInput(Input):
    """A picture's figure speaks a sound."""

    image_url: Picture
    audio_url: SpokenSound
    prompt: Prompt | None = "."


class LipsyncInput(Input):
    """A video's figure speaks a sound."""

    video_url: Annotated[str, MediaLimits(100, seconds=(2.0, 10.0), pixels=(720, 1920))]
    audio_url: Sound


class LipsyncTextInput(Input):
    """A video's figure speaks a text."""

    video_url: Annotated[str, MediaLimits(100, seconds=(2.0, 60.0), pixels=(720, 1920))]
    text: Annotated[str, Field(max_length=120)]
    voice_id: Voice
    voice_language: Annotated[str, one_of("zh", "en")] | None = "en"
    voice_speed: Annotated[float, Field(ge=0.8, le=2)] | None = 1


class VoiceInput(Input):
    """A recording of one clean voice."""

    voice_url: Annotated[str, MediaLimits(seconds=(5.0, 30.0))]


class SpeechInput(Input):
    """A text to be spoken."""

    text: str
    voice_id: Voice | None = "genshin_vindi2"
    voice_speed: Annotated[float, Field(ge=0.8, le=2)] | None = 1

    @property
    def seconds(self) -> int:
        """Fifteen characters in a second."""
        return 1 + len(self.text) // CHARACTERS_IN_A_SECOND


class SoundtrackInput(Input):
    """A video that gets sound."""

    video_url: Annotated[str, MediaLimits(100, seconds=(3.0, 20.0))]
    sound_effect_prompt: Annotated[str, Field(max_length=200)] | None = (
        "Car tires screech as they accelerate in a drag race"
    )
    background_music_prompt: Annotated[str, Field(max_length=200)] | None = "intense car race"
    asmr_mode: bool | None = None
