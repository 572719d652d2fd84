"""Uploaded files in lists."""

from typing import NotRequired

from typing_extensions import TypedDict

from app.domain.times import iso
from app.services.upload_list import UploadPage
from app.store.uploaded_files import UploadedFile
from app.views.fields import Time


class UploadedFileView(TypedDict):
    """An uploaded file, at the URL at which fal reads it; `kept`: a copy is here, and can be sent to fal again.

    Its user is an id; `seconds`, `width` and `height` are there where its header says them.
    """

    type: str
    size: int
    sha256: str
    url: str
    kept: bool
    user: str
    created_at: Time | None
    expires_at: Time
    seconds: NotRequired[float]
    width: NotRequired[int]
    height: NotRequired[int]


class UploadedFilePage(TypedDict):
    """A page of uploaded files, those that stay longest first; `next_cursor` is null on the last one."""

    data: list[UploadedFileView]
    next_cursor: str | None
    has_more: bool


def uploaded_file_page(page: UploadPage) -> UploadedFilePage:
    """A page."""
    return {
        "data": [_view(file, page.kept) for file in page.files],
        "next_cursor": page.next_cursor,
        "has_more": page.next_cursor is not None,
    }


def _view(file: UploadedFile, kept: frozenset[str]) -> UploadedFileView:
    record = file.record
    view: UploadedFileView = {
        "type": record["type"],
        "size": int(record["size"]),
        "sha256": record["sha256"],
        "url": record["url"],
        "kept": record.get("kept") in kept,
        "user": record["user"],
        "created_at": iso(int(record["created_ms"])),
        "expires_at": iso(file.expires_ms),
    }
    if "seconds" in record:
        view["seconds"] = float(record["seconds"])
    if "width" in record and "height" in record:
        view |= {"width": int(record["width"]), "height": int(record["height"])}
    return view
