"""`/fal/proxy`: each of our routes under the URL that fal's JavaScript client uses."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.store import keys
from tests.integration import fal_queue
from tests.integration.fal_proxy import CDN, PROXY, QUEUE, REST, RUN, ask, assert_fals, request_url, submitted
from tests.integration.fal_queue import MODEL, given
from tests.integration.refusals import nothing_changes
from tests.integration.uploads import completed, content_at, picture, put_parts, without_key
from tests.support.callers import another_key, calling, stranger, token
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.processes import free_port
from tests.support.redis_server import RedisServer
from tests.support.server import Server, running_server
from tests.support.stack import Stack, environment, open_stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

PAGE = "https://app.example.com"
MB = 1024 * 1024
SENT = (  # by the client, from a page
    *("accept", "authorization", "content-type", "x-fal-target-url", "x-fal-queue-priority", "x-fal-no-retry"),
    *("x-fal-request-timeout", "x-fal-store-io", "x-fal-object-lifecycle", "x-fal-tags", "x-fal-runner-hint"),
    *("x-fal-object-lifecycle-preference", "x-fal-file-name", "x-filmgate-new", "idempotency-key"),
)
ROOMS = {"https://queue.fal.run": "/fal/queue", "https://fal.run": "/fal/run", REST: "/fal/rest", CDN: "/fal/cdn"}
ITS_OWN = {"x-request-id", "date", "content-length"}  # differ in each answer


# --- what works --------------------------------------------------------------------------------------------------


async def test_a_page_gets_its_clip(stack: Stack, pipeline: Pipeline) -> None:
    """Submit, status, result: the same job as everywhere else; every URL in a reply is fal's, and leads here."""
    reply = await ask(stack.api, "POST", QUEUE, json=given(stack))
    assert reply.status_code == 200, reply.text
    request_id = reply.json()["request_id"]
    assert reply.headers["x-fal-request-id"] == request_id
    for name in ("status_url", "response_url", "cancel_url"):
        assert reply.json()[name].startswith(request_url(request_id))
    followed = await ask(stack.api, "GET", reply.json()["status_url"])
    assert (followed.status_code, followed.json()["status_url"]) == (202, reply.json()["status_url"])
    waiting = await ask(stack.api, "GET", request_url(request_id, "/status?logs=1"))
    assert (waiting.status_code, waiting.json()["status"], waiting.json()["logs"]) == (202, "IN_QUEUE", [])
    await pipeline.to(request_id, "succeeded")
    ended = await ask(stack.api, "GET", request_url(request_id, "/status?logs=0"))
    assert (ended.status_code, ended.json()["status"]) == (200, "COMPLETED")
    result = await ask(stack.api, "GET", ended.json()["response_url"])
    assert (result.status_code, result.json()) == (200, (await stack.job(request_id))["output"])
    assert result.headers["x-fal-request-id"] == request_id


async def test_our_own_urls_are_targets_too(stack: Stack) -> None:
    """A program that has a reply of ours may follow its URLs through the proxy; those replies are in our terms."""
    reply = await fal_queue.post(stack)
    for name, (method, status) in fal_queue.URLS.items():
        followed = await ask(stack.api, method, reply.json()[name])
        assert followed.status_code == status, followed.text
    again = await ask(stack.api, "GET", reply.json()["status_url"])
    assert again.json()["status_url"] == reply.json()["status_url"]


async def test_head_is_get_without_a_body(stack: Stack) -> None:
    """Of the target's route: status, result, and a stream, which ends with its headers."""
    request_id = await submitted(stack)
    for rest, status in (("/status", 202), ("/status/stream", 200), ("", 400)):
        reply = await ask(stack.api, "HEAD", request_url(request_id, rest))
        assert (reply.status_code, reply.content) == (status, b""), rest
        assert reply.headers["x-fal-request-id"] == request_id
    assert (await ask(stack.api, "HEAD", "https://evil.com")).status_code == 412


