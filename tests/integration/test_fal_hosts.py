"""fal's host names led to this gateway (FILMGATE_FAL_HOSTS), and the host that old Python clients make of ours."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.integration import fal_queue
from tests.integration.fal_proxy import CDN, QUEUE, REST, RUN, request_url
from tests.integration.fal_queue import MODEL, given, path_of
from tests.integration.refusals import nothing_changes
from tests.integration.uploads import content_at, picture, without_key
from tests.support.callers import another_key, calling, stranger, token
from tests.support.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, open_stack

pytestmark = pytest.mark.anyio

FALS_FILE = f"{CDN}/files/penguin/abc_output.mp4"


@pytest.fixture
async def mapped(store: RedisServer, emulator: Emulator) -> AsyncIterator[Stack]:
    """A gateway to which fal's host names lead; a URL of fal's is asked at it with that Host."""
    async with open_stack(store, emulator, FILMGATE_FAL_HOSTS="1") as stack:
        yield stack


# --- fal's hosts ------------------------------------------------------------------------------------------------


async def test_every_url_of_a_reply_is_fals_and_leads_here(mapped: Stack) -> None:
    """Submit, status, result, cancel, by the URLs alone; the job is the same under our own name."""
    reply = await mapped.api.post(QUEUE, json=given(mapped))
    assert reply.status_code == 200, reply.text
    submitted = reply.json()
    request_id = submitted["request_id"]
    assert submitted["status_url"] == request_url(request_id, "/status")
    for name, (method, status) in fal_queue.URLS.items():
        assert (await mapped.api.request(method, submitted[name])).status_code == status
    ours = (await fal_queue.status(mapped, request_id)).json()
    assert ours["status_url"].startswith(fal_queue.BASE)
    assert ours["request_id"] == request_id


async def test_the_stream_names_fals_hosts_too(mapped: Stack) -> None:
    """Each frame of `status/stream`."""
    request_id = (await mapped.api.post(QUEUE, json=given(mapped))).json()["request_id"]
    await fal_queue.cancel(mapped, request_id)
    reply = await mapped.api.get(request_url(request_id, "/status/stream"))
    assert f'"status_url": "{request_url(request_id, "/status")}"' in reply.text


async def test_each_of_fals_hosts_is_its_own_routes(mapped: Stack) -> None:
    """The backup names of Python's client, the older name of the REST API, a port, capitals; errors are fal's."""
    wrong = {**given(mapped), "duration": "7"}
    asked = [
        (422, "POST", f"https://queue.falrun.com/{MODEL}", wrong),
        (422, "POST", RUN, wrong),
        (422, "POST", f"https://falrun.com/{MODEL}", wrong),
        (422, "POST", f"https://FAL.run:443/{MODEL}", wrong),
        (422, "POST", f"{REST}/tokens/", {}),
        (422, "POST", "https://rest.alpha.fal.ai/tokens/", {}),
        (200, "GET", f"{REST}/.well-known/jwks.json", None),
        (200, "GET", "https://api.fal.ai/v1/models?limit=1", None),
        (404, "GET", "https://api.fal.ai/v1/nothing", None),
    ]
    for status, method, url, body in asked:
        reply = await mapped.api.request(method, url, json=body)
        assert reply.status_code == status, f"{url}: {reply.text}"
        shape = {"error"} if "api.fal.ai" in url else {"detail", "message"}  # the platform's errors differ
        assert status == 200 or reply.json().keys() >= shape, url


async def test_an_upload_names_fals_storage(mapped: Stack) -> None:
    """As JavaScript's client uploads: promise, PUT and file are at v3.fal.media, and a job takes the file's URL."""
    asked = {"file_name": "a.png", "content_type": "image/png"}
    place = (await mapped.api.post(f"{REST}/storage/upload/initiate", json=asked)).json()
    assert {url.partition("_")[0] for url in place.values()} == {f"{CDN}/uploads/file", f"{CDN}/files/file"}
    async with without_key(mapped) as web:
        assert (await web.put(place["upload_url"], content=picture())).status_code == 200
    seen = await mapped.api.get(place["file_url"])
    assert (seen.status_code, await content_at(seen.headers["location"])) == (307, picture())
    made = (await mapped.api.post(f"{REST}/storage/auth/token?storage_type=fal-cdn-v3", json={})).json()
    assert made["base_url"] == CDN
    reply = await mapped.api.post(QUEUE, json={**given(mapped), "image_url": place["file_url"]})
    image = (await mapped.job(reply.json()["request_id"]))["input"]["image_url"]
    assert image["url"] == seen.headers["location"]


async def test_another_customers_file_is_not_named_by_fals_host(mapped: Stack) -> None:
    """An unknown id of our form is 422; fal's own files have another form and are left as they are."""
    unknown = f"{CDN}/files/file_{'0' * 32}/a.png"
    async with nothing_changes(mapped):
        reply = await mapped.api.post(QUEUE, json={**given(mapped), "image_url": unknown})
    assert (reply.status_code, reply.json()["detail"][0]["loc"]) == (422, ["body", "image_url"])


