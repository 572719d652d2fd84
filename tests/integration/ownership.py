"""Every route with an id in its path, and how to call it about something of one's own.

A new route without an entry fails `tests/integration/test_ownership.py`, which says what to add here.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from app.domain.limits import Limit, Unit, Window
from tests.integration.uploads import initiated, picture, without_key
from tests.support.endpoints import team_admin
from tests.support.stack import Stack

TEAMS_HOOK = "/v1/admin/teams/{team_id}/webhook-endpoints/{endpoint_id}"
HOOK = "https://consumer.example/hook"
DAY = {"unit": "jobs", "window": "day", "amount": 5}


@dataclass(frozen=True)
class Own:
    """A route about something that belongs to a user.

    Attributes:
        make: creates such a thing with a client, and returns its id.
        status: the owner's status code.
        acts: True when it changes something, so that `team:read` is not enough.
        browser: True when the browser token that created the thing may use the route.
        body: the body to send.
    """

    make: Callable[[Stack, httpx.AsyncClient], Awaitable[str]]
    status: int
    acts: bool = False
    browser: bool = True
    body: Any = None


@dataclass(frozen=True)
class Teams:
    """A route about something of a team's, for keys with the team's scopes: other teams' keys are refused.

    Attributes:
        make: creates such a thing with a client whose key has `team:admin`, and returns its id.
        status: the team's status code.
        acts: True when it changes something, so that `team:read` is not enough.
        body: the body to send.
    """

    make: Callable[[httpx.AsyncClient], Awaitable[str]]
    status: int
    acts: bool = True
    body: Any = None


@dataclass(frozen=True)
class Admins:
    """A route only for the administrator: all others are refused before the id is read.

    Attributes:
        make: creates such a thing for the stack's own team, and returns its id; `TEAM/ID` where the path has both.
        status: the administrator's status code.
        body: the body to send.
    """

    make: Callable[[Stack], Awaitable[str]]
    status: int = 200
    body: Any = None


@dataclass(frozen=True)
class Public:
    """A route about something without an owner."""

    why: str


Entry = Own | Teams | Admins | Public


async def live_job(stack: Stack, api: httpx.AsyncClient) -> str:
    """A queued job."""
    reply = await api.post("/v1/jobs", json=stack.body())
    assert reply.status_code == 202, reply.text
    return str(reply.json()["id"])


async def ended_job(stack: Stack, api: httpx.AsyncClient) -> str:
    """A job that was cancelled in line, so it costs nothing and its stream ends at once."""
    job_id = await live_job(stack, api)
    assert (await api.post(f"/v1/jobs/{job_id}/cancel")).status_code == 202
    return job_id


async def new_wall(api: httpx.AsyncClient) -> dict[str, str]:
    """A share of the clips of a period, with its URL."""
    span = {"from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z"}
    made: dict[str, str] = (await api.post("/v1/shares", json=span)).json()
    return made


async def a_wall(api: httpx.AsyncClient) -> str:
    """Its id."""
    return (await new_wall(api))["id"]


async def the_team(stack: Stack) -> str:
    """The stack's own team, with a limit that can be raised."""
    await stack.gateway.limits.replace("test", stack.account.team.id, [_limit()])
    return stack.account.team.id


async def a_user(stack: Stack) -> str:
    """A user without jobs, with a limit that can be raised."""
    user = await stack.gateway.administration.add_user(
        "test", team=stack.account.team.id, name="idle", limits=[_limit()]
    )
    return user.id


async def an_idle_team(stack: Stack) -> str:
    """A team without jobs."""
    return (await stack.gateway.administration.add_team("test", name="idle")).id


async def a_held_job(stack: Stack) -> str:
    """A job whose submission was interrupted, so it is unknown whether fal accepted it."""
    job_id = await live_job(stack, stack.api)
    ref = f"{stack.account.team.id}/{job_id}"
    await stack.gateway.stores.slots.grant()
    job = await stack.gateway.stores.jobs.get(ref)
    assert job is not None
    nonce = await stack.gateway.stores.jobs.claim(job)
    assert await stack.gateway.stores.jobs.hold(job, nonce=nonce or "", reason="worker_lost")
    return job_id


async def an_endpoint(api: httpx.AsyncClient) -> str:
    """A webhook endpoint."""
    reply = await api.post("/v1/webhook-endpoints", json={"url": HOOK})
    assert reply.status_code == 201, reply.text
    return str(reply.json()["id"])


async def a_delivery(stack: Stack, api: httpx.AsyncClient) -> str:
    """The delivery of an ended job to its own webhook URL."""
    reply = await api.post("/v1/jobs", json=stack.body(webhook_url="https://consumer.example/own"))
    assert reply.status_code == 202, reply.text
    job_id = reply.json()["id"]
    assert (await api.post(f"/v1/jobs/{job_id}/cancel")).status_code == 202
    async with team_admin(stack) as looking:
        (found,) = (await looking.get(f"/v1/jobs/{job_id}/deliveries")).json()["data"]
    return str(found["id"])