async def test_every_answer_is_that_of_the_route_itself(stack: Stack, pipeline: Pipeline) -> None:
    """The same status, body and headers as without the proxy, but for fal's hosts in URLs; errors too."""
    waiting, failed = await submitted(stack, "one"), await submitted(stack, "[emu:422_content_policy] two")
    await pipeline.to(failed, "succeeded")
    wrong = {**given(stack), "duration": "7"}
    asked: list[tuple[int, str, str, dict[str, Any]]] = [
        (200, "POST", QUEUE, {"json": given(stack, "three"), "headers": {"Idempotency-Key": "k"}}),
        (202, "GET", request_url(waiting, "/status?logs=1"), {}),
        (202, "GET", request_url(waiting, "/status", app=MODEL), {}),
        (400, "GET", request_url(waiting), {}),
        (422, "GET", request_url(failed), {}),
        (422, "GET", request_url(failed, "/response"), {}),
        (200, "GET", request_url(failed, "/status"), {}),
        (400, "PUT", request_url(failed, "/cancel"), {}),
        (404, "GET", request_url("job_x", "/status"), {}),
        (404, "GET", request_url("job_x"), {}),
        (404, "PUT", request_url("job_x", "/cancel"), {}),
        (404, "GET", request_url(waiting, app="fal-ai/flux"), {}),
        (422, "POST", QUEUE, {"json": wrong}),
        (422, "POST", RUN, {"json": wrong}),
        (400, "POST", QUEUE, {"content": b"{"}),
        (400, "POST", QUEUE, {"content": b"a=b", "headers": {"Content-Type": "text/plain"}}),
        (404, "POST", "https://queue.fal.run/fal-ai/flux/dev", {"json": given(stack)}),
        (404, "POST", f"{RUN}/stream", {"json": given(stack)}),
        (405, "GET", QUEUE, {}),
        (405, "PUT", RUN, {}),
        (405, "POST", f"{CDN}/files/f_1/a.png/multipart/f_1/1", {}),
        (422, "POST", f"{REST}/storage/upload/initiate", {"json": {"file_name": 7}}),
        (400, "POST", f"{REST}/storage/auth/token?storage_type=s3", {}),
        (422, "POST", f"{REST}/tokens/", {"json": {}}),
        (401, "GET", request_url(waiting, "/status"), {"headers": {"Authorization": "Key nonsense"}}),
    ]
    for status, method, url, more in asked:
        host = next(host for host in ROOMS if url.startswith(host))
        plain = {**more, "headers": {"Content-Type": "application/json", **more.get("headers", {})}}
        through = await ask(stack.api, method, url, **more)
        direct = await stack.api.request(method, ROOMS[host] + url.removeprefix(host), **plain)
        assert through.status_code == status, f"{method} {url}: {through.text}"
        both = [dict(reply.headers) for reply in (through, direct)]
        assert both[0].pop("x-fal-request-id"), url
        named = both[1].pop("x-fal-request-id", None)
        if status < 400 and named is not None:
            assert through.headers["x-fal-request-id"] == named
        for headers in both:
            for name in ITS_OWN:
                headers.pop(name, None)
        replayed = both[1].pop("idempotent-replayed", None)  # the second of the two that were submitted
        assert (replayed == "true") == (url == QUEUE and status == 200)
        assert both[0] == both[1], f"{method} {url}"
        body = direct.text.replace(fal_queue.BASE, "https://queue.fal.run")
        assert (direct.status_code, json.loads(body)) == (status, through.json()), f"{method} {url}"


async def test_a_cancellation_with_an_empty_body_works(stack: Stack) -> None:
    """As the client sends it: a PUT with a JSON content type and no body; 202, and the job has ended."""
    request_id = await submitted(stack)
    reply = await ask(stack.api, "PUT", request_url(request_id, "/cancel"), headers={"Content-Length": "0"})
    assert (reply.status_code, reply.json()) == (202, {"status": "CANCELLATION_REQUESTED"})
    assert (await stack.job(request_id))["status"] == "canceled"
    assert (await ask(stack.api, "GET", request_url(request_id))).status_code == 499


async def test_the_headers_of_fals_clients_are_honoured(stack: Stack) -> None:
    """Priority, time in line, a deliberate second submission, and a webhook in the query."""
    sent = {"x-fal-queue-priority": "low", "x-fal-request-timeout": "90", "x-filmgate-new": "1"}
    url = f"{QUEUE}?fal_webhook=http%3A%2F%2F127.0.0.1%3A9%2Fhook%3Fx%3D1"
    replies = [await ask(stack.api, "POST", url, json=given(stack), headers=sent) for _ in range(2)]
    ids = {reply.json()["request_id"] for reply in replies}
    assert len(ids) == 2
    for request_id in ids:
        job = await stack.gateway.stores.jobs.get(f"{stack.account.team.id}/{request_id}")
        assert job is not None
        assert (job.priority, job.webhook_url) == ("low", "http://127.0.0.1:9/hook?x=1")
        assert job.start_deadline_ms is not None
    odd = await ask(stack.api, "POST", QUEUE, json=given(stack), headers={"x-fal-queue-priority": "urgent"})
    assert_fals(odd, 400)


