"""fal's clients upload here as to fal: what each of them sends, in its order."""

import time
from datetime import datetime
from urllib.parse import urlsplit

import httpx
import pytest

from tests.integration.uploads import (
    AUTH,
    IN_PARTS,
    INITIATE,
    bearing,
    completed,
    content_at,
    cut,
    initiated,
    picture,
    put_parts,
    started,
    upload_token,
    without_key,
)
from tests.support.callers import calling, token
from tests.support.pipeline import Pipeline
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio

LARGE = picture(size=(3150, 3150), compress_level=0)  # almost 30 MB


async def real_url(api: httpx.AsyncClient, address: str) -> str:
    """The redirect's target of one of our URLs, for its owner."""
    reply = await api.get(address)
    assert reply.status_code == 307, reply.text
    return reply.headers["location"]


async def test_python_uploads_with_a_token_that_holds_no_key(stack: Stack) -> None:
    """Token, then raw bytes: the URL is fal's, and serves the same bytes."""
    answer = (await stack.api.post(AUTH, json={})).json()
    assert (answer["token_type"], answer["base_url"]) == ("Bearer", "http://filmgate.test/fal/cdn")
    assert answer["expires_at"].endswith("+00:00")  # what Python 3.10 can parse
    lasts_s = datetime.fromisoformat(answer["expires_at"]).timestamp() - time.time()
    assert 3500 < lasts_s <= 3605
    assert stack.account.key not in str(answer)
    assert stack.digest not in answer["token"]  # nor the digest that the store has
    headers = {**bearing(answer["token"]), "X-Fal-File-Name": "x/../a.png", "Content-Type": "image/png"}
    async with without_key(stack) as web:
        reply = await web.post("/fal/cdn/files/upload", content=picture(), headers=headers)
    assert reply.status_code == 200, reply.text
    url = reply.json()["access_url"]
    assert url.startswith(stack.emulator.url)
    assert await content_at(url) == picture()
    body = stack.body()
    body["input"]["image_url"] = url
    job = (await stack.api.post("/v1/jobs", json=body)).json()
    assert job["input"]["image_url"]["size"] == len(picture())


@pytest.mark.parametrize("header", ["Key", "Bearer"])
async def test_a_key_uploads_a_file_too(stack: Stack, header: str) -> None:
    """Python 0.13's older way sends the key itself to the CDN."""
    async with without_key(stack) as web:
        headers = {"Authorization": f"{header} {stack.account.key}", "Content-Type": "application/octet-stream"}
        reply = await web.post("/fal/cdn/files/upload", content=picture(), headers=headers)
    assert reply.status_code == 200, reply.text


@pytest.mark.parametrize("storage", ["fal-cdn-v3", "gcs"])
@pytest.mark.parametrize("keyed", [True, False], ids=["python sends its key", "javascript sends nothing"])
async def test_a_signed_upload_url_accepts_the_bytes(stack: Stack, storage: str, keyed: bool) -> None:  # noqa: FBT001  a case of the table
    """`file_url` is known before the bytes, and redirects its owner to them afterwards."""
    asked = {"content_type": "image/png", "file_name": "my holiday.png"}
    upload = (await stack.api.post(INITIATE.replace("fal-cdn-v3", storage), json=asked)).json()
    assert urlsplit(upload["file_url"]).path.startswith("/fal/cdn/files/file_")
    assert upload["file_url"].endswith("/my_holiday.png")
    assert stack.account.key not in str(upload)
    assert (await stack.api.get(upload["file_url"])).status_code == 404
    async with without_key(stack) as web:
        headers = {"Authorization": f"Key {stack.account.key}"} if keyed else {}
        for _ in range(2):  # after a lost answer the client sends the same bytes again
            reply = await web.put(upload["upload_url"], content=picture(), headers=headers)
            assert (reply.status_code, reply.content) == (200, b"")
    assert await content_at(await real_url(stack.api, upload["file_url"])) == picture()


async def test_a_signed_upload_url_accepts_one_file(stack: Stack) -> None:
    """Different bytes for the same URL are refused, and the first are kept."""
    upload = await initiated(stack.api)
    async with without_key(stack) as web:
        assert (await web.put(upload["upload_url"], content=picture())).status_code == 200
        reply = await web.put(upload["upload_url"], content=picture(colour=9))
    assert reply.status_code == 403
    assert "before" in reply.json()["detail"]
    assert await content_at(await real_url(stack.api, upload["file_url"])) == picture()


async def test_python_uploads_parts_in_any_order(stack: Stack) -> None:
    """Eleven parts, completed in the order of arrival; nothing stays on disk."""
    credential = await upload_token(stack.api)
    parts = cut(LARGE, 11)
    async with without_key(stack) as web:
        address = await started(web, credential)
        shuffled = {number: parts[number] for number in (1, 2, 3, 11, 5, 4, 10, 7, 6, 9, 8)}
        named = await put_parts(web, address, shuffled, **bearing(credential))
        assert any((stack.settings.data_dir / "uploads").rglob("11-*"))
        reply = await completed(web, address, named, **bearing(credential))
        assert reply.status_code == 200, reply.text
        again = await completed(web, address, named, **bearing(credential))
        assert (again.status_code, again.content) == (200, reply.content)
    url = await real_url(stack.api, address.partition("/multipart/")[0])
    assert await content_at(url) == LARGE
    assert not any((stack.settings.data_dir / "uploads").rglob("*-*"))


