"""Every error a caller can meet.

FilmgateError
├── Malformed                    400  malformed, json_invalid, invalid_cursor …
├── Unauthenticated              401  unauthenticated
├── OverBudget                   402  over_budget
├── Forbidden                    403  forbidden
├── NotFound                     404  not_found, model_not_found
├── TooSlow                      408  request_timeout
├── Conflict                     409  already_ended, not_held …
├── OutsideFal                   412  url_not_allowed
├── TooLarge                     413  payload_too_large
├── WrongMediaType               415  unsupported_media_type
├── Unprocessable                422  invalid_input, price_unknown, url_not_allowed …
│   └── KeyReused                422  idempotency_key_reused
├── OverLimit                    429  over_limit, queue_too_long, too_many_tokens …
│   └── TooManyBadKeys           429  too_many_bad_keys
└── Unavailable                  503
    ├── Overloaded               503  overloaded
    ├── StoreUnavailable         503  store_unavailable
    └── UpstreamUnavailable      503  upstream_unavailable

`code` is stable and documented, `status` is the HTTP status, `retryable` says whether the same request may
succeed later, and the message is a sentence for the customer. `app/api/problems.py` alone renders them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.domain.limits import LimitState

LONGEST_NAME_SHOWN = 64  # characters


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong with an input: where (a JSON pointer), a stable code, and a sentence.

    `kind` and `ctx` are the same in the words of fal's models, where they have some: `literal_error`, the choices.
    """

    pointer: str
    code: str
    message: str
    kind: str = field(default="", compare=False)
    ctx: Mapping[str, Any] = field(default_factory=dict, compare=False)


def pointer(loc: Sequence[int | str], *, below: str = "") -> str:
    """JSON pointer of a place in an input; it ends before a name that is too long or too strange to be repeated."""
    path = below
    for part in loc:
        name = str(part)
        if len(name) > LONGEST_NAME_SHOWN or not name.isprintable():
            break
        path += "/" + name.replace("~", "~0").replace("/", "~1")
    return path


class FilmgateError(Exception):
    """Something went wrong, and the caller may know what."""

    code = "internal_error"
    status = 500
    retryable = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        violations: tuple[Violation, ...] = (),
        retry_after: int | None = None,
        limits: tuple[LimitState, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        self.violations = violations
        self.retry_after = retry_after  # seconds
        self.limits = limits  # how every limit of the caller stood, where one of them refused


class Malformed(FilmgateError):
    """The request cannot be read."""

    code = "malformed"
    status = 400


class Unauthenticated(FilmgateError):
    """There is no key, or it opens nothing."""

    code = "unauthenticated"
    status = 401


class OverBudget(FilmgateError):
    """The money set aside for this caller does not cover the job."""

    code = "over_budget"
    status = 402


class Forbidden(FilmgateError):
    """The key is known, and may not do this."""

    code = "forbidden"
    status = 403


class NotFound(FilmgateError):
    """There is no such thing, or it is another team's: the two look alike on purpose."""

    code = "not_found"
    status = 404


class TooSlow(FilmgateError):
    """The request's bytes did not arrive in time."""

    code = "request_timeout"
    status = 408
    retryable = True


class Conflict(FilmgateError):
    """The thing is in a state that does not allow this."""

    code = "conflict"
    status = 409


class OutsideFal(FilmgateError):
    """A client of fal's proxies names a host that is not fal's; the status is fal's own for it."""

    code = "url_not_allowed"
    status = 412


class TooLarge(FilmgateError):
    """The body is larger than this route reads."""

    code = "payload_too_large"
    status = 413


class HeadTooLarge(FilmgateError):
    """Request line and header fields are more than anybody needs."""

    code = "head_too_large"
    status = 431


class AddressTooLong(FilmgateError):
    """The address alone fills the head."""

    code = "address_too_long"
    status = 414


class WrongMediaType(FilmgateError):
    """The body is of a type this route does not read."""

    code = "unsupported_media_type"
    status = 415


class Unprocessable(FilmgateError):
    """The request was read, and is wrong."""

    code = "invalid_input"
    status = 422


class KeyReused(Unprocessable):
    """The idempotency key was used before, with another body."""

    code = "idempotency_key_reused"


class OverLimit(FilmgateError):
    """A limit on jobs or requests is reached."""

    code = "over_limit"
    status = 429
    retryable = True


class TooManyBadKeys(OverLimit):
    """The caller's address has shown too many keys that open nothing. No wait makes a bad key good."""

    code = "too_many_bad_keys"
    retryable = False

    def __init__(self, *, retry_after: int) -> None:
        sentence = "Too many keys that open nothing came from your address; check the key before you try again."
        super().__init__(sentence, retry_after=retry_after)


class Unavailable(FilmgateError):
    """Something Filmgate needs is away; the same request may succeed later."""

    code = "unavailable"
    status = 503
    retryable = True

    def __init__(self, message: str, *, code: str | None = None, retry_after: int = 2) -> None:
        super().__init__(message, code=code, retry_after=retry_after)


class Overloaded(Unavailable):
    """More is asked than can be done just now; nothing was begun, so the same request may be sent again."""

    code = "overloaded"

    def __init__(self, *, retry_after: int) -> None:
        super().__init__("Too much is asked at the moment; nothing was done. Try again.", retry_after=retry_after)


class StoreUnavailable(Unavailable):
    """Redis does not answer, or refuses writes."""

    code = "store_unavailable"


class Unconfirmed(StoreUnavailable):
    """It was written, and nobody can say yet whether it stays: the primary's replica has not confirmed it."""

    code = "outcome_unknown"


class UpstreamUnavailable(Unavailable):
    """fal does not answer."""

    code = "upstream_unavailable"
