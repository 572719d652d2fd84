"""Teams and users over the admin API, and who may use it."""

from typing import Any

import pytest

from tests.integration.admin import NEVER, Administrator, administrator
from tests.integration.ownership import a_held_job
from tests.integration.refusals import assert_problem, nothing_changes
from tests.support.callers import calling
from tests.support.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, open_stack

pytestmark = pytest.mark.anyio

DAILY = {"unit": "usd", "window": "day", "amount": "12.50"}
FEW = {"unit": "jobs", "window": "concurrent", "amount": 3}


async def admin_routes(stack: Stack) -> list[tuple[str, str]]:
    """Method and path of every admin route, from the application's own description."""
    paths = (await stack.api.get("/openapi.json")).json()["paths"]
    return [(method.upper(), path) for path in paths if path.startswith("/v1/admin") for method in paths[path]]


def filled(path: str, **ids: str) -> str:
    """The path with ids in place of its parameters; ids that are not given were never given out."""
    for name in ("team_id", "user_id", "key_id", "job_id"):
        path = path.replace("{" + name + "}", ids.get(name, f"{name.removesuffix('_id')}_{NEVER}"))
    return path


async def test_a_team_is_shown_as_it_was_made(admin: Administrator) -> None:
    """The reply, a later read and the list show the same; none has the webhook secret."""
    made = await admin.team(
        "  Zürich 🎬 ",
        weight=7,
        time_zone="Europe/Zurich",
        reposts="strict",
        retention_days=90,
        storage_bytes=10**12,
        limits=[DAILY, FEW],
    )
    assert made["created_at"].endswith("Z")
    assert {name: made[name] for name in made if name not in {"id", "created_at"}} == {
        "name": "Zürich 🎬",
        "weight": 7,
        "time_zone": "Europe/Zurich",
        "reposts": "strict",
        "retention_days": 90,
        "storage_bytes": 10**12,
        "limits": [FEW, DAILY],
    }
    assert await admin.done("GET", f"teams/{made['id']}") == made
    reply = await admin.call("GET", "teams")
    assert reply.json()["data"][-1] == made
    assert "whsec_" not in reply.text


async def test_a_plain_team_has_weight_one_utc_and_no_limits(admin: Administrator) -> None:
    """Only the name is required, and null reads as absent."""
    ways: tuple[dict[str, Any], ...] = ({}, {"weight": None, "time_zone": None, "limits": None})
    for more in ways:
        made = await admin.team(**more)
        assert (made["weight"], made["time_zone"], made["limits"], made["reposts"]) == (1, "UTC", [], "answered")


async def test_a_change_leaves_the_rest_as_it_was(admin: Administrator) -> None:
    """Only given members change, for teams and users alike."""
    team = await admin.team(weight=2, limits=[DAILY])
    changed = await admin.done(
        "PATCH", f"teams/{team['id']}", {"time_zone": "Asia/Tokyo", "reposts": "never", "name": None}
    )
    assert changed == {**team, "time_zone": "Asia/Tokyo", "reposts": "never"}
    assert await admin.done("GET", f"teams/{team['id']}") == changed
    user = await admin.user(team["id"], limits=[FEW])
    renamed = await admin.done("PATCH", f"users/{user['id']}", {"name": "another"})
    assert renamed == {**user, "name": "another"}
    assert await admin.done("GET", f"users/{user['id']}") == renamed


async def test_users_are_listed_by_team(admin: Administrator, stack: Stack) -> None:
    """The team's users in order of creation; without a team, everyone's."""
    team = await admin.team()
    users = [await admin.user(team["id"], name) for name in ("one", "two", "three")]
    listed = (await admin.done("GET", "users", team=team["id"]))["data"]
    assert sorted(listed, key=lambda user: str(user["id"])) == sorted(users, key=lambda user: str(user["id"]))
    everybody = {user["id"] for user in (await admin.done("GET", "users"))["data"]}
    assert everybody == {stack.account.user.id, *(user["id"] for user in users)}


async def test_a_deleted_team_takes_users_and_keys_with_it(admin: Administrator, stack: Stack) -> None:
    """All of them are 404 and the key is refused; the ledger can still be read."""
    team = await admin.team()
    user = await admin.user(team["id"])
    key = await admin.key(user["id"])
    async with calling(stack, key["key"]) as theirs:
        job = (await theirs.post("/v1/jobs", json=stack.body())).json()
        assert (await theirs.post(f"/v1/jobs/{job['id']}/cancel")).status_code == 202
        await admin.done("DELETE", f"teams/{team['id']}")
        assert_problem(await theirs.post("/v1/jobs", json=stack.body()), 401, "unauthenticated")
    for method, path in (
        ("GET", f"teams/{team['id']}"),
        ("GET", f"teams/{team['id']}/limits"),
        ("DELETE", f"teams/{team['id']}"),
        ("GET", f"users/{user['id']}"),
    ):
        assert_problem(await admin.call(method, path), 404, "not_found")
    assert_problem(await admin.call("POST", "users", {"team": team["id"], "name": "x"}), 404, "not_found")
    assert_problem(await admin.call("POST", "keys", {"user": user["id"]}), 404, "not_found")
    assert (await admin.done("GET", f"keys/{key['id']}"))["revoked_at"] is not None
    assert team["id"] not in {one["id"] for one in (await admin.done("GET", "teams"))["data"]}
    entries = (await admin.done("GET", "ledger", team=team["id"]))["data"]
    assert [entry["type"] for entry in entries] == ["release", "reserve"]


