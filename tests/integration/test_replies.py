"""What all replies have in common: headers, HEAD for each GET, and a query validated as strictly as a body."""

import asyncio
import re

import httpx
import pytest

from app.web.routes import ADDRESSES
from tests.integration.admin import administrator
from tests.integration.ownership import routes_of
from tests.integration.refusals import assert_problem, nothing_changes
from tests.support.callers import calling
from tests.support.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.server import EventReader, running_server
from tests.support.stack import ADMIN_KEY, Stack, open_stack

pytestmark = pytest.mark.anyio

KEPT = (
    "/",
    "/docs",
    "/static/",
    "/.well-known/",
    "/fal/rest/.well-known/",
)  # these have their own caching headers
PARAMETER = re.compile(r"\{(\w+)\}")
VALUES = {"model_id": "fal-ai/kling-video/v2/master/image-to-video", "slug": "not_found", "path": "app.css"}


def readable(stack: Stack, job_id: str) -> list[str]:
    """The path of every GET route, with this job's id where it has one."""
    app = stack.api._transport.app  # type: ignore[attr-defined]  # httpx's ASGITransport has one
    values = {**VALUES, "job_id": job_id, "request_id": job_id, "app": "fal-ai/kling-video"}
    return sorted(
        PARAMETER.sub(lambda part: values.get(part[1], "none"), route.split(" ")[1])
        for route in routes_of(app)
        if route.startswith("GET ")
    )


async def ended(stack: Stack) -> str:
    """The id of an ended job, so that its streams end too."""
    job_id: str = (await stack.submit())["id"]
    await stack.api.post(f"/v1/jobs/{job_id}/cancel")
    return job_id


async def test_no_reply_is_sniffed_and_none_of_the_api_is_kept(stack: Stack) -> None:
    """Successes and refusals of every GET route, a submission, an unknown path and an unknown method."""
    job_id = await ended(stack)
    async with calling(stack, ADMIN_KEY) as admin, calling(stack, "") as nobody:
        replies = [
            await api.get(path)
            for path in readable(stack, job_id)
            for api in (admin if path.startswith("/v1/admin") else stack.api, nobody)
        ]
    replies += [
        await stack.api.post("/v1/jobs", json=stack.body()),
        await stack.api.post("/v1/jobs", content=b"{"),
        await stack.api.post("/v1/quotes", json=stack.body(), headers={"Content-Length": "99999999"}),
        await stack.api.get("/nothing"),
        await stack.api.put("/v1/jobs"),
    ]
    assert len(replies) > 60
    for reply in replies:
        where = (reply.request.method, reply.request.url.path, reply.status_code)
        assert reply.headers.get_list("x-content-type-options") == ["nosniff"], where
        kept = reply.headers.get_list("cache-control")
        assert len(kept) == 1, where
        stream = reply.headers.get("content-type", "").startswith("text/event-stream")
        if not stream and not any(where[1] == one or (one != "/" and where[1].startswith(one)) for one in KEPT):
            assert kept == ["no-store"], where


async def test_head_is_get_without_a_body(stack: Stack) -> None:
    """On every GET route: the same status and headers, no body; a stream ends with its headers."""
    job_id = await ended(stack)
    own = {"x-request-id", "x-fal-request-id", "date", "content-length"}
    async with calling(stack, ADMIN_KEY) as admin:
        for path in readable(stack, job_id):
            if path == "/fal/proxy":
                continue
            api = admin if path.startswith("/v1/admin") else stack.api
            got, asked = await api.get(path), await asyncio.wait_for(api.head(path), 5)
            assert (asked.status_code, asked.content) == (got.status_code, b""), path
            assert dict(asked.headers).keys() - own == dict(got.headers).keys() - own, path
    for path in ("/v1/jobs/none/cancel", "/fal/queue/none"):
        assert (await stack.api.head(path)).status_code == 405
    refused = await stack.api.put(f"/v1/jobs/{job_id}/video")
    assert refused.headers["allow"] == "GET, HEAD"


