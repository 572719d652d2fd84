"""Every error a caller can meet.

FilmgateError
├── Malformed                    400  malformed, json_invalid, invalid_cursor …
├── Unauthenticated              401  unauthenticated
├── OverBudget                   402  over_budget
├── Forbidden                    403  forbidden, over_storage …
├── NotFound                     404  not_found, model_not_found
├── TooSlow                      408  request_timeout
├── Conflict                     409  conflict, already_ended, not_held …
├── LinkEnded                    410  link_ended
│   └── UnknownLink              410  link_ended
├── OutsideFal                   412  url_not_allowed
├── TooLarge                     413  payload_too_large
├── AddressTooLong               414  address_too_long
├── WrongMediaType               415  unsupported_media_type
├── BeyondEnd                    416  range_not_satisfiable
├── Unprocessable                422  invalid_input, price_unknown, url_not_allowed …
│   └── KeyReused                422  idempotency_key_reused
├── OverLimit                    429  over_limit, queue_too_long, too_many_tokens …
│   └── TooManyBadKeys           429  too_many_bad_keys
├── HeadTooLarge                 431  head_too_large
└── Unavailable                  503
    ├── Overloaded               503  overloaded
    ├── StoreUnavailable         503  store_unavailable
    │   ├── StoreDenied          503  store_unavailable
    │   └── Unconfirmed          503  outcome_unknown
    ├── StorageAway              503  storage_unavailable
    └── UpstreamUnavailable      503  upstream_unavailable

`code` is stable and documented, and has an HTTP status and a title. `retryable`: the same request may succeed
later. The message is a sentence for the customer. Only `app/api/problems.py` renders them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Self

from app.domain.limits import LimitState

MAX_NAME_CHARS = 64  # characters


class Code(StrEnum):
    """Every error code: a stable word, its HTTP status, and the title of its problems."""

    status: int
    meaning: str

    def __new__(cls, word: str, status: int, meaning: str) -> Self:
        """Make a member; the word is its value."""
        member = str.__new__(cls, word)
        member._value_, member.status, member.meaning = word, status, meaning
        return member

    MALFORMED = "malformed", 400, "The request cannot be read"
    JSON_INVALID = "json_invalid", 400, "The body is not JSON"
    BODY_MISSING = "body_missing", 400, "There is no body"
    DUPLICATE_KEY = "duplicate_key", 400, "A member is given twice"
    TOO_DEEP = "too_deep", 400, "The body is nested too deeply"
    TOO_MANY_MEMBERS = "too_many_members", 400, "There are too many members"
    INVALID_CURSOR = "invalid_cursor", 400, "The cursor is not one of ours"
    INVALID_HEADER = "invalid_header", 400, "A header is wrong"
    UNAUTHENTICATED = "unauthenticated", 401, "No valid key"
    OVER_BUDGET = "over_budget", 402, "The budget does not cover it"
    OVER_MAX_USD = "over_max_usd", 402, "It costs more than the caller allows"
    FORBIDDEN = "forbidden", 403, "The key may not do this"
    OVER_STORAGE = "over_storage", 403, "The team's storage limit is reached"
    MODEL_NOT_ALLOWED = "model_not_allowed", 403, "The key may not use this model"
    ORIGIN_NOT_ALLOWED = "origin_not_allowed", 403, "The key may not be used from this web page"
    ADDRESS_EXPIRED = "address_expired", 403, "The signed address has ended"
    CSRF = "csrf", 403, "The request may come from another web page"
    HAS_LIVE_JOBS = "has_live_jobs", 409, "Jobs have not ended"
    KEY_ENDED = "key_ended", 409, "The key opens nothing any more"
    BELOW_ZERO = "below_zero", 409, "Less than nothing would be spent"
    NOT_FOUND = "not_found", 404, "Not found"
    MODEL_NOT_FOUND = "model_not_found", 404, "There is no such model"
    METHOD_NOT_ALLOWED = "method_not_allowed", 405, "This method is not known here"
    REQUEST_TIMEOUT = "request_timeout", 408, "The request took too long to arrive"
    CONFLICT = "conflict", 409, "Not possible in this state"
    ALREADY_ENDED = "already_ended", 409, "The job has already ended"
    NOT_ENDED = "not_ended", 409, "The job has not ended"
    NOT_HELD = "not_held", 409, "The job is not held"
    ENDPOINT_NOT_ACTIVE = "endpoint_not_active", 409, "The webhook endpoint is paused or disabled"
    TOO_MANY_ENDPOINTS = "too_many_endpoints", 409, "The team has too many webhook endpoints"
    TOO_MANY_SECRETS = "too_many_secrets", 409, "Too many secrets sign already"
    NO_VIDEO = "no_video", 409, "There is no clip"
    LINK_ENDED = "link_ended", 410, "The link opens nothing any more"
    ADDRESS_TOO_LONG = "address_too_long", 414, "The address is too long"
    HEAD_TOO_LARGE = "head_too_large", 431, "The head of the request is too large"
    PAYLOAD_TOO_LARGE = "payload_too_large", 413, "The body is too large"
    RANGE_NOT_SATISFIABLE = "range_not_satisfiable", 416, "The file has no such bytes"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type", 415, "The body is of the wrong type"
    BODY_NOT_OBJECT = "body_not_object", 422, "The body is not an object"
    BODY_NOT_ARRAY = "body_not_array", 422, "The body is not a list"
    INVALID_INPUT = "invalid_input", 422, "The input is wrong"
    INVALID_UNICODE = "invalid_unicode", 422, "The text is not valid Unicode"
    PRICE_UNKNOWN = "price_unknown", 422, "The model has no price"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused", 422, "The idempotency key was used with another body"
    URL_NOT_ALLOWED = "url_not_allowed", 422, "The address is not allowed"
    URL_SCHEME = "url_scheme", 422, "The address has the wrong scheme"
    BAD_DATA_URI = "bad_data_uri", 422, "The data URI is not an image"
    NOT_AN_IMAGE = "not_an_image", 422, "The file is not an image"
    UNSUPPORTED_IMAGE = "unsupported_image", 422, "The image is of a type Kling does not read"
    IMAGE_TOO_SMALL = "image_too_small", 422, "The image is too small"
    IMAGE_TOO_LARGE = "image_too_large", 422, "The image is too large"
    IMAGE_RATIO = "image_ratio", 422, "The image is too wide or too tall"
    OVER_LIMIT = "over_limit", 429, "A limit is reached"
    QUEUE_TOO_LONG = "queue_too_long", 429, "The line is longer than the caller allows"
    TOO_MANY_BAD_KEYS = "too_many_bad_keys", 429, "Too many bad keys came from this address"
    TOO_MANY_STREAMS = "too_many_streams", 429, "The key has too many event streams open"
    TOO_MANY_TOKENS = "too_many_tokens", 429, "The key has too many browser tokens"
    TOO_MANY_UPLOADS = "too_many_uploads", 429, "The key has too many promised uploads"
    UNAVAILABLE = "unavailable", 503, "Try again in a moment"
    OVERLOADED = "overloaded", 503, "Too much is asked at the moment"
    STORE_UNAVAILABLE = "store_unavailable", 503, "The store cannot be used"
    OUTCOME_UNKNOWN = "outcome_unknown", 503, "It may have been written, or not"
    STORAGE_UNAVAILABLE = "storage_unavailable", 503, "The storage of clips and files cannot be used"
    UPSTREAM_UNAVAILABLE = "upstream_unavailable", 503, "fal does not answer"
    INTERNAL_ERROR = "internal_error", 500, "Something went wrong here"


@dataclass(frozen=True, slots=True)
class Violation:
    """One fault of an input: where (a JSON pointer), a stable code, and a sentence.

    `kind` and `ctx` are what fal's models answer for the same fault, if they do: `literal_error` and the choices.
    """

    pointer: str
    code: str
    message: str
    kind: str = field(default="", compare=False)
    ctx: Mapping[str, Any] = field(default_factory=dict, compare=False)


def pointer(loc: Sequence[int | str], *, below: str = "") -> str:
    """JSON pointer to a part of an input; it stops before a name that is too long or not printable."""
    path = below
    for part in loc:
        name = str(part)
        if len(name) > MAX_NAME_CHARS or not name.isprintable():
            break
        path += "/" + name.replace("~", "~0").replace("/", "~1")
    return path


class FilmgateError(Exception):
    """An error for the caller; each class has a usual code, which an instance may replace."""

    code = Code.INTERNAL_ERROR
    retryable = False

    def __init_subclass__(cls, *, code: Code | None = None, retryable: bool | None = None) -> None:
        cls.code = code or cls.code
        cls.retryable = cls.retryable if retryable is None else retryable

    def __init__(
        self,
        message: str,
        *,
        code: Code | None = None,
        violations: tuple[Violation, ...] = (),
        retry_after: int | None = None,
        limits: tuple[LimitState, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        self.status = self.code.status
        self.violations = violations
        self.retry_after = retry_after  # seconds
        self.limits = limits  # the states of all limits of the caller, where one of them refused


class Malformed(FilmgateError, code=Code.MALFORMED):
    """The request cannot be read."""


class Unauthenticated(FilmgateError, code=Code.UNAUTHENTICATED):
    """There is no key, or it is not valid."""


class OverBudget(FilmgateError, code=Code.OVER_BUDGET):
    """The caller's budget does not cover the job."""


