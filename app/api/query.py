"""The query of a request, as strict as its body: unknown parameters are refused by name.

Otherwise a misspelt filter would be ignored, and a script that revokes what it lists would list every key.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, get_args, get_origin

from fastapi import Request

from app.api.reads import FAL_DOCUMENT, read_by, with_dependencies
from app.domain.errors import MAX_NAME_CHARS, Unprocessable, Violation, pointer

TWICE = "given more than once; give it once."
MAX_SHOWN = 20  # parameters that one refusal names
LENIENT = "/fal/"  # here unknown parameters are dropped with a warning, as at fal: app/api/fal_dropped.py
PAGE = "page"  # a tag of addresses whose query the page's own script reads: filters, so that a link keeps them
_declared_by_endpoint: dict[Any, dict[str, bool]] = {}  # a cache of _declared


NOTHING: Mapping[str, str] = MappingProxyType({})


def given_query(request: Request) -> Mapping[str, str]:
    """The query's parameters; most requests have none, and parsing nothing costs as much as parsing two."""
    return request.query_params if request.scope["query_string"] else NOTHING


async def refuse_unknown_parameters(request: Request) -> None:
    """For every route but the page's own; routes with a key check it first, and the parameters after it."""
    if not request.scope["query_string"]:
        return
    route = request.scope["route"]
    if PAGE not in route.tags and not any(read.key for read in read_by(route.dependant)):
        require_known_parameters(request)


def require_known_parameters(request: Request) -> None:
    """Unprocessable for a parameter that the route does not declare, and for a second value where it reads one."""
    path = request.scope["path"]
    if not request.scope["query_string"] or (path.startswith(LENIENT) and path != FAL_DOCUMENT):
        return
    route = request.scope["route"]
    if route.endpoint not in _declared_by_endpoint:
        _declared_by_endpoint[route.endpoint] = _declared(route)
    declared = _declared_by_endpoint[route.endpoint]
    seen: set[str] = set()
    unknown: dict[str, str] = {}
    repeated: dict[str, str] = {}
    for name, _ in request.query_params.multi_items():
        shown = name if 0 < len(name) <= MAX_NAME_CHARS and name.isprintable() else "?"
        known = name if name in declared else _family(name, declared)
        if known is None:
            unknown[name] = shown
        elif name in seen and not declared[known]:
            repeated[name] = shown
        seen.add(name)
    if unknown or repeated:
        raise _refusal([*unknown.values()][:MAX_SHOWN], [*repeated.values()][:MAX_SHOWN], sorted(declared))


def _refusal(unknown: list[str], repeated: list[str], declared: list[str]) -> Unprocessable:
    sentences = []
    if unknown:
        remedy = f"it knows {', '.join(declared)}" if declared else "it takes none"
        sentences.append(f"This route does not know the query parameter {', '.join(unknown)}; {remedy}.")
    if repeated:
        sentences.append(f"The query parameter {', '.join(repeated)} is {TWICE}")
    violations = [_violation(name, "unknown_parameter", "This parameter is not known here.") for name in unknown]
    violations += [_violation(name, "given_twice", f"This parameter is {TWICE}") for name in repeated]
    return Unprocessable(" ".join(sentences), violations=tuple(violations))


def _violation(name: str, code: str, sentence: str) -> Violation:
    return Violation(pointer(("query", name)), code, sentence)


def _family(name: str, declared: dict[str, bool]) -> str | None:
    """`metadata.NAME` stands for every `metadata.…`."""
    family = name.partition(".")[0] + ".NAME"
    return family if "." in name and family in declared else None


def _declared(route: Any) -> dict[str, bool]:
    """The query parameters of a route, by name, and whether each may be repeated."""
    found = {
        field.alias: get_origin(_plain(field.field_info.annotation)) is list
        for dependant in with_dependencies(route.dependant)
        for field in dependant.query_params
    }
    for read in read_by(route.dependant):
        found.update({parameter["name"]: False for parameter in read.parameters if parameter["in"] == "query"})
    return found


def _plain(annotation: Any) -> Any:
    """The type without `None`."""
    inner = [one for one in get_args(annotation) if one is not type(None)]
    return inner[0] if len(inner) == 1 and get_origin(annotation) is not list else annotation
