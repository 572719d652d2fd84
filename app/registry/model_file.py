"""The form of a file in `models/`: what is written there, checked by itself."""

from collections.abc import Mapping
from datetime import date
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from app.domain.errors import Violation
from app.registry.lengths import DURATION, SHOTS, MediaUrl, media_kinds
from app.registry.pricing import meets, read_when
from app.registry.violations import input_pointer

Kind = Literal[
    "image-to-video",
    "text-to-video",
    "reference-to-video",
    "video-to-video",
    "audio-to-video",
    "video-to-audio",
    "text-to-audio",
    "audio-to-voice",
]
Status = Literal["current", "unlisted", "deprecated"]
DOCUMENTED = ("schema", "prose", "unverified")
_FROZEN = ConfigDict(frozen=True, extra="forbid", strict=True)


class ImageLimits(BaseModel):
    """The limits that a model sets on images; the defaults are those that fal documents for Kling."""

    model_config = _FROZEN

    max_bytes: int = Field(default=10 * 1024 * 1024, gt=0)
    min_side_px: int = Field(default=300, gt=0)
    min_aspect_ratio: float = Field(default=0.4, gt=0)  # width divided by height
    max_aspect_ratio: float = Field(default=2.5, gt=0)


class LessWhen(BaseModel):
    """A lower limit of seconds under conditions on other fields, in the form of a price's `when`."""

    model_config = _FROZEN

    when: dict[str, Any]
    max_seconds: float = Field(gt=0)


class MediaLimits(BaseModel):
    """The limits that a model sets on videos or audio; what fal does not document is None."""

    model_config = _FROZEN

    max_bytes: int | None = Field(default=None, gt=0)
    min_seconds: float = Field(default=0, ge=0)
    max_seconds: float = Field(gt=0, le=600)
    less_when: tuple[LessWhen, ...] = Field(default=(), strict=False)
    min_side_px: int | None = Field(default=None, gt=0)
    max_side_px: int | None = Field(default=None, gt=0)
    min_aspect_ratio: float | None = Field(default=None, gt=0)
    max_aspect_ratio: float | None = Field(default=None, gt=0)
    min_fps: float | None = Field(default=None, gt=0)
    max_fps: float | None = Field(default=None, gt=0)

    def longest(self, clean: Mapping[str, Any]) -> float:
        """Seconds of the longest file that this input may have."""
        lower = (less.max_seconds for less in self.less_when if meets(less.when, clean))
        return next(lower, self.max_seconds)


class SecondsFields(BaseModel):
    """Which fields decide the lengths of a job (`app/registry/lengths.py`)."""

    model_config = _FROZEN

    output: tuple[str, ...] = Field(default=(DURATION,), strict=False)
    input: tuple[str, ...] = Field(default=(), strict=False)

    @cached_property
    def media(self) -> tuple[str, ...]:
        """The fields with videos or audio among them, each once."""
        return tuple(dict.fromkeys(name for name in (*self.output, *self.input) if name not in {DURATION, SHOTS}))


class Together(BaseModel):
    """Lists that may have so many items together."""

    model_config = _FROZEN

    fields: tuple[str, ...] = Field(min_length=2, strict=False)
    most: int = Field(gt=0)


