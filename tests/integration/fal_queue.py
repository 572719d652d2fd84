"""Requests as fal's own clients send them, to `/fal/queue` and `/fal/run` of a stack."""

from typing import Any

import httpx

from tests.support.stack import Stack

MODEL = "fal-ai/kling-video/v2/master/image-to-video"
APP = "fal-ai/kling-video"
BASE = "http://filmgate.test/fal/queue"
# Of a reply, for a request that waits: the method to ask with, and the status of the answer; cancellation last.
URLS = {"status_url": ("GET", 202), "response_url": ("GET", 400), "cancel_url": ("PUT", 202)}


def given(stack: Stack, prompt: str = "a quiet lake", **more: Any) -> dict[str, Any]:
    """A model's input, without our envelope."""
    return {"prompt": prompt, "image_url": stack.emulator.sample_image, **more}


async def post(stack: Stack, prompt: str = "a quiet lake", *, model: str = MODEL, **more: Any) -> httpx.Response:
    """A submission; `more` goes to httpx, and may replace the usual input with `json`."""
    more.setdefault("json", given(stack, prompt))
    return await stack.api.post(f"/fal/queue/{model}", **more)


async def submitted(stack: Stack, prompt: str = "a quiet lake", **more: Any) -> dict[str, Any]:
    """A submission that must be accepted; the reply's document."""
    reply = await post(stack, prompt, **more)
    assert reply.status_code == 200, reply.text
    document: dict[str, Any] = reply.json()
    return document


def path_of(request_id: str, rest: str = "", *, app: str = APP) -> str:
    """The path of a request, or of a path below it."""
    return f"/fal/queue/{app}/requests/{request_id}{rest}"


async def status(stack: Stack, request_id: str, **more: Any) -> httpx.Response:
    """A poll."""
    return await stack.api.get(path_of(request_id, "/status"), **more)


async def result(stack: Stack, request_id: str) -> httpx.Response:
    """The result, as it is now."""
    return await stack.api.get(path_of(request_id))


async def cancel(stack: Stack, request_id: str) -> httpx.Response:
    """A cancellation, as the JavaScript client sends it: a JSON content type, and no body."""
    headers = {"Content-Type": "application/json", "Content-Length": "0"}
    return await stack.api.put(path_of(request_id, "/cancel"), headers=headers)
