"""The query of a request, as strict as its body: what a route does not know is refused by name.

A filter that is misspelt would otherwise be left out, and a script that revokes what it lists would list every key.
"""

from collections.abc import Iterable, Sequence
from typing import Any, get_args, get_origin

from fastapi import Request

from app.api.reads import FAL_DOCUMENT, read_by, with_dependencies
from app.domain.errors import MAX_NAME_CHARS, Unprocessable, Violation, pointer

SHOWN = 20  # parameters that one refusal names
LENIENT = "/fal/"  # fal's own doors drop what they do not know, as fal does, and say so: app/api/fal_dropped.py
_of_endpoint: dict[Any, dict[str, bool]] = {}  # what each route reads, worked out once


async def refuse_unknown_parameters(request: Request) -> None:
    """For every route: refuse what it does not know; where it asks for a key, that is looked at first.

    The probes and the pages too: none of them has a reader who is served by a parameter that does nothing, and a
    load balancer calls the address that it was given.
    """
    if request.scope["query_string"] and not any(read.key for read in read_by(request.scope["route"].dependant)):
        require_known_parameters(request)


def require_known_parameters(request: Request) -> None:
    """Unprocessable for a parameter that the route does not declare, and for a second value where it reads one."""
    path = request.scope["path"]
    if not request.scope["query_string"] or (path.startswith(LENIENT) and path != FAL_DOCUMENT):
        return
    route = request.scope["route"]
    if route.endpoint not in _of_endpoint:
        _of_endpoint[route.endpoint] = _declared(route)
    declared = _of_endpoint[route.endpoint]
    seen: set[str] = set()
    unknown: dict[str, Violation] = {}
    repeated: dict[str, Violation] = {}
    for name, _ in request.query_params.multi_items():
        known = name if name in declared else _family(name, declared)
        if known is None:
            unknown[name] = _violation(name, "unknown_parameter", "This parameter is not known here.")
        elif name in seen and not declared[known]:
            repeated[name] = _violation(
                name, "given_twice", "This parameter is given more than once; give it once."
            )
        seen.add(name)
    if unknown or repeated:
        found = [*unknown.values()][:SHOWN], [*repeated.values()][:SHOWN]
        raise Unprocessable(_sentence(*found, declared), violations=(*found[0], *found[1]))


def _sentence(unknown: Sequence[Violation], repeated: Sequence[Violation], declared: Iterable[str]) -> str:
    """What is wrong with the query, and what to do."""
    sentences = []
    if unknown:
        known = ", ".join(sorted(declared))
        remedy = f"it knows {known}" if known else "it takes none"
        sentences.append(f"This route does not know the query parameter {_names(unknown)}; {remedy}.")
    if repeated:
        sentences.append(f"The query parameter {_names(repeated)} is given more than once; give it once.")
    return " ".join(sentences)


def _names(found: Iterable[Violation]) -> str:
    pointers = ", ".join(violation.pointer.removeprefix("/query/") for violation in found)
    return pointers.replace("~1", "/").replace("~0", "~")


def _family(name: str, declared: dict[str, bool]) -> str | None:
    """`metadata.NAME` stands for every `metadata.…`."""
    family = name.partition(".")[0] + ".NAME"
    return family if "." in name and family in declared else None


def _violation(name: str, code: str, sentence: str) -> Violation:
    shown = name if 0 < len(name) <= MAX_NAME_CHARS and name.isprintable() else "?"
    return Violation(pointer(("query", shown)), code, sentence)


def _declared(route: Any) -> dict[str, bool]:
    """What the route reads of a query, by name: whether it may be given more than once."""
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
