"""Which jobs a list shows: the same query parameters for a caller's jobs and for every team's."""

from dataclasses import replace
from typing import Annotated

from fastapi import Depends, Query, Request

from app.api.moments import Moment, require_order
from app.api.reads import Reads, query, reads
from app.api.strict_body import LONGEST_ID
from app.domain.errors import invalid_at, pointer
from app.domain.jobs import Status
from app.domain.prompts import words_of
from app.services.listing import Filter

METADATA = "metadata."
BY_METADATA = query("metadata.NAME", "Only jobs with this value under NAME; one such filter")
Statuses = Annotated[
    list[Status] | None, Query(description="Only jobs in one of these; may be given more than once")
]
ModelId = Annotated[str | None, Query(max_length=200, description="Only jobs of this model")]
UserId = Annotated[
    str | None, Query(max_length=LONGEST_ID, description="Only this user's; others' with `team:read`")
]
From = Annotated[Moment | None, Query(alias="from", description="Submitted then or later")]
To = Annotated[Moment | None, Query(alias="to", description="Submitted before")]
Text = Annotated[
    str | None, Query(min_length=1, max_length=200, description="Each of these words is in the prompt, in any case")
]


@reads(Reads(parameters=(BY_METADATA,)))
async def metadata_filter(request: Request) -> tuple[str, str] | None:
    """The one `metadata.NAME=VALUE`; Unprocessable for more."""
    pairs = [
        (name[len(METADATA) :], value) for name, value in request.query_params.items() if name.startswith(METADATA)
    ]
    if len(pairs) > 1:
        where = pointer(("query", METADATA + pairs[1][0]))
        raise invalid_at(where, "too_many", "Filter by one pair of metadata in each request.")
    return pairs[0] if pairs else None


MetadataFilter = Annotated[tuple[str, str] | None, Depends(metadata_filter)]


async def _job_filter(
    metadata: MetadataFilter,
    status: Statuses = None,
    model: ModelId = None,
    user: UserId = None,
    start: From = None,
    end: To = None,
) -> Filter:
    """The filter; Unprocessable for a range of time that ends before it begins."""
    require_order(start, end)
    return Filter(
        statuses=frozenset(status or ()), model=model, metadata=metadata, user=user, from_ms=start, to_ms=end
    )


JobFilter = Annotated[Filter, Depends(_job_filter)]


def with_words(job_filter: Filter, text: str | None) -> Filter:
    """The filter with the words of a text."""
    return job_filter if text is None else replace(job_filter, words=words_of(text))