async def test_a_post_that_is_sent_again_is_the_same_job(stack: Stack) -> None:
    """Under the rule `strict`, whether or not through the proxy: it is one API."""
    body = given(stack, "again")
    async with calling(stack, (await another_key(stack, reposts="strict")).key) as api:
        first, again = [await ask(api, "POST", QUEUE, json=body) for _ in range(2)]
        direct = await api.post(f"/fal/queue/{MODEL}", json=body)
    assert len({reply.json()["request_id"] for reply in (first, again, direct)}) == 1
    assert again.headers["idempotent-replayed"] == "true"


async def test_a_file_comes_in_through_the_proxy(stack: Stack) -> None:
    """The client PUTs to us past the proxy, and a job takes the file by its URL, which is fal's; or raw bytes."""
    for name in ("initiate", "initiate-multipart"):
        url = f"{REST}/storage/upload/{name}?storage_type=fal-cdn-v3"
        reply = await ask(stack.api, "POST", url, json={"file_name": "a.png", "content_type": "image/png"})
        assert reply.status_code == 200, reply.text
        place = reply.json()
        assert place["upload_url"].startswith("http://filmgate.test/fal/cdn/uploads/")
        assert place["file_url"].startswith(f"{CDN}/files/file_")
        assert reply.headers["x-fal-request-id"] == reply.headers["x-request-id"]
        parts = {1: picture()} if name.endswith("multipart") else None
        async with without_key(stack) as web:
            if parts is None:
                assert (await web.put(place["upload_url"], content=picture())).status_code == 200
            else:
                await completed(web, place["upload_url"], await put_parts(web, place["upload_url"], parts))
        seen = await ask(stack.api, "GET", place["file_url"])
        assert (seen.status_code, await content_at(seen.headers["location"])) == (307, picture())
        body = {**given(stack, name), "image_url": place["file_url"]}
        job = await ask(stack.api, "POST", QUEUE, json=body)
        assert job.status_code == 200, job.text
        image = (await stack.job(job.json()["request_id"]))["input"]["image_url"]
        assert image["url"] == seen.headers["location"]
    large = picture(size=(2000, 2000), compress_level=0)
    assert len(large) > 8 * MB
    reply = await ask(
        stack.api, "POST", f"{CDN}/files/upload", content=large, headers={"Content-Type": "image/png"}
    )
    assert reply.status_code == 200, reply.text
    assert await content_at(reply.json()["access_url"]) == large


async def test_the_status_is_streamed_as_it_changes(stack: Stack, pipeline: Pipeline) -> None:
    """Over a real connection: frames arrive while the request still waits, and end with COMPLETED."""
    request_id = await submitted(stack)
    headers = {"Authorization": f"Key {stack.account.key}", "Accept": "application/json, text/event-stream"}
    headers["x-fal-target-url"] = request_url(request_id, "/status/stream?logs=1")
    words: list[str] = []
    async with (
        running_server(stack.environment) as server,
        httpx.AsyncClient(base_url=server.url, headers=headers, trust_env=False, timeout=20) as web,
        web.stream("GET", PROXY) as reply,
    ):
        assert (reply.status_code, reply.headers["x-fal-request-id"]) == (200, request_id)
        assert reply.headers["content-type"].startswith("text/event-stream")
        async for line in reply.aiter_lines():
            if line.startswith("data: "):
                words.append(json.loads(line.removeprefix("data: "))["status"])
                if len(words) == 1:
                    await pipeline.to(request_id, "succeeded")
    assert (words[0], words[-1]) == ("IN_QUEUE", "COMPLETED")


# --- whose key, whose request ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [{}, {"Authorization": "Key undefined"}, {"Authorization": "Key a:b"}])
async def test_there_is_no_key_to_lend(stack: Stack, sent: dict[str, str]) -> None:
    """Without the caller's own key every route is 401; nothing is written, nothing is bought."""
    request_id = await submitted(stack)
    asked = [
        ("POST", QUEUE),
        ("POST", RUN),
        ("GET", request_url(request_id)),
        ("GET", request_url(request_id, "/status")),
        ("GET", request_url(request_id, "/status/stream")),
        ("PUT", request_url(request_id, "/cancel")),
        ("POST", f"{REST}/tokens/"),
        ("POST", f"{REST}/storage/auth/token"),
        ("POST", f"{REST}/storage/upload/initiate"),
        ("POST", f"{REST}/storage/upload/initiate-multipart"),
        ("POST", f"{CDN}/files/upload"),
        ("POST", f"{CDN}/files/upload/multipart"),
    ]
    async with without_key(stack) as web, nothing_changes(stack):
        for method, url in asked:
            assert_fals(await ask(web, method, url, headers=sent, content=b"not even JSON"), 401)