async def test_a_refused_method_gets_the_allowed_ones(stack: Stack) -> None:
    """`Allow` has every method of the path, even if several routes share it."""
    wrong = {}
    for document in ("/openapi.json", "/fal/openapi.json"):
        paths = (await stack.api.get(document)).json()["paths"]
        for path in (re.sub(r"{\w+}", "x", template) for template in paths):
            here = [one for one in paths if re.fullmatch(re.sub(r"{\w+}", "[^/]+", one), path)]
            known = {method.upper() for one in here for method in paths[one]}
            refused = await stack.api.request("BREW", path)
            assert refused.status_code == 405, path
            allowed = set(refused.headers["allow"].split(", "))
            if allowed != known | ({"HEAD"} if "GET" in known else set()):
                wrong[path] = allowed
    assert wrong == {}


async def test_head_and_streams_over_the_wire(stack: Stack) -> None:
    """A real server: probes, a live stream, and the connection stays usable afterwards."""
    job_id = (await stack.submit())["id"]
    headers = {"Authorization": f"Bearer {stack.account.key}"}
    async with (
        running_server(stack.environment) as server,
        httpx.AsyncClient(base_url=server.url, headers=headers, timeout=10, trust_env=False) as web,
    ):
        for path, status in (("/livez", 200), (f"/v1/jobs/{job_id}/events", 200), ("/v1/events", 200)):
            reply = await web.head(path, headers={"Accept": "text/event-stream"})
            assert (reply.status_code, reply.content) == (status, b""), path
        assert (await web.head(f"/v1/jobs/{job_id}/video")).status_code == 409
        assert (await web.head("/readyz")).status_code in {200, 503}
        assert (await web.get(f"/v1/jobs/{job_id}")).status_code == 200


async def test_a_reference_that_is_switched_off_is_not_there(redis_server: RedisServer, emulator: Emulator) -> None:
    """FILMGATE_DOCS=0: /docs and both documents are 404, and everything else works."""
    async with open_stack(redis_server, emulator, FILMGATE_DOCS="0") as stack:
        for path in ("/docs", "/openapi.json", "/redoc"):
            assert_problem(await stack.api.get(path), 404, "not_found")
        assert (await stack.api.get("/fal/openapi.json")).status_code == 404
        assert (await stack.api.get("/")).status_code == 200
        assert (await stack.submit())["status"] == "queued"


# --- the query ---------------------------------------------------------------------------------------------------

FALS_DOCUMENT = "/fal/openapi.json"  # below fal's prefix, but not a route of fal's
BY_SECRET = "/v1/shares/current"  # a share's secret opens it, which is checked first
PARTS = re.compile(r"{[^}]+}")


async def test_every_route_refuses_a_parameter_that_it_does_not_know(stack: Stack) -> None:
    """Probes and documents too: 422 with its name. Fal's routes are in test_fal_dropped.py; the page takes any."""
    app = stack.api._transport.app  # type: ignore[attr-defined]  # httpx types the transport as its base class
    routes = [route.split(" ", 1) for route in sorted(routes_of(app))]
    native = [(method, path) for method, path in routes if not path.startswith("/fal/") or path == FALS_DOCUMENT]
    native = [(method, path) for method, path in native if path not in {*ADDRESSES, BY_SECRET}]
    misses = []
    async with calling(stack, ADMIN_KEY) as admin, nothing_changes(stack):
        for method, path in native:
            api = admin if path.startswith("/v1/admin/") or path == "/metrics" else stack.api
            reply = await api.request(method, PARTS.sub("x", path), params={"no_such": "1"})
            if reply.status_code != 422 or (method != "HEAD" and "parameter no_such" not in reply.text):
                misses.append(f"{method} {path}: {reply.status_code} {reply.text[:100]}")
    assert misses == []
    assert len(native) > 60


