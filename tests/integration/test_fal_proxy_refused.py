"""`/fal/proxy` is no open proxy: only fal's URLs are accepted, and nothing is ever sent to a target."""

import pytest

from tests.integration.fal_proxy import (
    CDN,
    PROXY,
    QUEUE,
    REST,
    RUN,
    ask,
    assert_fals,
    request_url,
    submitted,
)
from tests.integration.fal_queue import MODEL, given
from tests.integration.refusals import nothing_changes
from tests.support.receiver import Receiver
from tests.support.spellings import OPEN_PROXY
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio

MB = 1024 * 1024


async def test_it_is_no_open_proxy(stack: Stack) -> None:
    """Each target of the table, with a valid key and every method; nothing is written, bought or echoed."""
    async with nothing_changes(stack):
        for target, status in OPEN_PROXY:
            for method in ("GET", "POST", "PUT"):
                reply = await ask(stack.api, method, target, json=given(stack))
                assert reply.status_code == status, target
                assert_fals(reply, status)
                assert not target or target.decode(errors="replace") not in reply.text


async def test_nothing_is_ever_sent_to_a_target(stack: Stack, receiver: Receiver) -> None:
    """A server at the targets' address gets no connection; other headers lead nowhere either."""
    place = f"127.0.0.1:{receiver.port}"
    for target in (f"https://{place}/{MODEL}", f"http://{place}/{MODEL}", f"https://fal.run@{place}/{MODEL}"):
        assert_fals(await ask(stack.api, "POST", target, json=given(stack)), 400)
    extra = {
        "Host": place,
        "X-Forwarded-Host": place,
        "Forwarded": f"host={place}",
        "X-Original-URL": f"//{place}/",
    }
    reply = await ask(stack.api, "POST", QUEUE, json=given(stack), headers=extra)
    assert reply.status_code == 200, reply.text
    assert reply.json()["status_url"].startswith("https://queue.fal.run/")
    assert receiver.connections == 0


async def test_one_target_is_needed(stack: Stack) -> None:
    """None, or two, even of the same URL: 400."""
    async with nothing_changes(stack):
        assert_fals(await stack.api.post(PROXY, json=given(stack)), 400)
        for second in (QUEUE, RUN, ""):
            raw = [("x-fal-target-url", QUEUE), ("X-Fal-Target-Url", second)]
            assert_fals(await stack.api.post(PROXY, json=given(stack), headers=raw), 400)


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_other_methods_are_not_known(stack: Stack, method: str) -> None:
    """405 with the allowed methods, whatever the target."""
    for target in (QUEUE, "https://evil.com"):
        reply = await ask(stack.api, method, target)
        assert reply.status_code == 405
        assert set(reply.headers["allow"].split(", ")) == {"GET", "HEAD", "POST", "PUT"}
        assert reply.headers["x-fal-request-id"]


async def test_the_proxys_own_query_is_ignored(stack: Stack) -> None:
    """A query in the page's `proxyUrl` is not read as parameters."""
    request_id = await submitted(stack)
    headers = {"x-fal-target-url": request_url(request_id, "/status?logs=0")}
    reply = await stack.api.get(f"{PROXY}?logs=1&token=x", headers=headers)
    assert (reply.status_code, reply.json()["logs"]) == (202, None)


async def test_bodies_have_the_limit_of_the_route(stack: Stack) -> None:
    """8 MB of JSON, 31 MB of a file; no more where the target is refused."""
    async with nothing_changes(stack):
        for url in (QUEUE, RUN, f"{REST}/storage/upload/initiate", "https://evil.com"):
            refused = await ask(stack.api, "POST", url, content=b" " * (8 * MB + 1))
            assert_fals(refused, 413)
            assert ("Upload the files first" in refused.json()["detail"]) == (url in {QUEUE, RUN})
        assert_fals(await ask(stack.api, "POST", f"{CDN}/files/upload", content=b" " * (31 * MB + 1)), 413)
