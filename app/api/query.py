"""The query of a request, as strict as its body: what a route does not know is refused by name.

A filter that is misspelt would otherwise be left out, and a script that revokes what it lists would list every key.
"""

from typing import Any, get_args, get_origin

from fastapi import Request

from app.api.reads import read_by, with_dependencies
from app.domain.errors import LONGEST_NAME_SHOWN, Unprocessable, Violation

SHOWN = 20  # parameters that one refusal names
_of_endpoint: dict[Any, dict[str, bool]] = {}  # what each route reads, worked out once
LENIENT = "/fal/"  # fal's own doors drop what they do not know, as fal does, and say so: app/api/fal_dropped.py


def require_known_query(request: Request) -> None:
    """Unprocessable for a parameter that the route does not declare, and for a second value where it reads one."""
    if not request.scope["query_string"] or request.scope["path"].startswith(LENIENT):
        return
    route = request.scope["route"]
    if route.endpoint not in _of_endpoint:
        _of_endpoint[route.endpoint] = _declared(route)
    declared = _of_endpoint[route.endpoint]
    seen: set[str] = set()
    found: dict[str, Violation] = {}
    for name, _ in request.query_params.multi_items():
        known = name if name in declared else _family(name, declared)
        if known is None:
            found.setdefault(name, _violation(name, "unknown_parameter", "This parameter is not known here."))
        elif name in seen and not declared[known]:
            found.setdefault(name, _violation(name, "given_twice", "This parameter is given more than once."))
        seen.add(name)
    if found:
        shown = list(found.values())[:SHOWN]
        names = ", ".join(violation.pointer.removeprefix("/query/") for violation in shown)
        known_names = ", ".join(sorted(declared)) or "none"
        sentence = f"The query cannot be read: {names}. This route knows {known_names}."
        raise Unprocessable(sentence, violations=tuple(shown))


def _family(name: str, declared: dict[str, bool]) -> str | None:
    """`metadata.NAME` stands for every `metadata.…`."""
    family = name.partition(".")[0] + ".NAME"
    return family if "." in name and family in declared else None


def _violation(name: str, code: str, sentence: str) -> Violation:
    shown = name if len(name) <= LONGEST_NAME_SHOWN and name.isprintable() else "?"
    return Violation(f"/query/{shown}", code, sentence)


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