async def a_teams_endpoint(stack: Stack) -> str:
    """An endpoint of the stack's team, with the team."""
    async with team_admin(stack) as api:
        return f"{stack.account.team.id}/{await an_endpoint(api)}"


async def a_teams_delivery(stack: Stack) -> str:
    """A delivery of the stack's team, with the team."""
    return f"{stack.account.team.id}/{await a_delivery(stack, stack.api)}"


async def a_key(stack: Stack) -> str:
    """Another key of the stack's user."""
    return (await stack.gateway.administration.add_key("test", user=stack.account.user.id)).record.id


async def a_file(stack: Stack, api: httpx.AsyncClient) -> str:
    """A file that was uploaded as fal's JavaScript client uploads one."""
    upload = await initiated(api)
    async with without_key(stack) as web:
        assert (await web.put(upload["upload_url"], content=picture())).status_code == 200
    return upload["file_url"].split("/")[-2]


async def an_invitation(stack: Stack) -> str:
    """An invitation of the stack's user."""
    return (await stack.gateway.invitations.add("test", user=stack.account.user.id)).invitation.id


def _limit() -> Limit:
    return Limit(Unit.JOBS, Window.DAY, 5)


RAISE = {**DAY, "amount": 9, "expires_in": 600}
UPLOADS = "several ids and a signature; whose they are is tested in test_fal_storage_refused.py"
CONVERTOR = re.compile(r":\w+(?=})")  # the type of a path parameter, such as `:path`
FIXED = {"app": "fal-ai/kling-video", "name": "a.png"}  # path parameters with the same value for everyone
ROUTES: dict[str, Entry] = {
    "GET /v1/jobs/{job_id}": Own(live_job, 200),
    "DELETE /v1/jobs/{job_id}": Own(ended_job, 204, acts=True),
    "POST /v1/jobs/{job_id}/cancel": Own(live_job, 202, acts=True),
    "GET /v1/jobs/{job_id}/video": Own(ended_job, 409),
    "POST /v1/jobs/{job_id}/video/link": Own(ended_job, 409, body={}),
    "GET /v1/clips/{team}/{job_id}/{title}": Public("an address that the job has signed: test_clip_addresses.py"),
    "GET /v1/jobs/{job_id}/events": Own(ended_job, 200),
    "GET /v1/jobs/{job_id}/history": Own(ended_job, 200),
    "GET /v1/jobs/{job_id}/shares": Own(ended_job, 200, browser=False),
    "POST /v1/jobs/{job_id}/shares": Own(ended_job, 409, acts=True, browser=False, body={}),
    "DELETE /v1/shares/{share_id}": Teams(a_wall, 204),
    "GET /v1/jobs/{job_id}/deliveries": Own(ended_job, 200, browser=False),
    "GET /v1/webhook-endpoints/{endpoint_id}/deliveries": Teams(an_endpoint, 200, acts=False),
    "GET /v1/deliveries/{delivery_id}": Own(a_delivery, 200, browser=False),
    "POST /v1/deliveries/{delivery_id}/replay": Own(a_delivery, 202, acts=True, browser=False),
    "GET /v1/webhook-endpoints/{endpoint_id}": Teams(an_endpoint, 200, acts=False),
    "PATCH /v1/webhook-endpoints/{endpoint_id}": Teams(an_endpoint, 200, body={"paused": True}),
    "DELETE /v1/webhook-endpoints/{endpoint_id}": Teams(an_endpoint, 204),
    "POST /v1/webhook-endpoints/{endpoint_id}/test": Teams(an_endpoint, 202),
    "POST /v1/webhook-endpoints/{endpoint_id}/rotate-secret": Teams(an_endpoint, 200, body={}),
    "GET /v1/models/{model_id}": Public("models are the same for everybody"),
    "GET /fal/queue/{app}/requests/{request_id}": Own(live_job, 400),
    "GET /fal/queue/{app}/requests/{request_id}/response": Own(ended_job, 499),
    "GET /fal/queue/{app}/requests/{request_id}/status": Own(live_job, 202),
    "GET /fal/queue/{app}/requests/{request_id}/status/stream": Own(ended_job, 200),
    "PUT /fal/queue/{app}/requests/{request_id}/cancel": Own(live_job, 202, acts=True),
    "POST /fal/queue/{model_id}": Public("models are the same for everybody"),
    "POST /fal/run/{model_id}": Public("models are the same for everybody"),
    "GET /fal/cdn/files/{file_id}/{name}": Own(a_file, 307),
    "PUT /fal/cdn/files/{file_id}/{name}/multipart/{upload_id}/{number}": Public(UPLOADS),
    "POST /fal/cdn/files/{file_id}/{name}/multipart/{upload_id}/complete": Public(UPLOADS),
    "PUT /fal/cdn/uploads/{upload_id}": Public(UPLOADS),
    "PUT /fal/cdn/uploads/{upload_id}/{number}": Public(UPLOADS),
    "POST /fal/cdn/uploads/{upload_id}/complete": Public(UPLOADS),
    "POST /fal/hooks/{job}/{nonce}/{mac}": Public("fal calls it, with a mac of ours and a signature of its own"),
    "GET /problems/{slug}": Public("an error's code"),
    "GET /docs/guide/{path}": Public("the documentation"),
    "HEAD /docs/guide/{path}": Public("the documentation"),
    "GET /jobs/{job_id}": Public("the page, whose script asks the API"),
    "HEAD /jobs/{job_id}": Public("the page, whose script asks the API"),
    "GET /admin/{view}": Public("the page, whose script asks the API"),
    "HEAD /admin/{view}": Public("the page, whose script asks the API"),
    "GET /admin/{view}/{item_id}": Public("the page, whose script asks the API"),
    "HEAD /admin/{view}/{item_id}": Public("the page, whose script asks the API"),
    "GET /team/{view}": Public("the page, whose script asks the API"),
    "HEAD /team/{view}": Public("the page, whose script asks the API"),
    "GET /team/{view}/{item_id}": Public("the page, whose script asks the API"),
    "HEAD /team/{view}/{item_id}": Public("the page, whose script asks the API"),
    "GET /static/{path}": Public("the pages' own files"),
    "HEAD /static/{path}": Public("the pages' own files"),
    "GET /v1/admin/teams/{team_id}": Admins(the_team),
    "PATCH /v1/admin/teams/{team_id}": Admins(the_team, body={"name": "new"}),
    "DELETE /v1/admin/teams/{team_id}": Admins(an_idle_team, 204),
    "GET /v1/admin/teams/{team_id}/users": Admins(the_team),
    "GET /v1/admin/teams/{team_id}/limits": Admins(the_team),
    "PUT /v1/admin/teams/{team_id}/limits": Admins(the_team, body=[DAY]),
    "POST /v1/admin/teams/{team_id}/raises": Admins(the_team, 201, body=RAISE),
    "POST /v1/admin/teams/{team_id}/credits": Admins(the_team, 201, body={"amount_usd": "1", "reason": "a gift"}),
    "GET /v1/admin/teams/{team_id}/webhook-endpoints": Admins(the_team),
    "POST /v1/admin/teams/{team_id}/webhook-endpoints": Admins(the_team, 201, body={"url": HOOK}),
    f"GET {TEAMS_HOOK}": Admins(a_teams_endpoint),
    f"PATCH {TEAMS_HOOK}": Admins(a_teams_endpoint, body={"paused": True}),
    f"DELETE {TEAMS_HOOK}": Admins(a_teams_endpoint, 204),
    f"POST {TEAMS_HOOK}/test": Admins(a_teams_endpoint, 202),
    f"POST {TEAMS_HOOK}/rotate-secret": Admins(a_teams_endpoint, body={}),
    "GET /v1/admin/teams/{team_id}/deliveries": Admins(the_team),
    "POST /v1/admin/teams/{team_id}/deliveries/replay": Admins(the_team, 202, body={}),
    "GET /v1/admin/teams/{team_id}/deliveries/{delivery_id}": Admins(a_teams_delivery),
    "POST /v1/admin/teams/{team_id}/deliveries/{delivery_id}/replay": Admins(a_teams_delivery, 202),
    "GET /v1/admin/users/{user_id}": Admins(a_user),
    "PATCH /v1/admin/users/{user_id}": Admins(a_user, body={"name": "new"}),
    "DELETE /v1/admin/users/{user_id}": Admins(a_user, 204),
    "GET /v1/admin/users/{user_id}/limits": Admins(a_user),
    "PUT /v1/admin/users/{user_id}/limits": Admins(a_user, body=[DAY]),
    "POST /v1/admin/users/{user_id}/raises": Admins(a_user, 201, body=RAISE),
    "GET /v1/admin/keys/{key_id}": Admins(a_key),
    "DELETE /v1/admin/keys/{key_id}": Admins(a_key, 204),
    "DELETE /v1/admin/invitations/{invitation_id}": Admins(an_invitation, 204),
    "GET /v1/admin/jobs/{job_id}": Admins(a_held_job),
    "POST /v1/admin/jobs/{job_id}/cancel": Admins(a_held_job, 202),
    "POST /v1/admin/jobs/{job_id}/resolve": Admins(a_held_job, body={"action": "fail", "charged": False}),
    "POST /v1/admin/keys/{key_id}/rotate": Admins(a_key, 201, body={"overlap": 0}),
}


def routes_of(app: FastAPI) -> set[str]:
    """`METHOD /path` of every route of the application, including undocumented ones."""
    return {
        f"{method} {CONVERTOR.sub('', context.path or '')}"
        for context in iter_route_contexts(app.routes)
        for method in context.methods or ()
    }
