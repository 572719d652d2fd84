"""What dependencies read of a request by themselves, where FastAPI cannot see it: for the OpenAPI document.

The same says which query parameters a route knows (`app/api/query.py`), so that neither can be forgotten.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi.dependencies.models import Dependant
from pydantic import BaseModel

Function = TypeVar("Function", bound=Callable[..., Any])
Parameter = dict[str, Any]

FAL_DOCUMENT = "/fal/openapi.json"  # ours, though it lies where fal's routes are


@dataclass(frozen=True, slots=True)
class Reads:
    """A key, a JSON body (`optional`: it may be left out), and parameters as OpenAPI writes them."""

    key: bool = False
    body: type[BaseModel] | None = None
    optional: bool = False
    parameters: tuple[Parameter, ...] = ()


_of: dict[Any, Reads] = {}


def reads(what: Reads) -> Callable[[Function], Function]:
    """Mark a dependency with what it reads."""

    def decorate(function: Function) -> Function:
        _of[function] = what
        return function

    return decorate


def read_by(dependant: Dependant) -> list[Reads]:
    """What a route's dependencies read, each once."""
    calls = dict.fromkeys(one.call for one in with_dependencies(dependant))
    return [_of[call] for call in calls if call in _of]


def header(name: str, description: str, example: str, **schema: Any) -> Parameter:
    """A header that may be sent."""
    return _parameter("header", name, description, example, schema)


def query(name: str, description: str, **schema: Any) -> Parameter:
    """A parameter that may stand in the address."""
    return _parameter("query", name, description, None, schema)


def with_dependencies(dependant: Dependant) -> Iterator[Dependant]:
    """It, and everything that it depends on."""
    yield dependant
    for inner in dependant.dependencies:
        yield from with_dependencies(inner)


def _parameter(place: str, name: str, description: str, example: str | None, schema: dict[str, Any]) -> Parameter:
    found = {"name": name, "in": place, "required": False, "description": description}
    found["schema"] = {"type": "string", **schema}
    return found if example is None else {**found, "example": example}
