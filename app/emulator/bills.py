"""What a request costs: its model's tariff for what it asked and what its inputs measured."""

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.emulator.kling.models import KlingModel
    from app.emulator.kling.parts import Input

MICRO = 1_000_000
DEFAULT_SECONDS = Decimal(5)  # of a video or sound that was not measured
UNIT_DIGITS = 10


@dataclass(frozen=True, slots=True)
class Bill:
    """A cost in micro-dollars, seconds of output and input, and the model's unit price in micro-dollars."""

    micro: int
    seconds: Decimal
    input_seconds: Decimal
    unit_micro: int

    @property
    def units(self) -> str:
        """The value of `X-Fal-Billable-Units`: times the unit price it is the cost."""
        return units(self.micro, self.unit_micro)


@dataclass(frozen=True, slots=True)
class Used:
    """A use of a model, for its tariff."""

    given: "Input"
    input_seconds: Decimal
    output_seconds: Decimal

    def value(self, name: str) -> Any:
        """The value of an input field with its default."""
        return self.given.value(name)


def bill_of(model: "KlingModel", given: "Input", measured: Decimal) -> Bill:
    """The bill for an input whose billed videos, or whose sound, are `measured` seconds long; 0 without any."""
    assert model.tariff is not None  # a model without one takes no requests  # noqa: S101
    asked = given.seconds
    output = measured if asked is None else Decimal(asked)
    micro = model.tariff.micro(Used(given, measured, output))
    return Bill(micro, output, measured, model.tariff.unit_micro)


def units(micro: int, unit_micro: int) -> str:
    """So many units of this price, as a plain decimal number."""
    quotient = round(Decimal(micro) / unit_micro, UNIT_DIGITS).normalize()
    return f"{quotient:f}"
