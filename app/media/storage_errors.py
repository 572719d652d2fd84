"""What the storage's errors mean: errors of obstore and of the system, in our words.

CallFailed    a call of the storage failed; `reason` and `cause`
OutOfRange    the object ends before the first byte that was asked for
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from app.domain.errors import StorageReason

_REASONS: tuple[tuple[StorageReason, re.Pattern[str]], ...] = (
    ("full", re.compile(r"os error (?:28|122)\)|507 Insufficient|StorageFull|QuotaExceeded|EntityTooLarge")),
    ("read_only", re.compile(r"os error 30\)")),
    (
        "denied",
        re.compile(r"os error (?:1|13)\)|40[13] [FU]|AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch"),
    ),
    ("no_bucket", re.compile(r"NoSuchBucket|ContainerNotFound|bucket does not exist")),
)
_OUT_OF_RANGE = re.compile(r"Requested range was invalid|416 R|InvalidRange|Wanted range starting at")
_NO_KEY = re.compile(r"token request|169\.254\.169\.254|metadata\.google")
NO_KEY = "no key is set, and this machine's identity gives none"
# What a provider's settings lack, in place of its library's words: those may repeat a piece of the secret.
UNUSABLE = {
    "az": "it needs ?account=NAME or FILMGATE_STORAGE_KEY_ID; FILMGATE_STORAGE_SECRET is its key in base64",
    "gs": "the file that GOOGLE_APPLICATION_CREDENTIALS names cannot be read, or is no key of Google's",
    "s3": "its endpoint, its region or its AWS_… settings are wrong",
}
WORDS: dict[StorageReason, str] = {
    "away": "does not answer",
    "denied": "refuses access; check its key, and the rights to write, read and delete",
    "read_only": "is read-only; mount it so that it can be written",
    "no_bucket": "does not exist; create it first",
    "full": "is full; make room there",
    "unusable": "cannot be used",
    "lied": "does not give back what was written",
    "unmarked": "is not the storage that was used before; mount that one, or accept this one with "
    "`filmgate storage adopt`",
}
FOLDER_DENIES = "refuses access; let the user of this process write, read and delete there"


def fault_words(reason: StorageReason, *, folder: bool) -> str:
    """What is so and what to do, for operators, after the storage's address; a folder has no key."""
    return FOLDER_DENIES if folder and reason == "denied" else WORDS[reason]


class CallFailed(Exception):
    """A call that failed: why, in our words and in the storage's own."""

    def __init__(self, reason: StorageReason, cause: str) -> None:
        super().__init__(cause)
        self.reason = reason
        self.cause = cause


class OutOfRange(Exception):
    """The object ends before the first byte that was asked for."""


@contextmanager
def foreign_errors(call: str) -> Iterator[None]:
    """Turn errors of obstore and of the system into ours; FileNotFoundError stays where an object is missing."""
    try:
        yield
    except FileNotFoundError as error:
        if call in {"get", "head", "delete"} and _reason_of(error) != "no_bucket":
            raise
        raise CallFailed("no_bucket", _cause(error)) from None
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise CallFailed("denied", _cause(error)) from None
    except TimeoutError:
        raise CallFailed("away", "no answer in time") from None
    except (BaseError, OSError, ValueError) as error:
        if call == "get" and _OUT_OF_RANGE.search(str(error)):
            raise OutOfRange from None
        raise CallFailed(_reason_of(error), _cause(error)) from None


@contextmanager
def unusable_settings(kind: str) -> Iterator[None]:
    """Say what settings of this provider lack when its library does not take them."""
    try:
        yield
    except (BaseError, ValueError):
        raise CallFailed("unusable", UNUSABLE[kind]) from None


def _reason_of(error: Exception) -> StorageReason:
    text = f"(os error {error.errno}) {error}" if isinstance(error, OSError) and error.errno else str(error)
    local = isinstance(error, OSError) or "LocalFileSystem" in text
    return next((reason for reason, pattern in _REASONS if pattern.search(text)), "unusable" if local else "away")


def _cause(error: Exception) -> str:
    """The first line of what obstore says, which has no secret in it; what follows is for its developers."""
    said = str(error).partition("\n")[0][:300]
    return f"{NO_KEY}: {said}" if _NO_KEY.search(said) else said
