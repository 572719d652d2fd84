"""Content types, addresses and data URIs as programs for fal send them, to one running system."""

import base64
import io
import json
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.integration.fal_doors import DOORS
from tests.integration.refusals import assert_problem, nothing_changes
from tests.support.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, open_stack

pytestmark = pytest.mark.anyio

FAMILY = "fal-ai/kling-video"
MASTER = f"{FAMILY}/v2/master/image-to-video"
IMG = "https://v3.fal.media/files/b/cat.png"
BOM = b"\xef\xbb\xbf"
_numbers = count(1)  # each prompt is used once: the same body again could be the same job


@pytest.fixture(scope="module")
async def stack(redis_server: RedisServer, emulator: Emulator) -> AsyncIterator[Stack]:
    """One gateway for all tables."""
    redis_server.flush()
    async with open_stack(redis_server, emulator) as made:
        yield made


# --- content types -----------------------------------------------------------------------------------------------

FAL_TYPES = [
    None,
    "",
    "application/x-www-form-urlencoded",  # what `curl -d` sends, as in fal's documentation
    "text/plain",
    "text/plain;charset=UTF-8",  # what `fetch` sends with a text
    "application/octet-stream",
    "multipart/form-data; boundary=x",
    "application/json; charset=iso-8859-1",
    ";;=",
]


