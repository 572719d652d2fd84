"""`rest.fal.ai` and fal's CDN, as far as fal's clients upload files and ask for tokens.

A token or key says who brings bytes in one go or by Python's parts; what JavaScript's client PUTs carries nothing
but the signature of its address. Each is looked at before a byte is read.
"""

import re
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.body import json_body, validated
from app.api.deps import CurrentCaller, TheGateway, Uploader, bad_keys_counted, credential, current_caller, uploader
from app.api.document_responses import refusals
from app.api.incoming import PAYER
from app.api.reads import Reads, query, reads
from app.api.strict_json import parse_object
from app.domain.access import require_scope
from app.domain.accounts import Caller, Scope
from app.domain.errors import Malformed, NotFound, Unprocessable
from app.domain.times import iso
from app.domain.uploads import Upload
from app.services.fal_uploads import TOKEN_PREFIX, UNKNOWN_TYPE
from app.views.fal import FalCompleted, FalFile, FalPart, FalParts, FalUpload, FalUploadToken

PARTS = 100  # that one upload may have: of 300 KB each for the largest file; fal's clients cut at 10 MB
STORAGE_TYPES = frozenset({"fal-cdn-v3", "gcs"})
SIGNATURE = query("signature", "As the promised address has it")
STORAGE_TYPE = query("storage_type", "Where fal would keep it", enum=sorted(STORAGE_TYPES))
BYTES = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
NUMBER = re.compile(r"[0-9]{1,3}", re.ASCII)
ETAG_LENGTH = 100

router = APIRouter(prefix="/fal", tags=["storage"])


class Lenient(BaseModel):
    """A body as fal reads it: what it does not know, it drops."""

    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)


class File(Lenient):
    """What `initiate` is told of a file."""

    file_name: str = Field("upload.bin", max_length=4096)
    content_type: str = Field(UNKNOWN_TYPE, max_length=256)


class PartName(Lenient):
    """A part, as `complete` names it."""

    number: int = Field(ge=1, le=PARTS, alias="partNumber")
    etag: str = Field(max_length=ETAG_LENGTH)


class Parts(Lenient):
    """What `complete` takes: every part that came, in any order."""

    parts: list[PartName] = Field(min_length=1, max_length=PARTS)


class Apps(Lenient):
    """What `tokens/` takes."""

    allowed_apps: list[str] = Field(min_length=1, max_length=100)
    token_expiration: int = Field(120, ge=1)


@reads(Reads(key=True))
async def any_uploader(request: Request, gateway: TheGateway) -> Caller:
    """Who brings bytes: by an upload token, or by a key as every other route takes it."""
    token = credential(request) or ""
    if not token.startswith(TOKEN_PREFIX):
        return await uploader(await current_caller(request, gateway))
    with bad_keys_counted(request, gateway, token):
        caller = await gateway.fal_uploads.token_holder(token)  # made for a key that may bring files
    request.scope[PAYER] = caller.key
    structlog.contextvars.bind_contextvars(team=caller.team, user=caller.user)
    return caller


@reads(Reads(parameters=(SIGNATURE,)))
async def signed_upload(upload_id: str, request: Request, gateway: TheGateway) -> Upload:
    """The upload whose own signed address this is."""
    signature = request.query_params.get("signature", "")
    with bad_keys_counted(request, gateway, signature):
        upload = await gateway.fal_uploads.by_signature(upload_id, signature)
    request.scope[PAYER] = upload.caller.key
    return upload


AnyUploader = Annotated[Caller, Depends(any_uploader)]
SignedUpload = Annotated[Upload, Depends(signed_upload)]


async def own_upload(file_id: str, upload_id: str, caller: AnyUploader, gateway: TheGateway) -> Upload:
    """The caller's upload in parts; Python's client names it twice in one address."""
    if file_id != upload_id:
        raise NotFound("There is no upload with this id.")
    return await gateway.fal_uploads.own(caller, upload_id)


OwnUpload = Annotated[Upload, Depends(own_upload)]


async def part_number(number: str) -> int:
    """The number of a part, from 1."""
    if not NUMBER.fullmatch(number) or not 1 <= int(number) <= PARTS:
        raise Unprocessable(f"A part has a number from 1 to {PARTS}.")
    return int(number)


PartNumber = Annotated[int, Depends(part_number)]


@reads(Reads(parameters=(STORAGE_TYPE,)))
async def storage_type(request: Request) -> None:
    """Refuse a storage that fal's clients do not name."""
    if request.query_params.get("storage_type", "fal-cdn-v3") not in STORAGE_TYPES:
        raise Malformed("The storage_type is fal-cdn-v3 or gcs.")


@reads(Reads(body=Parts))
async def named_parts() -> None:
    """What `complete` reads, whatever type the body says it has."""


STORAGE, NAMED_PARTS = [Depends(storage_type)], [Depends(named_parts)]
BODY = refusals(413)


@router.post(
    "/rest/storage/auth/token", dependencies=STORAGE, response_model=FalUploadToken, summary="A token for uploads"
)
async def upload_token(caller: Uploader, gateway: TheGateway) -> Response:
    """A token that brings files in for an hour. Old Pythons read no `Z` in a time, so it says +00:00."""
    made = await gateway.fal_uploads.issue_token(caller)
    expires = iso(made.expires_ms).replace("Z", "+00:00")
    return _private(
        {
            "token": made.token,
            "token_type": "Bearer",
            "base_url": gateway.fal_uploads.cdn_url,
            "expires_at": expires,
        }
    )