class ModelFile(BaseModel):
    """One file of `models/`, as written.

    Attributes:
        kind: what it makes of what, in fal's words.
        version: as fal names it; `generation` orders the lists where it is not a number.
        status: `deprecated` by fal, or `unlisted`: named by fal, and in no list of its endpoints.
        seconds: the fields that decide how long the video is, and whose input is paid by its length.
        price_text: fal's own sentence of the price, where it has one.
        together: lists that share one limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*(/[a-z0-9][a-z0-9.-]*)+$")
    title: str
    kind: Kind
    family: str
    version: str
    generation: float | None = None
    tier: str
    status: Status = "current"
    default: bool = False
    input: dict[str, Any]
    output: dict[str, Any]
    seconds: SecondsFields = SecondsFields()
    price: dict[str, Any] | None
    price_source: str
    price_date: date  # when the source was looked up
    price_text: str | None = None
    price_note: str | None = None
    schema_source: str
    schema_note: str | None = None
    image_limits: ImageLimits = ImageLimits()
    video_limits: MediaLimits | None = None
    audio_limits: MediaLimits | None = None
    together: Together | None = None

    @field_validator("input")
    @classmethod
    def _require_documented(cls, schema: dict[str, Any]) -> dict[str, Any]:
        """Each field says where it is documented; `required` names fields."""
        properties = schema["properties"]
        for name, field in properties.items():
            if field.get("documented") not in DOCUMENTED:
                raise ValueError(f"{name} must say where it is documented: {', '.join(DOCUMENTED)}")
            if field["documented"] != "schema" and "default" in field:
                raise ValueError(f"{name} is not in fal's schema, so it has no default; it may have assumed")
        return schema

    @model_validator(mode="after")
    def _require_lengths(self) -> Self:
        """The fields that decide a length are there, and say how long a file can be at most."""
        properties = self.input["properties"]
        for name in (*self.seconds.output, *self.seconds.input):
            if name not in properties:
                raise ValueError(f"seconds names {name}, which is not a field of the input")
            if name not in {DURATION, SHOTS} and not media_kinds(properties[name]):
                raise ValueError(f"seconds names {name}, which has no video or audio")
        if DURATION in self.seconds.output:
            _require_duration(properties[DURATION], last=self.seconds.output[-1] == DURATION)
        for kind in frozenset[str]().union(*(media_kinds(properties[name]) for name in self.seconds.media)):
            if self.limits_of(kind) is None:
                raise ValueError(
                    f"{kind}_limits must give max_seconds: the price of a longer {kind} is not bounded"
                )
        return self

    @model_validator(mode="after")
    def _require_fields(self) -> Self:
        """Conditions and shared limits name fields of the input; a version that is no number has a generation."""
        names = tuple(self.input["properties"])
        for limits in (self.video_limits, self.audio_limits):
            for less in limits.less_when if limits is not None else ():
                read_when(less.when, names)
        for name in self.together.fields if self.together is not None else ():
            if self.input["properties"].get(name, {}).get("type") != "array":
                raise ValueError(f"together names {name}, which is not a list of the input")
        if self.generation is None and not _is_number(self.version):
            raise ValueError("generation must be a number, because the version is none")
        return self

    @property
    def place(self) -> tuple[int, float, str]:
        """What lists are ordered by: current before deprecated, newer before older, then the id."""
        order = {"current": 0, "unlisted": 1, "deprecated": 2}
        return order[self.status], -(float(self.version) if self.generation is None else self.generation), self.id

    @property
    def unverified(self) -> tuple[str, ...]:
        """The fields that could not be read in fal's schema."""
        fields = self.input["properties"]
        return tuple(name for name in fields if fields[name]["documented"] == "unverified")

    def limits_of(self, kind: str) -> MediaLimits | None:
        """The limits of videos or audio; None where fal documents none."""
        return self.video_limits if kind == "video" else self.audio_limits


def media_fault(found: MediaUrl, limits: MediaLimits | None, *, kind: str, size: int) -> Violation | None:
    """What is wrong with a file of this kind and so many bytes; None when the model reads it.

    A voice may be given in a video: fal takes its sound.
    """
    pointer = input_pointer(found.loc)
    if kind != found.kind and not (found.kind == "audio" and kind == "video"):
        word = {"image": "a picture", "video": "a video", "audio": "a sound"}.get(kind, kind)
        return Violation(pointer, "url_not_allowed", f"This file is {word}; the field takes {found.kind}.")
    most = limits.max_bytes if limits is not None else None
    if most is not None and size > most:
        return Violation(pointer, "too_long", f"The {kind} has {size} bytes; the model reads at most {most}.")
    return None


def _require_duration(field: Mapping[str, Any], *, last: bool) -> None:
    """A duration is a whole number or a list of such texts, and where nothing else decides it has a usual value."""
    bounded = field["type"] == "integer" and {"minimum", "maximum"} <= field.keys()
    listed = "enum" in field and all(choice.isascii() and choice.isdecimal() for choice in field["enum"])
    if not (bounded or listed):
        raise ValueError("duration must have an enum of whole numbers, or be an integer with minimum and maximum")
    if last and not {"default", "assumed"} & field.keys():
        raise ValueError("duration must have a default, or an assumed value: the price needs one")


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()