class Forbidden(FilmgateError, code=Code.FORBIDDEN):
    """The key is valid, and may not do this."""


class NotFound(FilmgateError, code=Code.NOT_FOUND):
    """It does not exist, or is another team's: callers cannot tell which, on purpose."""


class TooSlow(FilmgateError, code=Code.REQUEST_TIMEOUT, retryable=True):
    """The request's bytes did not arrive in time."""


class Conflict(FilmgateError, code=Code.CONFLICT):
    """Its state does not allow this."""


class LinkEnded(FilmgateError, code=Code.LINK_ENDED):
    """A link that works once was used, revoked, or has expired."""


class UnknownLink(LinkEnded):
    """It was never given out, or was used up without a trace; counted as a guess."""


class OutsideFal(FilmgateError, code=Code.URL_NOT_ALLOWED):
    """A client of fal's proxies names a host that is not fal's; the status is fal's own for it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.status = 412


class TooLarge(FilmgateError, code=Code.PAYLOAD_TOO_LARGE):
    """The body is larger than this route reads."""


class HeadTooLarge(FilmgateError, code=Code.HEAD_TOO_LARGE):
    """Request line and header fields are too large."""


class AddressTooLong(FilmgateError, code=Code.ADDRESS_TOO_LONG):
    """The URL alone is too large for the head."""


class BeyondEnd(FilmgateError, code=Code.RANGE_NOT_SATISFIABLE):
    """The range begins behind the end of the file."""


class WrongMediaType(FilmgateError, code=Code.UNSUPPORTED_MEDIA_TYPE):
    """The body is of a type this route does not read."""


class Unprocessable(FilmgateError, code=Code.INVALID_INPUT):
    """The request can be read, but its content is wrong."""


@contextmanager
def blamed_on(where: str) -> Iterator[None]:
    """Gives a refusal that has no violation one: `where` is the JSON pointer of the member that it is about."""
    try:
        yield
    except FilmgateError as error:
        if not error.violations:
            error.violations = (Violation(where, error.code, error.message, kind="value_error"),)
        raise


def invalid_at(where: str, code: str, sentence: str) -> Unprocessable:
    """An Unprocessable with one violation, whose JSON pointer is `where` and whose sentence is the error's."""
    return Unprocessable(sentence, violations=(Violation(where, code, sentence),))