@pytest.mark.parametrize("kind", ["team", "user"])
async def test_who_has_live_jobs_is_not_deleted(admin: Administrator, stack: Stack, kind: str) -> None:
    """409 without a change, which says how to cancel; when the administrator has done so, it is deleted."""
    path = f"/{kind}s/{stack.account.team.id if kind == 'team' else stack.account.user.id}"
    job = await stack.submit()
    async with nothing_changes(stack):
        refused = await admin.call("DELETE", path)
    assert "`filmgate jobs cancel`" in assert_problem(refused, 409, "has_live_jobs")["detail"]
    assert (await admin.call("POST", f"jobs/{job['id']}/cancel")).status_code == 202
    await admin.done("DELETE", path)
    assert_problem(await stack.api.post("/v1/jobs", json=stack.body()), 401, "unauthenticated")


@pytest.mark.parametrize("kind", ["team", "user"])
async def test_who_has_a_held_job_is_told_how_it_ends(admin: Administrator, stack: Stack, kind: str) -> None:
    """Neither cancelling nor waiting ends it."""
    path = f"/{kind}s/{stack.account.team.id if kind == 'team' else stack.account.user.id}"
    job_id = await a_held_job(stack)
    assert "filmgate jobs resolve" in (await admin.call("DELETE", path)).json()["detail"]
    await stack.gateway.operations.resolve("test", job_id, "fail", charged=False)
    await admin.done("DELETE", path)


async def test_without_a_key_no_admin_route_opens(stack: Stack) -> None:
    """401 on each route, before the body, the path or the query is read."""
    routes = await admin_routes(stack)
    assert len(routes) >= 28
    async with nothing_changes(stack):
        for method, path in routes:
            reply = await stack.api.request(
                method, filled(path), params={"limit": "x"}, content=b"{", headers={"Authorization": ""}
            )
            assert_problem(reply, 401, "unauthenticated")


async def test_a_users_key_administers_nothing(admin: Administrator, stack: Stack) -> None:
    """403 on each route, byte for byte the same for ids that exist and ids that do not."""
    everything = ["jobs:read", "jobs:write", "team:read", "team:admin"]
    key = await admin.key(stack.account.user.id, scopes=everything)
    there = {"team_id": stack.account.team.id, "user_id": stack.account.user.id, "key_id": key["id"]}
    job = await stack.submit()
    async with calling(stack, key["key"]) as theirs, nothing_changes(stack):
        for method, path in await admin_routes(stack):
            real = filled(path, **there, job_id=job["id"])
            replies = [
                await theirs.request(method, one, content=b"{", headers={"X-Request-ID": "t"})
                for one in (real, filled(path))
            ]
            assert_problem(replies[0], 403, "forbidden")
            assert replies[0].text.replace(real, filled(path)) == replies[1].text


async def test_without_a_setting_there_is_no_administrator(store: RedisServer, emulator: Emulator) -> None:
    """A user's key is refused as usual, and the administrator's would-be key is unknown."""
    async with open_stack(store, emulator, FILMGATE_ADMIN_KEY="") as stack:
        for method, path in await admin_routes(stack):
            assert_problem(await stack.api.request(method, filled(path)), 403, "forbidden")
        async with administrator(stack) as nobody:
            assert_problem(await nobody.call("GET", "teams"), 401, "unauthenticated")


async def test_the_administrators_key_makes_no_jobs(admin: Administrator, stack: Stack) -> None:
    """403 on users' routes, with what to do instead; nothing is written."""
    async with nothing_changes(stack):
        reply = await admin.api.post("/v1/jobs", json=stack.body())
        assert "make a user" in assert_problem(reply, 403, "forbidden")["detail"]
        assert_problem(await admin.api.get("/v1/jobs"), 403, "forbidden")
        assert_problem(await admin.api.get("/v1/me"), 403, "forbidden")


async def test_admin_replies_are_not_stored(admin: Administrator, stack: Stack) -> None:
    """`Cache-Control: no-store` on successes and on 404."""
    for path in ("teams", "keys", "audit", f"teams/{stack.account.team.id}", "teams/x"):
        assert (await admin.call("GET", path)).headers["cache-control"] == "no-store"


async def test_a_path_reaches_no_other_owners_limits(admin: Administrator, stack: Stack) -> None:
    """A team's route with the gateway's name or a user's id is 404, and sets no limit."""
    team, user = stack.account.team.id, stack.account.user.id
    async with nothing_changes(stack):
        for path in ("teams/gateway", f"teams/{user}", f"users/{team}", "users/gateway"):
            assert_problem(await admin.call("PUT", f"{path}/limits", [FEW]), 404, "not_found")
            assert_problem(await admin.call("POST", f"{path}/raises", {**FEW, "expires_in": 60}), 404, "not_found")
