"""Single sign-on: who may come in by a provider, what their groups open, and what is refused without a trace."""

import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace

import httpx
import pytest
from joserfc.jwk import ECKey

from app.doctor.host_checks import check_sign_on
from app.domain.sign_on import ATTEMPT_S, unsealed
from app.settings import load_settings
from app.store import keys
from tests.integration.open_id import CLIENT, SECRET, AnyProvider, come_back, leave, sign_on
from tests.integration.refusals import assert_problem, nothing_changes, store_digests
from tests.integration.signing_in import browsing
from tests.support.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.stack import ADMIN_KEY, Stack, open_stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

BUTTON = "Studio accounts"


@pytest.fixture
async def provider() -> AsyncIterator[AnyProvider]:
    """A provider that is honest until a test changes it."""
    async with AnyProvider() as made:
        yield made


@pytest.fixture
async def company(store: RedisServer, emulator: Emulator, provider: AnyProvider) -> AsyncIterator[Stack]:
    """A gateway whose users come from the provider."""
    async with open_stack(
        store, emulator, **provider.settings("makers=Film,leads=Film:admin,guests=test")
    ) as stack:
        await stack.gateway.administration.add_team("administrator", name="Film")
        yield stack


@asynccontextmanager
async def nobody_comes_in(stack: Stack) -> AsyncIterator[None]:
    """The block makes no user, key, session or audit line; a used state and the first secret may remain."""

    async def kept() -> dict[str, str]:
        found = await store_digests(stack)
        return {
            name: value
            for name, value in found.items()
            if not name.startswith((keys.used_state(""), keys.HOOK_SECRET))
        }

    before = await kept()
    yield
    assert await kept() == before


async def acts(stack: Stack) -> list[str]:
    """The actions in the audit log, the newest first."""
    reply = await stack.api.get("/v1/admin/audit", headers={"Authorization": f"Bearer {ADMIN_KEY}"})
    return [line["action"] for line in reply.json()["data"]]


async def test_the_browser_goes_with_a_challenge_and_comes_back_as_a_user(
    company: Stack, provider: AnyProvider
) -> None:
    """PKCE, state and nonce on the way; the team's user, made at first sight, with a key nobody has; and out."""
    async with browsing(company) as web:
        about = (await web.get("/v1/about")).json()["sign_in"]
        assert about == {"provider": BUTTON, "proxy": None}
        asked = await leave(web, provider, "/jobs?status=failed")
        assert asked["redirect_uri"] == "http://filmgate.test/enter"
        assert (asked["client_id"], asked["response_type"], asked["scope"], asked["code_challenge_method"]) == (
            *(CLIENT, "code", "openid profile email"),
            "S256",
        )
        reply = await come_back(web, asked["state"])
        assert reply.status_code == 201, reply.text
        found = reply.json()
        assert found["to"] == "/jobs?status=failed"
        assert found["session"]["user"]["name"] == "Ada"
        assert found["session"]["team"]["name"] == "Film"
        assert found["session"]["scopes"] == ["jobs:read", "jobs:write"]
        assert found["session"]["key"]["name"] == "single sign-on"
        path, headers, sent = provider.asked[-1]
        assert path == "/token_endpoint"
        assert base64.b64decode(headers["authorization"].split()[1]).decode() == f"{CLIENT}:{SECRET}"
        challenge = base64.urlsafe_b64encode(hashlib.sha256(sent["code_verifier"][0].encode()).digest())
        assert challenge.decode().rstrip("=") == asked["code_challenge"]
        assert (await web.get("/v1/me")).status_code == 200
        assert (await acts(company))[:2] == ["sign_on.add_key", "sign_on.add_user"]
        web.headers["X-CSRF-Token"] = found["session"]["csrf"]
        assert (await web.delete("/v1/session")).status_code == 204
        assert (await web.get("/v1/me")).status_code == 401


async def test_a_person_is_the_same_by_subject_and_changes_with_their_groups(
    company: Stack, provider: AnyProvider
) -> None:
    """Same user and key under another name; another role, key, or none; another team, another user."""
    async with browsing(company) as web, browsing(company) as other:
        first = (await sign_on(web, provider)).json()["session"]
        again = (await sign_on(other, provider, name="Ada Lovelace", email="new@example.com")).json()["session"]
        assert (again["user"], again["key"]["id"]) == (first["user"], first["key"]["id"])
        lead = (await sign_on(other, provider, groups=["others", "leads"])).json()["session"]
        assert lead["user"] == first["user"]
        assert lead["scopes"] == ["jobs:read", "jobs:write", "team:admin", "team:read"]
        assert (await company.gateway.administration.key(first["key"]["id"]))[0].revoked_ms is not None
        problem = assert_problem(await sign_on(other, provider, groups=["others"]), 403, "forbidden")
        assert "(others)" in problem["detail"]
        assert "FILMGATE_GROUPS" in problem["detail"]
        assert (await company.gateway.administration.key(lead["key"]["id"]))[0].revoked_ms is not None
        assert (await acts(company))[0] == "sign_on.revoke_key"
        guest = (await sign_on(web, provider, groups=["guests"])).json()["session"]
        assert (guest["team"]["name"], guest["user"]["id"] == first["user"]["id"]) == ("test", False)
        back = (await sign_on(web, provider, groups=["makers"])).json()["session"]
        assert back["user"] == first["user"]
        stranger = (await sign_on(web, provider, sub="ada-2")).json()["session"]
        assert stranger["user"]["id"] != first["user"]["id"]


