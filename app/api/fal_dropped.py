"""What is dropped at fal's doors, as at fal, and told in `X-Filmgate-Warning`: fields and query parameters."""

import re
from collections.abc import Iterable
from urllib.parse import unquote_plus

from starlette.types import Scope

WARNING = "x-filmgate-warning"
LONGEST = 120  # characters of one sentence, so that two of them stay below 256
NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
PROXY_QUERY = "fal_proxy_query"  # of the scope: what stood behind our own `/fal/proxy`, whose target has its own
# What fal's clients send, by door: where it means nothing it is dropped without a word, as at fal.
KNOWN = {
    "/fal/queue/": frozenset({"fal_webhook", "fal_max_queue_length", "logs"}),
    "/fal/run/": frozenset({"fal_webhook", "fal_max_queue_length"}),
    "/fal/rest/": frozenset({"storage_type"}),
    "/fal/cdn/": frozenset({"signature", "storage_type"}),
}


def dropped_warning(what: str, names: Iterable[str]) -> str:
    """One sentence with as many of the names as there is room for, each once; an odd one is a question mark."""
    told = list(dict.fromkeys(name if NAME.fullmatch(name) else "?" for name in names))
    sentence = f"dropped unknown {what}: {told[0]}"
    for shown, name in enumerate(told[1:], 1):
        if len(sentence) + len(name) + 2 > LONGEST - len(" and 999999 more"):
            return f"{sentence} and {len(told) - shown} more"
        sentence += f", {name}"
    return sentence


def with_query_warning(scope: Scope, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of an answer at one of fal's doors, with a word about query parameters that nobody read."""
    known = next((names for door, names in KNOWN.items() if scope["path"].startswith(door)), None)
    if known is None:
        return headers
    unread = [name for name in _names(scope["query_string"]) if name not in known]
    unread += _names(scope.get(PROXY_QUERY, b""))
    if not unread:
        return headers
    told = [value.decode("ascii") for name, value in headers if name == WARNING.encode()]
    told.append(dropped_warning("query parameters", unread))
    others = [field for field in headers if field[0] != WARNING.encode()]
    return [*others, (WARNING.encode(), "; ".join(told).encode("ascii"))]


def _names(query: bytes) -> list[str]:
    """The names in a query, as they were meant."""
    return [unquote_plus(pair.partition("=")[0]) for pair in query.decode("latin-1").split("&") if pair]
