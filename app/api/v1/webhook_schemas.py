"""What webhook endpoints are made of, in bodies and replies."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from app.domain.deliveries import Health
from app.domain.endpoints import DAY_S, LONGEST_OVERLAP_S, Endpoint, older_until
from app.domain.events import EVENT_TYPES
from app.domain.views import iso
from app.services.endpoints import EndpointRequest

MODELS = 100  # that one endpoint may name
LONGEST_DESCRIPTION = 200
LONGEST_URL = 2048

STRICT = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)


def _distinct(values: list[str]) -> list[str]:
    if len(set(values)) != len(values):
        raise ValueError("Something is given twice here; keep one")
    return values


def _known(name: object) -> object:
    if isinstance(name, str) and name not in EVENT_TYPES:
        raise ValueError(f"An event type is one of {', '.join(EVENT_TYPES)}")
    return name


def _line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("A description is one line of printable characters")
    return text.strip()


EventType = Annotated[str, BeforeValidator(_known), WithJsonSchema({"type": "string", "enum": list(EVENT_TYPES)})]
EventTypes = Annotated[list[EventType], Field(min_length=1), AfterValidator(_distinct)]
ModelIds = Annotated[
    list[Annotated[str, Field(max_length=200)]], Field(min_length=1, max_length=MODELS), AfterValidator(_distinct)
]
Description = Annotated[str, Field(max_length=LONGEST_DESCRIPTION), AfterValidator(_line)]


class EndpointBody(BaseModel):
    """What `POST /v1/webhook-endpoints` takes."""

    model_config = STRICT

    url: str = Field(max_length=LONGEST_URL, description="An https address that is on the public internet")
    events: EventTypes | None = Field(None, description="Held, succeeded, failed and canceled by default")
    models: ModelIds | None = Field(None, description="Only jobs of these models; all by default")
    description: Description = ""
    asymmetric: bool = Field(default=False, description="Sign with v1a too; the reply holds our public key")

    def request(self) -> EndpointRequest:
        """The same, in the services' words."""
        return EndpointRequest(
            url=self.url,
            events=None if self.events is None else tuple(self.events),
            models=None if self.models is None else tuple(self.models),
            description=self.description,
            asymmetric=self.asymmetric,
        )


class EndpointChange(BaseModel):
    """What `PATCH /v1/webhook-endpoints/{endpoint_id}` takes; what is not given stays."""

    model_config = STRICT

    url: str = Field("", max_length=LONGEST_URL)
    events: EventTypes | None = Field(None, description="null for the usual ones")
    models: ModelIds | None = Field(None, description="null for all")
    description: Description = ""
    asymmetric: bool = False
    paused: bool = Field(default=False, description="true: deliveries wait; false: they go, also after a disabling")

    @property
    def changes(self) -> dict[str, Any]:
        """The members that were given, lists as tuples, without `paused`."""
        given = self.model_dump(exclude_unset=True, exclude={"paused"})
        return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}

    @property
    def pause(self) -> bool | None:
        """Whether it shall be paused; None to leave it."""
        return self.paused if "paused" in self.model_fields_set else None


class RotationBody(BaseModel):
    """How long the secret until now signs beside the new one: a day by default, 0 not at all."""

    model_config = STRICT

    overlap_days: int | None = Field(None, ge=0, le=LONGEST_OVERLAP_S // DAY_S)
    overlap_seconds: int | None = Field(None, ge=0, le=LONGEST_OVERLAP_S)

    @model_validator(mode="after")
    def _one_of_both(self) -> "RotationBody":
        if self.overlap_days is not None and self.overlap_seconds is not None:
            raise ValueError("Give overlap_days or overlap_seconds, not both")
        return self

    @property
    def overlap_ms(self) -> int:
        """The overlap in milliseconds."""
        if self.overlap_seconds is not None:
            return self.overlap_seconds * 1000
        return (1 if self.overlap_days is None else self.overlap_days) * DAY_S * 1000


def endpoint_view(
    endpoint: Endpoint, health: Health, *, now_ms: int, public_key: str | None = None, secret: bool = False
) -> dict[str, Any]:
    """An endpoint as its team sees it, and how its attempts go; its newest secret only when it was just made."""
    view: dict[str, Any] = {
        "id": endpoint.id,
        "url": endpoint.url,
        "events": list(endpoint.events),
        "models": None if endpoint.models is None else list(endpoint.models),
        "description": endpoint.description,
        "status": endpoint.status,
        "disabled_reason": endpoint.disabled_reason,
        "asymmetric": endpoint.asymmetric,
        "created_at": iso(endpoint.created_ms),
        "older_secrets_until": [iso(until_ms) for until_ms in older_until(endpoint.secrets, now_ms)],
        "failures_in_a_row": health.failures,
        "failing_since": iso(health.since_ms),
        "next_probe_at": iso(health.probe_ms) if endpoint.status == "active" else None,
    }
    if endpoint.asymmetric:
        view["public_key"] = public_key
    if secret:
        view["secret"] = endpoint.secrets[0].text
    return view
