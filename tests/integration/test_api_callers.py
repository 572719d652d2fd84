"""Authentication: invalid keys, and what one caller sees of another."""

import httpx
import pytest

from app.domain.accounts import new_key
from tests.integration.refusals import assert_problem, nothing_changes
from tests.support.callers import second_account
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio

# Signed addresses (test_clip_addresses.py), what a page asks first, and the ways to a session (test_sessions.py).
KEYLESS = ("/v1/clips/", "/v1/about", "/v1/session", "/v1/invitations/", "/v1/sign-in/")
OPEN = {"/livez", "/readyz", "/problems/{slug}", "/docs", "/openapi.json"}


async def guarded_routes(stack: Stack) -> list[tuple[str, str]]:
    """Method and path of every route of the native API, from the application's own description."""
    paths = (await stack.api.get("/openapi.json")).json()["paths"]
    keyed = [path for path in paths if path.startswith("/v1") and not path.startswith(KEYLESS)]
    return [(method.upper(), path) for path in keyed for method in paths[path]]


def filled(path: str, job_id: str) -> str:
    """The path with a job's id in place of its parameter."""
    return path.replace("{job_id}", job_id).replace("{model_id}", "x/y")


async def test_every_route_wants_a_key(stack: Stack) -> None:
    """401 with `WWW-Authenticate` on each route of the table, even for a body that is no JSON."""
    job = await stack.submit()
    routes = await guarded_routes(stack)
    assert len(routes) >= 12
    async with nothing_changes(stack):
        for method, path in routes:
            for content in (b"", b"{", b"{}"):
                reply = await stack.api.request(
                    method, filled(path, job["id"]), content=content, headers={"Authorization": ""}
                )
                assert_problem(reply, 401, "unauthenticated")
                assert reply.headers["www-authenticate"].startswith("Bearer")


WRONG_KEYS = {
    "another scheme": "Basic {key}",
    "no scheme": "{key}",
    "only the scheme": "Bearer",
    "digest": "Digest username={key}",
    "last letter": "Bearer {key}x",
    "cut off": "Bearer {cut}",
    "bad checksum": "Bearer {broken}",
    "unknown": "Bearer {unknown}",
    "two keys": "Bearer {key} {key}",
    "two keys, comma": "Bearer {key}, Bearer {key}",
    "fal's key": "Key 12345678-1234-1234-1234-123456789abc:0123456789abcdef0123456789abcdef",
    "long": "Bearer " + "x" * 60_000,
    "NUL": "Bearer {key}\x00",
    "Latin-1": "Bearer \u00e9\u00e9",
}


@pytest.mark.parametrize("case", WRONG_KEYS)
async def test_a_wrong_key_opens_nothing(stack: Stack, case: str) -> None:
    """401 with one sentence, which does not repeat the key."""
    key = stack.account.key
    broken = key[:-1] + ("0" if key[-1] != "0" else "1")
    value = WRONG_KEYS[case].format(key=key, cut=key[:-1], broken=broken, unknown=new_key())
    reply = await stack.api.get("/v1/me", headers={b"Authorization": value.encode("latin-1")})
    assert_problem(reply, 401, "unauthenticated", secret=key[:20])
    if case == "fal's key":  # which a program that was written for fal still has
        assert "A key of fal does not work here" in reply.json()["detail"]


@pytest.mark.parametrize("name", ["key", "token", "api_key", "access_token", "authorization"])
async def test_a_key_in_the_address_opens_nothing(stack: Stack, name: str) -> None:
    """401: addresses are logged and shared, so a key does not belong there."""
    reply = await stack.api.get("/v1/me", params={name: stack.account.key}, headers={"Authorization": ""})
    assert_problem(reply, 401, "unauthenticated", secret=stack.account.key)


@pytest.mark.parametrize("name", ["Authorization", "X-API-Key"])
async def test_two_of_a_header_are_refused(stack: Stack, name: str) -> None:
    """400, so that a proxy and the gateway cannot read different ones."""
    headers = [(name, f"Bearer {stack.account.key}" if name == "Authorization" else stack.account.key)] * 2
    async with httpx.AsyncClient(transport=stack.api._transport, base_url="http://filmgate.test") as bare:
        assert_problem(await bare.get("/v1/me", headers=headers), 400, "invalid_header")


