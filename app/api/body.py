"""JSON bodies as dependencies of routes: parsed strictly and validated against a model."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from app.api.incoming import INCOMING, Incoming
from app.api.reads import Reads, reads
from app.api.strict_json import parse_array, parse_object
from app.domain.errors import Unprocessable, Violation, WrongMediaType, pointer

CODES = {
    "missing": "missing",
    "extra_forbidden": "unknown_field",
    "string_type": "wrong_type",
    "int_type": "wrong_type",
    "dict_type": "wrong_type",
    "model_type": "wrong_type",
    "list_type": "wrong_type",
    "float_type": "wrong_type",
    "bool_type": "wrong_type",
    "string_too_long": "too_long",
    "greater_than_equal": "out_of_range",
    "less_than_equal": "out_of_range",
    "too_long": "too_long",
    "enum": "one_of",
}
SENTENCES = {"extra_forbidden": "This member is not known here.", "model_type": "This must be an object."}
Body = TypeVar("Body", bound=BaseModel)


def _violation(error: ErrorDetails) -> Violation:
    code = CODES.get(error["type"], "invalid")
    sentence = error["msg"].removeprefix("Value error, ").rstrip(".") + "."
    return Violation(pointer(error["loc"]), code, SENTENCES.get(error["type"], sentence))


def validated(model: type[Body], value: dict[str, Any] | list[Any]) -> Body:
    """The value as a model; Unprocessable with up to 20 violations, without the input."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        violations = tuple(map(_violation, errors[:20]))
        raise Unprocessable(violations[0].message, violations=violations) from None


def json_body(model: type[Body], *, optional: bool = False) -> Callable[[Request], Awaitable[Body]]:
    """A dependency that reads the body, an object, as `model`; `optional`: no body is an empty object."""

    @reads(Reads(body=model, optional=optional))
    async def read(request: Request) -> Body:
        if optional and not await request.body():
            return validated(model, {})
        return validated(model, parse_object(await _raw(request)))

    return read


def json_array(model: type[Body]) -> Callable[[Request], Awaitable[Body]]:
    """A dependency that reads the body, an array, as `model`, which is a RootModel of a list."""

    @reads(Reads(body=model))
    async def read(request: Request) -> Body:
        return validated(model, parse_array(await _raw(request)))

    return read


async def json_object(request: Request) -> dict[str, Any]:
    """The body, a JSON object that is validated elsewhere."""
    return parse_object(await _raw(request))


async def _raw(request: Request) -> bytes:
    """The body's bytes; WrongMediaType when its headers do not declare plain JSON in UTF-8."""
    media_type, _, rest = request.headers.get("content-type", "").partition(";")
    charset = rest.strip().lower().removeprefix("charset=").strip('"')
    if media_type.strip().lower() != "application/json" or charset not in {"", "utf-8", "utf8"}:
        raise WrongMediaType("Send the body as `Content-Type: application/json`, in UTF-8.")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise WrongMediaType("Send the body without a Content-Encoding.")
    return await request.body()


def release_body(request: Request, parsed: dict[str, Any]) -> None:
    """Free the memory of a body once its job is stored: the call may be held for minutes, and the body be 30 MB."""
    parsed.clear()
    request._body = b""  # noqa: SLF001  Starlette's copy, which lives as long as the request
    incoming: Incoming = request.scope[INCOMING]
    incoming.let_go()
