"""The body of a job or a quote."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from app.api.strict_body import StrictBody
from app.domain.addresses import LONGEST_URL
from app.domain.jobs import Priority, Submission
from app.domain.money import parse_usd

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


def _usd(value: object) -> int:
    """Micro-dollars of a decimal string. A number is refused: it may mean cents or micro-dollars."""
    if not isinstance(value, str):
        raise ValueError('Send an amount of dollars as a string such as "1.40"')  # noqa: TRY004  pydantic's way
    return parse_usd(value)


Usd = Annotated[
    int,  # micro-dollars
    BeforeValidator(_usd),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,10}(\.[0-9]{1,6})?$", "description": "US dollars"}),
]


class JobBody(StrictBody):
    """What `POST /v1/jobs` and `POST /v1/quotes` take."""

    model: str | None = Field(None, description="A model id of GET /v1/models; v2 master image-to-video by default")
    input: dict[str, Any] = Field(description="The model's input, as GET /v1/models/{model_id} describes it")
    webhook_url: str | None = Field(None, max_length=LONGEST_URL)
    metadata: Annotated[dict[str, str], AfterValidator(_metadata)] = Field(default_factory=dict)
    priority: Literal["high", "normal", "low"] = "normal"
    deadline: int | None = Field(None, ge=DEADLINE_MIN_S, le=DEADLINE_MAX_S, description="Seconds from admission")
    start_deadline: int | None = Field(None, ge=1, le=DEADLINE_MAX_S, description="Seconds from admission")
    max_usd: Usd | None = Field(None, description="The most it may cost")

    def submission(
        self,
        *,
        default_model: str,
        idempotency_key: str | None = None,
        trace_id: str | None = None,
        trace_sampled: bool | None = None,
    ) -> Submission:
        """As a domain value, with what is not in the body."""
        return Submission(
            model=default_model if self.model is None else self.model,
            input=self.input,
            webhook_url=self.webhook_url,
            metadata=self.metadata,
            priority=Priority(self.priority),
            deadline_s=self.deadline or 0,
            start_deadline_s=self.start_deadline,
            max_usd_micro=self.max_usd,
            idempotency_key=idempotency_key,
            trace_id=trace_id,
            trace_sampled=trace_sampled,
        )