class KeyReused(Unprocessable, code=Code.IDEMPOTENCY_KEY_REUSED):
    """The idempotency key was used before, with another body."""


class OverLimit(FilmgateError, code=Code.OVER_LIMIT, retryable=True):
    """A limit on jobs or requests is reached."""


class TooManyBadKeys(OverLimit, code=Code.TOO_MANY_BAD_KEYS, retryable=False):
    """Too many invalid keys came from the caller's address. Not retryable: waiting makes no key valid."""

    def __init__(self, *, retry_after: int) -> None:
        sentence = "Too many keys that open nothing came from your address; check the key before you try again."
        super().__init__(sentence, retry_after=retry_after)


class Unavailable(FilmgateError, code=Code.UNAVAILABLE, retryable=True):
    """Something that Filmgate needs does not answer; the same request may succeed later."""

    def __init__(self, message: str, *, code: Code | None = None, retry_after: int = 2) -> None:
        super().__init__(message, code=code, retry_after=retry_after)


class Overloaded(Unavailable, code=Code.OVERLOADED):
    """Too much load: nothing was begun, and the same request may be sent again."""

    def __init__(self, *, retry_after: int) -> None:
        super().__init__("Too much is asked at the moment; nothing was done. Try again.", retry_after=retry_after)


class StoreUnavailable(Unavailable, code=Code.STORE_UNAVAILABLE):
    """Redis does not answer, or refuses writes."""


class StoreDenied(StoreUnavailable, code=Code.STORE_UNAVAILABLE):
    """The store's user may not do it. `sentence` is for operators: which user, and what it may not do."""

    def __init__(self, sentence: str) -> None:
        super().__init__("The store refuses us a command; its administrator must allow it.")
        self.sentence = sentence


class Unconfirmed(StoreUnavailable, code=Code.OUTCOME_UNKNOWN):
    """It was written, but no replica has confirmed it, so it may be lost with the primary."""


StorageReason = Literal["away", "denied", "read_only", "no_bucket", "full", "unusable", "lied", "unmarked"]
# For callers: what is so, without an address or the storage's own words.
STORAGE_FAULTS: dict[StorageReason, str] = {
    "away": "does not answer at the moment",
    "denied": "refuses access; an operator must correct its rights",
    "read_only": "is read-only; an operator must let it be written",
    "no_bucket": "is not there; an operator must bring it back",
    "full": "is full; an operator must make room",
    "unusable": "cannot be used as it is set; an operator must correct that",
    "lied": "did not give back what was written to it",
    "unmarked": "is not the one that was used before; an operator must look at it",
}


class StorageAway(Unavailable, code=Code.STORAGE_UNAVAILABLE):
    """The storage of clips and files did not do it. `sentence` is for operators: which storage, and why."""

    def __init__(self, reason: StorageReason, sentence: str) -> None:
        super().__init__(f"The storage of clips and files {STORAGE_FAULTS[reason]}.", retry_after=10)
        self.reason: StorageReason = reason
        self.sentence = sentence


class UpstreamUnavailable(Unavailable, code=Code.UPSTREAM_UNAVAILABLE):
    """fal does not answer."""
