"""Uploads as fal's own clients make them: a place is promised first, and the bytes come afterwards.

The address of such a place is ours, and stays when the bytes have gone on to fal's storage. fal cannot reach a
private gateway, so a job that names our address is checked, compared and sent with fal's (`resolve`).
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from app.domain.access import visibility_filter
from app.domain.accounts import Caller
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
from app.domain.ids import new_id
from app.domain.upload_tokens import UploadToken, read_upload_token, write_upload_token
from app.domain.uploads import Part, PartOutcome, Upload
from app.media.parts import PartFolder
from app.services.accounts import Accounts
from app.services.uploads import FILE_LIMIT, REMEMBER_S, Uploads
from app.store.secrets import SecretStore
from app.store.uploads import UploadStore

LIFETIME_S = 3600  # to bring the bytes in
MOST = 200  # places and tokens that a key may have been promised, and not used
ADDRESS_S = REMEMBER_S + 2 * 86_400  # longer than an idempotency key, whose repeat must name the same file
GRACE_S = 60  # a client uses its token until the last second, and its bytes are under way for some more
TOKEN_PREFIX = "fg_up_"  # noqa: S105  a prefix, not a secret
FILE_ID = re.compile(r"file_[0-9a-f]{32}", re.ASCII)
ODD = re.compile(r"[^A-Za-z0-9._-]+", re.ASCII)
LONGEST_ADDRESS = 1024  # characters of an address of ours, with whatever stands behind the name
LONGEST_NAME = 100  # characters; the end is kept, because it says what the file is
MOST_FILES = 64  # of ours that one input names; no model takes as many images
UNSAID = "application/octet-stream"  # what clients say when they do not know; the bytes decide
LARGEST = f"{FILE_LIMIT // (1024 * 1024)} MB"


@dataclass(frozen=True, slots=True)
class IssuedUploadToken:
    """What brings files in for a while, and does nothing else; `expires_ms` by the store's clock."""

    token: str
    expires_ms: int


@dataclass(frozen=True, slots=True)
class UploadTarget:
    """Where the bytes of one file go, and the address that stands for them from now on."""

    id: str
    upload_url: str
    file_url: str