async def test_the_page_opens_at_an_address_with_a_query(stack: Stack) -> None:
    """Its filters are there, so that a list can be loaded again and passed on; mail programs add their own."""
    for path in ADDRESSES:
        reply = await stack.api.get(PARTS.sub("x", path), params={"status": "failed", "utm_source": "mail"})
        assert reply.status_code == 200, path


UNKNOWN = {
    "/v1/jobs?state=failed": ["state"],
    "/v1/jobs?created_after=1&team=nobody": ["created_after", "team"],
    "/v1/jobs?model=queued&model=running": ["model"],
    "/v1/jobs?limit=1&limit=1": ["limit"],
    "/v1/jobs?metadata=a": ["metadata"],
    "/v1/jobs?metadata.a=1&metadata.a=2": ["metadata.a"],
    "/v1/usage?start=2026-01-01&end=2026-02-01": ["start", "end"],
    "/v1/me?fields=team": ["fields"],
    "/v1/models?page=2": ["page"],
    "/v1/events?after=1-1": ["after"],
    "/v1/deliveries?event=job.held&event=job.failed&sort=asc": ["sort"],
    "/livez?verbose=1": ["verbose"],
    "/problems/not_found?x": ["x"],
    "/v1/admin/keys?user_id=x": ["user_id"],
    "/v1/admin/users?team_id=x": ["team_id"],
    "/v1/admin/jobs?team_id=x": ["team_id"],
    "/v1/admin/ledger?team_id=x": ["team_id"],
    "/v1/admin/status?a=1": ["a"],
    "/v1/jobs?%00=1": ["?"],
}


@pytest.mark.parametrize("address", UNKNOWN)
async def test_an_unknown_parameter_is_refused_by_its_name(stack: Stack, address: str) -> None:
    """422 that names it, for every caller; its value is not echoed, and nothing changes."""
    async with calling(stack, ADMIN_KEY) as admin:
        api = admin if "/admin/" in address else stack.api
        await api.get("/v1/jobs")
        async with nothing_changes(stack):
            reply = await api.get(address)
        if address.startswith("/v1/admin/ledger"):
            assert reply.status_code == 422
            return
        assert_problem(reply, 422, "invalid_input")
        assert [error["pointer"] for error in reply.json()["errors"]] == [f"/query/{n}" for n in UNKNOWN[address]]
        assert all(name in reply.json()["detail"] for name in UNKNOWN[address])


async def test_a_parameter_that_is_given_twice_is_refused_by_its_name(stack: Stack) -> None:
    """Its name and the remedy; also the parameters that the route does not know, and those that it knows."""
    reply = await stack.api.get("/v1/models?page=1&b=2")
    expected = "This route does not know the query parameter page, b; it takes none."
    assert assert_problem(reply, 422, "unknown_parameter")["detail"] == expected
    reply = await stack.api.get("/v1/events?limit=1&limit=2&after=1-1")
    assert assert_problem(reply, 422, "given_twice")["detail"] == (
        "This route does not know the query parameter after; it knows cursor, limit. "
        "The query parameter limit is given more than once; give it once."
    )


async def test_an_odd_name_is_escaped_in_the_pointer(stack: Stack) -> None:
    """A slash or tilde is escaped in the pointer (RFC 6901), not in the sentence; a malformed name is a `?`."""
    reply = await stack.api.get("/v1/models?a/b=1&c~d=2&=3")
    found = assert_problem(reply, 422, "unknown_parameter")
    assert found["detail"] == "This route does not know the query parameter a/b, c~d, ?; it takes none."
    assert [error["pointer"] for error in found["errors"]] == ["/query/a~1b", "/query/c~0d", "/query/?"]


