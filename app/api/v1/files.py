"""Images in."""

from fastapi import APIRouter, Request
from starlette.datastructures import FormData, UploadFile

from app.api.deps import TheGateway, Uploader
from app.api.document_responses import refusals
from app.domain.errors import TooLarge, Unprocessable, Violation, WrongMediaType
from app.services.uploads import FILE_LIMIT
from app.views.models import ImageView, image_view

router = APIRouter(prefix="/v1", tags=["files"])

FILES_READ = 2  # one more than is taken, so that the refusal can say so
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
    """Check an image by its content, store it where fal can read it, and give back its URL."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise WrongMediaType("Send the image as multipart/form-data, in a part named `file`.")
    async with request.form(max_files=FILES_READ, max_fields=4) as form:
        content = await _the_file(form)
    return image_view(await gateway.uploads.store(caller, content))


async def _the_file(form: FormData) -> bytes:
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
    return await part.read()
