"""Web pages of other origins: named origins are allowed, compared exactly, and no others."""

from collections.abc import AsyncIterator

import httpx
import pytest
from structlog.testing import capture_logs

from app.main import CORS
from tests.integration.refusals import assert_problem
from tests.support.callers import another_key, calling
from tests.support.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, open_stack

pytestmark = pytest.mark.anyio

PAGE = "https://app.example.com"
OTHERS = [
    "https://evil.example.com",
    "null",
    "http://app.example.com",
    "https://sub.app.example.com",
    "https://app.example.com.evil.com",
    "https://app.example.com:8443",
    "https://APP.example.com",
    "*",
]
ALLOWED = "access-control-allow-origin"


@pytest.fixture
async def open_to_a_page(store: RedisServer, emulator: Emulator) -> AsyncIterator[Stack]:
    """A gateway that allows two origins."""
    async with open_stack(store, emulator, FILMGATE_CORS_ORIGINS=f"{PAGE},http://localhost:5173") as made:
        yield made


def varies(reply: httpx.Response) -> set[str]:
    """The headers by which caches must distinguish."""
    return {name.strip().lower() for name in reply.headers.get("vary", "").split(",")}


@pytest.mark.parametrize("origin", [PAGE, "http://localhost:5173"])
async def test_a_named_page_may_read_what_it_gets(open_to_a_page: Stack, origin: str) -> None:
    """Its own origin is returned, never a wildcard; our headers are readable; no credentials header."""
    async with calling(open_to_a_page, open_to_a_page.account.key, origin=origin) as page:
        reply = await page.post("/v1/jobs", json=open_to_a_page.body())
    assert reply.status_code == 202
    assert reply.headers[ALLOWED] == origin
    exposed = set(reply.headers["access-control-expose-headers"].split(", "))
    assert {"Location", "Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-ID", "Link"} <= exposed
    assert "access-control-allow-credentials" not in reply.headers
    assert "origin" in varies(reply)


@pytest.mark.parametrize("origin", OTHERS)
async def test_another_page_may_not(open_to_a_page: Stack, origin: str) -> None:
    """Its preflight is refused, and no reply to it has a header that lets it read."""
    async with calling(open_to_a_page, open_to_a_page.account.key, origin=origin) as page:
        asked = await page.options("/v1/jobs", headers={"Access-Control-Request-Method": "POST"})
        assert asked.status_code == 400
        reply = await page.get("/v1/me")
    for answer in (asked, reply):
        assert ALLOWED not in answer.headers
        assert "access-control-allow-credentials" not in answer.headers
        assert "origin" in varies(answer)


async def test_a_refused_page_is_named_in_the_log(open_to_a_page: Stack) -> None:
    """Once, with the setting that would let it in: its browser tells the developer nothing."""
    asking = {"Access-Control-Request-Method": "POST"}
    with capture_logs() as lines:
        for origin in (PAGE, "https://new.example.com", "https://new.example.com"):
            async with calling(open_to_a_page, "", origin=origin) as page:
                await page.options("/v1/jobs", headers=asking)
    refused = [line for line in lines if line["event"] == "cors.refused"]
    assert [line["origin"] for line in refused] == ["https://new.example.com"]
    assert "FILMGATE_CORS_ORIGINS" in refused[0]["remedy"]


@pytest.mark.parametrize("method", CORS["allow_methods"])
async def test_a_preflight_lets_our_headers_through(open_to_a_page: Stack, method: str) -> None:
    """Every method and header of the API, without a key, cached for ten minutes."""
    headers = {
        "Authorization": "",
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": ", ".join(CORS["allow_headers"]).lower(),
    }
    async with calling(open_to_a_page, "", origin=PAGE) as page:
        reply = await page.options("/v1/jobs", headers=headers)
    assert reply.status_code == 200
    assert reply.headers[ALLOWED] == PAGE
    assert method in reply.headers["access-control-allow-methods"].split(", ")
    assert reply.headers["access-control-max-age"] == "600"
    assert "access-control-allow-credentials" not in reply.headers
    assert "origin" in varies(reply)


