"""`rest.fal.ai` and fal's CDN, as far as fal's clients upload files and request tokens.

Whole files and the parts of Python's client are authenticated by a token or key, PUTs of JavaScript's client by the
signature in their URL. Each is checked before a byte of the body is read.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.api.arriving import arriving_file, arriving_part
from app.api.body import json_body, validated
from app.api.deps import CurrentCaller, TheGateway, Uploader, bad_keys_counted, credential, current_caller, uploader
from app.api.document_responses import refusals
from app.api.fal.hosts import terms_of
from app.api.incoming import PAYER
from app.api.reads import Reads, query, reads
from app.api.strict_json import parse_object
from app.domain.access import require_scope
from app.domain.accounts import Caller, Scope
from app.domain.errors import Malformed, NotFound, Unprocessable
from app.domain.times import iso
from app.domain.uploads import Upload
from app.services.fal_uploads import TOKEN_PREFIX, UNKNOWN_TYPE
from app.telemetry import note
from app.views.fal import FalCompleted, FalFile, FalPart, FalParts, FalUpload, FalUploadToken

MAX_PARTS = 100  # of one upload, 300 KB each for the largest file; fal's clients cut at 10 MB
STORAGE_TYPES = frozenset({"fal-cdn-v3", "gcs"})
SIGNATURE = query("signature", "As in the promised URL")
STORAGE_TYPE = query("storage_type", "Where fal would store it", enum=sorted(STORAGE_TYPES))
BYTES = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
CONVERTED_FROM = "X-Filmgate-Converted-From"
NUMBER = re.compile(r"[0-9]{1,3}", re.ASCII)
ETAG_LENGTH = 100

router = APIRouter(prefix="/fal", tags=["storage"])


class Lenient(BaseModel):
    """A body as fal reads it: unknown members are dropped, and null is absent."""

    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if value is not None}


class File(Lenient):
    """What `initiate` takes: the file's name and type."""

    file_name: str = Field("upload.bin", max_length=4096)
    content_type: str = Field(UNKNOWN_TYPE, max_length=256)


class PartName(Lenient):
    """A part, as named in `complete`."""

    number: int = Field(ge=1, le=MAX_PARTS, alias="partNumber")
    etag: str = Field(max_length=ETAG_LENGTH)


class CompletedParts(Lenient):
    """What `complete` takes: every part that was sent, in any order."""

    parts: list[PartName] = Field(min_length=1, max_length=MAX_PARTS)


class Apps(Lenient):
    """What `tokens/` takes."""

    allowed_apps: list[str] = Field(min_length=1, max_length=100)
    token_expiration: int = Field(120, ge=1)


@reads(Reads(key=True))
async def any_uploader(request: Request, gateway: TheGateway) -> Caller:
    """The uploader, by an upload token or by a key."""
    token = credential(request) or ""
    if not token.startswith(TOKEN_PREFIX):
        return await uploader(await current_caller(request, gateway))
    with bad_keys_counted(request, gateway, token):
        caller = await gateway.fal_uploads.token_holder(token)  # made only for keys that may upload
    request.scope[PAYER] = caller.key
    note(team=caller.team, user=caller.user, key=caller.key)
    return caller


@reads(Reads(parameters=(SIGNATURE,)))
async def signed_upload(upload_id: str, request: Request, gateway: TheGateway) -> Upload:
    """The upload whose signed URL this is."""
    signature = request.query_params.get("signature", "")
    with bad_keys_counted(request, gateway, signature):
        upload = await gateway.fal_uploads.by_signature(upload_id, signature)
    request.scope[PAYER] = upload.caller.key
    return upload


AnyUploader = Annotated[Caller, Depends(any_uploader)]
SignedUpload = Annotated[Upload, Depends(signed_upload)]


async def own_upload(file_id: str, upload_id: str, caller: AnyUploader, gateway: TheGateway) -> Upload:
    """The caller's upload in parts; Python's client names it twice in one URL."""
    if file_id != upload_id:
        raise NotFound("There is no upload with this id.")
    return await gateway.fal_uploads.own(caller, upload_id)


async def part_number(number: str) -> int:
    """The number of a part, from 1."""
    if not NUMBER.fullmatch(number) or not 1 <= int(number) <= MAX_PARTS:
        raise Unprocessable(f"A part has a number from 1 to {MAX_PARTS}.")
    return int(number)


PartNumber = Annotated[int, Depends(part_number)]


@reads(Reads(parameters=(STORAGE_TYPE,)))
async def storage_type(request: Request) -> None:
    """Refuse a storage that fal's clients do not name."""
    if request.query_params.get("storage_type", "fal-cdn-v3") not in STORAGE_TYPES:
        raise Malformed("The storage_type is fal-cdn-v3 or gcs.")


@reads(Reads(body=CompletedParts))
async def parts_body() -> None:
    """Declares the body of `complete`, which is read whatever its declared type."""


STORAGE, PARTS_BODY = [Depends(storage_type)], [Depends(parts_body)]
TOO_LARGE = refusals(413)


@router.post("/rest/storage/auth/token", dependencies=STORAGE, summary="A token for uploads")
async def upload_token(caller: Uploader, request: Request, gateway: TheGateway) -> FalUploadToken:
    """A token for uploads, valid for an hour. Old Pythons do not read `Z` in a time, so it is +00:00."""
    made = await gateway.fal_uploads.issue_token(caller)
    expires_at = iso(made.expires_ms).replace("Z", "+00:00")
    base_url = terms_of(request).uploads
    return {"token": made.token, "token_type": "Bearer", "base_url": base_url, "expires_at": expires_at}


