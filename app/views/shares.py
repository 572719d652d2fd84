"""Shares, as their makers and their readers see them."""

from collections.abc import Sequence
from typing import Literal, NotRequired, cast

from typing_extensions import TypedDict

from app.domain.shares import Share
from app.domain.times import iso
from app.services.shares import SharedClip
from app.views.fields import Time
from app.views.jobs import ClipView

# In this form because `from` is a keyword.
ShareView = TypedDict(
    "ShareView",
    {
        "id": str,
        "kind": Literal["job", "wall"],
        "job": str | None,
        "from": Time | None,
        "to": Time | None,
        "title": str | None,
        "prompt": bool,
        "user": str,
        "created_at": Time,
        "expires_at": Time,
        "url": NotRequired[str],
    },
)


class ShareList(TypedDict):
    """Shares that have not ended, the oldest first."""

    data: list[ShareView]


class SharePage(TypedDict):
    """Shares that have not ended, those that end last first; `next_cursor` is null on the last page."""

    data: list[ShareView]
    next_cursor: str | None
    has_more: bool


class SharedClipView(TypedDict):
    """A shared clip. `title` is the model's; `prompt` is null unless it is shared; `duration` is in seconds."""

    model: str
    title: str
    prompt: str | None
    created_at: Time
    video: ClipView
    duration: float | None


# What the page of a share says of itself.
OpenedShare = TypedDict(
    "OpenedShare",
    {
        "kind": Literal["job", "wall"],
        "title": str | None,
        "from": Time | None,
        "to": Time | None,
        "expires_at": Time,
    },
)


class SharedPage(TypedDict):
    """A page of the clips of a share, the newest first; `next_cursor` is null on the last page."""

    share: OpenedShare
    data: list[SharedClipView]
    next_cursor: str | None
    has_more: bool


def share_view(share: Share, url: str | None = None) -> ShareView:
    """A share; `url` has its secret and is shown once."""
    view: ShareView = {
        "id": share.id,
        "kind": share.kind,
        "job": share.job or None,
        "from": iso(share.from_ms or None),
        "to": iso(share.to_ms or None),
        "title": share.title or None,
        "prompt": share.prompt,
        "user": share.user,
        "created_at": iso(share.created_ms),
        "expires_at": iso(share.expires_ms),
    }
    return view if url is None else {**view, "url": url}


def share_page(shares: Sequence[Share], next_cursor: str | None) -> SharePage:
    """A page of a list of shares."""
    return {
        "data": [share_view(share) for share in shares],
        "next_cursor": next_cursor,
        "has_more": next_cursor is not None,
    }


def shared_page(share: Share, clips: Sequence[SharedClip], next_cursor: str | None) -> SharedPage:
    """What a reader sees."""
    return {
        "share": {
            "kind": share.kind,
            "title": share.title or None,
            "from": iso(share.from_ms or None),
            "to": iso(share.to_ms or None),
            "expires_at": iso(share.expires_ms),
        },
        "data": [
            {
                "model": clip.model,
                "title": clip.title,
                "prompt": clip.prompt,
                "created_at": iso(clip.created_ms),
                "video": cast("ClipView", clip.video),
                "duration": clip.duration,
            }
            for clip in clips
        ],
        "next_cursor": next_cursor,
        "has_more": next_cursor is not None,
    }