async def test_groups_may_be_told_apart_from_the_id_token(company: Stack, provider: AnyProvider) -> None:
    """Of the same person only; and where nobody tells them, the sentence says what is missing."""
    provider.claims = {"sub": "bo", "preferred_username": "Bo"}
    async with browsing(company) as web:
        provider.user_info = {"sub": "bo", "groups": ["leads"]}
        assert (await sign_on(web, provider)).json()["session"]["user"]["name"] == "Bo"
        assert provider.asked[-1][1]["authorization"] == "Bearer for-user-info"
        async with nobody_comes_in(company):
            provider.user_info = {"sub": "somebody else", "groups": ["leads"]}
            assert_problem(await sign_on(web, provider), 401, "unauthenticated")
        provider.user_info = {"sub": "bo"}
        problem = assert_problem(await sign_on(web, provider), 403, "forbidden")
        assert "Studio accounts says that you are Bo, but not which groups" in problem["detail"]


def _unsigned(provider: AnyProvider) -> str:
    head, claims, _ = provider.id_token().split(".")
    assert json.loads(base64.urlsafe_b64decode(head + "=="))["alg"] == "ES256"
    return base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=") + f".{claims}."


def _with_our_secret(provider: AnyProvider) -> str:
    provider.alg = "HS256"
    return provider.id_token()


def _by_another(kid: str) -> Callable[[AnyProvider], str]:
    def signed(provider: AnyProvider) -> str:
        provider.key = ECKey.generate_key("P-256", {"kid": kid})
        return provider.id_token()

    return signed


def _said(**claims: object) -> Callable[[AnyProvider], str]:
    return lambda provider: provider.id_token(**claims)


def _altered(provider: AnyProvider) -> str:
    head, _, seal = provider.id_token().split(".")
    return f"{head}.{provider.id_token(sub='root').split('.')[1]}.{seal}"


LONG_AGO = int(time.time()) - 4000
FORGED: dict[str, Callable[[AnyProvider], str]] = {
    "no signature": _unsigned,
    "signed with the secret that we share": _with_our_secret,
    "signed by somebody else under the provider's key id": _by_another("one"),
    "signed by somebody else": _by_another("two"),
    "altered": _altered,
    "for another sign-in": _said(nonce="another"),
    "for no sign-in": _said(nonce=None),
    "for another client": _said(aud="another"),
    "for another client, asked for by us": _said(aud="another", azp=CLIENT),
    "for two clients, asked for by the other": _said(aud=[CLIENT, "another"], azp="another"),
    "for nobody": _said(aud=None),
    "by another provider": _said(iss="https://elsewhere.example.com"),
    "expired": _said(exp=LONG_AGO, iat=LONG_AGO - 60),
    "without an end": _said(exp=None),
    "from the future": _said(iat=int(time.time()) + 4000, exp=int(time.time()) + 8000),
    "not valid yet": _said(nbf=int(time.time()) + 4000),
    "about nobody": _said(sub=None),
    "about a nameless somebody": _said(sub=""),
    "about somebody with an endless name": _said(sub="x" * 600),
    "about a number": _said(sub=7),
    "about somebody whose id has two lines": _said(sub="ada-1\nada-2"),
    "no token": lambda _: "not.a.token",
}


async def test_what_the_provider_did_not_say_signs_nobody_in(company: Stack, provider: AnyProvider) -> None:
    """Each forged token is 401 with a sentence that does not repeat it, and nothing is made."""
    honest = provider.key
    async with browsing(company) as web:
        for what, forge in FORGED.items():
            async with nobody_comes_in(company):
                state = (await leave(web, provider))["state"]
                provider.token = forge(provider)
                reply = await come_back(web, state)
                assert reply.status_code == 401, what
                assert_problem(reply, 401, "unauthenticated", secret=provider.token)
                assert "fg_session" not in reply.headers.get("set-cookie", ""), what
                assert (await web.get("/v1/me")).status_code == 401, what
            provider.key, provider.alg, provider.token = honest, "ES256", None
        clock = int(time.time()) - 30  # the provider's is behind ours by less than a minute
        assert (await sign_on(web, provider, iat=clock - 60, exp=clock)).status_code == 201