@router.post("/rest/storage/upload/initiate", dependencies=STORAGE, summary="Promise a file")
@router.post(
    "/rest/storage/upload/initiate-multipart",
    name="initiate_multipart",
    dependencies=STORAGE,
    summary="Promise a file in parts",
)
async def initiate(
    caller: Uploader, file: Annotated[File, Depends(json_body(File))], request: Request, gateway: TheGateway
) -> FalUpload:
    """Where to PUT a file, whole or in parts, and the URL it will have."""
    target = await gateway.fal_uploads.create_target(
        caller, terms_of(request), name=file.file_name, content_type=file.content_type
    )
    return {"upload_url": target.upload_url, "file_url": target.file_url}


@router.post("/rest/tokens/", responses=refusals(404), summary="A browser token")
@router.post("/rest/tokens", include_in_schema=False)
async def browser_token(
    caller: CurrentCaller, wanted: Annotated[Apps, Depends(json_body(Apps))], gateway: TheGateway
) -> str:
    """A browser token for the models of these apps, as a JSON string."""
    apps, seconds = wanted.allowed_apps, wanted.token_expiration
    return (await gateway.tokens.mint_for_apps(caller, apps, expires_in_s=seconds)).token


@router.post(
    "/cdn/files/upload", openapi_extra=BYTES, name="upload_whole_file", responses=TOO_LARGE, summary="A whole file"
)
async def upload_file(caller: AnyUploader, request: Request, response: Response, gateway: TheGateway) -> FalFile:
    """A whole file. It is stored at fal before the reply, so the URL is fal's own."""
    content_type = request.headers.get("content-type", "")
    async with arriving_file(request, gateway.fal_uploads.folder) as content:
        stored = await gateway.fal_uploads.store_file(caller, content, content_type=content_type)
    response.headers.update(_conversion(stored.converted_from))
    return {"access_url": stored.url}


@router.post("/cdn/files/upload/multipart", summary="Begin a file in parts")
async def start_parts(caller: AnyUploader, request: Request, gateway: TheGateway) -> FalParts:
    """Begins a file in parts, as Python's client does."""
    name, content_type = request.headers.get("x-fal-file-name", ""), request.headers.get("content-type", "")
    target = await gateway.fal_uploads.create_target(
        caller, terms_of(request), name=name, content_type=content_type
    )
    return {"access_url": target.file_url, "uploadId": target.id}


@router.put(
    "/cdn/uploads/{upload_id}",
    openapi_extra=BYTES,
    response_class=Response,
    responses=TOO_LARGE,
    summary="A promised file",
)
async def put_file(upload: SignedUpload, request: Request, gateway: TheGateway) -> Response:
    """A promised file, by signature. Python's client sends its key too, which is not needed."""
    async with arriving_file(request, gateway.fal_uploads.folder) as content:
        converted_from = await gateway.fal_uploads.store_target(upload, content)
    return Response(headers=_conversion(converted_from))


def _conversion(converted_from: str | None) -> dict[str, str]:
    """The header that says what a stored picture was before; none for one that is unchanged."""
    return {} if converted_from is None else {CONVERTED_FROM: converted_from}


def _add_part_routes(path: str, find: Callable[..., Awaitable[Upload]], *, name: str, of: str) -> None:
    """Put a part, and complete the file, of the upload that `find` returns."""
    Found = Annotated[Upload, Depends(find)]  # noqa: N806  a type

    @router.put(
        f"{path}/{{number}}",
        name=f"put_{name}part",
        openapi_extra=BYTES,
        responses=TOO_LARGE,
        summary=f"One part of {of}",
    )
    async def put_part(
        upload: Found, number: PartNumber, request: Request, response: Response, gateway: TheGateway
    ) -> FalPart:
        """Stores a part; its ETag is in a header for Python's client and in the body for JavaScript's."""
        async with arriving_part(request, gateway.fal_uploads.folder) as content:
            etag = await gateway.fal_uploads.put_part(upload, number, content)
        response.headers["ETag"] = f'"{etag}"'
        return {"partNumber": number, "etag": f'"{etag}"'}

    @router.post(f"{path}/complete", name=f"complete_{name}file", dependencies=PARTS_BODY, summary=f"Complete {of}")
    async def complete(upload: Found, request: Request, response: Response, gateway: TheGateway) -> FalCompleted:
        """Joins the named parts and stores the file at fal."""
        parts = validated(CompletedParts, parse_object(await request.body())).parts
        converted = await gateway.fal_uploads.complete(upload, [(part.number, part.etag) for part in parts])
        response.headers.update(_conversion(converted))
        return {"uploadId": upload.id}


_add_part_routes(
    "/cdn/files/{file_id}/{name}/multipart/{upload_id}", own_upload, name="own_", of="a file, by token"
)
_add_part_routes("/cdn/uploads/{upload_id}", signed_upload, name="", of="a promised file")


@router.get(
    "/cdn/files/{file_id}/{name}", status_code=307, response_class=RedirectResponse, summary="Where a file is"
)
async def read_file(file_id: str, caller: CurrentCaller, gateway: TheGateway) -> Response:
    """A redirect to where fal reads the caller's file."""
    require_scope(caller, Scope.JOBS_READ)
    return RedirectResponse(await gateway.fal_uploads.fal_url(caller, file_id))