@pytest.mark.parametrize("ask", ["TRACE", "CONNECT", "PROPFIND"])
async def test_a_preflight_for_a_method_we_do_not_know_is_refused(open_to_a_page: Stack, ask: str) -> None:
    """400, even for an allowed page."""
    async with calling(open_to_a_page, "", origin=PAGE) as page:
        reply = await page.options("/v1/jobs", headers={"Access-Control-Request-Method": ask})
    assert reply.status_code == 400


async def test_a_page_may_send_the_headers_that_fal_documents(open_to_a_page: Stack) -> None:
    """Also those without a meaning here: a browser would not send the request at all."""
    names = "x-app-fal-disable-fallback,x-fal-no-retry,x-fal-object-lifecycle-preference,x-fal-queue-priority,"
    names += "x-fal-request-timeout,x-fal-retry-config,x-fal-runner-hint,x-fal-store-io,x-fal-target-url"
    headers = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": names}
    async with calling(open_to_a_page, "", origin=PAGE) as page:
        assert (await page.options("/fal/proxy", headers=headers)).status_code == 200


async def test_a_header_we_do_not_know_is_not_let_through(open_to_a_page: Stack) -> None:
    """The reply lists the allowed headers, and does not echo the requested one."""
    headers = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-evil"}
    async with calling(open_to_a_page, "", origin=PAGE) as page:
        reply = await page.options("/v1/jobs", headers=headers)
    assert reply.status_code == 400
    assert "x-evil" not in reply.headers.get("access-control-allow-headers", "").lower()


async def test_a_page_can_read_why_it_was_refused(open_to_a_page: Stack) -> None:
    """401, 404, 413, 422 and 429 carry the same headers; without them a browser shows `network error`."""
    stack = open_to_a_page
    capped = await stack.api.post("/v1/tokens", json={"max_jobs": 1})
    async with calling(stack, stack.account.key, origin=PAGE) as page:
        replies = [
            (401, await page.get("/v1/me", headers={"Authorization": "Bearer fg_live_x"})),
            (404, await page.get("/v1/nothing")),
            (413, await page.post("/v1/jobs", content=b"x" * (8 * 1024 * 1024 + 1))),
            (422, await page.post("/v1/jobs", json={"nonsense": 1})),
        ]
    async with calling(stack, capped.json()["token"], origin=PAGE) as page:
        assert (await page.post("/v1/jobs", json=stack.body())).status_code == 202
        replies.append((429, await page.post("/v1/jobs", json=stack.body())))
    for status, reply in replies:
        assert reply.status_code == status, reply.text
        assert reply.headers[ALLOWED] == PAGE
        assert "access-control-expose-headers" in reply.headers
        assert "origin" in varies(reply)


async def test_without_the_setting_no_page_is_let_in(stack: Stack) -> None:
    """No CORS header at all, and no preflight is answered."""
    async with calling(stack, stack.account.key, origin=PAGE) as page:
        replies = [
            await page.get("/v1/me"),
            await page.options("/v1/jobs", headers={"Access-Control-Request-Method": "POST"}),
        ]
    assert [reply.status_code for reply in replies] == [200, 405]
    for reply in replies:
        assert not [name for name in reply.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("origin", [None, "https://evil.example.com", "null", f"{PAGE}/"])
async def test_a_key_for_certain_pages_acts_from_no_other(stack: Stack, origin: str | None) -> None:
    """A POST without an origin, or with another one, is 403; nothing is admitted."""
    key = (await another_key(stack, origins=[PAGE])).key
    async with calling(stack, key, origin=origin) as page:
        assert_problem(await page.post("/v1/jobs", json=stack.body()), 403, "origin_not_allowed")
        assert_problem(await page.delete("/v1/jobs/job_x"), 403, "origin_not_allowed")
        read = await page.get("/v1/jobs")
    if origin is None:
        assert read.json()["data"] == []
    else:
        assert_problem(read, 403, "origin_not_allowed")


async def test_a_key_for_certain_pages_works_from_them(stack: Stack) -> None:
    """With the right origin it may write; a read may come without one, as from the page itself."""
    key = (await another_key(stack, origins=[PAGE, "http://localhost:5173"])).key
    async with calling(stack, key, origin="http://localhost:5173") as page:
        made = await page.post("/v1/jobs", json=stack.body())
    assert made.status_code == 202
    async with calling(stack, key) as page:
        assert (await page.get(f"/v1/jobs/{made.json()['id']}")).status_code == 200
