"""How long a job's video is, and how many seconds of its input count: what prices by the second and limits need.

A model's file says in `seconds` which fields decide it. `output` names them in order, and the first that is given
counts: `duration`, `multi_prompt` (the sum of its shots), or a field with a video or audio, whose length the output
has. `input` names the fields whose videos or audio are paid by their length.

The length of a file that came in through this gateway was read from its container. Of any other address it is not
known, and the longest that the model reads is taken: the *ceiling*.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.domain.errors import Violation
from app.registry.fields import Location, addresses, formats
from app.registry.violations import input_pointer

SHOTS = "multi_prompt"
DURATION = "duration"
MEDIA = ("video-url", "audio-url")
ROUNDING_S = 0.05  # a container of 10 s is often some frames longer; fal's limits allow as much

Basis = Literal["requested", "measured", "ceiling", "flat"]


@dataclass(frozen=True, slots=True)
class Lengths:
    """Whole seconds of one job: of the video it makes, and of the input that is paid.

    Attributes:
        basis: `requested` when the input says it, `measured` when it follows from files that came in here,
            `ceiling` when the length of at least one file is not known. A quote is `flat` when no length matters.
        note: for a ceiling, a sentence that says so.
    """

    output: int
    input: int = 0
    basis: Basis = "requested"
    note: str | None = None


@dataclass(frozen=True, slots=True)
class MediaUrl:
    """The address of a video or audio in a job's input: where it stands, and the kind that the field asks for."""

    url: str
    loc: Location
    kind: str


class MediaCount:
    """Counts the files of one input, and says what their seconds follow from.

    `measured` has the seconds of files by their addresses, as far as they are known.
    """

    def __init__(self, measured: Mapping[str, float]) -> None:
        self._measured = measured
        self._known = False
        self._ceilings: dict[str, int] = {}  # the longest file that may be in a field

    def seconds(self, found: MediaUrl, field: str, *, longest: float) -> int:
        """Whole seconds of a file in this field: as measured, or `longest` where that is not known."""
        if found.url in self._measured:
            self._known = True
            return whole_seconds(self._measured[found.url])
        self._ceilings[field] = whole_seconds(longest)
        return self._ceilings[field]

    @property
    def basis(self) -> Basis:
        """`ceiling` as soon as one length is not known."""
        if self._ceilings:
            return "ceiling"
        return "measured" if self._known else "requested"

    @property
    def note(self) -> str | None:
        """A sentence about what is not known."""
        if not self._ceilings:
            return None
        longest = " and ".join(f"{seconds} s of {field}" for field, seconds in self._ceilings.items())
        return (
            f"The length of {' and '.join(self._ceilings)} is not known here, so this is the price for the longest "
            f"that the model reads: {longest}. What fal bills is settled. A file that is uploaded here is measured."
        )


def media_urls(name: str, field: Mapping[str, Any], value: Any) -> Iterator[MediaUrl]:
    """Every address of a video or audio that this field of a checked input has, however deep."""
    for loc, kind, url in addresses(field, value, (name,), MEDIA):
        yield MediaUrl(url, loc, kind.removesuffix("-url"))


def media_kinds(field: Mapping[str, Any]) -> frozenset[str]:
    """`video`, `audio` or both: what addresses this field can hold, however deep."""
    return frozenset(kind.removesuffix("-url") for kind in formats(field).intersection(MEDIA))


def shots_seconds(clean: Mapping[str, Any]) -> int:
    """Seconds of a storyboard: the sum of its shots."""
    return sum(int(shot["duration"]) for shot in clean[SHOTS])


def whole_seconds(length: float) -> int:
    """The seconds that are paid for so long a file."""
    return max(1, math.ceil(length - ROUNDING_S))


def length_fault(length: float, *, shortest: float, longest: float, found: MediaUrl) -> Violation | None:
    """What is wrong with the length of a file that was measured; None when the model reads it."""
    if shortest - ROUNDING_S <= length <= longest + ROUNDING_S:
        return None
    read = f"{shortest:g} to {longest:g}" if shortest else f"at most {longest:g}"
    sentence = f"The {found.kind} has {length:.1f} s; the model reads {read} s."
    return Violation(input_pointer(found.loc), "out_of_range", sentence)
