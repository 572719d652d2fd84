"""Programs that others wrote on top of fal, unmodified, through `/fal/proxy`: Vercel's AI SDK and TanStack AI."""

import json
from typing import Any

import pytest

from tests.e2e.clients.customers import Customers, Ended

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

VERCEL = ["6", "7"]


async def vercel(customers: Customers, major: str, prompt: str, *, n: int = 1, **field: Any) -> Ended:
    """`experimental_generateVideo` of this major version; `field` goes to fal as a provider's option."""
    given = {"prompt": prompt, "image": customers.installation.emulator.sample_image, "n": n, "input": field}
    async with customers.javascript("vercel.mjs", major, json.dumps(given)) as program:
        return await program.ended()


async def tanstack(customers: Customers, prompt: str, **field: Any) -> Ended:
    """`generateVideo` and `getVideoJobStatus` until the end; `field` goes to fal as a model's option."""
    given = {"prompt": prompt, "image": customers.installation.emulator.sample_image, "input": field}
    async with customers.javascript("tanstack.mjs", json.dumps(given)) as program:
        return await program.ended()


@pytest.mark.parametrize("major", VERCEL)
async def test_vercels_sdk_gets_the_clip_that_it_bought(customers: Customers, major: str) -> None:
    """It follows `response_url`, and sends its key there only if the host is the one it submitted to: fal's."""
    prompt = customers.prompt()
    ended = await vercel(customers, major, prompt)
    assert (ended.outcome["kinds"], ended.outcome["sizes"][0] > 0) == (["video/mp4"], True), ended.outcome
    await customers.assert_one_purchase(prompt, {"video": {"url": ended.outcome["urls"][0]}})


@pytest.mark.parametrize("major", VERCEL)
async def test_vercels_sdk_gets_as_many_clips_as_it_asks_for(customers: Customers, major: str) -> None:
    """`n: 2` is two equal POSTs at once; version 7 sends an `Idempotency-Key` of its own with each, 6 does not."""
    prompt = customers.prompt()
    customers.takes.add(prompt)
    ended = await vercel(customers, major, prompt, n=2)
    assert len(set(ended.outcome["urls"])) == 2, ended.outcome
    assert await customers.bought(prompt) == (2, 2)


@pytest.mark.parametrize("major", VERCEL)
async def test_vercels_sdk_shows_a_refusal(customers: Customers, major: str) -> None:
    """Wrong input is 422 with fal's list before anything is bought."""
    prompt = customers.prompt()
    ended = await vercel(customers, major, prompt, duration="7")
    error = ended.outcome["error"]
    assert (error["kind"], error["status"]) == ("AI_APICallError", 422)
    assert json.loads(error["body"])["detail"][0]["loc"] == ["body", "duration"]
    assert await customers.bought(prompt) == (0, 0)


async def test_tanstack_gets_the_clip_that_it_bought(customers: Customers) -> None:
    """Its adapter is fal's own client with a fetch of its own; it reads what fal billed in the result's header."""
    prompt = customers.prompt()
    ended = await tanstack(customers, prompt)
    assert ended.outcome["status"] == "completed", ended.outcome
    assert ended.outcome["usage"]["unitsBilled"] == 5, ended.outcome
    await customers.assert_one_purchase(prompt, {"video": {"url": ended.outcome["url"]}})


async def test_tanstack_shows_a_refusal_and_a_failure(customers: Customers) -> None:
    """Wrong input is 422 and buys nothing; what the model refuses is `failed` with fal's text."""
    prompt, refused = customers.prompt(), customers.prompt("422_content_policy")
    error = (await tanstack(customers, prompt, duration="7")).outcome["error"]
    assert (error["kind"], error["status"]) == ("ValidationError", 422)
    assert await customers.bought(prompt) == (0, 0)
    ended = await tanstack(customers, refused)
    assert ended.outcome["status"] == "failed"
    assert "content" in ended.outcome["error"]
    assert (await customers.bought(refused))[0] == 1
