"""Events, as in webhooks, live streams and `GET /v1/events`."""

from typing import Literal, cast

from typing_extensions import TypedDict

from app.domain.events import EndpointNotice, Event, Notice
from app.domain.limits import Owner, Window
from app.domain.money import format_usd
from app.domain.times import iso
from app.views.fields import Time, Usd
from app.views.jobs import JobData, job_data

JobEventType = Literal[
    "job.queued",
    "job.submitting",
    "job.running",
    "job.finalizing",
    "job.held",
    "job.succeeded",
    "job.failed",
    "job.canceled",
]
EndpointEventType = Literal["endpoint.disabled", "endpoint.test"]


class JobEvent(TypedDict):
    """A change of a job: the body of a webhook, and the data of a live event."""

    type: JobEventType
    timestamp: Time
    sequence: int
    data: JobData


class BudgetData(TypedDict):
    """`threshold` percent of a money limit are used or held; `user` is null for a team's limit."""

    threshold: int
    owner: Owner
    user: str | None
    unit: Literal["usd"]
    window: Window
    amount: Usd
    used: Usd
    held: Usd
    resets_at: Time | None


class BudgetEvent(TypedDict):
    """A money limit has reached a threshold."""

    type: Literal["budget.threshold"]
    timestamp: Time
    sequence: None
    data: BudgetData


class EndpointData(TypedDict):
    """A webhook endpoint; `reason` says why it was disabled."""

    endpoint: str
    url: str
    reason: str | None


class EndpointEvent(TypedDict):
    """A webhook endpoint was disabled, or is tested."""

    type: EndpointEventType
    timestamp: Time
    sequence: None
    data: EndpointData


class WithId(TypedDict):
    """An event's id in the team's stream."""

    id: str


class ListedJobEvent(WithId, JobEvent):
    """A change of a job; `id` is a cursor."""


class ListedBudgetEvent(WithId, BudgetEvent):
    """A money limit has reached a threshold; `id` is a cursor."""


class ListedEndpointEvent(WithId, EndpointEvent):
    """A webhook endpoint was disabled, or is tested; `id` is a cursor."""


NoticeView = BudgetEvent | EndpointEvent
AnyEvent = JobEvent | NoticeView
ListedEvent = ListedJobEvent | ListedBudgetEvent | ListedEndpointEvent


class EventPage(TypedDict):
    """Events in order; `next_cursor` is always there, for the next request."""

    data: list[ListedEvent]
    next_cursor: str
    has_more: bool


def job_event(
    event: Event, *, base_url: str, queue_position: int | None = None, upstream_paused: str | None = None
) -> JobEvent:
    """A change of a job, the same in webhooks, streams and lists."""
    return {
        "type": cast("JobEventType", event.type),
        "timestamp": iso(event.at_ms),
        "sequence": event.sequence,
        "data": job_data(
            event.job, base_url=base_url, queue_position=queue_position, upstream_paused=upstream_paused
        ),
    }


def notice_view(notice: Notice) -> NoticeView:
    """A notice about a money limit or an endpoint; it has no sequence, which only jobs have."""
    if isinstance(notice, EndpointNotice):
        return {
            "type": cast("EndpointEventType", notice.type),
            "timestamp": iso(notice.at_ms),
            "sequence": None,
            "data": {"endpoint": notice.endpoint, "url": notice.url, "reason": notice.reason},
        }
    return {
        "type": "budget.threshold",
        "timestamp": iso(notice.at_ms),
        "sequence": None,
        "data": {
            "threshold": notice.threshold,
            "owner": notice.owner,
            "user": notice.user,
            "unit": "usd",
            "window": notice.window,
            "amount": format_usd(notice.amount),
            "used": format_usd(notice.used),
            "held": format_usd(notice.held),
            "resets_at": iso(notice.resets_ms),
        },
    }


def event_view(event: Event | Notice, *, base_url: str) -> AnyEvent:
    """An event of any type."""
    return job_event(event, base_url=base_url) if isinstance(event, Event) else notice_view(event)


def listed_event(event: Event | Notice, *, base_url: str) -> ListedEvent:
    """An event of any type, with its id."""
    return cast("ListedEvent", {"id": event.id, **event_view(event, base_url=base_url)})