@router.post(
    "/rest/storage/upload/initiate", dependencies=STORAGE, response_model=FalUpload, summary="Promise a file"
)
@router.post(
    "/rest/storage/upload/initiate-multipart",
    name="initiate_multipart",
    dependencies=STORAGE,
    response_model=FalUpload,
    summary="Promise a file in parts",
)
async def initiate(
    caller: Uploader, file: Annotated[File, Depends(json_body(File))], gateway: TheGateway
) -> Response:
    """Where to PUT a file's bytes, in one go or in parts, and the address it will have."""
    place = await gateway.fal_uploads.create_target(caller, name=file.file_name, content_type=file.content_type)
    return _private({"upload_url": place.upload_url, "file_url": place.file_url})


@router.post("/rest/tokens/", response_model=str, responses=refusals(404), summary="A browser token")
@router.post("/rest/tokens", include_in_schema=False)
async def browser_token(
    caller: CurrentCaller, wanted: Annotated[Apps, Depends(json_body(Apps))], gateway: TheGateway
) -> Response:
    """A browser token for the models of these apps, as a JSON string."""
    apps, seconds = wanted.allowed_apps, wanted.token_expiration
    return _private((await gateway.tokens.mint_for_apps(caller, apps, expires_in_s=seconds)).token)


@router.post(
    "/cdn/files/upload", openapi_extra=BYTES, name="upload_whole_file", responses=BODY, summary="A whole file"
)
async def upload_file(caller: AnyUploader, request: Request, gateway: TheGateway) -> FalFile:
    """A whole file. It is at fal before the answer, so the address is fal's own."""
    kind = request.headers.get("content-type", "")
    return {"access_url": await gateway.fal_uploads.store_file(caller, await request.body(), content_type=kind)}


@router.post("/cdn/files/upload/multipart", response_model=FalParts, summary="Begin a file in parts")
async def start_parts(caller: AnyUploader, request: Request, gateway: TheGateway) -> Response:
    """Begin a file in parts, as Python's client does."""
    name, kind = request.headers.get("x-fal-file-name", ""), request.headers.get("content-type", "")
    place = await gateway.fal_uploads.create_target(caller, name=name, content_type=kind)
    return _private({"access_url": place.file_url, "uploadId": place.id})


@router.put(
    "/cdn/files/{file_id}/{name}/multipart/{upload_id}/{number}",
    openapi_extra=BYTES,
    response_model=FalPart,
    responses=BODY,
    summary="One part, by token",
)
async def put_own_part(upload: OwnUpload, number: PartNumber, request: Request, gateway: TheGateway) -> Response:
    """One part, by token."""
    return _part(number, await gateway.fal_uploads.put_part(upload, number, await request.body()))


@router.post(
    "/cdn/files/{file_id}/{name}/multipart/{upload_id}/complete",
    dependencies=NAMED_PARTS,
    response_model=FalCompleted,
    summary="Complete a file, by token",
)
async def complete_own(upload: OwnUpload, request: Request, gateway: TheGateway) -> Response:
    """The last word of an upload in parts, by token."""
    return await _complete(upload, request, gateway)


@router.put(
    "/cdn/uploads/{upload_id}",
    openapi_extra=BYTES,
    response_class=Response,
    responses=BODY,
    summary="A promised file",
)
async def put_file(upload: SignedUpload, request: Request, gateway: TheGateway) -> Response:
    """A promised file's bytes, by signature. Python's client sends its key as well; nobody needs it here."""
    await gateway.fal_uploads.store_target(upload, await request.body())
    return Response()


@router.put(
    "/cdn/uploads/{upload_id}/{number}",
    openapi_extra=BYTES,
    response_model=FalPart,
    responses=BODY,
    summary="One part of a promised file",
)
async def put_part(upload: SignedUpload, number: PartNumber, request: Request, gateway: TheGateway) -> Response:
    """One part, by signature."""
    return _part(number, await gateway.fal_uploads.put_part(upload, number, await request.body()))


@router.post(
    "/cdn/uploads/{upload_id}/complete",
    dependencies=NAMED_PARTS,
    response_model=FalCompleted,
    summary="Complete a promised file",
)
async def complete(upload: SignedUpload, request: Request, gateway: TheGateway) -> Response:
    """The last word of an upload in parts, by signature."""
    return await _complete(upload, request, gateway)


@router.get(
    "/cdn/files/{file_id}/{name}", status_code=307, response_class=RedirectResponse, summary="Where a file is"
)
async def read_file(file_id: str, caller: CurrentCaller, gateway: TheGateway) -> Response:
    """To where fal reads the caller's file."""
    require_scope(caller, Scope.JOBS_READ)
    url = await gateway.fal_uploads.fal_url(caller, file_id)
    return RedirectResponse(url, headers={"Cache-Control": "no-store"})


async def _complete(upload: Upload, request: Request, gateway: TheGateway) -> Response:
    named = validated(Parts, parse_object(await request.body())).parts
    await gateway.fal_uploads.complete(upload, [(part.number, part.etag) for part in named])
    return _private({"uploadId": upload.id})


def _part(number: int, etag: str) -> Response:
    """The ETag as a header for Python's client, in the body for JavaScript's."""
    quoted = f'"{etag}"'
    return JSONResponse({"partNumber": number, "etag": quoted}, headers={"ETag": quoted})


def _private(content: Any) -> Response:
    """What holds a token or a signature is kept by nobody on the way."""
    return JSONResponse(content, headers={"Cache-Control": "no-store"})
