"""What administrators send and see."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from app.domain.accounts import Scope
from app.domain.addresses import read_origin
from app.domain.limits import HIGHEST, HIGHEST_COUNT, Limit, Unit, Window, known_zone, shown, unique
from app.domain.money import format_usd, parse_usd
from app.domain.views import iso, limit_view
from app.services.administration import Key, Team, User
from app.services.audit import Act
from app.services.ledger import Entry

STRICT = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)
DAY_S = 86_400
TEN_YEARS_S = 3653 * DAY_S
LONGEST_RAISE_S = 366 * DAY_S
LONGEST_OVERLAP_S = 7 * DAY_S
LONGEST_ID = 64
LONGEST_LIST = 100


def _one_line(longest: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        text = text.strip()
        if not 0 < len(text) <= longest or not text.isprintable():
            raise ValueError(f"This is 1 to {longest} printable characters")
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


def _origin(text: str) -> str:
    try:
        return read_origin(text)
    except ValueError:
        raise ValueError("An origin is scheme://host[:port] in lower case, as browsers send it") from None


def _distinct(values: list[Any]) -> list[Any]:
    if len(set(values)) != len(values):
        raise ValueError("Something is given twice here; keep one")
    return values


USD_SCHEMA = {"anyOf": [{"type": "string", "pattern": r"^-?[0-9]{1,10}(\.[0-9]{1,6})?$"}, {"type": "number"}]}
Name = Annotated[str, AfterValidator(_one_line(100)), WithJsonSchema({"type": "string", "maxLength": 100})]
Reason = Annotated[str, AfterValidator(_one_line(500)), WithJsonSchema({"type": "string", "maxLength": 500})]
Id = Annotated[str, Field(min_length=1, max_length=LONGEST_ID)]
Zone = Annotated[str, Field(max_length=LONGEST_ID), AfterValidator(known_zone)]
Weight = Annotated[int, Field(ge=1, le=100)]
SignedUsd = Annotated[int, BeforeValidator(_dollars), AfterValidator(_not_zero), WithJsonSchema(USD_SCHEMA)]
Usd = Annotated[int, BeforeValidator(_dollars), AfterValidator(_not_negative), WithJsonSchema(USD_SCHEMA)]
SomeUsd = Annotated[Usd, AfterValidator(_not_zero), WithJsonSchema(USD_SCHEMA)]
Origin = Annotated[str, Field(max_length=300), AfterValidator(_origin)]
# A strict model wants members of the enum, and JSON has only their names.
Scopes = Annotated[list[Annotated[Scope, Field(strict=False)]], Field(min_length=1), AfterValidator(_distinct)]
Models = Annotated[
    list[Annotated[str, Field(max_length=200)]],
    Field(min_length=1, max_length=LONGEST_LIST),
    AfterValidator(_distinct),
]
Origins = Annotated[list[Origin], Field(min_length=1, max_length=LONGEST_LIST), AfterValidator(_distinct)]


class Body(BaseModel):
    """A strict body. An optional member given as null reads as not given."""

    model_config = STRICT

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        optional = {name for name, field in cls.model_fields.items() if not field.is_required()}
        return {name: item for name, item in value.items() if item is not None or name not in optional}


class LimitBody(Body):
    """A limit: `amount` in dollars (a decimal string, or a number) for usd, a whole number otherwise."""

    unit: Annotated[Unit, Field(strict=False)]
    window: Annotated[Window, Field(strict=False)]
    amount: Annotated[int, WithJsonSchema(USD_SCHEMA)]

    @field_validator("amount", mode="before")
    @classmethod
    def _count(cls, value: Any, given: ValidationInfo) -> int:
        unit = given.data.get("unit")
        if unit is None:
            return 0  # the unit is wrong, and that is said
        if unit is Unit.USD:
            return _not_negative(_dollars(value))
        highest = HIGHEST.get(unit, HIGHEST_COUNT)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= highest:
            raise ValueError(f"An amount of {unit} is a whole number between 0 and {shown(unit, highest)}")
        return value

    @model_validator(mode="after")
    def _makes_sense(self) -> "LimitBody":
        self.limit()
        return self

    def limit(self) -> Limit:
        """The same, in the domain's words; ValueError when the pair makes no sense."""
        return Limit(self.unit, self.window, self.amount)


def _one_of_each(bodies: list[LimitBody]) -> list[LimitBody]:
    unique(body.limit() for body in bodies)
    return bodies


LimitList = Annotated[list[LimitBody], Field(max_length=LONGEST_LIST), AfterValidator(_one_of_each)]


