"""What each scope of a key opens, on every route that asks for one."""

import re
from typing import Any

import httpx
import pytest

from app.domain.accounts import Scope
from app.main import create_app
from app.settings import load_settings
from tests.integration.fal_queue import given
from tests.integration.fal_uploads import bearing, initiated, nobody, picture, upload_token
from tests.integration.ownership import FIXED, ROUTES, Own, Teams, routes_of
from tests.integration.scopes import INPUT, JOB, MODEL_ID, NEEDS, has_scope
from tests.support.callers import another_key, calling
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio

PARAMETER = re.compile(r"\{(\w+)\}")
NEVER = "0" * 32


def test_every_route_says_which_scope_opens_it() -> None:
    """A new route is in the table from its first day."""
    opened = {route for route in routes_of(create_app(load_settings({}))) if has_scope(route)}
    assert opened == NEEDS.keys()


async def made(stack: Stack, chief: httpx.AsyncClient, route: str) -> str:
    """The id of something that the route is about."""
    entry = ROUTES.get(route)
    if isinstance(entry, Own):
        return await entry.make(stack, stack.api)
    return await entry.make(chief) if isinstance(entry, Teams) else f"file_{NEVER}"


async def ask(stack: Stack, api: httpx.AsyncClient, route: str, found: str) -> httpx.Response:
    """The route's answer, about this id where it is about one."""
    method, path = route.split(" ")
    fixed = {**FIXED, "model_id": MODEL_ID, "number": "1"}
    address = PARAMETER.sub(lambda part: fixed.get(part[1], found), path)
    body: Any = NEEDS[route][1]
    if body is JOB:
        body = stack.body(max_usd="0.01")  # whoever may submit is refused for the price, and buys nothing
    elif body is INPUT:
        body = given(stack, number=1) | {"image_url": "none"}
    return await api.request(method, address, **({} if body is None else {"json": body}))


@pytest.mark.parametrize("scope", Scope)
async def test_a_scope_opens_its_routes_and_no_other(stack: Stack, scope: Scope) -> None:
    """With a key of this one scope: 403 that names the missing one, where it does not suffice; else never 403."""
    chief = await another_key(stack, scopes=frozenset({Scope.TEAM_ADMIN}))
    only = await another_key(stack, scopes=frozenset({scope}))
    wrong = []
    async with calling(stack, chief.key) as admin, calling(stack, only.key) as api:
        for route, (sufficient, _) in NEEDS.items():
            there = await made(stack, admin, route)
            found = re.sub("[0-9a-f]{32}", NEVER, there) if scope in sufficient else there
            reply = await ask(stack, api, route, found)
            refused = reply.status_code == 403 and any(one.value in reply.json()["detail"] for one in Scope)
            if refused == (scope in sufficient) or reply.status_code in {401, 405, 500}:
                wrong.append((route, reply.status_code, reply.text[:200]))
    assert not wrong


async def test_no_door_for_uploads_opens_without_the_scope(stack: Stack) -> None:
    """A file is brought with `jobs:write`, also by what such a key was promised, and read with `jobs:read`."""
    reads = await another_key(stack, scopes=frozenset({Scope.JOBS_READ}))
    writes = await another_key(stack, scopes=frozenset({Scope.JOBS_WRITE}))
    async with calling(stack, reads.key) as reader, calling(stack, writes.key) as writer, nobody(stack) as web:
        place = await initiated(writer)
        assert (await web.put(place["upload_url"], content=picture())).status_code == 200
        assert (await writer.get(place["file_url"])).status_code == 403
        assert (await reader.get(place["file_url"])).status_code == 307
        refused = await reader.post("/v1/files", files={"file": ("a.png", picture(), "image/png")})
        assert refused.status_code == 403
        assert "jobs:write" in refused.json()["detail"]
        brought = await web.post(
            "/fal/cdn/files/upload",
            content=picture(),
            headers={**bearing(await upload_token(writer)), "Content-Type": "image/png"},
        )
        assert brought.status_code == 200, brought.text
