"""Requests as fal's JavaScript client sends them to a proxy."""

from typing import Any

import httpx

from tests.integration.fal_queue import APP, MODEL, given
from tests.support.stack import Stack

PROXY = "/fal/proxy"
QUEUE = f"https://queue.fal.run/{MODEL}"
RUN = f"https://fal.run/{MODEL}"
REST = "https://rest.fal.ai"
CDN = "https://v3.fal.media"
HEADERS = {"Accept": "application/json", "Content-Type": "application/json"}  # sent even without a body


def request_url(request_id: str, rest: str = "", *, app: str = APP) -> str:
    """Fal's URL of a request, or of a path below it."""
    return f"https://queue.fal.run/{app}/requests/{request_id}{rest}"


async def ask(api: httpx.AsyncClient, method: str, target: str | bytes, **more: Any) -> httpx.Response:
    """One request through the proxy; `more` goes to httpx."""
    headers = httpx.Headers({**HEADERS, **more.pop("headers", {})})
    raw = [*headers.raw, (b"x-fal-target-url", target if isinstance(target, bytes) else target.encode())]
    return await api.request(method, PROXY, headers=raw, **more)


def assert_fals(reply: httpx.Response, status: int) -> None:
    """A refusal in the shape that fal's clients read."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    assert reply.json().keys() - {"error_type", "status"} == {"detail", "message"}
    assert reply.headers["x-fal-request-id"]


async def submitted(stack: Stack, prompt: str = "a quiet lake") -> str:
    """The id of a request that was submitted through the proxy."""
    reply = await ask(stack.api, "POST", QUEUE, json=given(stack, prompt))
    assert reply.status_code == 200, reply.text
    return str(reply.json()["request_id"])