async def test_another_customers_request_is_not_there(stack: Stack) -> None:
    """404 for a guessed id: to read, follow or cancel it; the job is unaffected."""
    request_id = await submitted(stack)
    async with calling(stack, await stranger(stack)) as other, nothing_changes(stack):
        for method, rest in [("GET", ""), ("GET", "/response"), ("GET", "/status"), ("PUT", "/cancel")]:
            assert_fals(await ask(other, method, request_url(request_id, rest)), 404)
        assert_fals(await ask(other, "GET", request_url(request_id, "/status/stream")), 404)
    assert (await stack.job(request_id))["status"] == "queued"


async def test_a_browser_token_works_within_its_bounds(stack: Stack) -> None:
    """Its one job, from its own page: the second is refused for good, and another page is 403."""
    made = await token(stack.api, max_jobs=1, origin=PAGE)
    async with calling(stack, made["token"], origin=PAGE) as page:
        request_id = (await ask(page, "POST", QUEUE, json=given(stack))).json()["request_id"]
        assert (await ask(page, "GET", request_url(request_id, "/status"))).status_code == 202
        assert_fals(await ask(page, "POST", QUEUE, json=given(stack, "a second")), 403)
    async with calling(stack, made["token"], origin="https://evil.example.com") as page:
        assert_fals(await ask(page, "POST", QUEUE, json=given(stack)), 403)
        assert_fals(await ask(page, "GET", request_url(request_id, "/status")), 403)


async def test_a_token_for_realtime_is_one_of_the_callers_own(stack: Stack) -> None:
    """The answer to `rest.fal.ai/tokens/` is a Filmgate token with at most the caller's rights."""
    asked = {"allowed_apps": ["kling-video"], "token_expiration": 120}
    reply = await ask(stack.api, "POST", f"{REST}/tokens/", json=asked)
    assert reply.status_code == 200, reply.text
    assert reply.json().startswith("fg_tok_")
    async with calling(stack, reply.json()) as page:
        assert (await ask(page, "POST", QUEUE, json=given(stack))).status_code == 200


async def test_a_key_for_other_models_buys_none(stack: Stack) -> None:
    """403 through the proxy too."""
    key = (await another_key(stack, models=["fal-ai/kling-video/v1.6/pro/image-to-video"])).key
    async with calling(stack, key) as api, nothing_changes(stack):
        assert_fals(await ask(api, "POST", QUEUE, json=given(stack)), 403)


# --- when a dependency is down -----------------------------------------------------------------------------------


async def test_an_upload_without_fal_is_503_and_the_process_lives(store: RedisServer, emulator: Emulator) -> None:
    """Fal's storage refuses connections: a sentence, and the next request is answered."""
    away = f"http://127.0.0.1:{free_port()}"
    async with open_stack(store, emulator, FILMGATE_FAL_REST_URL=away) as stack:
        kind = {"Content-Type": "image/png"}
        assert_fals(await ask(stack.api, "POST", f"{CDN}/files/upload", content=picture(), headers=kind), 503)
        assert await submitted(stack)


async def test_without_the_store_a_poll_is_to_be_asked_again(emulator: Emulator) -> None:
    """429 with Retry-After, which the client retries; a bad target is refused without the store."""
    with RedisServer() as redis:
        async with open_stack(redis, emulator) as stack:
            request_id = await submitted(stack)
            await asyncio.to_thread(redis.kill)
            reply = await ask(stack.api, "GET", request_url(request_id, "/status"))
            assert_fals(reply, 429)
            assert int(reply.headers["retry-after"]) >= 1
            assert_fals(await ask(stack.api, "GET", "https://evil.com"), 412)
            await asyncio.to_thread(redis.start)

            async def answers() -> bool:
                return (await ask(stack.api, "GET", request_url(request_id, "/status"))).status_code == 202

            await wait_until(answers, "the store is back", timeout=5)


