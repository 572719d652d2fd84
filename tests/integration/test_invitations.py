"""Invitations: a link under which a user fetches a key of their own, once."""

import asyncio
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from app.domain.accounts import new_key
from app.domain.sessions import INVITATION_PREFIX
from app.store import keys
from tests.integration.admin import Administrator
from tests.integration.refusals import assert_problem, nothing_changes
from tests.integration.signing_in import browsing
from tests.support.callers import calling
from tests.support.server import Server
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio


async def invited(admin: Administrator, stack: Stack, **more: Any) -> tuple[dict[str, Any], str]:
    """A new invitation of a new user, and its code."""
    user = await admin.user(stack.account.team.id, "Ada")
    made: dict[str, Any] = await admin.done("POST", "invitations", {"user": user["id"], **more})
    return made, made["url"].partition("#")[2]


async def test_a_colleague_fetches_a_key_of_their_own(admin: Administrator, stack: Stack) -> None:
    """The link shows who is invited to what; the key is shown once, has the scopes, and signs the browser in."""
    made, code = await invited(admin, stack, key_name="laptop", scopes=["jobs:read"])
    assert made["url"] == f"http://filmgate.test/invite#{code}"
    assert made["status"] == "open"
    async with browsing(stack) as web:
        for _ in range(2):
            shown = (await web.post("/v1/invitations/read", json={"code": code})).json()
        assert shown == {
            "user": {"id": made["user"], "name": "Ada"},
            "team": {"id": stack.account.team.id, "name": "test"},
            "key_name": "laptop",
            "scopes": ["jobs:read"],
            "expires_at": made["expires_at"],
        }
        reply = await web.post("/v1/invitations/accept", json={"code": code})
        assert reply.status_code == 201
        key, session = reply.json()["key"], reply.json()["session"]
        assert (key["name"], key["scopes"], key["user"]) == ("laptop", ["jobs:read"], made["user"])
        assert (session["role"], session["user"]["name"], session["key"]["id"]) == ("user", "Ada", key["id"])
        assert (await web.get("/v1/me")).json()["user"]["id"] == made["user"]
    async with calling(stack, key["key"]) as api:
        assert (await api.get("/v1/me")).json()["key"]["id"] == key["id"]
    (listed,) = (await admin.done("GET", "invitations"))["data"]
    assert (listed["status"], listed["key"]) == ("accepted", key["id"])
    assert code not in str(listed)
    acts = [(act["action"], act["actor"], act["target"]) for act in await admin.audit()]
    assert acts[:2] == [
        ("invitation.accept", made["user"], made["id"]),
        ("invitation.add", "administrator", made["id"]),
    ]


async def test_of_two_who_accept_at_once_one_gets_a_key(admin: Administrator, stack: Stack, server: Server) -> None:
    """At two processes: one key is made; to the others it is a sentence, and later too."""
    made, code = await invited(admin, stack)
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as elsewhere, browsing(stack) as web:
        replies = await asyncio.gather(
            *(one.post("/v1/invitations/accept", json={"code": code}) for _ in range(4) for one in (web, elsewhere))
        )
        late = await web.post("/v1/invitations/read", json={"code": code})
    assert sorted(reply.status_code for reply in replies) == [201, *[410] * 7]
    assert len((await admin.done("GET", "keys", user=made["user"]))["data"]) == 1
    for reply in [late, *(reply for reply in replies if reply.status_code == 410)]:
        assert "used already" in assert_problem(reply, 410, "link_ended", secret=code)["detail"]


async def test_an_invitation_that_has_ended_says_why(admin: Administrator, stack: Stack) -> None:
    """Expired, revoked, its user deleted, unknown: no key is made."""
    ended: dict[str, str] = {}
    expired, ended["has expired"] = await invited(admin, stack)
    revoked, ended["was revoked"] = await invited(admin, stack)
    deleted, ended["was deleted"] = await invited(admin, stack)
    ended["is mistyped"] = new_key(INVITATION_PREFIX)
    await admin.done("DELETE", f"invitations/{revoked['id']}")
    await admin.done("DELETE", f"invitations/{revoked['id']}")
    await admin.done("DELETE", f"users/{deleted['user']}")
    async with Redis.from_url(stack.redis.url) as redis:
        await redis.hset(keys.invitation(expired["id"]), "expires_ms", 1)
    async with browsing(stack) as web, nothing_changes(stack):
        for reason, code in ended.items():
            for route in ("read", "accept"):
                reply = await web.post(f"/v1/invitations/{route}", json={"code": code})
                assert reason in assert_problem(reply, 410, "link_ended", secret=code)["detail"]
                assert "set-cookie" not in reply.headers
    statuses = {one["id"]: one["status"] for one in (await admin.done("GET", "invitations"))["data"]}
    assert (statuses[expired["id"]], statuses[revoked["id"]]) == ("expired", "revoked")
    only = (await admin.done("GET", "invitations", user=revoked["user"]))["data"]
    assert [one["id"] for one in only] == [revoked["id"]]


async def test_a_used_invitation_cannot_be_revoked_any_more(admin: Administrator, stack: Stack) -> None:
    """The administrator is told to revoke the key; a reply of success would be believed."""
    made, code = await invited(admin, stack)
    async with browsing(stack) as web:
        assert (await web.post("/v1/invitations/accept", json={"code": code})).status_code == 201
    reply = await admin.call("DELETE", f"invitations/{made['id']}")
    assert "revoke the key" in assert_problem(reply, 410, "link_ended")["detail"]
    assert_problem(await admin.call("DELETE", "invitations/inv_0"), 404, "not_found")


BAD_BODIES: dict[str, tuple[dict[str, Any], int, str]] = {
    "no user": ({}, 422, "invalid_input"),
    "an unknown user": ({"user": "user_0"}, 404, "not_found"),
    "no scopes": ({"scopes": []}, 422, "invalid_input"),
    "an unknown scope": ({"scopes": ["admin"]}, 422, "invalid_input"),
    "a second": ({"expires_in": 1}, 422, "invalid_input"),
    "a year": ({"expires_in": 366 * 86_400}, 422, "invalid_input"),
    "a line break": ({"key_name": "a\nb"}, 422, "invalid_input"),
}


async def test_a_wrong_invitation_is_not_made(admin: Administrator, stack: Stack) -> None:
    """Each is refused and changes nothing."""
    async with nothing_changes(stack):
        for case, (body, status, code) in BAD_BODIES.items():
            given = body if case in {"no user", "an unknown user"} else {"user": stack.account.user.id, **body}
            assert_problem(await admin.call("POST", "invitations", given), status, code)