async def test_a_file_of_fals_is_let_through_by_the_proxy_and_not_here(mapped: Stack) -> None:
    """404 with what to do, for a player without a key too; nothing is fetched and nobody is redirected."""
    async with without_key(mapped) as web:
        for method in ("GET", "HEAD"):
            for url in (FALS_FILE, f"{CDN}/files/b/0a/abc.mp4", f"{CDN}/"):
                reply = await web.request(method, url)
                assert reply.status_code == 404
                assert method == "HEAD" or "all other paths of v3.fal.media to fal" in reply.json()["detail"]
                assert "location" not in reply.headers


async def test_nothing_else_is_behind_fals_names(mapped: Stack) -> None:
    """Neither our API nor our pages nor the administration: each path is one of fal's, and is not there."""
    paths = ["/v1/me", "/v1/admin/teams", "/livez", "/metrics", "/", "/openapi.json", "/fal/proxy", "/fal/queue/x"]
    for host in ("queue.fal.run", "fal.run", "rest.fal.ai", "api.fal.ai"):
        for path in paths:
            reply = await mapped.api.get(f"https://{host}{path}", headers={"X-Fal-Target-Url": QUEUE})
            assert reply.status_code in {404, 405}, (host, path)


@pytest.mark.parametrize("host", ["queue.fal.run.evil.com", "evilfal.run", "queue.fal.run.", "fal.ai", "x.fal.run"])
async def test_other_names_are_not_fals(mapped: Stack, host: str) -> None:
    """Only the exact names; another Host leads to our own routes, and the reply names those."""
    assert (await mapped.api.post(f"https://{host}/{MODEL}", json=given(mapped))).status_code in {404, 405}
    reply = await mapped.api.post(f"https://{host}/fal/queue/{MODEL}", json=given(mapped))
    assert reply.json()["status_url"].startswith(fal_queue.BASE)


async def test_only_the_host_counts(mapped: Stack) -> None:
    """`X-Forwarded-Host` and its like change nothing: a caller could set them past a proxy that does not."""
    headers = {"X-Forwarded-Host": "queue.fal.run", "Forwarded": "host=queue.fal.run", "X-Host": "queue.fal.run"}
    assert (await mapped.api.post(f"/{MODEL}", json=given(mapped), headers=headers)).status_code in {404, 405}


async def test_without_the_setting_fals_names_mean_nothing(stack: Stack) -> None:
    """The path is read as ours, and a reply names us."""
    assert (await stack.api.post(QUEUE, json=given(stack))).status_code in {404, 405}
    reply = await stack.api.post(f"https://queue.fal.run/fal/queue/{MODEL}", json=given(stack))
    assert reply.json()["status_url"].startswith(fal_queue.BASE)


# --- old Python clients -----------------------------------------------------------------------------------------


async def test_run_under_a_queue_host_is_the_queue(stack: Stack) -> None:
    """As fal-client 0.4 to 0.10 asks with FAL_RUN_HOST=filmgate.test/fal/run: at once, with an id and our URLs."""
    old = "https://queue.filmgate.test/fal/run"
    reply = await stack.api.post(f"{old}/{MODEL}", json=given(stack))
    assert (reply.status_code, reply.json()["status"]) == (200, "IN_QUEUE")
    assert reply.json()["status_url"].startswith(fal_queue.BASE)
    one = f"{old}/fal-ai/kling-video/requests/{reply.json()['request_id']}"
    assert (await stack.api.get(f"{one}/status?logs=true")).status_code == 202
    assert (await stack.api.put(f"{one}/cancel")).status_code == 202
    assert (await stack.api.get(one)).status_code == 499