SPELLINGS = ["Bearer {key}", "bearer {key}", "BEARER {key}", "Key {key}", "key {key}", "Bearer   {key} "]


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_a_key_may_come_in_either_scheme(stack: Stack, spelling: str) -> None:
    """`Bearer` and fal's `Key`, in any case (RFC 9110, 11.1: schemes are case-insensitive)."""
    reply = await stack.api.get("/v1/me", headers={"Authorization": spelling.format(key=stack.account.key)})
    assert reply.json()["user"]["id"] == stack.account.user.id


async def test_a_key_may_come_in_its_own_header(stack: Stack) -> None:
    """`X-API-Key`, when there is no `Authorization`."""
    headers = {"X-API-Key": stack.account.key}
    async with httpx.AsyncClient(transport=stack.api._transport, base_url="http://filmgate.test") as bare:
        assert (await bare.get("/v1/me", headers=headers)).status_code == 200


OF_A_PROXY = ["Basic dXNlcjpwYXNz", 'Digest username="u"', "Negotiate abc", "Bearer", "Bearer ", "Key ", ""]


@pytest.mark.parametrize("authorization", OF_A_PROXY)
async def test_a_proxys_authorization_does_not_hide_the_key(stack: Stack, authorization: str) -> None:
    """`X-API-Key` is read next to an `Authorization` that is not ours; on the fal-compatible API too."""
    headers = {"Authorization": authorization, "X-API-Key": stack.account.key}
    async with httpx.AsyncClient(transport=stack.api._transport, base_url="http://filmgate.test") as bare:
        assert (await bare.get("/v1/me", headers=headers)).status_code == 200
        token = await bare.post("/fal/rest/storage/auth/token", headers=headers)
        assert token.status_code == 200
        wrong = {"Authorization": f"Bearer {new_key()}", "X-API-Key": stack.account.key}
        assert_problem(await bare.get("/v1/me", headers=wrong), 401, "unauthenticated")


@pytest.mark.parametrize("same_team", [True, False])
async def test_another_users_job_looks_like_none(stack: Stack, same_team: bool) -> None:  # noqa: FBT001 - a table
    """On every route with a job's id: the same 404 as for an unknown id, byte for byte except the id."""
    job = await stack.submit("kan4rie")
    never = "job_" + "0" * 32
    routes = [
        (method, path) for method, path in await guarded_routes(stack) if path.startswith("/v1/jobs/{job_id}")
    ]
    assert len(routes) >= 6
    async with second_account(stack, same_team=same_team) as other, nothing_changes(stack):
        for method, path in routes:
            theirs = await other.request(method, filled(path, job["id"]), headers={"X-Request-ID": "t"})
            nobodys = await other.request(method, filled(path, never), headers={"X-Request-ID": "t"})
            assert_problem(theirs, 404, "not_found", secret="kan4rie")
            assert theirs.text.replace(job["id"], never) == nobodys.text
            assert theirs.headers.raw == [
                (name, str(len(theirs.content)).encode() if name == b"content-length" else value)
                for name, value in nobodys.headers.raw
            ]


async def test_a_caller_sees_who_it_is(stack: Stack) -> None:
    """Names, scopes and money of the caller; never the key itself."""
    await stack.submit()
    reply = await stack.api.get("/v1/me")
    me = reply.json()
    assert me["team"]["id"] == stack.account.team.id
    assert me["key"]["scopes"] == ["jobs:read", "jobs:write"]
    assert me["usage"] == {"reserved_usd": "1.40", "spent_usd": "0.00"}
    assert stack.account.key not in reply.text


async def test_the_open_routes_say_nothing_about_callers(stack: Stack) -> None:
    """The routes without a key are a short list, and their replies have no ids."""
    job = await stack.submit("kan4rie")
    described = (await stack.api.get("/openapi.json")).json()["paths"]
    paths = {path for path, route in described.items() if route.get("get", {}).get("tags") == ["operations"]}
    paths.remove("/metrics")  # it has a key
    assert paths <= OPEN
    for path in paths:
        reply = await stack.api.get(path.replace("{slug}", "not_found"), headers={"Authorization": ""})
        assert reply.status_code in {200, 503}
        for secret in (job["id"], stack.account.team.id, "kan4rie", stack.account.key):
            assert secret not in reply.text
