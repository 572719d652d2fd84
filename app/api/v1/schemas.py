"""The bodies of the native API."""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from app.domain.jobs import Priority
from app.domain.money import parse_usd
from app.services.requests import JobRequest

METADATA_NAME = re.compile(r"[a-z0-9_.-]{1,40}")
METADATA_PAIRS = 8
METADATA_BYTES = 200
DEADLINE_MIN_S, DEADLINE_MAX_S = 10, 604_800


def _metadata(pairs: dict[str, str]) -> dict[str, str]:
    if len(pairs) > METADATA_PAIRS:
        raise ValueError(f"Metadata holds at most {METADATA_PAIRS} pairs")
    for name, value in pairs.items():
        if not METADATA_NAME.fullmatch(name):
            raise ValueError("A metadata name is 1 to 40 of a-z, 0-9, dot, dash and underscore")
        if len(value.encode()) > METADATA_BYTES or not value.isprintable():
            raise ValueError(f"A metadata value is printable and at most {METADATA_BYTES} bytes long")
    return pairs


def _usd(value: object) -> object:
    """Micro-dollars of a decimal string or a JSON number."""
    if isinstance(value, str):
        return parse_usd(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return parse_usd(str(Decimal(str(value))))
    raise ValueError('An amount of dollars is a string such as "1.40", or a number')


Usd = Annotated[int, BeforeValidator(_usd)]  # micro-dollars inside, a decimal string or a number in the body


class JobBody(BaseModel):
    """What `POST /v1/jobs` and `POST /v1/quotes` take."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)

    model: str | None = Field(None, description="A model id of GET /v1/models; v2 master image-to-video by default")
    input: dict[str, Any] = Field(description="The model's input, as GET /v1/models/{model_id} describes it")
    webhook_url: str | None = Field(None, max_length=2048)
    metadata: Annotated[dict[str, str], AfterValidator(_metadata)] = Field(default_factory=dict)
    priority: Literal["high", "normal", "low"] = "normal"
    deadline: int | None = Field(None, ge=DEADLINE_MIN_S, le=DEADLINE_MAX_S, description="Seconds from admission")
    start_deadline: int | None = Field(None, ge=1, le=DEADLINE_MAX_S, description="Seconds from admission")
    max_usd: Annotated[int | None, BeforeValidator(_usd)] = Field(None, description="The most it may cost")

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:
        """An optional member given as null reads as not given."""
        optional = {name for name, field in cls.model_fields.items() if not field.is_required()}
        if isinstance(value, dict):
            return {name: item for name, item in value.items() if item is not None or name not in optional}
        return value

    def request(self) -> JobRequest:
        """The same, in the services' words."""
        return JobRequest(
            input=self.input,
            model=self.model,
            webhook_url=self.webhook_url,
            metadata=self.metadata,
            priority=Priority(self.priority),
            deadline_s=self.deadline,
            start_deadline_s=self.start_deadline,
            max_usd_micro=self.max_usd,
        )


class FileView(BaseModel):
    """What a clip is."""

    url: str
    content_type: str | None = None
    file_name: str | None = None
    file_size: int | None = None


class OutputView(BaseModel):
    """A job's output."""

    video: FileView


class ErrorView(BaseModel):
    """Why a job failed."""

    code: str
    message: str
    retryable: bool
    upstream: dict[str, Any] | None = None


class PausedView(BaseModel):
    """Why nothing is bought just now, while a job waits in line."""

    reason: str


class JobView(BaseModel):
    """A job, for the OpenAPI document; replies are rendered by `app.domain.views`."""

    id: str
    status: Literal["queued", "submitting", "running", "finalizing", "held", "succeeded", "failed", "canceled"]
    model: str
    input: dict[str, Any] | None
    output: OutputView | None
    error: ErrorView | None
    quoted_usd: str
    charged_usd: str | None
    queue_position: int | None
    upstream_paused: PausedView | None
    logs: list[dict[str, Any]]
    metadata: dict[str, str]
    priority: Literal["high", "normal", "low"]
    user: str
    created_at: str
    submitted_at: str | None
    completed_at: str | None
    deadline_at: str
    cancel_requested_at: str | None
    held_reason: str | None
    repeated: bool
    expires_at: str | None
    urls: dict[str, str]


class JobPage(BaseModel):
    """A page of jobs."""

    data: list[JobView]
    next_cursor: str | None
    has_more: bool


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    trace_id: str
    errors: list[dict[str, str]] | None = None


_problem = {"content": {"application/problem+json": {"schema": Problem.model_json_schema()}}}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {**_problem, "description": "Refused, and nothing has changed"},
    "503": {**_problem, "description": "The store or fal is away; try again after Retry-After"},
}


def body_schema(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """The OpenAPI request body of a route whose body we read ourselves."""
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": required, "content": content}}
