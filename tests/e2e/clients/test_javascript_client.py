"""fal's own client for JavaScript, unmodified, in Node: redirected by a middleware, and through `/fal/proxy`."""

import asyncio
import json
from base64 import b64encode
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import pytest

from app.domain.limits import Limit, Unit, Window
from tests.e2e.clients.customers import WATCHED, Customers, Ended, Program, picture

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

LEAVING_SECONDS = 4.0
GIVES_UP_MS = 6000  # in which the clip is bought, on a slow machine too
POLLING = {"pollInterval": 100}
STREAMING = {"mode": "streaming"}
EXAMPLES = ["seed_subscribe.mjs", "seed_queue.mjs", "seed_config.mjs"]


WAYS = ["middleware", "proxy"]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """Both connections that a client in Node can use."""
    found: str = request.param
    return found


def doing(
    customers: Customers,
    way: str,
    case: str,
    prompt: str,
    *,
    key: str = "",
    port: int = 0,
    field: Any = None,
    **options: Any,
) -> AbstractAsyncContextManager[Program]:
    """One case of js/cases.mjs; `field` adds to the input."""
    given = {"input": customers.input(prompt, **(field or {})), **options}
    return customers.javascript("node.mjs", case, way, json.dumps(given), key=key, port=port)


async def does(customers: Customers, way: str, case: str, prompt: str, **options: Any) -> Ended:
    """The same, run to its end."""
    async with doing(customers, way, case, prompt, **options) as program:
        return await program.ended()


@pytest.mark.parametrize("more", [POLLING, STREAMING], ids=["polling", "streaming"])
async def test_subscribe_shows_the_queue_and_gives_the_clip(
    customers: Customers, way: str, more: dict[str, Any]
) -> None:
    """Updates go from the queue over progress with logs to completion, polled or streamed; one clip is bought."""
    prompt = customers.prompt(WATCHED)
    ended = await customers.watch(doing(customers, way, "subscribe", prompt, more=more))
    await customers.assert_one_purchase(prompt, ended.result)
    statuses = [update["status"] for update in ended.updates]
    assert statuses[0] == "IN_QUEUE"
    assert statuses[-1] == "COMPLETED"
    assert statuses == sorted(statuses, key=["IN_QUEUE", "IN_PROGRESS", "COMPLETED"].index)
    assert any(update["logs"] for update in ended.updates if update["status"] == "IN_PROGRESS")
    assert ended.outcome["request_ids"] == [ended.outcome["request_id"]], "the header names the request"


async def test_a_stream_without_a_server_in_between_has_its_token_in_the_address(customers: Customers) -> None:
    """`connectionMode: "client"`: the client makes a token with its key; the log of the API has no token."""
    prompt = customers.prompt()
    ended = await does(customers, "fetch", "client_stream", prompt)
    assert ended.outcome.get("states", [None])[-1] == "COMPLETED", ended
    await customers.assert_one_purchase(prompt, ended.result)
    assert customers.answered(f"{ended.outcome['request_ids'][0]}/status/stream", 200) == 1
    assert "fg_tok_" not in customers.log.read_text("utf-8")


async def test_the_queue_can_be_used_by_hand(customers: Customers, way: str) -> None:
    """`submit`, `status` and `result` end with one clip."""
    prompt = customers.prompt()
    async with customers.leisure() as clip, doing(customers, way, "by_id", prompt) as program:
        before = (await program.until("update"))["update"]
        await clip.begin()
        ended = await program.ended()
    await customers.assert_one_purchase(prompt, ended.result)
    assert before["status"] == "IN_QUEUE"
    assert ended.outcome["after"]["logs"]
    assert ended.outcome["request_ids"] == [ended.outcome["request_id"]]


async def test_a_cancelled_request_is_completed_at_once(customers: Customers, way: str) -> None:
    """The status shows it, the result is 499, cancelling again is 400, and nothing is charged."""
    prompt = customers.prompt("slow")
    ended = await does(customers, way, "cancel", prompt)
    found = ended.outcome
    assert found["status"]["status"] == "COMPLETED"
    assert (found["get"]["kind"], found["get"]["status"]) == ("ApiError", 499)
    assert found["get"]["body"]["error_type"] == "client_cancelled"
    assert (found["again"]["kind"], found["again"]["status"]) == ("ApiError", 400)
    accepted, charged = await customers.bought(prompt)
    assert (accepted <= 1, charged) == (True, 0)


async def test_a_client_that_gives_up_has_cancelled(customers: Customers, way: str) -> None:
    """After `timeout` the request is completed for every caller, though fal keeps running it."""
    prompt = customers.prompt("run:20", "cancel_ignored")
    async with doing(customers, way, "timeout", prompt, timeout=GIVES_UP_MS) as program:
        submitted = await program.until("enqueued")
        ended = await program.ended()
    assert "timed out" in ended.outcome["error"]["message"]
    assert ended.outcome["after"]["status"] == "COMPLETED"
    assert ended.seconds - submitted["at"] < GIVES_UP_MS / 1000 + LEAVING_SECONDS
    assert (await customers.bought(prompt))[0] == 1


async def test_run_waits_for_the_clip(customers: Customers, way: str) -> None:
    """The synchronous call returns the same result as the queue, and the request's id."""
    prompt = customers.prompt()
    ended = await does(customers, way, "run", prompt)
    await customers.assert_one_purchase(prompt, ended.result)


async def test_an_uploaded_file_is_the_first_frame(customers: Customers, way: str) -> None:
    """`storage.upload` sends a file to a URL that fal can read."""
    prompt, content = customers.prompt(), picture()
    ended = await does(customers, way, "upload", prompt, content=b64encode(content).decode())
    await customers.assert_one_purchase(prompt, ended.result)
    await customers.assert_first_frame(ended.outcome["request_id"], content)