async def test_javascript_uploads_parts_by_signature(stack: Stack) -> None:
    """`initiate-multipart`, then parts with a JSON answer; a part that is sent again replaces the first."""
    upload = await initiated(stack.api, where=IN_PARTS)
    parts = cut(picture(), 3)
    async with without_key(stack) as web:
        await put_parts(web, upload["upload_url"], {2: b"cut off"})
        named = await put_parts(web, upload["upload_url"], parts)
        assert (await completed(web, upload["upload_url"], named)).status_code == 200
    assert await content_at(await real_url(stack.api, upload["file_url"])) == picture()


async def test_parts_are_there_for_every_process_of_the_machine(stack: Stack) -> None:
    """No state of an upload is in one process's memory: another gateway with the same folder completes it."""
    from app.main import create_app  # noqa: PLC0415  the second process

    upload = await initiated(stack.api, where=IN_PARTS)
    async with without_key(stack) as web:
        named = await put_parts(web, upload["upload_url"], cut(picture(), 2))
    app = create_app(stack.settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://filmgate.test") as other:
            assert (await completed(other, upload["upload_url"], named)).status_code == 200


async def test_a_browser_token_uploads_for_the_jobs_it_makes(stack: Stack) -> None:
    """A page's token gets an upload URL and an upload token, and both work."""
    page = await token(stack.api)
    async with calling(stack, page["token"]) as api:
        upload = await initiated(api)
        assert (await api.put(upload["upload_url"], content=picture())).status_code == 200
        assert (await api.get(upload["file_url"])).status_code == 307
        credential = await upload_token(api)
        reply = await api.post("/fal/cdn/files/upload", content=picture(), headers=bearing(credential))
        assert reply.status_code == 200


# --- the address in a job ----------------------------------------------------------------------------------------


async def test_a_job_is_sent_with_fals_own_url(stack: Stack) -> None:
    """One of our URLs in the input is replaced by fal's before it is checked; the job shows the image."""
    upload = await initiated(stack.api)
    async with without_key(stack) as web:
        assert (await web.put(upload["upload_url"], content=picture())).status_code == 200
    body = stack.body()
    body["input"]["image_url"] = upload["file_url"]
    reply = await stack.api.post("/v1/jobs", json=body, headers={"Idempotency-Key": "once"})
    assert reply.status_code == 202, reply.text
    shown = reply.json()["input"]["image_url"]
    assert shown["url"] == await real_url(stack.api, upload["file_url"])
    assert shown["size"] == len(picture())
    body["input"]["image_url"] = shown["url"]
    again = await stack.api.post("/v1/jobs", json=body, headers={"Idempotency-Key": "once"})
    assert (again.status_code, again.json()["id"]) == (202, reply.json()["id"])


async def test_a_blob_in_the_input_is_bought_with_fals_own_url(stack: Stack, pipeline: Pipeline) -> None:
    """What JavaScript's client does with a Blob: initiate, upload, then a submission with the URL."""
    upload = await initiated(stack.api)
    async with without_key(stack) as web:
        assert (await web.put(upload["upload_url"], content=picture())).status_code == 200
    model = "/fal/queue/fal-ai/kling-video/v2/master/image-to-video"
    asked = {"prompt": "a lake", "image_url": upload["file_url"]}
    once = {"Idempotency-Key": "a lake"}
    first, again = [(await stack.api.post(model, json=asked, headers=once)).json() for _ in range(2)]
    assert first["request_id"] == again["request_id"]
    job = await pipeline.job(first["request_id"])
    assert job.input is not None
    assert job.input["image_url"] == await real_url(stack.api, upload["file_url"])
    refused = await stack.api.post(
        model, json={**asked, "image_url": upload["file_url"].replace("file_", "file_0")}
    )
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"] == ["body", "image_url"]


async def test_only_addresses_of_ours_are_replaced(stack: Stack) -> None:
    """In the model's fields for URLs, nested ones too; everything else in an input is unchanged."""
    upload = await initiated(stack.api)
    async with without_key(stack) as web:
        assert (await web.put(upload["upload_url"], content=picture())).status_code == 200
    ours, real = upload["file_url"], await real_url(stack.api, upload["file_url"])
    caller = await stack.gateway.accounts.authenticate(stack.account.key)
    other = "https://example.com/fal/cdn/files/file_x/a.png"
    given = {
        "prompt": ours,
        "start_image_url": ours,
        "elements": [{"frontal_image_url": ours}, {"reference_image_urls": [other, ours]}],
        "other_url": ours,
    }
    wanted = {
        "prompt": ours,
        "start_image_url": real,
        "elements": [{"frontal_image_url": real}, {"reference_image_urls": [other, real]}],
        "other_url": ours,
    }
    fields = stack.gateway.catalog.get("fal-ai/kling-video/v3/pro/image-to-video").schema.url_fields
    assert await stack.gateway.fal_uploads.resolve_input(caller, given, fields) == wanted
    assert await stack.gateway.fal_uploads.resolve(caller, ours.upper().replace("/FAL", "/fal")) != real
    assert await stack.gateway.fal_uploads.resolve(caller, ours.replace("filmgate", "FILMGATE")) == real


# --- tokens ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("app", ["kling-video", "fal-ai/kling-video"])
@pytest.mark.parametrize("path", ["/fal/rest/tokens/", "/fal/rest/tokens"])
async def test_a_token_for_an_app_is_a_browser_token_for_its_models(stack: Stack, app: str, path: str) -> None:
    """A JSON string, as both clients read it; it allows jobs of this app, and no further token."""
    reply = await stack.api.post(path, json={"allowed_apps": [app], "token_expiration": 120})
    assert reply.status_code == 200, reply.text
    assert reply.headers["cache-control"] == "no-store"
    async with calling(stack, reply.json()) as page:
        assert (await page.post("/v1/jobs", json=stack.body())).status_code == 202
        refused = await page.post(path, json={"allowed_apps": [app], "token_expiration": 120})
    assert refused.status_code == 403