@pytest.mark.parametrize("content_type", FAL_TYPES)
async def test_fals_door_reads_json_whatever_its_type_is(stack: Stack, content_type: str | None) -> None:
    """With a byte order mark too; the same body of no JSON is 400 and not 415."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    for door in DOORS:
        given = stack.body(f"type {next(_numbers)}")["input"]
        reply = await door(stack, MASTER, BOM + json.dumps(given).encode(), headers)
        assert reply.status_code == 200, reply.text
        assert (await stack.job(reply.json()["request_id"]))["input"]["prompt"] == given["prompt"]
        async with nothing_changes(stack):
            assert (await door(stack, MASTER, b"prompt=a+cat", headers)).status_code == 400


JSON_TYPES = [
    "application/json",
    "APPLICATION/JSON",
    "application/json;",
    "application/json; charset=utf-8;",
    'application/json ; Charset="UTF-8"',
    "application/json;charset=us-ascii",
    "application/json; version=1",
    "application/json; version=1; charset=utf8; profile=x",
    "application/json; charset",
]


@pytest.mark.parametrize("content_type", JSON_TYPES)
async def test_parameters_of_the_content_type_are_ignored_at_v1(stack: Stack, content_type: str) -> None:
    """All but the name of another charset; a byte order mark is skipped."""
    content = BOM + json.dumps(stack.body()).encode()
    reply = await stack.api.post("/v1/quotes", content=content, headers={"Content-Type": content_type})
    assert reply.status_code == 200, reply.text


async def test_another_charset_is_refused_at_v1_wherever_it_stands(stack: Stack) -> None:
    """Behind other parameters as well."""
    headers = {"Content-Type": "application/json; version=1; charset=utf-16"}
    async with nothing_changes(stack):
        reply = await stack.api.post("/v1/jobs", content=json.dumps(stack.body()).encode(), headers=headers)
    assert_problem(reply, 415, "unsupported_media_type")


# --- addresses ---------------------------------------------------------------------------------------------------


async def test_a_presigned_address_of_eight_thousand_characters_is_an_image_and_a_webhook(stack: Stack) -> None:
    """As the image of a job, as its webhook, and as `fal_webhook`; one more character is refused."""
    longest = "https://bucket.example.com/k?X-Amz-Security-Token=".ljust(8192, "t")
    body: dict[str, Any] = {"input": {"prompt": f"long {next(_numbers)}", "image_url": longest}}
    reply = await stack.api.post("/v1/jobs", json={**body, "webhook_url": longest})
    assert reply.status_code == 202, reply.text
    assert reply.json()["input"]["image_url"] == longest
    for door in ("queue", "proxy"):
        headers = {} if door == "queue" else {"x-fal-target-url": f"https://queue.fal.run/{MASTER}"}
        path = f"/fal/queue/{MASTER}" if door == "queue" else "/fal/proxy"
        given = {**body["input"], "prompt": f"long {next(_numbers)}"}
        url = httpx.URL(path, params={"fal_webhook": longest}) if door == "queue" else httpx.URL(path)
        if headers:
            headers["x-fal-target-url"] += "?" + str(httpx.QueryParams({"fal_webhook": longest}))
        reply = await stack.api.post(url, json=given, headers=headers)
        assert reply.status_code == 200, reply.text
    for where in ({"webhook_url": longest + "t"}, {"input": {**body["input"], "image_url": longest + "t"}}):
        async with nothing_changes(stack):
            assert_problem(await stack.api.post("/v1/jobs", json=body | where), 422, "too_long")


async def test_an_address_is_taken_without_what_it_does_not_need(stack: Stack) -> None:
    """White space, a fragment and an empty port of an image and of a webhook are gone from the job."""
    image, hook = stack.emulator.sample_image, "https://hooks.example.com/a"
    given = {"prompt": f"tidy {next(_numbers)}", "image_url": f" {image}#cat\n"}
    body = {"input": given, "webhook_url": f"\t{hook.replace('.com/', '.com:/')}#b "}
    headers = {"Idempotency-Key": f"tidy {next(_numbers)}"}
    job = (await stack.api.post("/v1/jobs", json=body, headers=headers)).json()
    assert job["input"]["image_url"] == image
    same = await stack.api.post(
        "/v1/jobs", json={"input": {**given, "image_url": image}, "webhook_url": hook}, headers=headers
    )
    assert (same.status_code, same.json()["id"], same.headers.get("idempotent-replayed")) == (
        202,
        job["id"],
        "true",
    )


# --- data URIs ---------------------------------------------------------------------------------------------------


def picture(colour: str) -> bytes:
    """A PNG that Kling takes."""
    stream = io.BytesIO()
    Image.new("RGB", (320, 320), colour).save(stream, "PNG")
    return stream.getvalue()


async def test_pictures_in_odd_data_uris_are_read_at_every_door(stack: Stack) -> None:
    """Wrapped, of no known type, without padding, with parameters: the bytes decide, and two fit in a job."""
    first, last = picture("red"), picture("blue")
    wrapped = "data:application/octet-stream;base64," + base64.encodebytes(first).decode()
    bare = "data:image/pjpeg;name=last;base64," + base64.urlsafe_b64encode(last).decode().rstrip("=") + "%0A"
    given = {"prompt": f"uris {next(_numbers)}", "image_url": wrapped, "tail_image_url": bare}
    model = f"{FAMILY}/v2.5-turbo/pro/image-to-video"
    async with nothing_changes(stack):
        quote = await stack.api.post("/v1/quotes", json={"model": model, "input": given})
    assert (quote.status_code, quote.json().get("quoted_usd")) == (200, "0.35"), quote.text
    for door in DOORS:
        headers = {"Idempotency-Key": f"uris {next(_numbers)}"}
        reply = await door(stack, model, json.dumps(given).encode(), headers)
        assert reply.status_code == 200, reply.text
        job = await stack.job(reply.json()["request_id"])
        shown = [job["input"][name] for name in ("image_url", "tail_image_url")]
        assert [(image["type"], image["size"]) for image in shown] == [
            ("image/png", len(first)),
            ("image/png", len(last)),
        ]


async def test_pictures_in_lists_and_elements_may_be_data_uris(stack: Stack) -> None:
    """Each is stored, and the job has its address in its place; a broken one is refused with its place."""
    one, two = (f"data:;base64,{base64.b64encode(picture(colour)).decode()}" for colour in ("red", "blue"))
    model = f"{FAMILY}/o3/standard/reference-to-video"
    element = {"frontal_image_url": one, "reference_image_urls": [IMG, two]}
    given = {"prompt": f"nested {next(_numbers)}", "image_urls": [IMG, one], "elements": [element]}
    headers = {"Idempotency-Key": f"nested {next(_numbers)}"}
    replies = [
        await stack.api.post("/v1/jobs", json={"model": model, "input": given}, headers=headers) for _ in range(2)
    ]
    assert [reply.status_code for reply in replies] == [202, 202], replies[0].text
    assert replies[0].json()["id"] == replies[1].json()["id"]
    clean = replies[0].json()["input"]
    (stored,) = clean["elements"]
    urls = [clean["image_urls"][1], stored["frontal_image_url"], stored["reference_image_urls"][1]]
    assert all(url.startswith(stack.emulator.url) for url in urls), urls
    assert [clean["image_urls"][0], stored["reference_image_urls"][0]] == [IMG, IMG]
    async with httpx.AsyncClient(trust_env=False) as web:
        assert [(await web.get(url)).content for url in urls] == [picture("red"), picture("red"), picture("blue")]
    async with nothing_changes(stack):
        broken = {**given, "elements": [{"reference_image_urls": [IMG, "data:;base64,!!"]}]}
        refused = await stack.api.post("/v1/jobs", json={"model": model, "input": broken})
        many = await stack.api.post("/v1/jobs", json={"model": model, "input": {**given, "image_urls": [one] * 65}})
    problem = assert_problem(refused, 422, "bad_data_uri")
    assert problem["errors"][0]["pointer"] == "/input/elements/0/reference_image_urls/1"
    assert_problem(many, 422, "invalid_input")
