"""Uploads by fal's own clients, which ask for a URL first and send the bytes afterwards.

That URL is ours, and stays when the file is stored at fal. fal cannot reach a private gateway, so in a job's input
it is replaced by the file's URL at fal (`resolve_input`).
"""

import asyncio
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

from app.domain.access import visibility_filter
from app.domain.accounts import Caller
from app.domain.addresses import tidied
from app.domain.errors import (
    Code,
    Conflict,
    FilmgateError,
    Forbidden,
    NotFound,
    OverLimit,
    TooLarge,
    Unauthenticated,
    Unavailable,
    Unprocessable,
    Violation,
    WrongMediaType,
    pointer,
)
from app.domain.fal_targets import Terms, own_file_at_fal
from app.domain.ids import new_id
from app.domain.upload_tokens import UploadToken, read_upload_token, write_upload_token
from app.domain.uploads import Part, PartOutcome, Upload
from app.media.parts import Parts
from app.services.accounts import Accounts
from app.services.clips import Clips
from app.services.uploads import (
    FILE_LIMIT,
    MEDIA_LIMIT,
    REMEMBER_S,
    StoredImage,
    StoredMedia,
    Uploads,
    digest_of,
)
from app.store.secrets import SecretStore
from app.store.uploads import UploadStore

UPLOAD_WITHIN_S = 3600
MAX_UNUSED = 200  # targets and tokens of one key
SEND_AGAIN_S = 5 * 86_400  # fal keeps a file for seven days; a job may wait for some time before it is read
FILE_URL_S = REMEMBER_S + 2 * 86_400  # longer than an idempotency key, whose repeat must name the same file
GRACE_S = 60  # a client may use its token in the last second, and its bytes need some more
TOKEN_PREFIX = "fg_up_"  # noqa: S105  a prefix, not a secret
FILE_ID = re.compile(r"file_[0-9a-f]{32}", re.ASCII)
UNSAFE = re.compile(r"[^A-Za-z0-9._-]+", re.ASCII)
MAX_URL = 1024  # characters of a file's URL, with a query that a caller added
MAX_NAME = 100  # characters; the end is kept, because it has the suffix
MAX_FILES = 64  # uploaded files in one input; no model takes so many images
UNKNOWN_TYPE = "application/octet-stream"  # sent by clients that do not know; the bytes decide
NO_UPLOAD = "There is no upload with this id."
NOT_UPLOADED = "There is no upload here, or its bytes did not come in time."
TOO_LARGE = f"The image is larger than {FILE_LIMIT // (1024 * 1024)} MB."

Location = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class IssuedUploadToken:
    """A token that may only upload files; `expires_ms` by the store's clock."""

    token: str
    expires_ms: int


@dataclass(frozen=True, slots=True)
class UploadTarget:
    """Where to send the bytes of one file, and the URL that the file will have."""

    id: str
    upload_url: str
    file_url: str