async def test_a_state_is_its_browsers_own_and_works_once(company: Stack, provider: AnyProvider) -> None:
    """Forged, of another browser, used, expired, or with a code that was used: 410 or 401, and nothing is made."""
    async with browsing(company) as web, browsing(company) as other:
        async with nobody_comes_in(company):
            assert_problem(await come_back(web, "forged"), 410, "link_ended")
            theirs = (await leave(other, provider))["state"]
            mine = (await leave(web, provider))["state"]
            assert_problem(await come_back(web, theirs), 410, "link_ended")
            cookie = web.cookies["fg_sign_in"]
            web.cookies.set("fg_sign_in", cookie[:-1] + ("0" if cookie[-1] != "0" else "1"), path="/v1/sign-in")
            assert_problem(await come_back(web, mine), 410, "link_ended")
            provider.refuses = True
            problem = assert_problem(await come_back(other, theirs), 401, "unauthenticated")
            assert "does not fit this sign-in (the code)" in problem["detail"]
            provider.refuses = False
            assert_problem(await come_back(other, theirs), 410, "link_ended")
        await web.aclose()
        async with nobody_comes_in(company):
            late = (await leave(other, provider))["state"]
            secret = await company.gateway.stores.secrets.of_markers()
            attempt = unsealed(other.cookies["fg_sign_in"], secret)
            assert attempt is not None
            late_cookie = replace(attempt, expires_ms=attempt.expires_ms - ATTEMPT_S * 1000).sealed(secret)
            other.cookies.set("fg_sign_in", late_cookie, path="/v1/sign-in")
            assert_problem(await come_back(other, late), 410, "link_ended")
    async with browsing(company) as web:
        state = (await leave(web, provider))["state"]
        sealed = web.cookies["fg_sign_in"]
        assert (await come_back(web, state)).status_code == 201
        web.cookies.set("fg_sign_in", sealed, path="/v1/sign-in")
        assert_problem(await come_back(web, state), 410, "link_ended")


@pytest.mark.parametrize(
    "to", ["https://evil.example.com/", "//evil.example.com", "/\\evil.example.com", "jobs", "/a\tb"]
)
async def test_nobody_is_led_outside(company: Stack, to: str) -> None:
    """Where to go afterwards is a path of the page; anything else is refused before the provider is asked."""
    async with browsing(company) as web, nothing_changes(company):
        assert (await web.post("/v1/sign-in/oidc", json={"to": to})).status_code == 422


async def test_other_pages_begin_and_finish_nothing(company: Stack, provider: AnyProvider) -> None:
    """A request that another site's page sends is refused, on all of these routes."""
    evil = {"Origin": "https://evil.example.com", "Sec-Fetch-Site": "cross-site"}
    async with browsing(company) as web:
        state = (await leave(web, provider))["state"]
        async with nothing_changes(company):
            for path, body in (
                ("oidc", {}),
                ("oidc/return", {"state": state, "code": "a-code"}),
                ("proxy", None),
            ):
                assert_problem(await web.post(f"/v1/sign-in/{path}", json=body, headers=evil), 403, "csrf")


