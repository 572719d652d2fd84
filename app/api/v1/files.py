"""Uploads of pictures, videos and sound."""

import io
from tempfile import SpooledTemporaryFile
from typing import Annotated, cast

from fastapi import APIRouter, Query, Request
from starlette.datastructures import FormData, UploadFile

from app.api.arriving import Content, FormReader
from app.api.deps import CurrentCaller, TheGateway, Uploader
from app.api.document_responses import NO_CONTENT, refusals
from app.api.paging import PageCursor, PageSize
from app.domain.errors import TooLarge, Unprocessable, Violation, WrongMediaType
from app.services.fal_uploads import MAX_URL
from app.services.uploads import FILE_LIMIT
from app.views.models import ImageView, MediaView, file_view
from app.views.uploads import UploadedFilePage, uploaded_file_page

router = APIRouter(prefix="/v1", tags=["files"])

MAX_FILES = 2  # one more than allowed, so that the refusal can say so
MAX_FIELDS = 4
FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}


@router.post("/files", status_code=201, openapi_extra=FORM, responses=refusals(413, 415), summary="Upload a file")
async def upload_file(request: Request, caller: Uploader, gateway: TheGateway) -> ImageView | MediaView:
    """Checks a picture, video or sound by its content, stores it where fal can read it, and returns its URL."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise WrongMediaType("Send the file as multipart/form-data, in a part named `file`.")
    folder = gateway.fal_uploads.folder
    form = await FormReader(request, folder, max_files=MAX_FILES, max_fields=MAX_FIELDS).read()
    try:
        return file_view(await gateway.uploads.store(caller, _the_file(form)))
    finally:
        await form.close()


@router.get("/files", summary="List uploaded files")
async def list_files(
    caller: CurrentCaller, gateway: TheGateway, limit: PageSize = 50, cursor: PageCursor = None
) -> UploadedFilePage:
    """The caller's uploaded files, with `team:read` the team's, those that stay longest first."""
    page = await gateway.upload_list.page(caller, limit=limit, cursor=cursor)
    return uploaded_file_page(page)


@router.delete("/files", **NO_CONTENT, responses=refusals(404), summary="Delete an uploaded file")
async def delete_file(
    url: Annotated[str, Query(min_length=1, max_length=MAX_URL, description="As the upload's reply has it")],
    caller: Uploader,
    gateway: TheGateway,
) -> None:
    """Deletes the copy that is kept here, which then counts no longer; fal's own goes in fal's own time.

    A file of one's own, with `team:admin` any of the team; jobs that have been bought go on.
    """
    await gateway.fal_uploads.delete(caller, url)


def _the_file(form: FormData) -> Content:
    files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
    if len(files) > 1:
        sentence = "Send one file in a request; there are several in this one."
        raise Unprocessable(sentence, violations=(Violation("/file", "given_twice", sentence),))
    part = form.get("file")
    if not isinstance(part, UploadFile):
        sentence = "Send the file in a part named `file`."
        raise Unprocessable(sentence, violations=(Violation("/file", "missing", sentence),))
    if not isinstance(part.file, SpooledTemporaryFile):
        return part.file
    if (part.size or 0) > FILE_LIMIT:
        raise TooLarge(f"The image is larger than {FILE_LIMIT // (1024 * 1024)} MB.")
    memory = cast("io.BytesIO", part.file._file)  # noqa: SLF001  as Python documents it
    return memory.getvalue()  # without a copy, which `read` makes
