"""Request bodies of the administration routes."""

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    RootModel,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from app.api.strict_body import LONGEST_ID, ModelIds, StrictBody, distinct, web_origin
from app.domain.accounts import (
    AS_GATEWAY,
    MAX_RETENTION_DAYS,
    MAX_STORAGE_BYTES,
    MIN_RETENTION_DAYS,
    UNLIMITED,
    Reposts,
    Scope,
)
from app.domain.limits import (
    MAX_AMOUNT,
    MAX_COUNT,
    Limit,
    Unit,
    Window,
    format_amount,
    require_distinct,
    require_zone,
)
from app.domain.money import parse_usd

DAY_S = 86_400
TEN_YEARS_S = 3653 * DAY_S
LONGEST_RAISE_S = 366 * DAY_S
MAX_OVERLAP_S = 7 * DAY_S
LONGEST_LIST = 100
MEMBERS_OF_ACTION = {"adopt": {"upstream_request_id"}, "resubmit": set[str](), "fail": {"charged"}}


def _one_line(what: str, longest: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        text = text.strip()
        if not 0 < len(text) <= longest or not text.isprintable():
            raise ValueError(f"{what} is 1 to {longest} printable characters")
        return text

    return read


def _dollars(value: object) -> int:
    """Micro-dollars of a decimal string or a JSON number, negative ones too."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(Decimal(str(value)))
    if isinstance(value, str):
        return -parse_usd(value[1:]) if value.startswith("-") else parse_usd(value)
    raise ValueError('An amount of dollars is a string such as "1.40", or a number')


def _not_negative(micro: int) -> int:
    if micro < 0:
        raise ValueError("An amount is between 0 and 9 billion dollars, with at most six decimal places")
    return micro


def _not_zero(micro: int) -> int:
    if micro == 0:
        raise ValueError("Nothing would change: the amount is 0")
    return micro


def _number_or(word: str, meaning: int, *, least: int, most: int) -> Callable[[object], int]:
    """Reads a whole number between two, or a word that stands for a number outside of them."""

    def read(value: object) -> int:
        if value == word:
            return meaning
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f'This is a whole number between {least} and {most}, or "{word}"')
        return value

    return read


USD_SCHEMA = {"anyOf": [{"type": "string", "pattern": r"^-?[0-9]{1,10}(\.[0-9]{1,6})?$"}, {"type": "number"}]}
Name = Annotated[
    str, AfterValidator(_one_line("A name", 100)), WithJsonSchema({"type": "string", "maxLength": 100})
]
Reason = Annotated[
    str, AfterValidator(_one_line("A reason", 500)), WithJsonSchema({"type": "string", "maxLength": 500})
]
Id = Annotated[str, Field(min_length=1, max_length=LONGEST_ID)]
Zone = Annotated[str, Field(max_length=LONGEST_ID), AfterValidator(require_zone)]
Weight = Annotated[int, Field(ge=1, le=100)]
SignedUsd = Annotated[int, BeforeValidator(_dollars), AfterValidator(_not_zero), WithJsonSchema(USD_SCHEMA)]
Usd = Annotated[int, BeforeValidator(_dollars), AfterValidator(_not_negative), WithJsonSchema(USD_SCHEMA)]
PositiveUsd = Annotated[Usd, AfterValidator(_not_zero), WithJsonSchema(USD_SCHEMA)]
Origin = Annotated[str, Field(max_length=300), AfterValidator(web_origin)]
# A strict model wants members of the enum, and JSON has only their names.
Scopes = Annotated[list[Annotated[Scope, Field(strict=False)]], Field(min_length=1), AfterValidator(distinct)]
RepostRule = Annotated[
    Reposts,
    Field(strict=False, description="When an equal submission at fal's routes is a repeat of an earlier one"),
]
RetentionDays = Annotated[
    int,
    BeforeValidator(_number_or("gateway", AS_GATEWAY, least=MIN_RETENTION_DAYS, most=MAX_RETENTION_DAYS)),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": MIN_RETENTION_DAYS, "maximum": MAX_RETENTION_DAYS},
                {"const": "gateway"},
            ],
            "description": "Days for which ended jobs, their clips and uploaded files are kept",
        }
    ),
]
StorageBytes = Annotated[
    int,
    BeforeValidator(_number_or("unlimited", UNLIMITED, least=0, most=MAX_STORAGE_BYTES)),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer", "minimum": 0, "maximum": MAX_STORAGE_BYTES}, {"const": "unlimited"}],
            "description": "How many bytes of clips and uploads the storage keeps for the team",
        }
    ),
]
Origins = Annotated[list[Origin], Field(min_length=1, max_length=LONGEST_LIST), AfterValidator(distinct)]


class LimitBody(StrictBody):
    """A limit: `amount` in dollars (a decimal string, or a number) for usd, a whole number otherwise."""

    unit: Annotated[Unit, Field(strict=False)]
    window: Annotated[Window, Field(strict=False)]
    amount: Annotated[int, WithJsonSchema(USD_SCHEMA)]

    @field_validator("amount", mode="before")
    @classmethod
    def _read_amount(cls, value: Any, given: ValidationInfo) -> int:
        unit = given.data.get("unit")
        if unit is None:
            return 0  # the unit is already refused
        if unit is Unit.USD:
            return _not_negative(_dollars(value))
        highest = MAX_AMOUNT.get(unit, MAX_COUNT)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= highest:
            raise ValueError(f"An amount of {unit} is a whole number between 0 and {format_amount(unit, highest)}")
        return value

    @model_validator(mode="after")
    def _is_possible(self) -> "LimitBody":
        self.limit()
        return self

    def limit(self) -> Limit:
        """As a domain value; ValueError when the unit has no such window."""
        return Limit(self.unit, self.window, self.amount)


def _one_of_each(bodies: list[LimitBody]) -> list[LimitBody]:
    require_distinct(body.limit() for body in bodies)
    return bodies


LimitList = Annotated[list[LimitBody], Field(max_length=LONGEST_LIST), AfterValidator(_one_of_each)]


class LimitsBody(RootModel[LimitList]):
    """The body of `PUT …/limits`: all limits of the gateway, team or user."""

    def limits(self) -> tuple[Limit, ...]:
        """As domain values."""
        return tuple(body.limit() for body in self.root)


class RaiseBody(LimitBody):
    """The body of `POST …/raises`: a higher amount for so many seconds."""

    expires_in: int = Field(ge=60, le=LONGEST_RAISE_S)


class TeamBody(StrictBody):
    """What `POST /v1/admin/teams` takes."""

    name: Name
    weight: Weight = 1
    time_zone: Zone = "UTC"
    reposts: RepostRule = Reposts.ANSWERED
    retention_days: RetentionDays | None = None
    storage_bytes: StorageBytes | None = None
    limits: LimitList = Field(default_factory=list)


class TeamChange(StrictBody):
    """What `PATCH /v1/admin/teams/{id}` takes."""

    name: Name | None = None
    weight: Weight | None = None
    time_zone: Zone | None = None
    reposts: RepostRule | None = None
    retention_days: RetentionDays | None = None
    storage_bytes: StorageBytes | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> "TeamChange":
        if not self.model_fields_set:
            raise ValueError("Say what to change: name, weight, time_zone, reposts, retention_days, storage_bytes")
        return self


class UserBody(StrictBody):
    """What `POST /v1/admin/users` takes."""

    team: Id
    name: Name
    limits: LimitList = Field(default_factory=list)


class UserChange(StrictBody):
    """What `PATCH /v1/admin/users/{id}` takes."""

    name: Name


class KeyBody(StrictBody):
    """What `POST /v1/admin/keys` takes.

    Without `models` and `origins` the key is good for and from all; without `reposts` the team's rule applies.
    """

    user: Id
    name: Name | None = None
    scopes: Scopes | None = None
    models: ModelIds | None = None
    origins: Origins | None = None
    expires_in: int | None = Field(None, ge=1, le=TEN_YEARS_S, description="Seconds from now")
    reposts: RepostRule | None = None


class RotateBody(StrictBody):
    """What `POST /v1/admin/keys/{id}/rotate` takes."""

    overlap: int = Field(DAY_S, ge=0, le=MAX_OVERLAP_S, description="Seconds that the old key still opens")


class CreditBody(StrictBody):
    """What `POST /v1/admin/teams/{id}/credits` takes: a credit, a correction, or what a job really cost."""

    amount_usd: PositiveUsd | None = None
    correction_usd: SignedUsd | None = None
    job: Id | None = None
    actual_usd: Usd | None = None
    reason: Reason

    @model_validator(mode="after")
    def _one_form(self) -> "CreditBody":
        forms = ({"amount_usd"}, {"correction_usd"}, {"job", "actual_usd"})
        if self.model_fields_set - {"reason"} not in forms:
            raise ValueError("Give amount_usd, or correction_usd, or job with actual_usd")
        return self


class PauseBody(StrictBody):
    """What `POST /v1/admin/pause` takes; without a team, nothing is bought for any team."""

    team: Id | None = None
    reason: Reason


class ResumeBody(StrictBody):
    """What `POST /v1/admin/resume` takes; without a team, the breaker closes too."""

    team: Id | None = None
    reason: Reason | None = None


class ResolveBody(StrictBody):
    """What `POST /v1/admin/jobs/{job_id}/resolve` takes: one of three forms, with exactly its members."""

    action: Literal["adopt", "resubmit", "fail"]
    upstream_request_id: (
        Annotated[str, Field(min_length=1, max_length=LONGEST_ID, pattern=r"^[A-Za-z0-9_-]+$")] | None
    ) = Field(None, description="fal's request id, for adopt")
    charged: bool | None = Field(None, description="Did fal charge it? For fail")

    @model_validator(mode="after")
    def _one_form(self) -> "ResolveBody":
        if self.model_fields_set - {"action"} != MEMBERS_OF_ACTION[self.action]:
            raise ValueError("Give adopt with upstream_request_id, fail with charged, or resubmit alone")
        return self
