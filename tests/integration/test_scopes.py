"""What each scope of a key allows, on every route that needs one."""

import re
from typing import Any

import httpx
import pytest

from app.domain.accounts import Scope
from app.main import create_app
from app.settings import load_settings
from app.web.routes import ADDRESSES
from tests.integration.fal_queue import MODEL, given
from tests.integration.ownership import FIXED, ROUTES, Own, Teams, routes_of
from tests.integration.uploads import bearing, initiated, picture, upload_token, without_key
from tests.support.callers import another_key, calling
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio

PARAMETER = re.compile(r"\{(\w+)\}")
NEVER = "0" * 32


READ = frozenset({Scope.JOBS_READ, Scope.TEAM_READ, Scope.TEAM_ADMIN})
WRITE = frozenset({Scope.JOBS_WRITE, Scope.TEAM_ADMIN})
SEE = frozenset({Scope.TEAM_READ, Scope.TEAM_ADMIN})
ADMIN = frozenset({Scope.TEAM_ADMIN})
BOTH = ADMIN  # only this single scope allows to read and to write; a change of a job reads it first
EVERY = frozenset(Scope)

URL = "https://consumer.example/hook"
JOB: Any = object()  # replaced by a valid submission, with the emulator's sample image
INPUT: Any = object()  # the same for fal's API
NEEDS: dict[str, tuple[frozenset[Scope], Any]] = {
    "POST /v1/jobs": (WRITE, JOB),
    "POST /v1/quotes": (READ, JOB),
    "GET /v1/jobs": (READ, None),
    "GET /v1/jobs/{job_id}": (READ, None),
    "DELETE /v1/jobs/{job_id}": (BOTH, None),
    "POST /v1/jobs/{job_id}/cancel": (BOTH, None),
    "GET /v1/jobs/{job_id}/video": (READ, None),
    "POST /v1/jobs/{job_id}/video/link": (READ, {}),
    "GET /v1/jobs/{job_id}/events": (READ, None),
    "GET /v1/jobs/{job_id}/history": (READ, None),
    "GET /v1/jobs/{job_id}/shares": (READ, None),
    "POST /v1/jobs/{job_id}/shares": (BOTH, {}),
    "GET /v1/shares": (READ, None),
    "POST /v1/shares": (ADMIN, {"from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z"}),
    "DELETE /v1/shares/{share_id}": (ADMIN, None),  # of one's own job: jobs:write
    "GET /v1/jobs/{job_id}/deliveries": (READ, None),
    "GET /v1/events": (READ, None),
    "GET /v1/usage": (READ, None),
    "GET /v1/me": (EVERY, None),
    "GET /v1/team/users": (SEE, None),
    "GET /v1/models": (EVERY, None),
    "GET /v1/models/{model_id}": (EVERY, None),
    "POST /v1/tokens": (EVERY, {}),  # with at most the key's own rights
    "GET /v1/files": (READ, None),
    "POST /v1/files": (WRITE, None),
    "DELETE /v1/files": (WRITE, None),
    "GET /v1/deliveries": (SEE, None),
    "GET /v1/deliveries/{delivery_id}": (READ, None),
    "POST /v1/deliveries/{delivery_id}/replay": (BOTH, None),
    "POST /v1/deliveries/replay": (ADMIN, {}),
    "GET /v1/webhook-endpoints": (SEE, None),
    "POST /v1/webhook-endpoints": (ADMIN, {"url": URL}),
    "GET /v1/webhook-endpoints/{endpoint_id}": (SEE, None),
    "PATCH /v1/webhook-endpoints/{endpoint_id}": (ADMIN, {"paused": True}),
    "DELETE /v1/webhook-endpoints/{endpoint_id}": (ADMIN, None),
    "GET /v1/webhook-endpoints/{endpoint_id}/deliveries": (SEE, None),
    "POST /v1/webhook-endpoints/{endpoint_id}/test": (ADMIN, None),
    "POST /v1/webhook-endpoints/{endpoint_id}/rotate-secret": (ADMIN, {}),
    "GET /v1/webhook-secret": (ADMIN, None),
    "POST /v1/webhook-secret/rotate": (ADMIN, {}),
    "POST /fal/queue/{model_id}": (WRITE, INPUT),
    "POST /fal/run/{model_id}": (BOTH, INPUT),  # its answer is the clip
    "GET /fal/queue/{app}/requests/{request_id}": (READ, None),
    "GET /fal/queue/{app}/requests/{request_id}/response": (READ, None),
    "GET /fal/queue/{app}/requests/{request_id}/status": (READ, None),
    "GET /fal/queue/{app}/requests/{request_id}/status/stream": (READ, None),
    "PUT /fal/queue/{app}/requests/{request_id}/cancel": (BOTH, None),
    "GET /fal/api/v1/models": (EVERY, None),
    "GET /fal/api/v1/models/pricing": (EVERY, None),
    "POST /fal/rest/tokens": (EVERY, {"allowed_apps": ["kling-video"]}),
    "POST /fal/rest/tokens/": (EVERY, {"allowed_apps": ["kling-video"]}),
    "POST /fal/rest/storage/auth/token": (WRITE, {}),
    "POST /fal/rest/storage/upload/initiate": (WRITE, {}),
    "POST /fal/rest/storage/upload/initiate-multipart": (WRITE, {}),
    "POST /fal/cdn/files/upload": (WRITE, None),
    "POST /fal/cdn/files/upload/multipart": (WRITE, None),
    "GET /fal/cdn/files/{file_id}/{name}": (READ, None),
    "PUT /fal/cdn/files/{file_id}/{name}/multipart/{upload_id}/{number}": (WRITE, None),
    "POST /fal/cdn/files/{file_id}/{name}/multipart/{upload_id}/complete": (WRITE, None),
}
# No scope applies to these: public pages, signed URLs, and the administrator's routes.
NO_SCOPE = (
    "/docs",
    "/openapi.json",
    "/fal/openapi.json",
    "/livez",
    "/readyz",
    "/metrics",
    "/static/",
    "/problems/",
    "/.well-known/",
    "/fal/rest/.well-known/",
    "/fal/hooks/",
    "/fal/proxy",
    "/fal/cdn/uploads/",
    "/v1/admin/",
    "/v1/clips/",
    "/v1/about",
    "/v1/session",
    "/v1/sign-in/",
    "/v1/invitations/",
    "/v1/shares/current",
)
MODEL_ID = MODEL