async def test_an_unexpected_error_is_the_routes_own_500(stack: Stack) -> None:
    """A record that cannot be read: 500 in fal's shape, with the trace id that the log has."""
    request_id = await submitted(stack)
    record = keys.job(f"{stack.account.team.id}/{request_id}")
    async with stack.redis.client() as redis:
        kept = await redis.hget(record, "created_ms")
        await redis.hset(record, "created_ms", "nobody knows")
        reply = await ask(stack.api, "GET", request_url(request_id, "/status"), headers={"X-Request-ID": "t1"})
        await redis.hset(record, "created_ms", kept)
    assert_fals(reply, 500)
    assert reply.headers["x-fal-request-id"] == "t1"


# --- real HTTP ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def server(redis_server: RedisServer, emulator: Emulator) -> AsyncIterator[Server]:
    """An API process on the stack's store that allows one page."""
    async with running_server({**environment(redis_server, emulator), "FILMGATE_CORS_ORIGINS": PAGE}) as running:
        yield running


async def test_a_preflight_lets_fals_client_through(server: Server) -> None:
    """Every method and header that the client sends from a page; a page that is not listed gets nothing."""
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as web:
        for method in ("GET", "POST", "PUT"):
            requested = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": ",".join(SENT)}
            reply = await web.options(PROXY, headers={"Origin": PAGE, **requested})
            assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (200, PAGE), reply.text
            assert method in reply.headers["access-control-allow-methods"].split(", ")
            assert set(SENT) <= set(reply.headers["access-control-allow-headers"].lower().split(", "))
            other = await web.options(PROXY, headers={"Origin": "https://evil.example.com", **requested})
            assert other.status_code == 400
            assert "access-control-allow-origin" not in other.headers


async def test_a_page_can_read_what_the_client_reads(stack: Stack, server: Server) -> None:
    """The id, why it timed out, what was dropped: exposed, on successes and errors alike."""
    wanted = {
        *("x-fal-request-id", "x-fal-request-timeout-type", "x-fal-error-type", "x-fal-billable-units"),
        *("x-filmgate-warning", "idempotent-replayed", "retry-after"),
    }
    sent = {"Origin": PAGE, "Authorization": f"Key {stack.account.key}"}
    async with httpx.AsyncClient(base_url=server.url, headers=sent, trust_env=False) as web:
        replies = [
            (200, await ask(web, "POST", QUEUE, json={**given(stack), "mask": 1})),
            (422, await ask(web, "POST", QUEUE, json={})),
            (412, await ask(web, "POST", "https://evil.com")),
            (400, await web.post(PROXY)),
            (401, await ask(web, "POST", QUEUE, headers={"Authorization": "Key x"})),
            (404, await ask(web, "GET", request_url("job_x", "/status"))),
        ]
    for status, reply in replies:
        assert reply.status_code == status, reply.text
        assert reply.headers["access-control-allow-origin"] == PAGE
        assert wanted <= set(reply.headers["access-control-expose-headers"].lower().split(", "))
        assert reply.headers["x-fal-request-id"]
    assert "mask" in replies[0][1].headers["x-filmgate-warning"]


@pytest.mark.parametrize(
    "lines",
    [
        b"X-Fal-Target-Url: %b\r\nx-fal-target-url: https://evil.com/" % QUEUE.encode(),
        b"X-Fal-Target-Url: https://evil.com/\r\nX-FAL-TARGET-URL: %b" % QUEUE.encode(),
        b"X-Fal-Target-Url: https://queue.fal.run\t@evil.com/x",
        b"X-Fal-Target-Url: https://queue.fal.run\x00@evil.com/x",
        b"X-Fal-Target-Url: https://queue.fal.run/\xc0\xae\xc0\xae/x",
        b"X-Fal-Target-Url:",
        b"X_Fal_Target_Url: %b" % QUEUE.encode(),
    ],
)
async def test_odd_header_lines_are_refused(stack: Stack, server: Server, lines: bytes) -> None:
    """On the wire: duplicates in another spelling, a tab, a zero, overlong UTF-8, nothing, underscores: 400."""
    body = json.dumps(given(stack)).encode()
    head = b"POST /fal/proxy HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
    own = f"Authorization: Key {stack.account.key}\r\nContent-Length: {len(body)}\r\n".encode()
    async with nothing_changes(stack):
        answer = await asyncio.to_thread(server.send_raw, head + own + lines + b"\r\n\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 400 "), answer[:300]