class LimitsBody(RootModel[LimitList]):
    """What `PUT …/limits` takes: all of an owner's limits."""

    def limits(self) -> tuple[Limit, ...]:
        """The same, in the domain's words."""
        return tuple(body.limit() for body in self.root)


class RaiseBody(LimitBody):
    """What `POST …/raises` takes: a higher amount for so many seconds."""

    expires_in: int = Field(ge=60, le=LONGEST_RAISE_S)


class TeamBody(Body):
    """What `POST /v1/admin/teams` takes."""

    name: Name
    weight: Weight = 1
    time_zone: Zone = "UTC"
    limits: LimitList = Field(default_factory=list)


class TeamChange(Body):
    """What `PATCH /v1/admin/teams/{id}` takes."""

    name: Name | None = None
    weight: Weight | None = None
    time_zone: Zone | None = None

    @model_validator(mode="after")
    def _something(self) -> "TeamChange":
        if not self.model_fields_set:
            raise ValueError("Say what to change: name, weight or time_zone")
        return self


class UserBody(Body):
    """What `POST /v1/admin/users` takes."""

    team: Id
    name: Name
    limits: LimitList = Field(default_factory=list)


class UserChange(Body):
    """What `PATCH /v1/admin/users/{id}` takes."""

    name: Name


class KeyBody(Body):
    """What `POST /v1/admin/keys` takes. Without `models` and `origins` the key is good for and from all."""

    user: Id
    name: Name | None = None
    scopes: Scopes | None = None
    models: Models | None = None
    origins: Origins | None = None
    expires_in: int | None = Field(None, ge=1, le=TEN_YEARS_S, description="Seconds from now")


class RotateBody(Body):
    """What `POST /v1/admin/keys/{id}/rotate` takes."""

    overlap: int = Field(DAY_S, ge=0, le=LONGEST_OVERLAP_S, description="Seconds that the old key still opens")


class CreditBody(Body):
    """What `POST /v1/admin/teams/{id}/credits` takes: a credit, a correction, or what a job really cost."""

    amount_usd: SomeUsd | None = None
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


def request_body(model: type[BaseModel]) -> dict[str, Any]:
    """The OpenAPI request body of a route whose body we read ourselves, with every definition in its place."""
    schema = model.model_json_schema()
    content = {"application/json": {"schema": _inlined(schema, schema.pop("$defs", {}))}}
    return {"requestBody": {"required": True, "content": content}}


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {name: _inlined(item, definitions) for name, item in schema.items()}


def limits_view(limits: Sequence[Limit]) -> list[dict[str, Any]]:
    """An owner's limits, by unit and window."""
    return [limit_view(limit) for limit in sorted(limits, key=lambda limit: limit.name)]


def team_view(team: Team, limits: Sequence[Limit]) -> dict[str, Any]:
    """A team; its webhook secret is the team's own affair."""
    return {
        "id": team.id,
        "name": team.name,
        "weight": team.weight,
        "time_zone": team.time_zone,
        "limits": limits_view(limits),
        "created_at": iso(team.created_ms),
    }


def user_view(user: User, limits: Sequence[Limit]) -> dict[str, Any]:
    """A user."""
    return {
        "id": user.id,
        "team": user.team,
        "name": user.name,
        "limits": limits_view(limits),
        "created_at": iso(user.created_ms),
    }


def key_view(key: Key, used_ms: int | None = None) -> dict[str, Any]:
    """What is known of a key; the key itself is known to nobody. `last_used_at` is right to the minute."""
    return {
        "id": key.id,
        "name": key.name,
        "team": key.team,
        "user": key.user,
        "shown_as": key.shown_as,
        "scopes": sorted(key.scopes),
        "models": key.models,
        "origins": key.origins,
        "created_at": iso(key.created_ms),
        "expires_at": iso(key.expires_ms),
        "revoked_at": iso(key.revoked_ms),
        "last_used_at": iso(used_ms),
    }


def entry_view(entry: Entry) -> dict[str, Any]:
    """One movement of money; what it is not about is null."""
    return {
        "id": entry.id,
        "type": entry.type,
        "amount_usd": format_usd(entry.amount),
        "job": entry.job or None,
        "user": entry.user or None,
        "key": entry.key or None,
        "token": entry.token or None,
        "model": entry.model or None,
        "video_seconds": entry.seconds,
        "price_version": entry.price_version or None,
        "reason": entry.reason or None,
        "at": iso(entry.at_ms),
        "admitted_at": iso(entry.admitted_ms),
    }


def act_view(act: Act) -> dict[str, Any]:
    """One line of the audit log."""
    return {
        "number": act.number,
        "at": iso(act.at_ms),
        "actor": act.actor,
        "action": act.action,
        "target": act.target,
        "details": act.details,
        "hash": act.hash,
    }
