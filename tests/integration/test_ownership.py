"""Visibility: on every route with an id, another owner's looks unknown (contract.md 3, who sees what)."""

import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI

from app.domain.accounts import USER_SCOPES, Scope
from app.main import create_app
from app.settings import load_settings
from tests.integration.ownership import FIXED, ROUTES, Admins, Own, Teams, routes_of
from tests.integration.refusals import assert_problem, nothing_changes
from tests.support.accounts import new_account
from tests.support.callers import another_key, calling, colleague, stranger, token
from tests.support.pipeline import Pipeline
from tests.support.stack import ADMIN_KEY, Stack

pytestmark = pytest.mark.anyio

OWN = {route: entry for route, entry in ROUTES.items() if isinstance(entry, Own)}
TEAMS = {route: entry for route, entry in ROUTES.items() if isinstance(entry, Teams)}
ADMINS = {route: entry for route, entry in ROUTES.items() if isinstance(entry, Admins)}
PARAMETER = re.compile(r"\{(\w+)\}")
STRANGERS = ("another team", "a colleague", "another token", "another token of the same user's other key")
NEVER = "0" * 32
MALFORMED = ("x", "job_", "JOB_" + NEVER, "job_" + "g" * 32, "*", "job_*", "ä", "\x00", "a" * 300, "..%00", "-1")


def asked(route: str, found: str) -> tuple[str, str]:
    """Method and path of a route with this id."""
    method, path = route.split(" ")
    wanted = [name for name in PARAMETER.findall(path) if name not in FIXED]
    given = found.split("/") if len(found.split("/")) == len(wanted) else [found] * len(wanted)
    ids = FIXED | {name: quote(one, safe="") for name, one in zip(wanted, given, strict=True)}
    return method, PARAMETER.sub(lambda part: ids[part[1]], path)


async def ask(api: httpx.AsyncClient, route: str, found: str) -> httpx.Response:
    """The route's answer about this id, with the body that its entry names."""
    method, address = asked(route, found)
    entry = ROUTES[route]
    body = entry.body if isinstance(entry, Own | Teams | Admins) else None
    return await api.request(method, address, **({} if body is None else {"json": body}))


def assert_refused(reply: httpx.Response, status: int, code: str) -> None:
    """The reply is a problem document with this status and code; on fal's API it has fal's shape."""
    if not reply.request.url.path.startswith("/fal/"):
        assert_problem(reply, status, code)
        return
    assert reply.status_code == status
    assert {"detail", "message"} <= reply.json().keys() <= {"detail", "message", "status"}


def comparable(reply: httpx.Response) -> dict[str, Any]:
    """All that a caller can compare: status, headers, and the document except for the request's own ids."""
    own = {"x-request-id", "x-fal-request-id", "content-length"}
    headers = sorted((name, value) for name, value in reply.headers.items() if name not in own)
    document = {name: value for name, value in reply.json().items() if name not in {"trace_id", "instance"}}
    return {"status": reply.status_code, "headers": headers, "document": document}


