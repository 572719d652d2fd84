"""Images: uploaded or inside a submission, stored before admission, and shown with what they are."""

import base64
import hashlib
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.integration.refusals import assert_problem, nothing_changes
from tests.integration.uploads import picture
from tests.support.callers import second_account
from tests.support.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, open_stack

pytestmark = pytest.mark.anyio


def turned() -> bytes:
    """A JPEG that is 640 by 480 in the file and upright when displayed (EXIF orientation)."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return picture("jpeg", exif=exif)


GOOD = {
    "PNG": (picture(), "image/png", (640, 480)),
    "JPEG": (picture("jpeg"), "image/jpeg", (640, 480)),
    "WebP": (picture("webp"), "image/webp", (640, 480)),
    "grey": (picture(mode="L"), "image/png", (640, 480)),
    "CMYK": (picture("jpeg", mode="CMYK"), "image/jpeg", (640, 480)),
    "transparent": (picture(mode="RGBA"), "image/png", (640, 480)),
    "turned": (turned(), "image/jpeg", (480, 640)),
    "smallest": (picture(size=(300, 300)), "image/png", (300, 300)),
    "widest": (picture(size=(1000, 400)), "image/png", (1000, 400)),
    "tallest": (picture(size=(400, 1000)), "image/png", (400, 1000)),
}


@pytest.mark.parametrize("case", GOOD)
async def test_an_uploaded_image_can_be_read_by_fal(stack: Stack, case: str) -> None:
    """201 with the type that the bytes have, whatever the name says, and a URL that serves the same bytes."""
    content, kind, (width, height) = GOOD[case]
    reply = await stack.api.post("/v1/files", files={"file": ("evil/../name.exe", content, "text/plain")})
    assert reply.status_code == 201, reply.text
    stored = reply.json()
    url = stored.pop("url")
    digest = hashlib.sha256(content).hexdigest()
    assert stored == {"type": kind, "size": len(content), "sha256": digest, "width": width, "height": height}
    async with httpx.AsyncClient(trust_env=False) as web:
        assert (await web.get(url)).content == content
    assert "evil" not in url


async def test_an_image_of_almost_30_mb_is_accepted(stack: Stack) -> None:
    """Kling's largest image is accepted unchanged."""
    content = picture(size=(3150, 3150), compress_level=0)
    assert 29_000_000 < len(content) < 30_000_000
    reply = await stack.api.post("/v1/files", files={"file": ("a.png", content, "image/png")})
    assert (reply.status_code, reply.json()["size"]) == (201, len(content))


async def test_a_job_shows_an_uploaded_image_as_what_it_is(stack: Stack) -> None:
    """A job with an uploaded URL shows type, size, digest and URL; fal gets the URL."""
    stored = (await stack.api.post("/v1/files", files={"file": ("a.png", picture(), "image/png")})).json()
    shown = {name: stored[name] for name in ("type", "size", "sha256", "url")}
    body = stack.body()
    body["input"]["image_url"] = stored["url"]
    job = (await stack.api.post("/v1/jobs", json=body)).json()
    assert job["input"]["image_url"] == shown
    assert (await stack.job(job["id"]))["input"]["image_url"] == shown
    assert (await stack.api.get("/v1/jobs")).json()["data"][0]["input"]["image_url"] == shown


async def test_another_team_learns_nothing_of_an_uploaded_image(stack: Stack) -> None:
    """In another team's job the URL is treated like any other."""
    stored = (await stack.api.post("/v1/files", files={"file": ("a.png", picture(), "image/png")})).json()
    body = stack.body()
    body["input"]["image_url"] = stored["url"]
    async with second_account(stack) as other:
        job = (await other.post("/v1/jobs", json=body)).json()
    assert job["input"]["image_url"] == stored["url"]


def embedded(stack: Stack, content: bytes, **more: Any) -> dict[str, Any]:
    """A submission with the embedded image."""
    body = stack.body(**more)
    body["input"]["image_url"] = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return body


async def test_an_embedded_image_is_stored_first(stack: Stack) -> None:
    """The job has a URL and describes the image; no key of the store has its bytes."""
    content = picture(compress_level=0)
    job = (await stack.api.post("/v1/jobs", json=embedded(stack, content))).json()
    shown = job["input"]["image_url"]
    assert shown.keys() == {"type", "size", "sha256", "url"}
    assert (shown["type"], shown["size"]) == ("image/png", len(content))
    assert shown["sha256"] == hashlib.sha256(content).hexdigest()
    async with httpx.AsyncClient(trust_env=False) as web:
        assert (await web.get(shown["url"])).content == content
    kept = await stack.gateway.stores.jobs.get(f"{stack.account.team.id}/{job['id']}")
    assert kept is not None
    assert kept.input is not None
    assert kept.input["image_url"] == shown["url"]


async def test_a_repeat_with_an_embedded_image_stores_it_once(stack: Stack) -> None:
    """The same bytes and key return the first job with its URL. Other bytes are 422, and nothing is stored."""
    headers = {"Idempotency-Key": "embedded"}
    first = await stack.api.post("/v1/jobs", json=embedded(stack, picture()), headers=headers)
    async with nothing_changes(stack):
        again = await stack.api.post("/v1/jobs", json=embedded(stack, picture()), headers=headers)
        other = await stack.api.post("/v1/jobs", json=embedded(stack, picture(size=(640, 481))), headers=headers)
    assert again.json() == {**first.json(), "repeated": True}
    assert_problem(other, 422, "idempotency_key_reused")


async def test_a_quote_of_an_embedded_image_stores_nothing(stack: Stack) -> None:
    """The price is given without an upload."""
    async with nothing_changes(stack):
        reply = await stack.api.post("/v1/quotes", json=embedded(stack, picture()))
    assert reply.json()["quoted_usd"] == "1.40"


NOWHERE = {"FILMGATE_FAL_REST_URL": "http://127.0.0.1:9"}
NO_KEY = {"FAL_KEY": ""}


@pytest.mark.parametrize("settings", [NOWHERE, NO_KEY], ids=["away", "no key"])
async def test_what_cannot_be_stored_is_not_admitted(
    store: RedisServer, emulator: Emulator, settings: dict[str, str]
) -> None:
    """Fal's storage is down, or there is no key for it: 503 with Retry-After, and no job."""
    async with open_stack(store, emulator, **settings) as stack:
        async with nothing_changes(stack):
            upload = await stack.api.post("/v1/files", files={"file": ("a.png", picture(), "image/png")})
            job = await stack.api.post(
                "/v1/jobs", json=embedded(stack, picture()), headers={"Idempotency-Key": "k"}
            )
        for reply in (upload, job):
            assert_problem(reply, 503, "upstream_unavailable")
            assert int(reply.headers["retry-after"]) >= 1
        assert (await stack.api.get("/v1/jobs")).json()["data"] == []