async def test_a_gateway_that_is_called_queue_keeps_its_run(store: RedisServer, emulator: Emulator) -> None:
    """Under its own name `/fal/run` waits, and only the name that old clients make of it is the queue's."""
    async with open_stack(store, emulator, FILMGATE_PUBLIC_URL="https://queue.example.com") as stack:
        for host, status in (("queue.example.com", 405), ("queue.queue.example.com", 404)):
            reply = await stack.api.get(f"https://{host}/fal/run/fal-ai/kling-video/requests/job_x/status")
            assert reply.status_code == status, host


# --- a token in the address ---------------------------------------------------------------------------------------


async def test_a_stream_takes_a_browser_token_in_its_address(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    """As fal's JavaScript opens it with `connectionMode: client`; the log has the path and no token."""
    made = await stack.api.post("/fal/rest/tokens/", json={"allowed_apps": ["kling-video"]})
    request_id = (await fal_queue.submitted(stack))["request_id"]
    await fal_queue.cancel(stack, request_id)
    path = path_of(request_id, f"/status/stream?logs=0&fal_jwt_token={made.json()}")
    async with without_key(stack) as web:
        reply = await web.get(path)
    assert (reply.status_code, '"COMPLETED"' in reply.text) == (200, True)
    assert "x-filmgate-warning" not in reply.headers
    logged = capsys.readouterr()
    assert f"/fal/queue/fal-ai/kling-video/requests/{request_id}/status/stream" in logged.out
    assert made.json() not in logged.out + logged.err


async def test_a_token_in_an_address_follows_only_its_own_keys_requests(stack: Stack) -> None:
    """Not those of another key or token of the same user, nor another user's; one for one job only that one."""
    own = (await fal_queue.submitted(stack, "with the key"))["request_id"]
    async with calling(stack, (await token(stack.api))["token"]) as page:
        by_token = (await page.post(f"/fal/queue/{MODEL}", json=given(stack, "with a token"))).json()["request_id"]
    second = (await another_key(stack)).key
    async with calling(stack, second) as other:
        by_other = (await other.post(f"/fal/queue/{MODEL}", json=given(stack, "with another"))).json()["request_id"]
    async with calling(stack, await stranger(stack)) as other:
        strange = (await other.post(f"/fal/queue/{MODEL}", json=given(stack, "a stranger's"))).json()["request_id"]
        await other.put(path_of(strange, "/cancel"))
    for request_id in (own, by_token, by_other):
        await fal_queue.cancel(stack, request_id)  # so that a stream ends by itself
    holder = (await token(stack.api))["token"]
    bound = (await token(stack.api, job=by_other))["token"]
    async with without_key(stack) as web:
        for value, request_id, status in (
            (holder, own, 200),
            (holder, by_token, 404),
            (holder, by_other, 404),
            (holder, strange, 404),
            (bound, own, 404),
        ):
            path = path_of(request_id, "/status/stream")
            reply = await web.get(path, params={"fal_jwt_token": value})
            assert reply.status_code == status, (value == bound, request_id)


async def test_no_key_and_no_other_route_is_opened_by_an_address(stack: Stack) -> None:
    """A key there is 403, a wrong token 401; status, result and submission take none; a header goes before it."""
    made = (await token(stack.api))["token"]
    request_id = (await fal_queue.submitted(stack))["request_id"]
    await fal_queue.cancel(stack, request_id)  # so that a stream ends by itself
    stream = path_of(request_id, "/status/stream")
    async with without_key(stack) as web, nothing_changes(stack):
        for path, value, status in (
            (stream, stack.account.key, 403),
            (stream, "fg_tok_wrong", 401),
            (stream, "", 401),
            (path_of(request_id, "/status"), made, 401),
            (path_of(request_id), made, 401),
        ):
            reply = await web.get(path, params={"fal_jwt_token": value})
            assert reply.status_code == status, path
            assert not value or value not in reply.text
        posted = await web.post(f"/fal/queue/{MODEL}", params={"fal_jwt_token": made}, json=given(stack))
        assert posted.status_code == 401
    async with calling(stack, "fg_live_wrong") as other:
        assert (await other.get(stream, params={"fal_jwt_token": made})).status_code == 401


async def test_head_is_get_at_the_queue(stack: Stack) -> None:
    """Monitors ask so: the status and headers of GET, no body."""
    request_id = (await fal_queue.submitted(stack))["request_id"]
    for rest, status in (("", 400), ("/response", 400), ("/status", 202), ("/status/stream", 200)):
        reply: httpx.Response = await stack.api.head(path_of(request_id, rest))
        assert (reply.status_code, reply.content) == (status, b""), rest
        assert reply.headers["x-fal-request-id"] == request_id
