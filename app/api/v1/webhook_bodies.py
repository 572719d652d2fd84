"""Request bodies about webhook endpoints."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from app.api.strict_body import ModelIds, StrictBody, distinct
from app.domain.addresses import LONGEST_URL
from app.domain.endpoints import DAY_S, MAX_OVERLAP_S
from app.domain.events import EVENT_TYPES
from app.services.endpoints import EndpointRequest

LONGEST_DESCRIPTION = 200


def _known(name: object) -> object:
    if isinstance(name, str) and name not in EVENT_TYPES:
        raise ValueError(f"An event type is one of {', '.join(EVENT_TYPES)}")
    return name


def _line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("A description is one line of printable characters")
    return text.strip()


EventType = Annotated[str, BeforeValidator(_known), WithJsonSchema({"type": "string", "enum": list(EVENT_TYPES)})]
EventTypes = Annotated[list[EventType], Field(min_length=1), AfterValidator(distinct)]
Description = Annotated[str, Field(max_length=LONGEST_DESCRIPTION), AfterValidator(_line)]


class EndpointBody(StrictBody):
    """What `POST /v1/webhook-endpoints` takes."""

    url: str = Field(max_length=LONGEST_URL, description="An https address that is on the public internet")
    events: EventTypes | None = Field(None, description="Held, succeeded, failed and canceled by default")
    models: ModelIds | None = Field(None, description="Only jobs of these models; all by default")
    description: Description = ""
    asymmetric: bool = Field(default=False, description="Sign with v1a too; the reply holds our public key")

    def request(self) -> EndpointRequest:
        """As the service takes it."""
        return EndpointRequest(
            url=self.url,
            events=None if self.events is None else tuple(self.events),
            models=None if self.models is None else tuple(self.models),
            description=self.description,
            asymmetric=self.asymmetric,
        )


class EndpointChange(StrictBody):
    """What `PATCH /v1/webhook-endpoints/{endpoint_id}` takes; members that are omitted keep their value."""

    null_is_a_value = True

    url: str = Field("", max_length=LONGEST_URL)
    events: EventTypes | None = Field(None, description="null for the usual ones")
    models: ModelIds | None = Field(None, description="null for all")
    description: Description = ""
    asymmetric: bool = False
    paused: bool = Field(default=False, description="true: deliveries wait; false: they go, also after a disabling")

    @property
    def changes(self) -> dict[str, Any]:
        """The given members except `paused`, lists as tuples."""
        given = self.model_dump(exclude_unset=True, exclude={"paused"})
        return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}

    @property
    def pause(self) -> bool | None:
        """The wanted state of the pause; None to keep it."""
        return self.paused if "paused" in self.model_fields_set else None


class RotationBody(StrictBody):
    """How long the previous secret also signs: a day by default, 0 for not at all."""

    overlap_days: int | None = Field(None, ge=0, le=MAX_OVERLAP_S // DAY_S)
    overlap_seconds: int | None = Field(None, ge=0, le=MAX_OVERLAP_S)

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
