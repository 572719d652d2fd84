"""One submission at both of fal's doors that answer at once: `/fal/queue`, and the same by `/fal/proxy`."""

import httpx

from tests.support.stack import Stack


async def at_queue(stack: Stack, model: str, content: bytes, headers: dict[str, str]) -> httpx.Response:
    """The reply of `/fal/queue`."""
    return await stack.api.post(f"/fal/queue/{model}", content=content, headers=headers)


async def at_proxy(stack: Stack, model: str, content: bytes, headers: dict[str, str]) -> httpx.Response:
    """The reply of `/fal/proxy` to the same."""
    target = {"x-fal-target-url": f"https://queue.fal.run/{model}"}
    return await stack.api.post("/fal/proxy", content=content, headers={**headers, **target})


DOORS = (at_queue, at_proxy)
