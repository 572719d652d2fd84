"""What dependencies read of the request object, which FastAPI cannot see: declared for the OpenAPI document.

The declaration also tells which query parameters a route knows (`app/api/query.py`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi.dependencies.models import Dependant
from pydantic import BaseModel

Function = TypeVar("Function", bound=Callable[..., Any])
Parameter = dict[str, Any]

FAL_DOCUMENT = "/fal/openapi.json"  # one of our own routes, below fal's prefix


@dataclass(frozen=True, slots=True)
class Reads:
    """A key, a JSON body (`optional`: it may be omitted), and parameters in OpenAPI's form.

    `session`: the key must be a browser's session.
    """

    key: bool = False
    session: bool = False
    body: type[BaseModel] | None = None
    optional: bool = False
    parameters: tuple[Parameter, ...] = ()


_declared: dict[Any, Reads] = {}


def reads(declaration: Reads) -> Callable[[Function], Function]:
    """Declare what a dependency reads."""

    def decorate(function: Function) -> Function:
        _declared[function] = declaration
        return function

    return decorate


def read_by(dependant: Dependant) -> list[Reads]:
    """What a route's dependencies declare, each once."""
    calls = dict.fromkeys(one.call for one in with_dependencies(dependant))
    return [_declared[call] for call in calls if call in _declared]


def header(name: str, description: str, example: str, **schema: Any) -> Parameter:
    """A header that may be sent."""
    return _parameter("header", name, description, example, schema)


def query(name: str, description: str, **schema: Any) -> Parameter:
    """A parameter that may be in the query."""
    return _parameter("query", name, description, None, schema)


def with_dependencies(dependant: Dependant) -> Iterator[Dependant]:
    """The dependant and everything it depends on."""
    yield dependant
    for inner in dependant.dependencies:
        yield from with_dependencies(inner)


def _parameter(
    location: str, name: str, description: str, example: str | None, schema: dict[str, Any]
) -> Parameter:
    parameter = {"name": name, "in": location, "required": False, "description": description}
    parameter["schema"] = {"type": "string", **schema}
    return parameter if example is None else {**parameter, "example": example}
