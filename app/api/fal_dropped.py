"""Unknown fields and query parameters under /fal/: dropped as fal does, and named in `X-Filmgate-Warning`."""

import re
from collections.abc import Iterable
from urllib.parse import unquote_plus

from starlette.types import Scope

WARNING = "x-filmgate-warning"
LONGEST = 120  # characters of one sentence, so that two of them stay below 256
NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
PROXY_QUERY = "fal_proxy_query"  # scope key: the query of `/fal/proxy` itself; its target has its own
# What fal's clients send, by prefix; where it has no meaning it is dropped without a warning, as at fal.
KNOWN_PARAMETERS = {
    "/fal/queue/": frozenset({"fal_webhook", "fal_max_queue_length", "logs", "fal_jwt_token"}),
    "/fal/run/": frozenset({"fal_webhook", "fal_max_queue_length"}),
    "/fal/rest/": frozenset({"storage_type"}),
    "/fal/api/": frozenset({"endpoint_id", "q", "category", "status", "limit", "cursor", "expand"}),
    "/fal/cdn/": frozenset({"signature", "storage_type"}),
}


def dropped_warning(what: str, names: Iterable[str]) -> str:
    """One sentence with as many distinct names as fit; an unusual name is shown as a question mark."""
    distinct = list(dict.fromkeys(name if NAME.fullmatch(name) else "?" for name in names))
    sentence = f"dropped unknown {what}: {distinct[0]}"
    for shown, name in enumerate(distinct[1:], 1):
        if len(sentence) + len(name) + 2 > LONGEST - len(" and 999999 more"):
            return f"{sentence} and {len(distinct) - shown} more"
        sentence += f", {name}"
    return sentence


def with_query_warning(scope: Scope, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of a reply under /fal/, with a warning about unknown query parameters."""
    if not (scope["query_string"] or PROXY_QUERY in scope):
        return headers
    known = next((names for prefix, names in KNOWN_PARAMETERS.items() if scope["path"].startswith(prefix)), None)
    if known is None:
        return headers
    unknown = [name for name in _names(scope["query_string"]) if name not in known]
    unknown += _names(scope.get(PROXY_QUERY, b""))
    if not unknown:
        return headers
    warnings = [value.decode("ascii") for name, value in headers if name == WARNING.encode()]
    warnings.append(dropped_warning("query parameters", unknown))
    others = [field for field in headers if field[0] != WARNING.encode()]
    return [*others, (WARNING.encode(), "; ".join(warnings).encode("ascii"))]


def _names(query: bytes) -> list[str]:
    """The decoded names in a query."""
    return [unquote_plus(pair.partition("=")[0]) for pair in query.decode("latin-1").split("&") if pair]