def has_scope(route: str) -> bool:
    """True for a route that needs a key's scope. HEAD is treated as GET."""
    method, path = route.split(" ")
    public = path in ADDRESSES or any(path == prefix or path.startswith(prefix) for prefix in NO_SCOPE)
    return method != "HEAD" and not public


def test_every_route_says_which_scope_opens_it() -> None:
    """A new route fails here until it is in the table."""
    opened = {route for route in routes_of(create_app(load_settings({}))) if has_scope(route)}
    assert opened == NEEDS.keys()


async def made(stack: Stack, chief: httpx.AsyncClient, route: str) -> str:
    """The id of a thing that the route is about."""
    entry = ROUTES.get(route)
    if isinstance(entry, Own):
        return await entry.make(stack, stack.api)
    return await entry.make(chief) if isinstance(entry, Teams) else f"file_{NEVER}"


async def ask(stack: Stack, api: httpx.AsyncClient, route: str, found: str) -> httpx.Response:
    """The route's answer, with this id where it has one."""
    method, path = route.split(" ")
    fixed = {**FIXED, "model_id": MODEL_ID, "number": "1"}
    address = PARAMETER.sub(lambda part: fixed.get(part[1], found), path)
    body: Any = NEEDS[route][1]
    if body is JOB:
        body = stack.body(max_usd="0.01")  # an allowed submission is refused for its price, and buys nothing
    elif body is INPUT:
        body = given(stack, number=1) | {"image_url": "none"}
    return await api.request(method, address, **({} if body is None else {"json": body}))


@pytest.mark.parametrize("scope", Scope)
async def test_a_scope_opens_its_routes_and_no_other(stack: Stack, scope: Scope) -> None:
    """A key with this one scope gets 403 with the missing one, where it is not enough; otherwise never 403."""
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


async def test_the_key_that_a_refusal_advises_can_do_what_was_refused(stack: Stack) -> None:
    """The command keeps the key's own scopes: one for `jobs:write` alone would buy clips that it cannot read."""
    reads = await another_key(stack, scopes=frozenset({Scope.JOBS_READ}))
    async with calling(stack, reads.key) as reader:
        refused = (await reader.post(f"/fal/queue/{MODEL_ID}", json=given(stack))).json()["detail"]
    advised = frozenset(Scope(word) for word in re.findall(r"--scope (\S+?)[` ]", refused))
    better = await another_key(stack, scopes=advised)
    async with calling(stack, better.key) as api:
        submitted = (await api.post(f"/fal/queue/{MODEL_ID}", json=given(stack))).json()
        status = await api.get(f"/fal/queue/{MODEL_ID}/requests/{submitted['request_id']}/status")
    assert status.status_code in {200, 202}, status.text


async def test_no_upload_route_works_without_the_scope(stack: Stack) -> None:
    """An upload needs `jobs:write`, also at a signed URL that such a key got; reading it needs `jobs:read`."""
    reads = await another_key(stack, scopes=frozenset({Scope.JOBS_READ}))
    writes = await another_key(stack, scopes=frozenset({Scope.JOBS_WRITE}))
    async with calling(stack, reads.key) as reader, calling(stack, writes.key) as writer, without_key(stack) as web:
        upload = await initiated(writer)
        assert (await web.put(upload["upload_url"], content=picture())).status_code == 200
        assert (await writer.get(upload["file_url"])).status_code == 403
        assert (await reader.get(upload["file_url"])).status_code == 307
        refused = await reader.post("/v1/files", files={"file": ("a.png", picture(), "image/png")})
        assert refused.status_code == 403
        assert "jobs:write" in refused.json()["detail"]
        brought = await web.post(
            "/fal/cdn/files/upload",
            content=picture(),
            headers={**bearing(await upload_token(writer)), "Content-Type": "image/png"},
        )
        assert brought.status_code == 200, brought.text
