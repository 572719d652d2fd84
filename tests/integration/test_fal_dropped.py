"""The fal-compatible API names what it drops: query parameters as well as fields, whatever the answer."""

import re

import httpx
import pytest

from app.api.fal_dropped import KNOWN_PARAMETERS
from app.api.fal_errors import is_fal_path
from tests.integration import fal_queue
from tests.integration.fal_proxy import HEADERS, PROXY, QUEUE
from tests.integration.fal_queue import given
from tests.integration.ownership import routes_of
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio

WARNING = "x-filmgate-warning"
LONGEST = 256
OURS = {PROXY, "/fal/openapi.json"}  # not fal's routes: they report ignored input in another way
PARAMETER = re.compile(r"\{\w+(?::\w+)?\}")


def doors(stack: Stack) -> list[tuple[str, str]]:
    """Method and path of every route that fal's clients call."""
    routes = routes_of(stack.api._transport.app)  # type: ignore[attr-defined]  # httpx's ASGITransport has one
    found = [tuple(route.split(" ", 1)) for route in sorted(routes)]
    return [
        (method, PARAMETER.sub("none", path)) for method, path in found if is_fal_path(path) and path not in OURS
    ]


async def asked(stack: Stack, method: str, path: str, query: str) -> httpx.Response:
    """The answer to a request without a body."""
    return await stack.api.request(method, f"{path}?{query}")


async def test_every_route_names_ignored_input_and_accepts_what_fals_clients_send(stack: Stack) -> None:
    """Each route of the table: a stray parameter is named, even in a refusal; fal's own parameters are not."""
    routes = doors(stack)
    assert {path.split("/")[2] for _, path in routes} == {"queue", "run", "rest", "cdn", "api"}
    for method, path in routes:
        known = next(names for door, names in KNOWN_PARAMETERS.items() if path.startswith(door))
        fals = "&".join(f"{name}=1" for name in sorted(known))
        plain = await asked(stack, method, path, fals)
        assert WARNING not in plain.headers, (method, path)
        reply = await asked(stack, method, path, f"{fals}&sync_mode=1&fal_webhok=x")
        assert reply.status_code == plain.status_code, (method, path)
        assert reply.headers[WARNING] == "dropped unknown query parameters: sync_mode, fal_webhok", (method, path)


async def test_dropped_fields_and_parameters_are_in_one_header(stack: Stack) -> None:
    """The submission is accepted, and the misspelt webhook parameter is reported."""
    reply = await fal_queue.post(stack, json=given(stack, seed=1), params={"webhook": "https://consumer.example"})
    assert reply.status_code == 200
    warning = "dropped unknown fields: seed; dropped unknown query parameters: webhook"
    assert reply.headers.get_list(WARNING) == [warning]


async def test_many_long_and_odd_names_stay_short_and_plain(stack: Stack) -> None:
    """At most 256 printable characters; a malformed name becomes a question mark, and values are never echoed."""
    names = [f"field-{number:03}-{'x' * 40}" for number in range(90)]
    body = {**given(stack), **dict.fromkeys(names, 1)}
    query = "&".join(f"{name}=secret" for name in [*names, "a%0d%0aSet-Cookie:x", "%f0%9f%98%80", "=", "a;b"])
    reply = await fal_queue.post(stack, json=body, params=query)
    assert reply.status_code == 200
    warning = reply.headers[WARNING]
    assert len(warning) <= LONGEST
    assert warning.isascii()
    assert warning.isprintable()
    assert re.fullmatch(r"dropped unknown fields: [\w, -]+ and \d+ more; dropped [\w, :-]+ and \d+ more", warning)
    assert "secret" not in warning
    odd = await fal_queue.post(stack, "odd", params="a%0d%0ab=1&%f0%9f%98%80=1&ok=1")
    assert odd.headers[WARNING] == "dropped unknown query parameters: ?, ok"


async def test_behind_the_proxy_the_targets_query_counts_and_ours_is_dropped(stack: Stack) -> None:
    """`/fal/proxy?x=1` has no effect: the target has a query of its own."""
    target = {**HEADERS, "X-Fal-Target-Url": f"{QUEUE}?fal_max_queue_length=99&mode=2"}
    reply = await stack.api.post(f"{PROXY}?page=7", headers=target, json=given(stack, "behind the proxy"))
    assert reply.status_code == 200
    assert reply.headers[WARNING] == "dropped unknown query parameters: mode, page"