async def test_a_blob_in_the_input_is_uploaded(customers: Customers, way: str) -> None:
    """The client replaces it by a URL, which the submission has."""
    prompt, content = customers.prompt(), picture("maroon")
    ended = await does(customers, way, "blob", prompt, content=b64encode(content).decode())
    await customers.assert_one_purchase(prompt, ended.result)
    await customers.assert_first_frame(ended.outcome["request_id"], content)


async def test_wrong_input_is_refused_before_it_is_bought(customers: Customers, way: str) -> None:
    """A 422 is the client's ValidationError with each field's errors; fal gets no request."""
    prompt = customers.prompt()
    ended = await does(customers, way, "subscribe", prompt, field={"duration": "7"})
    error = ended.outcome["error"]
    assert (error["kind"], error["status"]) == ("ValidationError", 422)
    assert [entry["loc"] for entry in error["fields"]] == [["body", "duration"]]
    assert error["message"] == error["body"]["message"]
    assert await customers.bought(prompt) == (0, 0)


async def test_what_the_model_refuses_is_the_clients_typed_error(customers: Customers, way: str) -> None:
    """A runner's 422 arrives with its list."""
    prompt = customers.prompt("422_image_load")
    ended = await does(customers, way, "subscribe", prompt)
    error = ended.outcome["error"]
    assert (error["kind"], error["status"]) == ("ValidationError", 422)
    assert error["fields"][0]["type"] == "image_load_error"
    assert error["request_id"]
    assert (await customers.bought(prompt))[0] == 1


async def test_a_spent_budget_is_a_402(customers: Customers, way: str) -> None:
    """The client does not retry, and fal gets no request."""
    prompt, poor = customers.prompt(), await customers.limited(Limit(Unit.USD, Window.DAY, 1))
    ended = await does(customers, way, "subscribe", prompt, key=poor)
    error = ended.outcome["error"]
    assert (error["kind"], error["status"]) == ("ApiError", 402)
    assert error["message"] == error["body"]["message"]
    assert await customers.bought(prompt) == (0, 0)


async def test_a_lost_answer_buys_nothing_twice(customers: Customers, way: str) -> None:
    """The client without an answer submits again by itself, and gets its existing request."""
    prompt = customers.prompt()
    async with customers.lost_answer() as port:
        ended = await does(customers, way, "subscribe", prompt, port=port)
    assert len(ended.outcome["request_ids"]) == 1
    await customers.assert_one_purchase(prompt, ended.result)


async def test_two_takes_are_two_clips(customers: Customers, way: str) -> None:
    """The same input again, after the first request's status was read, is a new request."""
    prompt = customers.prompt()
    customers.takes.add(prompt)
    ended = await does(customers, way, "takes", prompt)
    assert len(set(ended.outcome["request_ids"])) == 2
    assert len(set(ended.outcome["clips"])) == 2
    assert await customers.bought(prompt) == (2, 2)


async def test_a_429_passes_after_a_retry(customers: Customers) -> None:
    """A client that is too fast succeeds after a moment, by its own retries, and once; over both connections."""

    async def one(way: str) -> None:
        prompt = customers.prompt()
        async with customers.hurried() as key:
            ended = await does(customers, way, "subscribe", prompt, key=key)
        await customers.assert_one_purchase(prompt, ended.result)

    await asyncio.gather(*map(one, WAYS))


async def test_a_restart_in_the_middle_is_survived(customers: Customers) -> None:
    """The API dies and restarts while subscriptions wait, over both connections; each clip is bought once."""
    async with AsyncExitStack() as stack:
        programs = {}
        for way in WAYS:
            prompt = customers.prompt(WATCHED)
            given = json.dumps({"input": customers.input(prompt), "more": POLLING})
            started = customers.javascript("node.mjs", "subscribe", way, given)
            programs[prompt] = await stack.enter_async_context(started)
        for program in programs.values():
            await program.until("update")
        customers.installation.serve.kill()
        customers.installation.serve.start()
        async with customers.haste():
            ends = dict(zip(programs, [await program.ended() for program in programs.values()], strict=True))
    await customers.installation.ready()
    for prompt, ended in ends.items():
        await customers.assert_one_purchase(prompt, ended.result)


@pytest.mark.parametrize("example", EXAMPLES)
async def test_fals_examples_run_with_one_line_more(customers: Customers, example: str) -> None:
    """Only the URL and the key are added."""
    prompt = customers.prompt()
    async with customers.javascript(example, prompt, customers.installation.emulator.sample_image) as program:
        ended = await program.ended()
    await customers.assert_one_purchase(prompt, ended.outcome)


async def test_fals_former_client_gets_its_clip_and_its_errors(customers: Customers) -> None:
    """`@fal-ai/serverless-client` 0.15 by one line: a clip, the runner's 422, and ours that buys nothing."""
    prompt, refused, wrong = customers.prompt(), customers.prompt("422_image_load"), customers.prompt()
    outcomes = []
    for given in (customers.input(prompt), customers.input(refused), customers.input(wrong, duration="7")):
        async with customers.javascript("serverless.mjs", json.dumps({"input": given})) as program:
            outcomes.append((await program.ended()).outcome)
    clip, theirs, ours = outcomes
    await customers.assert_one_purchase(prompt, clip)
    for error in (theirs["error"], ours["error"]):
        assert (error["kind"], error["status"]) == ("ValidationError", 422), error
    assert ours["error"]["body"]["detail"][0]["loc"] == ["body", "duration"]
    assert await customers.bought(refused) == (1, 0)
    assert await customers.bought(wrong) == (0, 0)
