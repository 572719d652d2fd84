"""Uploads of images."""

import io
from contextlib import aclosing

from fastapi import APIRouter, Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from app.api.deps import TheGateway, Uploader
from app.api.document_responses import refusals
from app.api.incoming import FILE_LIMIT as BODY_LIMIT
from app.domain.errors import Malformed, TooLarge, Unprocessable, Violation, WrongMediaType
from app.services.uploads import FILE_LIMIT
from app.views.models import ImageView, image_view

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


@router.post("/files", status_code=201, openapi_extra=FORM, responses=refusals(413, 415), summary="Upload an image")
async def upload_file(request: Request, caller: Uploader, gateway: TheGateway) -> ImageView:
    """Checks an image by its content, stores it where fal can read it, and returns its URL."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise WrongMediaType("Send the image as multipart/form-data, in a part named `file`.")
    form = await _form(request)
    try:
        content = _the_file(form)
    finally:
        await form.close()
    return image_view(await gateway.uploads.store(caller, content))


async def _form(request: Request) -> FormData:
    """The form, with its file in memory: writing it to disk and reading it again costs as much CPU as the rest."""
    async with aclosing(request.stream()) as stream:
        parser = MultiPartParser(request.headers, stream, max_files=MAX_FILES, max_fields=MAX_FIELDS)
        parser.spool_max_size = BODY_LIMIT
        try:
            return await parser.parse()
        except MultiPartException:
            raise Malformed("The form cannot be read.") from None


def _the_file(form: FormData) -> bytes:
    files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
    if len(files) > 1:
        sentence = "Send one image in a request; there are several files in this one."
        raise Unprocessable(sentence, violations=(Violation("/file", "given_twice", sentence),))
    part = form.get("file")
    if not isinstance(part, UploadFile):
        sentence = "Send the image in a part named `file`."
        raise Unprocessable(sentence, violations=(Violation("/file", "missing", sentence),))
    if (part.size or 0) > FILE_LIMIT:
        raise TooLarge(f"The image is larger than {FILE_LIMIT // (1024 * 1024)} MB.")
    memory: io.BytesIO = part.file._file  # type: ignore[attr-defined]  # noqa: SLF001  as Python documents it
    return memory.getvalue()  # without a copy, which `read` makes
