"""Pages of lists: their size, their cursor, and where the next one begins."""

from collections.abc import Sequence
from typing import Annotated, Protocol
from urllib.parse import urlencode

from fastapi import Query, Request

from app.gateway import Gateway

PageSize = Annotated[int, Query(ge=1, le=100)]
PageCursor = Annotated[str | None, Query(max_length=200)]
UserText = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=200,
        description="Only users in whose name each of these words is, in any case; or whose id begins so",
    ),
]


class HasId(Protocol):
    """An item whose id is the cursor of what follows it."""

    @property
    def id(self) -> str: ...  # noqa: D102


def link_to_next(request: Request, gateway: Gateway, cursor: str | None) -> dict[str, str]:
    """The `Link` header to the next page of this request (RFC 8288); none after the last page."""
    if cursor is None:
        return {}
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    query = urlencode([*kept, ("cursor", cursor)])
    return {"Link": f'<{gateway.settings.base_url}{request.url.path}?{query}>; rel="next"'}


def id_after(found: Sequence[HasId], limit: int) -> str | None:
    """The cursor of the next page, of `limit` + 1 items that were read: the last id shown, if there are more."""
    return found[limit - 1].id if len(found) > limit else None