@asynccontextmanager
async def unrelated(stack: Stack, who: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client without rights to what the stack's own user creates."""
    match who:
        case "another team":
            key = await stranger(stack)
        case "a colleague":
            key = (await colleague(stack)).key
        case "another token":
            key = (await token(stack.api))["token"]
        case _:
            async with calling(stack, (await another_key(stack)).key) as api:
                key = (await token(api))["token"]
    async with calling(stack, key) as api:
        yield api


# --- the table ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """The application, for its routes."""
    return create_app(load_settings({}))


def test_every_route_with_an_id_has_an_entry(app: FastAPI) -> None:
    """A new route fails here until it has an entry; the message says where to add it."""
    with_id = {route for route in routes_of(app) if PARAMETER.search(route)}
    missing = sorted(with_id - ROUTES.keys())
    assert not missing, (
        f"{', '.join(missing)}: say in ROUTES of tests/integration/ownership.py how to make what the id names, and "
        "who may use the route: Own(make, status) for a user's things, Teams(make, status) for a team's, "
        "Admins(make) for the administrator, or "
        "Public(why) when the id names nothing that belongs to anybody."
    )
    assert not sorted(ROUTES.keys() - with_id), "these routes are gone; take their entries out"


def test_routes_under_admin_are_the_administrators() -> None:
    """Each entry under /v1/admin is the administrator's, and no other is."""
    assert {route for route in ROUTES if " /v1/admin/" in route} == set(ADMINS)


# --- what belongs to a user of a team ----------------------------------------------------------------------------


@pytest.mark.parametrize("route", OWN)
async def test_the_owner_is_answered(stack: Stack, route: str) -> None:
    """The entry is right: its owner, and a browser token that created the thing, may use the route."""
    entry = OWN[route]
    assert (await ask(stack.api, route, await entry.make(stack, stack.api))).status_code == entry.status
    async with calling(stack, (await token(stack.api))["token"]) as page:
        reply = await ask(page, route, await entry.make(stack, page))
    assert reply.status_code == (entry.status if entry.browser else 403)


@pytest.mark.parametrize("who", STRANGERS)
@pytest.mark.parametrize("route", OWN)
async def test_what_is_anothers_looks_like_nothing(stack: Stack, route: str, who: str) -> None:
    """The same 404 for another owner's id, an unknown one and a malformed one; nothing changes."""
    there = await OWN[route].make(stack, stack.api)
    never = re.sub("[0-9a-f]{32}", NEVER, there)
    async with unrelated(stack, who) as api:
        await api.get("/v1/jobs")  # records that the key was used
        async with nothing_changes(stack):
            nothing = await ask(api, route, never)
            assert_refused(nothing, 404, "not_found")
            for found in (there, *MALFORMED):
                reply = await ask(api, route, found)
                assert comparable(reply) == comparable(nothing), found


@pytest.mark.parametrize("who", STRANGERS)
@pytest.mark.parametrize("route", OWN)
async def test_what_is_anothers_costs_as_much_as_nothing(stack: Stack, route: str, who: str) -> None:
    """The store runs the same commands for another owner's id as for an unknown one, so timing reveals nothing."""
    there = await OWN[route].make(stack, stack.api)
    never = re.sub("[0-9a-f]{32}", NEVER, there)
    async with unrelated(stack, who) as api:
        await ask(api, route, never)  # records that the key was used, and loads the scripts
        counted = [await commands(stack, api, route, found) for found in (never, there, never, there)]
    assert counted[0] == counted[1] == counted[2] == counted[3]
    assert counted[0].total() > 0


async def commands(stack: Stack, api: httpx.AsyncClient, route: str, found: str) -> Counter[str]:
    """The store's commands for one request of a caller whom the process has not cached."""
    redis = Pipeline(stack).redis
    stack.gateway.accounts._cache.clear()
    before = await redis.info("commandstats")
    assert (await ask(api, route, found)).status_code == 404
    after = await redis.info("commandstats")
    calls = {name: row["calls"] - before.get(name, {"calls": 0})["calls"] for name, row in after.items()}
    return Counter({name: number for name, number in calls.items() if number and name != "cmdstat_info"})


@pytest.mark.parametrize("route", OWN)
async def test_the_team_sees_with_its_scopes_and_acts_with_one(stack: Stack, route: str) -> None:
    """`team:read` sees a colleague's things, and a change is 403; `team:admin` may change them."""
    entry = OWN[route]
    reader = await colleague(stack, scopes=USER_SCOPES | {Scope.TEAM_READ})
    admin = await colleague(stack, scopes=frozenset({Scope.TEAM_ADMIN}))
    async with calling(stack, reader.key) as reads, calling(stack, admin.key) as acts:
        found = await entry.make(stack, stack.api)
        reply = await ask(reads, route, found)
        if entry.acts:
            assert_refused(reply, 403, "forbidden")
        else:
            assert reply.status_code == entry.status
        assert (await ask(acts, route, found)).status_code == entry.status
        if entry.acts:
            assert_refused(await ask(reads, route, re.sub("[0-9a-f]{32}", NEVER, found)), 404, "not_found")


@pytest.mark.parametrize("route", OWN)
async def test_the_team_scopes_end_at_the_team(stack: Stack, route: str) -> None:
    """`team:admin` of one team sees nothing of another's."""
    other = await new_account(stack.gateway.administration, team_name="other", user_name="chief")
    made = await stack.gateway.administration.add_key(
        "test", user=other.user.id, scopes=frozenset({Scope.TEAM_ADMIN})
    )
    found = await OWN[route].make(stack, stack.api)
    async with calling(stack, made.key) as api:
        await api.get("/v1/jobs")
        async with nothing_changes(stack):
            assert_refused(await ask(api, route, found), 404, "not_found")


@pytest.mark.parametrize("route", [*OWN, *ADMINS])
async def test_no_key_and_a_revoked_key_are_401_alike(stack: Stack, route: str) -> None:
    """401, the same for an existing id and an unknown one."""
    entry = ROUTES[route]
    assert isinstance(entry, Own | Admins)
    gone = await another_key(stack)
    await stack.gateway.administration.revoke_key("test", gone.record.id)
    found = await (entry.make(stack, stack.api) if isinstance(entry, Own) else entry.make(stack))
    for key in ("", gone.key):
        async with calling(stack, key) as api:
            replies = [await ask(api, route, one) for one in (found, re.sub("[0-9a-f]{32}", NEVER, found))]
        for reply in replies:
            assert_refused(reply, 401, "unauthenticated")
        assert comparable(replies[0]) == comparable(replies[1])


async def test_lists_hold_nothing_of_anothers(stack: Stack, app: FastAPI) -> None:
    """Every list and report without an id in its path: another team and a colleague find none of our ids in it."""
    job = await stack.submit("kan4rie", metadata={"order": "17"})
    secrets = {job["id"], "kan4rie", stack.account.user.id, stack.account.team.id}
    lists = sorted(
        route.split(" ")[1] for route in routes_of(app) if route.startswith("GET /v1") and "{" not in route
    )
    assert {"/v1/jobs", "/v1/events", "/v1/usage", "/v1/me"} <= set(lists)
    queries = [{}, {"metadata.order": "17"}, {"group_by": "user"}, {"group_by": "key"}]
    for who in STRANGERS:
        known = {stack.account.team.id, stack.account.user.id} if "token" in who else set()
        known |= {stack.account.team.id} if who == "a colleague" else set()
        async with unrelated(stack, who) as api:
            for path in lists:
                for query in queries:
                    reply = await api.get(path, params=query)
                    leaked = [secret for secret in secrets - known if secret in reply.text]
                    assert not leaked, (who, path, query, leaked)


# --- what belongs to a team --------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", TEAMS)
async def test_what_is_a_teams_is_seen_and_changed_with_the_teams_scopes(stack: Stack, route: str) -> None:
    """`team:admin` changes, `team:read` reads, a user's key and a browser token are refused; nothing changes."""
    entry = TEAMS[route]
    chief = await another_key(stack, scopes=frozenset({Scope.TEAM_ADMIN}))
    reader = await colleague(stack, scopes=USER_SCOPES | {Scope.TEAM_READ})
    page = await token(stack.api)
    async with calling(stack, chief.key) as acts, calling(stack, reader.key) as reads:
        found = await entry.make(acts)
        for key in (stack.account.key, page["token"]):
            async with calling(stack, key) as api:
                await api.get("/v1/jobs")
                async with nothing_changes(stack):
                    replies = [await ask(api, route, one) for one in (found, re.sub("[0-9a-f]{32}", NEVER, found))]
            for reply in replies:
                assert_problem(reply, 403, "forbidden")
            assert comparable(replies[0]) == comparable(replies[1])
        if entry.acts:
            assert_problem(await ask(reads, route, found), 403, "forbidden")
            assert_problem(await ask(reads, route, re.sub("[0-9a-f]{32}", NEVER, found)), 404, "not_found")
        else:
            assert (await ask(reads, route, found)).status_code == entry.status
        assert (await ask(acts, route, found)).status_code == entry.status


@pytest.mark.parametrize("route", TEAMS)
async def test_what_is_another_teams_looks_like_nothing(stack: Stack, route: str) -> None:
    """`team:admin` of one team gets the same 404 for another team's id as for an unknown one."""
    ours = await another_key(stack, scopes=frozenset({Scope.TEAM_ADMIN}))
    other = await new_account(stack.gateway.administration, team_name="other", user_name="chief")
    made = await stack.gateway.administration.add_key(
        "test", user=other.user.id, scopes=frozenset({Scope.TEAM_ADMIN})
    )
    async with calling(stack, ours.key) as api:
        there = await TEAMS[route].make(api)
    async with calling(stack, made.key) as api:
        await api.get("/v1/jobs")
        async with nothing_changes(stack):
            nothing = await ask(api, route, re.sub("[0-9a-f]{32}", NEVER, there))
            assert_problem(nothing, 404, "not_found")
            for found in (there, *MALFORMED):
                assert comparable(await ask(api, route, found)) == comparable(nothing), found


# --- what belongs to the administrator ---------------------------------------------------------------------------


@pytest.mark.parametrize("route", ADMINS)
async def test_only_the_administrator_learns_which_ids_there_are(stack: Stack, route: str) -> None:
    """A user's key, one with all scopes, and a browser token get the same 403 for every id; nothing changes."""
    found = await ADMINS[route].make(stack)
    never = re.sub("[0-9a-f]{32}", NEVER, found)
    chief = await another_key(stack, scopes=frozenset(Scope))
    page = await token(stack.api)
    for key in (stack.account.key, chief.key, page["token"], await stranger(stack)):
        async with calling(stack, key) as api:
            await api.get("/v1/jobs")
            async with nothing_changes(stack):
                replies = [await ask(api, route, one) for one in (found, never, "x", "a" * 300)]
            for reply in replies:
                assert_refused(reply, 403, "forbidden")
                assert comparable(reply) == comparable(replies[0])
            overridden = {"X-HTTP-Method-Override": "GET", "X-Original-URL": "/v1/me", "X-Admin": "1"}
            method, address = asked(route, found)
            assert (await api.request(method, address, headers=overridden)).status_code == 403


@pytest.mark.parametrize("route", ADMINS)
async def test_the_administrator_is_answered(stack: Stack, route: str) -> None:
    """The entry is right: an existing id is found; an unknown or malformed one is 404 and changes nothing."""
    entry = ADMINS[route]
    found = await entry.make(stack)
    async with calling(stack, ADMIN_KEY) as api:
        async with nothing_changes(stack):
            for one in (re.sub("[0-9a-f]{32}", NEVER, found), "x", "a" * 300, "gateway", "ä"):
                assert_refused(await ask(api, route, one), 404, "not_found")
        reply = await ask(api, route, found)
    assert reply.status_code == entry.status, reply.text