class FalUploads:
    """Issues upload URLs and tokens, receives files, and resolves their URLs. `base_url` is this gateway's."""

    def __init__(
        self,
        *,
        uploads: Uploads,
        store: UploadStore,
        secrets: SecretStore,
        accounts: Accounts,
        parts: Parts,
        folder: Path,
        clips: Clips,
        base_url: str,
    ) -> None:
        self._uploads = uploads
        self._store = store
        self._secrets = secrets
        self._accounts = accounts
        self._parts = parts
        self._clips = clips
        self.folder = folder  # where large files wait
        self._host = urlsplit(base_url).netloc.lower()
        self._files = urlsplit(f"{Terms.own(base_url).files}/files/").path

    async def issue_token(self, caller: Caller) -> IssuedUploadToken:
        """A token for the caller's uploads; it expires after an hour, or with the caller's key."""
        text, expires_ms = await self._issue(Upload(new_id("pass"), caller))
        return IssuedUploadToken(TOKEN_PREFIX + text, expires_ms - GRACE_S * 1000)

    async def token_holder(self, token: str) -> Caller:
        """The caller whose upload token this is; Unauthenticated when it is not valid."""
        one = read_upload_token(await self._secrets.of_markers(), token.removeprefix(TOKEN_PREFIX))
        if one is None or not one.item.startswith("pass_"):
            raise Unauthenticated("This is not an upload token of this gateway.")
        return (await self._redeem(one, Unauthenticated("The upload token has expired; ask for a new one."))).caller

    async def create_target(self, caller: Caller, terms: Terms, *, name: str, content_type: str) -> UploadTarget:
        """A target for one file, in the caller's terms; WrongMediaType for another type than those stored here."""
        require_stored_type(content_type)
        upload = Upload(new_id("file"), caller, plain_name(name))
        text, _ = await self._issue(upload)
        return UploadTarget(
            upload.id,
            upload_url=f"{terms.uploads}/uploads/{upload.id}?signature={text}",
            file_url=f"{terms.files}/files/{upload.id}/{quote(upload.name)}",
        )

    async def by_signature(self, upload_id: str, signature: str) -> Upload:
        """The upload that this signed URL belongs to; it needs no other credential."""
        one = read_upload_token(await self._secrets.of_markers(), signature)
        if one is None or one.item != upload_id or not FILE_ID.fullmatch(upload_id):
            raise Unauthenticated("The signature of this upload address is not valid.")
        return await self._redeem(one, NotFound(NOT_UPLOADED))

    async def own(self, caller: Caller, upload_id: str) -> Upload:
        """The caller's upload; NotFound also for another's."""
        upload = None
        if FILE_ID.fullmatch(upload_id):
            upload = await self._store.get_visible(caller.team, upload_id, visibility_filter(caller))
        if upload is None:
            raise NotFound(NO_UPLOAD)
        return upload

    async def fal_url(self, caller: Caller, upload_id: str) -> str:
        """The URL at fal of the caller's file; NotFound also for another's, and before its bytes came."""
        upload = await self.own(caller, upload_id)
        url = upload.url
        if url is None or not self._uploads.is_at_fal(url):  # older versions did not check the host
            raise NotFound(NO_UPLOAD)
        return url if upload.sent_ms is None else await self._fresh_url(upload, url, upload.sent_ms)

    async def _fresh_url(self, upload: Upload, url: str, sent_ms: int) -> str:
        """The URL of a kept file, which is sent to fal again before fal may have deleted its copy."""
        _, now_ms = await self._store.find(upload.caller.team, upload.id)
        if now_ms < sent_ms + SEND_AGAIN_S * 1000:
            return url
        fresh = await self._uploads.send_again(upload.caller.team, url)
        await self._store.record_url(upload, fresh)
        return fresh

    async def store_file(
        self, caller: Caller, content: bytes | BinaryIO, *, content_type: str
    ) -> StoredImage | StoredMedia:
        """Check and store a file that comes in one request: a picture's bytes, or an open file."""
        require_stored_type(content_type)
        _require_size(content)
        return await self._uploads.store(caller, content)

    async def store_target(self, upload: Upload, content: bytes | BinaryIO) -> str | None:
        """Check and store the bytes of a target; the media type from which they were converted, None if unchanged.

        Forbidden when other bytes than these came before.
        """
        _require_size(content)
        sha256 = await asyncio.to_thread(digest_of, content)
        converted_from = None
        if upload.url is None:
            image = await self._uploads.store(upload.caller, content, sha256=sha256)
            converted_from = image.converted_from
            kept = image.kept
            lifetime_s = FILE_URL_S if kept is None else max(FILE_URL_S, kept.seconds)
            first = await self._store.finish(
                upload, url=image.url, sha256=sha256, lifetime_ms=lifetime_s * 1000, kept=kept is not None
            )
            if kept is not None and (first is None or first[0] != image.url):  # too late, or another was faster
                await self._uploads.drop([kept])
            if first is None:
                raise NotFound("The upload's time was over before its bytes had come.")
            await self._store.outstanding.end("uploads", upload.caller.key, upload.id)
            upload = Upload(upload.id, upload.caller, upload.name, *first)
        if upload.sha256 != sha256:
            raise Forbidden("This upload address was used before, for another file; ask for a new one.")
        return converted_from

    async def put_part(self, upload: Upload, number: int, content: BinaryIO) -> str:
        """Store one part, or replace it; its ETag."""
        size = content.seek(0, io.SEEK_END)
        if not size:
            raise Unprocessable("A part has at least one byte.")
        part = Part(number, (await asyncio.to_thread(digest_of, content))[:32], size)
        place = await self._parts.folder_id()
        outcome = await self._store.register_part(upload, part, limit=MEDIA_LIMIT, place=place)
        if outcome != "taken":
            raise _part_refused(outcome)
        await self._parts.write(_owner(upload), upload.id, number, part.etag, content)
        return part.etag

    async def complete(self, upload: Upload, named: Sequence[tuple[int, str]]) -> str | None:
        """Join the parts, named by number and ETag in any order, and store the file; harmless when repeated.

        The media type from which it was converted, None if unchanged or repeated.
        """
        if upload.url is not None:
            return None
        if upload.place is not None and upload.place != await self._parts.folder_id():
            raise _part_refused("elsewhere")
        order = sorted((number, etag.strip().removeprefix("W/").strip('"')) for number, etag in named)
        if [number for number, _ in order] != list(range(1, len(order) + 1)):
            raise Unprocessable("The parts have to be numbered from 1, without a gap and each once.")
        if order != sorted((part.number, part.etag) for part in upload.parts):
            raise Unprocessable("These are not the parts that came: compare the numbers and the ETags.")
        async with self._parts.joined(_owner(upload), upload.id, order) as content:
            converted = await self.store_target(upload, content)
        await self._parts.drop(_owner(upload), upload.id, order)
        return converted

    async def delete(self, caller: Caller, url: str) -> None:
        """Delete what is kept here of the caller's uploaded file, at its URL at fal or at ours.

        fal's own copy goes in fal's own time. NotFound also for another's file.
        """
        upload_id = self._upload_at(url)
        at_fal = url if upload_id is None else (await self.own(caller, upload_id)).url
        await self._uploads.delete(caller, at_fal or "")

    async def resolve(self, caller: Caller, url: str) -> str:
        """The URL at fal for a URL of ours, a kept clip's too, and any other URL as it is.

        Unprocessable when the file is not the caller's, or its bytes have not come: fal could not read it.
        """
        if self._clips.is_address(url):
            return await self._clips.url_for_fal(url)
        upload_id = self._upload_at(url)
        if upload_id is None:
            return url
        try:
            return await self.fal_url(caller, upload_id)
        except NotFound:
            raise Unprocessable("There is no uploaded file of yours at this address; upload it again.") from None

    async def resolve_input(self, caller: Caller, given: dict[str, Any], fields: Sequence[str]) -> dict[str, Any]:
        """A job's input with the URLs of uploaded files replaced by those at fal, in the fields that hold URLs.

        Other fields are not read. Each file is looked up once; more than MAX_FILES are refused before any is.
        """
        own: dict[str, Location] = {}
        for name in fields:
            for url, loc in self._own_urls(given.get(name), (name,)):
                own.setdefault(url, loc)
        if len(own) > MAX_FILES:
            raise Unprocessable(f"The input names more than {MAX_FILES} uploaded files.")
        urls = {}
        for url, loc in own.items():
            try:
                urls[url] = await self.resolve(caller, url)
            except Unprocessable as error:
                fault = Violation(pointer(loc, below="/input"), "url_not_allowed", error.message)
                raise Unprocessable(error.message, violations=(fault,)) from None
        if not urls:
            return given
        return {name: _replaced(value, urls) if name in fields else value for name, value in given.items()}

    def _own_urls(self, value: Any, loc: Location) -> Iterator[tuple[str, Location]]:
        """Every URL of ours in the value, with its location in the input."""
        if isinstance(value, str):
            if self._upload_at(value) is not None or self._clips.is_address(value):
                yield value, loc
        elif isinstance(value, dict | list):
            for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
                yield from self._own_urls(inner, (*loc, step))

    def _upload_at(self, url: str) -> str | None:
        """The id in a URL of ours, empty when it has none; None for other URLs."""
        if len(url) > MAX_URL:
            return None
        if self._files not in url:
            return own_file_at_fal(url)
        try:
            parts = urlsplit(tidied(url))
        except ValueError:
            return None
        if parts.netloc.lower() != self._host or not parts.path.startswith(self._files):
            return None
        return parts.path.removeprefix(self._files).partition("/")[0]

    async def _issue(self, upload: Upload) -> tuple[str, int]:
        """A token for a new upload, and when it expires (ms)."""
        lifetime_ms = (UPLOAD_WITHIN_S + GRACE_S) * 1000
        wait_ms = await self._store.outstanding.add(
            "uploads", upload.caller.key, upload.id, lifetime_ms=lifetime_ms, most=MAX_UNUSED
        )
        if wait_ms is not None:
            sentence = f"The key has {MAX_UNUSED} uploads whose bytes have not come; send those first."
            raise OverLimit(sentence, code=Code.TOO_MANY_UPLOADS, retry_after=max(1, math.ceil(wait_ms / 1000)))
        expires_ms = await self._store.begin(upload, lifetime_ms=lifetime_ms)
        one = UploadToken(upload.caller.team, upload.id, expires_ms)
        return write_upload_token(await self._secrets.of_markers(), one), expires_ms

    async def _redeem(self, one: UploadToken, missing: FilmgateError) -> Upload:
        """The upload of a token that has not expired, while the key that it was issued to is valid."""
        upload, now_ms = await self._store.find(one.team, one.item)
        if one.expires_ms <= now_ms:
            raise Unauthenticated("The hour for this upload has passed; ask for a new one.")
        if upload is None:
            raise missing
        if not await self._accounts.is_valid(upload.caller):
            raise Unauthenticated("The key that asked for this upload has expired or was revoked.")
        return upload


