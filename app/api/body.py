"""JSON bodies as dependencies of routes: parsed strictly and validated against a model."""

from collections.abc import Awaitable, Callable
from difflib import get_close_matches
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import ClientDisconnect

from app.api.incoming import INCOMING, Incoming
from app.api.reads import Reads, reads
from app.api.strict_json import parse_array, parse_object
from app.domain.errors import MAX_NAME_CHARS, Unprocessable, Violation, WrongMediaType, pointer

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
ANY_TYPE = "/fal/"  # below this path, whatever the content type is, the body is read as JSON
UTF_8 = frozenset({"", "utf-8", "utf8", "us-ascii"})  # names of it, and of a part of it
SENTENCES = {"extra_forbidden": "This member is not known here.", "model_type": "This must be an object."}
Body = TypeVar("Body", bound=BaseModel)


def _violation(error: ErrorDetails, model: type[BaseModel]) -> Violation:
    code = CODES.get(error["type"], "invalid")
    sentence = error["msg"].removeprefix("Value error, ").rstrip(".") + "."
    sentence = SENTENCES.get(error["type"], sentence)
    if error["type"] == "extra_forbidden" and (meant := _meant(error["loc"], model)):
        sentence = f"This member is not known here; is {meant} meant?"
    return Violation(pointer(error["loc"]), code, sentence)


def _meant(loc: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """The member whose name is nearest to an unknown one at the top of the body; empty when none is near."""
    name = loc[0]
    if len(loc) > 1 or not isinstance(name, str) or len(name) > MAX_NAME_CHARS:
        return ""
    known = [field.alias or member for member, field in model.model_fields.items()]
    return "".join(get_close_matches(name, known, n=1))


def validated(model: type[Body], value: dict[str, Any] | list[Any]) -> Body:
    """The value as a model; Unprocessable with up to 20 violations, without the input."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        violations = tuple(_violation(one, model) for one in errors[:20])
        raise Unprocessable(violations[0].message, violations=violations) from None


def json_body(model: type[Body], *, optional: bool = False) -> Callable[[Request], Awaitable[Body]]:
    """A dependency that reads the body, an object, as `model`; `optional`: no body is an empty object."""

    @reads(Reads(body=model, optional=optional))
    async def read(request: Request) -> Body:
        if not optional:
            return validated(model, await json_object(request))
        raw = await _read_whole(request)
        if not raw:
            return validated(model, {})
        _require_json(request)
        return validated(model, parse_object(raw))

    return read


def json_array(model: type[Body]) -> Callable[[Request], Awaitable[Body]]:
    """A dependency that reads the body, an array, as `model`, which is a RootModel of a list."""

    @reads(Reads(body=model))
    async def read(request: Request) -> Body:
        _require_json(request)
        return validated(model, parse_array(await _read_whole(request)))

    return read


async def json_object(request: Request) -> dict[str, Any]:
    """The body, a JSON object that is validated elsewhere."""
    _require_json(request)
    return parse_object(await _read_whole(request))


def _require_json(request: Request) -> None:
    """WrongMediaType when the headers of the body do not declare plain JSON in UTF-8.

    At fal's door the type is not looked at, as at fal: its documented `curl -d '{…}'` declares a form.
    """
    headers = request.headers
    if not request.scope["path"].startswith(ANY_TYPE) and not _is_json(headers.get("content-type", "")):
        raise WrongMediaType("Send the body as `Content-Type: application/json`, in UTF-8.")
    if headers.get("content-encoding", "identity") != "identity":
        raise WrongMediaType("Send the body without a Content-Encoding.")


def _is_json(content_type: str) -> bool:
    """True for `application/json` with any parameters but the name of another charset."""
    media_type, _, rest = content_type.partition(";")
    if media_type.strip().lower() != "application/json":
        return False
    parameters = (parameter.partition("=") for parameter in rest.lower().split(";"))
    return all(value.strip(' "') in UTF_8 for name, _, value in parameters if name.strip() == "charset")


async def _read_whole(request: Request) -> bytes:
    """As `Request.body`, but the request keeps no copy; ClientDisconnect when the caller leaves before its end."""
    pieces: list[bytes] = []
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def release_body(request: Request, parsed: dict[str, Any]) -> None:
    """Free the memory of a body once its job is stored: the call may be held for minutes, and the body be 30 MB."""
    parsed.clear()
    incoming: Incoming = request.scope[INCOMING]
    incoming.let_go()