async def test_what_changes_something_reads_its_query_as_strictly(stack: Stack) -> None:
    """A submission with a stray parameter is refused and buys nothing; so is a change by the administrator."""
    async with nothing_changes(stack):
        assert_problem(await stack.api.post("/v1/jobs?dry_run=1", json=stack.body()), 422, "invalid_input")
        async with administrator(stack) as admin:
            reply = await admin.call("DELETE", f"keys/{stack.account.key[:5]}", force="1")
            assert_problem(reply, 422, "invalid_input")


KNOWN = [
    "/v1/jobs?status=queued&limit=5&metadata.order=17&model=fal-ai/kling-video/v2/master/image-to-video",
    "/v1/usage?group_by=user&from=2026-11-01&to=2026-12-01",
    "/v1/events?limit=5",
    "/v1/models",
]


async def test_known_parameters_pass_and_fals_api_is_lenient(stack: Stack) -> None:
    """Every declared one, a list given twice, and what fal's clients add on fal's API."""
    for address in KNOWN:
        assert (await stack.api.get(address)).status_code == 200, address
    job_id = (await stack.submit())["id"]
    made = await stack.api.post("/v1/tokens", json={"job": job_id})
    async with calling(stack, "") as nobody:
        secret = made.json()["token"]
        assert (await nobody.get(f"/v1/jobs/{job_id}/video?token={secret}")).status_code == 409
        twice = await nobody.get(f"/v1/jobs/{job_id}/video?token={secret}&token={secret}")
        assert_problem(twice, 422, "invalid_input", secret=secret)
    status = await stack.api.get(f"/fal/queue/fal-ai/kling-video/requests/{job_id}/status?logs=1&x=y&x=z")
    assert status.status_code == 202


# --- the end of a stream -----------------------------------------------------------------------------------------


async def frames(api: httpx.AsyncClient, job_id: str, **headers: str) -> tuple[int, list[tuple[str, str]]]:
    """The status and the events of a stream that ends."""
    async with api.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers) as response:
        events = await EventReader(response).rest()
    return response.status_code, [(event["event"], event["id"]) for event in events if event["event"] != "reset"]


async def test_an_event_source_ends_with_its_job(stack: Stack) -> None:
    """A client that saw the end gets 204, after which browsers do not reconnect; others get the missing events."""
    job_id = (await stack.submit())["id"]
    first = (await stack.api.get("/v1/events")).json()["data"][0]["id"]
    await stack.api.post(f"/v1/jobs/{job_id}/cancel")
    status, found = await frames(stack.api, job_id, **{"Last-Event-ID": first})
    assert (status, [kind for kind, _ in found]) == (200, ["job.canceled"])
    end = found[0][1]
    assert await frames(stack.api, job_id, **{"Last-Event-ID": end}) == (204, [])
    await stack.submit("something else happens")
    assert await frames(stack.api, job_id, **{"Last-Event-ID": end}) == (204, [])
    later = (await stack.api.get("/v1/events")).json()["next_cursor"]
    assert await frames(stack.api, job_id, **{"Last-Event-ID": later}) == (204, [])
    for elsewhere in ("1-0", "99999999999999-0"):  # trimmed, and of another store: the current state, then 204
        status, found = await frames(stack.api, job_id, **{"Last-Event-ID": elsewhere})
        assert (status, [kind for kind, _ in found]) == (200, ["job.canceled"])
        assert await frames(stack.api, job_id, **{"Last-Event-ID": found[0][1]}) == (204, [])


async def test_null_is_absent(stack: Stack) -> None:
    """Every optional member of a submission, as generated clients send it; `input` is not optional."""
    optional = ("model", "webhook_url", "metadata", "priority", "deadline", "start_deadline", "max_usd")
    reply = await stack.api.post("/v1/jobs", json={**stack.body(), **dict.fromkeys(optional)})
    job = reply.json()
    assert (job["metadata"], job["priority"]) == ({}, "normal")
    assert (await stack.api.post("/v1/jobs", json={"input": None})).status_code == 422
