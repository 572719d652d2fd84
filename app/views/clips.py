"""Addresses of clips."""

from typing_extensions import TypedDict

from app.domain.times import iso
from app.services.clips import Link
from app.views.fields import Time


class LinkView(TypedDict):
    """An address that needs no key, and when it ends."""

    url: str
    expires_at: Time | None


def link_view(link: Link) -> LinkView:
    """The address as its caller gets it."""
    return {"url": link.url, "expires_at": iso(link.expires_ms)}