def plain_name(name: str) -> str:
    """A file name without its path that is safe in a URL: ASCII letters, digits, `.`, `_`, `-`."""
    return UNSAFE.sub("_", re.split(r"[/\\]", name)[-1])[-MAX_NAME:].lstrip(".") or "upload.bin"


def require_stored_type(content_type: str) -> None:
    """WrongMediaType unless it is a picture's, video's or sound's type, or unknown; the bytes decide later."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in {"", UNKNOWN_TYPE, "application/ogg"} and not kind.startswith(("image/", "video/", "audio/")):
        raise WrongMediaType("Only images, videos and sound are stored here.")


def _replaced(value: Any, urls: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _replaced(inner, urls) for name, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, urls) for inner in value]
    return urls.get(value, value) if isinstance(value, str) else value


def _owner(upload: Upload) -> str:
    return f"{upload.caller.team}.{upload.caller.user}"


def _require_size(content: bytes | BinaryIO) -> None:
    if isinstance(content, bytes) and len(content) > FILE_LIMIT:
        raise TooLarge(TOO_LARGE)


def _part_refused(outcome: PartOutcome) -> FilmgateError:
    match outcome:
        case "too_large":
            return TooLarge(f"The parts are larger than {MEDIA_LIMIT // (1024 * 1024)} MB together.")
        case "finished":
            return Forbidden("This upload is complete and takes no more parts.")
        case "elsewhere":
            return Conflict(
                "Another host of this gateway has this upload's parts, and not the same storage. Send the file in "
                "one go, or begin again and send every part to one host."
            )
        case "too_many":
            return Forbidden(
                "Too many of your team's uploads in parts are unfinished; complete them, or wait for an hour."
            )
        case "full":
            return Unavailable("There is no room for further parts; send the file in one go.", retry_after=60)
        case _:
            return NotFound(NOT_UPLOADED)