async def test_a_new_key_of_the_provider_is_fetched_when_it_signs(
    company: Stack, provider: AnyProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for an unknown key, not before 10 s have passed since the last time."""
    now = [1000.0]
    monkeypatch.setattr("app.oidc.provider.time", SimpleNamespace(monotonic=lambda: now[0], time=time.time))
    async with browsing(company) as web:
        assert (await sign_on(web, provider)).status_code == 201
        provider.key = ECKey.generate_key("P-256", {"kid": "two"})
        provider.published = [provider.key]
        assert (await sign_on(web, provider)).status_code == 401
        now[0] += 11
        assert (await sign_on(web, provider)).status_code == 201
        assert [path for path, *_ in provider.asked].count("/jwks_uri") == 2


async def test_a_provider_that_is_away_is_said_to_be(
    store: RedisServer, emulator: Emulator, provider: AnyProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 with a sentence at the button; on the way back the sentence says to begin again; keys still sign in."""
    provider.away = True
    async with open_stack(store, emulator, **provider.settings()) as stack, browsing(stack) as web:
        now = [1000.0]
        monkeypatch.setattr("app.oidc.provider.time", SimpleNamespace(monotonic=lambda: now[0], time=time.time))
        async with nothing_changes(stack):
            problem = assert_problem(await web.post("/v1/sign-in/oidc", json={}), 503, "unavailable")
        assert problem["detail"] == f"{BUTTON} does not answer at the moment; try again, or sign in with a key."
        provider.away, now[0] = False, 1003.0
        state = (await leave(web, provider))["state"]
        provider.away = True
        problem = assert_problem(await come_back(web, state), 401, "unauthenticated")
        assert problem["detail"] == f"{BUTTON} did not answer. Begin again."
        assert (await web.post("/v1/session", json={"key": stack.account.key})).status_code == 201


async def test_a_team_that_is_not_there_is_named(
    store: RedisServer, emulator: Emulator, provider: AnyProvider
) -> None:
    """The sentence tells what the administrator has to make; nothing is made of its own accord."""
    settings = provider.settings("makers=Nowhere,*=test")
    async with open_stack(store, emulator, **settings) as stack, browsing(stack) as web:
        async with nobody_comes_in(stack):
            problem = assert_problem(await sign_on(web, provider), 403, "forbidden")
        assert "the team Nowhere" in problem["detail"]
        assert (await sign_on(web, provider, groups=[])).json()["session"]["team"]["name"] == "test"


async def test_doctor_reads_what_a_sign_in_would(company: Stack, provider: AnyProvider) -> None:
    """It is content with a provider that works, and names what is wrong with one that does not."""

    async def says(**more: str) -> str:
        settings = load_settings({**company.environment, **more})
        (result,) = [one async for one in check_sign_on(settings)]
        return f"{result.state}: {result.message}"

    assert await says() == f"ok: {provider.issuer} publishes its addresses and keys."
    assert "fault: The provider calls itself" in await says(FILMGATE_OIDC_ISSUER=f"{provider.issuer}/")
    provider.published = []
    assert await says() == "fault: The provider publishes no key that signs."
    provider.away = True
    assert await says() == f"fault: 127.0.0.1:{provider.port} answered 503."


# --- a proxy -----------------------------------------------------------------------------------------------------

PROXY = "10.9.0.5"
BEHIND = {
    "FILMGATE_TRUSTED_PROXIES": PROXY,
    "FILMGATE_PROXY_USER_HEADER": "X-Auth-User",
    "FILMGATE_PROXY_GROUPS_HEADER": "X-Auth-Groups",
    "FILMGATE_GROUPS": "makers=test,leads=test:admin",
}
ADA = {"X-Auth-User": "ada", "X-Auth-Groups": "others, leads"}


@asynccontextmanager
async def behind(stack: Stack, address: str) -> AsyncIterator[httpx.AsyncClient]:
    """A browser whose requests come from this address."""
    async with browsing(stack) as web:
        app = stack.api._transport.app  # type: ignore[attr-defined]  # httpx's ASGITransport has one
        web._transport = httpx.ASGITransport(app=app, raise_app_exceptions=False, client=(address, 1))
        yield web


async def test_a_trusted_proxy_signs_in_and_nobody_else_does(store: RedisServer, emulator: Emulator) -> None:
    """By its header, with the same groups; from any other address the header is nothing, whatever else it says."""
    async with open_stack(store, emulator, **BEHIND) as stack:
        for address in ("10.9.0.6", "127.0.0.1"):
            async with behind(stack, address) as web, nothing_changes(stack):
                for more in ({}, {"X-Forwarded-For": PROXY}, {"Forwarded": f"for={PROXY}"}):
                    assert (await web.get("/v1/about", headers=ADA | more)).json()["sign_in"]["proxy"] is None
                    reply = await web.post("/v1/sign-in/proxy", headers=ADA | more)
                    assert_problem(reply, 401, "unauthenticated", secret="ada")
        async with behind(stack, PROXY) as web:
            known = (await web.get("/v1/about", headers={**ADA, "X-Forwarded-For": "203.0.113.9"})).json()
            assert known["sign_in"] == {"provider": None, "proxy": "ada"}
            assert_problem(await web.post("/v1/sign-in/proxy"), 401, "unauthenticated")
            twice = [("X-Auth-User", "mallory"), ("X-Auth-User", "ada"), ("X-Auth-Groups", "leads")]
            assert_problem(await web.post("/v1/sign-in/proxy", headers=twice), 400, "invalid_header")
            assert_problem(await web.post("/v1/sign-in/proxy", headers={"X-Auth-User": "bo"}), 403, "forbidden")
            reply = await web.post("/v1/sign-in/proxy", headers=ADA)
            assert reply.status_code == 201, reply.text
            assert reply.json()["user"]["name"] == "ada"
            assert "team:admin" in reply.json()["scopes"]
            assert_problem(await web.post("/v1/jobs", json=stack.body(), headers=ADA), 403, "csrf")
            problem = assert_problem(
                await web.post("/v1/sign-in/proxy", headers={**ADA, "X-Auth-Groups": ""}), 403, "forbidden"
            )
            assert problem["detail"].startswith("The proxy says that you are ada, and in no group")

            async def is_out() -> bool:
                return (await web.get("/v1/me")).status_code == 401

            await wait_until(is_out, "the session has ended with its key")
