"""Bodies and inputs as programs for fal send them, to one running system: at `/v1` and at both of fal's doors."""

import json
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import httpx
import pytest

from tests.integration.refusals import assert_problem, nothing_changes
from tests.support.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, open_stack

pytestmark = pytest.mark.anyio

MASTER = "fal-ai/kling-video/v2/master/image-to-video"
BOM = b"\xef\xbb\xbf"
_numbers = count(1)  # each prompt is used once: the same body again could be the same job


@pytest.fixture(scope="module")
async def stack(redis_server: RedisServer, emulator: Emulator) -> AsyncIterator[Stack]:
    """One gateway for all tables."""
    redis_server.flush()
    async with open_stack(redis_server, emulator) as made:
        yield made


async def at_queue(stack: Stack, model: str, content: bytes, headers: dict[str, str]) -> httpx.Response:
    """The reply of `/fal/queue`."""
    return await stack.api.post(f"/fal/queue/{model}", content=content, headers=headers)


async def at_proxy(stack: Stack, model: str, content: bytes, headers: dict[str, str]) -> httpx.Response:
    """The reply of `/fal/proxy` to the same."""
    target = {"x-fal-target-url": f"https://queue.fal.run/{model}"}
    return await stack.api.post("/fal/proxy", content=content, headers={**headers, **target})


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
    for door in (at_queue, at_proxy):
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