class FalUploads:
    """Uploads of fal's clients. `base_url` is where this gateway's `/fal` is."""

    def __init__(
        self,
        *,
        uploads: Uploads,
        store: UploadStore,
        secrets: SecretStore,
        accounts: Accounts,
        parts: PartFolder,
        base_url: str,
    ) -> None:
        self._uploads = uploads
        self._store = store
        self._secrets = secrets
        self._accounts = accounts
        self._parts = parts
        self._host = urlsplit(base_url).netloc.lower()
        self.cdn_url = f"{base_url}/fal/cdn"
        self._files = urlsplit(f"{self.cdn_url}/files/").path

    async def issue_token(self, caller: Caller) -> IssuedUploadToken:
        """A token for the caller's uploads; it ends with the caller's key, and with its hour."""
        text, expires_ms = await self._begin(Upload(new_id("pass"), caller))
        return IssuedUploadToken(TOKEN_PREFIX + text, expires_ms - GRACE_S * 1000)

    async def token_holder(self, token: str) -> Caller:
        """Whose upload token this is; Unauthenticated, with the reason, when it opens nothing."""
        one = read_upload_token(await self._secrets.of_markers(), token.removeprefix(TOKEN_PREFIX))
        if one is None or not one.item.startswith("pass_"):
            raise Unauthenticated("This is not an upload token of this gateway.")
        return (await self._redeem(one, Unauthenticated("The upload token has expired; ask for a new one."))).caller

    async def begin(self, caller: Caller, *, name: str, content_type: str) -> UploadTarget:
        """Promise a place for one file; WrongMediaType when it is said not to be an image."""
        require_image_type(content_type)
        upload = Upload(new_id("file"), caller, plain_name(name))
        text, _ = await self._begin(upload)
        return UploadTarget(
            upload.id,
            upload_url=f"{self.cdn_url}/uploads/{upload.id}?signature={text}",
            file_url=f"{self.cdn_url}/files/{upload.id}/{quote(upload.name)}",
        )

    async def by_signature(self, upload_id: str, signature: str) -> Upload:
        """The upload whose own address this is; nothing else is needed to bring its bytes."""
        one = read_upload_token(await self._secrets.of_markers(), signature)
        if one is None or one.item != upload_id or not _is_file(upload_id):
            raise Unauthenticated("The signature of this upload address is not valid.")
        return await self._redeem(one, NotFound("There is no upload here, or nobody brought its bytes."))

    async def own(self, caller: Caller, upload_id: str) -> Upload:
        """The caller's upload; NotFound for another's, as for none."""
        mark = visibility_filter(caller)
        upload = await self._store.get_visible(caller.team, upload_id, mark) if _is_file(upload_id) else None
        if upload is None:
            raise NotFound("There is no upload with this id.")
        return upload

    async def address(self, caller: Caller, upload_id: str) -> str:
        """Where fal reads the caller's file; NotFound for another's, and until the bytes have come."""
        url = (await self.own(caller, upload_id)).url
        if url is None or not self._uploads.is_at_fal(
            url
        ):  # what an older version took from fal is looked at again
            raise NotFound("There is no upload with this id.")
        return url

    async def store(self, caller: Caller, content: bytes, *, content_type: str) -> str:
        """Check a file that comes in one go, and store it at fal: fal's own URL."""
        require_image_type(content_type)
        _require_size(len(content))
        return (await self._uploads.store(caller, content)).url

    async def put(self, upload: Upload, content: bytes) -> None:
        """The bytes of a place. The same bytes may come again, others may not: Forbidden."""
        _require_size(len(content))
        facts = await self._uploads.check(content)
        if upload.url is None:
            image = await self._uploads.store_checked(upload.caller, content, facts)
            first = await self._store.finish(
                upload, url=image.url, sha256=facts.sha256, lifetime_ms=ADDRESS_S * 1000
            )
            if first is None:
                raise NotFound("The upload's time was over before its bytes had come.")
            await self._store.outstanding.end("uploads", upload.caller.key, upload.id)
            upload = Upload(upload.id, upload.caller, upload.name, *first)
        if upload.sha256 != facts.sha256:
            raise Forbidden("This upload address was used before, for another file; ask for a new one.")

    async def put_part(self, upload: Upload, number: int, content: bytes) -> str:
        """One part; its ETag. A part that comes again takes the place of the first."""
        if not content:
            raise Unprocessable("A part has at least one byte.")
        part = Part(number, hashlib.sha256(content).hexdigest()[:32], len(content))
        place = await self._parts.folder_id()
        taken = await self._store.register_part(upload, part, limit=FILE_LIMIT, place=place)
        if taken != "taken":
            raise _no_part(taken)
        await self._parts.write(_owner(upload), upload.id, number, part.etag, content)
        return part.etag

    async def complete(self, upload: Upload, named: Sequence[tuple[int, str]]) -> None:
        """Join the parts, named by number and ETag in any order, and store the file. Once more changes nothing."""
        if upload.url is not None:
            return
        if upload.place is not None and upload.place != await self._parts.folder_id():
            raise _no_part("elsewhere")
        order = sorted((number, etag.strip().removeprefix("W/").strip('"')) for number, etag in named)
        if [number for number, _ in order] != list(range(1, len(order) + 1)):
            raise Unprocessable("The parts have to be numbered from 1, without a gap and each once.")
        if order != sorted((part.number, part.etag) for part in upload.parts):
            raise Unprocessable("These are not the parts that came: compare the numbers and the ETags.")
        await self.put(upload, await self._parts.join(_owner(upload), upload.id, order))
        await self._parts.drop(_owner(upload), upload.id)

    async def resolve(self, caller: Caller, url: str) -> str:
        """Fal's URL for an address of ours, and every other URL as it is.

        Unprocessable when the address is another's, or when no bytes have come: fal could read neither.
        """
        upload_id = self._upload_at(url)
        if upload_id is None:
            return url
        try:
            return await self.address(caller, upload_id)
        except NotFound:
            raise Unprocessable("There is no uploaded file of yours at this address; upload it again.") from None

    async def resolve_input(self, caller: Caller, given: dict[str, Any], fields: Sequence[str]) -> dict[str, Any]:
        """A job's input with fal's URLs in the place of our addresses, below the fields that hold URLs.

        Everything else is left for the model's schema to judge, and is not walked through. Each file is looked up
        once; so many that no model takes them are refused before the first is.
        """
        found: dict[str, tuple[int | str, ...]] = {}
        for name in fields:
            if name in given:
                self._find(given[name], (name,), found)
        if len(found) > MOST_FILES:
            raise Unprocessable(f"The input names more than {MOST_FILES} uploaded files.")
        urls = {}
        for url, loc in found.items():
            try:
                urls[url] = await self.resolve(caller, url)
            except Unprocessable as error:
                fault = Violation(pointer(loc, below="/input"), "url_not_allowed", error.message)
                raise Unprocessable(error.message, violations=(fault,)) from None
        if not urls:
            return given
        return {name: _replaced(value, urls) if name in fields else value for name, value in given.items()}

    def _find(self, value: Any, loc: tuple[int | str, ...], found: dict[str, tuple[int | str, ...]]) -> None:
        """Note every address of ours in the value, with its first place."""
        if isinstance(value, str):
            if self._upload_at(value) is not None:
                found.setdefault(value, loc)
        elif isinstance(value, dict):
            for name, inner in value.items():
                self._find(inner, (*loc, name), found)
        elif isinstance(value, list):
            for place, inner in enumerate(value):
                self._find(inner, (*loc, place), found)

    def _upload_at(self, url: str) -> str | None:
        """The id in an address of ours; empty where there is none in it, None for an address elsewhere."""
        if len(url) > LONGEST_ADDRESS or self._files not in url:  # an image on somebody's server, or a data URI
            return None
        try:
            parts = urlsplit(url)
        except ValueError:
            return None
        if parts.netloc.lower() != self._host or not parts.path.startswith(self._files):
            return None
        return parts.path.removeprefix(self._files).partition("/")[0]

    async def _begin(self, upload: Upload) -> tuple[str, int]:
        """A pass for a new upload, and when it ends (ms)."""
        lifetime_ms = (LIFETIME_S + GRACE_S) * 1000
        key = upload.caller.key
        wait_ms = await self._store.outstanding.add("uploads", key, upload.id, lifetime_ms=lifetime_ms, most=MOST)
        if wait_ms is not None:
            sentence = f"The key has {MOST} uploads that were promised and have not come; bring their bytes first."
            raise OverLimit(sentence, code=Code.TOO_MANY_UPLOADS, retry_after=max(1, -(-wait_ms // 1000)))
        expires_ms = await self._store.begin(upload, lifetime_ms=lifetime_ms)
        one = UploadToken(upload.caller.team, upload.id, expires_ms)
        return write_upload_token(await self._secrets.of_markers(), one), expires_ms

    async def _redeem(self, one: UploadToken, missing: FilmgateError) -> Upload:
        """What the pass opens, while it lasts and its maker's key opens something."""
        upload, now_ms = await self._store.find(one.team, one.item)
        if one.expires_ms <= now_ms:
            raise Unauthenticated("The hour for this upload has passed; ask for a new one.")
        if upload is None:
            raise missing
        if not await self._accounts.is_valid(upload.caller):
            raise Unauthenticated("The key that asked for this upload has expired or was revoked.")
        return upload


def plain_name(name: str) -> str:
    """A file name that needs no care in a URL: the last part of a path, ASCII letters, digits, `.`, `_`, `-`."""
    return ODD.sub("_", re.split(r"[/\\]", name)[-1])[-LONGEST_NAME:].lstrip(".") or "upload.bin"


def require_image_type(content_type: str) -> None:
    """WrongMediaType for what is said to be something else than an image; the bytes themselves decide later."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in {"", UNSAID} and not kind.startswith("image/"):
        raise WrongMediaType("Only images are stored here: JPEG, PNG or WebP.")


def _replaced(value: Any, urls: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _replaced(inner, urls) for name, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, urls) for inner in value]
    return urls.get(value, value) if isinstance(value, str) else value


def _is_file(upload_id: str) -> bool:
    return FILE_ID.fullmatch(upload_id) is not None


def _owner(upload: Upload) -> str:
    return f"{upload.caller.team}.{upload.caller.user}"


def _require_size(size: int) -> None:
    if size > FILE_LIMIT:
        raise _too_large()


def _no_part(why: PartOutcome) -> FilmgateError:
    """Why a part is not taken."""
    match why:
        case "too_large":
            return _too_large()
        case "finished":
            return Forbidden("This upload is complete and takes no more parts.")
        case "elsewhere":
            return Conflict(
                "Another host of this gateway has this upload's parts. Send the file in one go, or begin again and "
                "send every part to one host."
            )
        case "too_many":
            return Forbidden(
                "Too many of your team's uploads in parts are unfinished; complete them, or wait for an hour."
            )
        case "full":
            return Unavailable("There is no room for further parts; send the file in one go.", retry_after=60)
        case _:
            return NotFound("There is no upload here, or nobody brought its bytes.")


def _too_large() -> TooLarge:
    return TooLarge(f"The image is larger than {LARGEST}.")
