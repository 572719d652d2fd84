"""fal's own client for Python, unmodified, configured by its environment: the newest and 0.13, in both styles."""

import asyncio
import json
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from app.domain.limits import Limit, Unit, Window
from tests.e2e.clients.customers import WATCHED, Customers, Ended, Program, picture
from tests.support.clips import clip, large
from tests.support.pictures import encoded
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

SCRIPTS = Path(__file__).parent / "py"
LEAVING_SECONDS = 4.0  # the client polls ten times a second, so it must see an end soon
CLIENT_TIMEOUT = 6  # in which the clip is bought, on a slow machine too


class Client(NamedTuple):
    """A version of the client, and one of its two styles."""

    old: bool
    style: str

    def doing(
        self,
        customers: Customers,
        case: str,
        prompt: str,
        *,
        key: str = "",
        port: int = 0,
        field: Any = None,
        **options: Any,
    ) -> AbstractAsyncContextManager[Program]:
        """One case of py/cases.py; `field` adds to the input."""
        given = {"input": customers.input(prompt, **(field or {})), **options}
        arguments = (case, self.style, json.dumps(given))
        return customers.python(SCRIPTS / "cases.py", *arguments, old=self.old, key=key, port=port)

    async def does(self, customers: Customers, case: str, prompt: str, **options: Any) -> Ended:
        """The same, run to its end."""
        async with self.doing(customers, case, prompt, **options) as program:
            return await program.ended()


CLIENTS = [Client(old, style) for old in (False, True) for style in ("sync", "async")]


async def all_at_once(stack: AsyncExitStack, customers: Customers, case: str) -> dict[str, Program]:
    """Each client in each style begins this case; the programs by prompt, whose clips run until fal is sped up."""
    programs = {}
    for client in CLIENTS:
        prompt = customers.prompt(WATCHED)
        programs[prompt] = await stack.enter_async_context(client.doing(customers, case, prompt))
    return programs


@pytest.fixture(params=CLIENTS, ids=lambda one: f"{'0.13' if one.old else 'newest'}-{one.style}")
def client(request: pytest.FixtureRequest) -> Client:
    """Each client in each style."""
    found: Client = request.param
    return found


async def test_subscribe_shows_the_queue_and_gives_the_clip(customers: Customers, client: Client) -> None:
    """Updates go from the queue over progress with logs to completion; one clip is bought."""
    prompt = customers.prompt(WATCHED)
    ended = await customers.watch(client.doing(customers, "subscribe", prompt))
    statuses = [update["status"] for update in ended.updates]
    assert statuses[0] == "Queued"
    assert statuses[-1] == "Completed"
    assert statuses == sorted(statuses, key=["Queued", "InProgress", "Completed"].index)
    assert all(update["position"] is not None for update in ended.updates if update["status"] == "Queued")
    assert any(update["logs"] for update in ended.updates if update["status"] == "InProgress")
    assert len(ended.outcome["request_ids"]) == 1
    await customers.assert_one_purchase(prompt, ended.result)


async def test_a_submission_can_be_followed_by_its_handle(customers: Customers, client: Client) -> None:
    """`submit`, `iter_events` and `get` end with one clip."""
    prompt = customers.prompt()
    ended = await client.does(customers, "follow", prompt)
    assert ended.updates[-1]["status"] == "Completed"
    await customers.assert_one_purchase(prompt, ended.result)


async def test_a_request_is_found_again_by_its_id(customers: Customers, client: Client) -> None:
    """`status` and `result` need only the model and the id, no handle."""
    prompt = customers.prompt()
    async with customers.leisure() as clip, client.doing(customers, "by_id", prompt) as program:
        before = (await program.until("update"))["update"]
        await clip.begin()
        ended = await program.ended()
    assert before["status"] == "Queued"
    assert ended.outcome["after"]["status"] == "Completed"
    assert ended.outcome["after"]["logs"]
    await customers.assert_one_purchase(prompt, ended.result)


async def test_a_cancelled_request_is_completed_at_once(customers: Customers, client: Client) -> None:
    """The status shows it, the result is 499, cancelling again is 400, and nothing is charged."""
    prompt = customers.prompt("slow")
    ended = await client.does(customers, "cancel", prompt)
    found = ended.outcome
    assert found["status"]["status"] == "Completed"
    assert (found["get"]["kind"], found["get"]["status"]) == ("FalClientHTTPError", 499)
    assert found["get"]["error_type"] == "client_cancelled"
    assert (found["again"]["kind"], found["again"]["status"]) == ("FalClientHTTPError", 400)
    assert ended.lasted < LEAVING_SECONDS
    accepted, charged = await customers.bought(prompt)
    assert (accepted <= 1, charged) == (True, 0)


async def test_a_client_that_gives_up_leaves_promptly(customers: Customers, client: Client) -> None:
    """After `client_timeout` the request is completed, though fal keeps running it; no client thread polls on."""
    prompt = customers.prompt("run:20", "cancel_ignored")
    ended = await client.does(customers, "subscribe", prompt, more={"client_timeout": CLIENT_TIMEOUT})
    error = ended.outcome["error"]
    assert error["kind"] == "FalClientTimeoutError"
    assert ended.lasted < LEAVING_SECONDS
    job = (await customers.web.get(f"/v1/jobs/{error['request_id']}")).json()
    assert job["cancel_requested_at"] is not None
    assert (await customers.bought(prompt))[0] == 1


async def test_run_waits_for_the_clip(customers: Customers, client: Client) -> None:
    """The synchronous call returns the same result as the queue."""
    prompt = customers.prompt()
    ended = await client.does(customers, "run", prompt)
    await customers.assert_one_purchase(prompt, ended.result)


async def test_an_uploaded_file_is_the_first_frame(customers: Customers, client: Client, tmp_path: Path) -> None:
    """With the two documented lines a file goes to Filmgate, and fal can read it."""
    prompt, file = customers.prompt(), tmp_path / "first frame.jpg"
    file.write_bytes(picture())
    ended = await client.does(customers, "upload", prompt, gateway=customers.installation.serve.url, file=str(file))
    await customers.assert_one_purchase(prompt, ended.result)
    assert ended.errors == "", "the client fell back to another storage"
    await customers.assert_first_frame(ended.outcome["request_ids"][0], file.read_bytes())


async def test_fals_client_uploads_a_phones_photo_and_a_large_video(customers: Customers, tmp_path: Path) -> None:
    """A HEIC becomes a first frame; 101 MB of video arrive in parts, ten at once, and are no picture."""
    newest, gateway = Client(old=False, style="sync"), customers.installation.serve.url
    photo, video = tmp_path / "IMG_0001.HEIC", tmp_path / "clip.mp4"
    photo.write_bytes(encoded("HEIF"))
    video.write_bytes(large(clip("mp4"), 101 * 1024 * 1024))
    prompt = customers.prompt()
    ended = await newest.does(customers, "upload", prompt, gateway=gateway, file=str(photo))
    await customers.assert_one_purchase(prompt, ended.result)
    prompt = customers.prompt()
    ended = await newest.does(customers, "upload", prompt, gateway=gateway, file=str(video))
    assert "takes a picture" in str(ended.outcome["error"]), ended
    assert await customers.bought(prompt) == (0, 0)


async def test_wrong_input_is_refused_before_it_is_bought(customers: Customers, client: Client) -> None:
    """A 422 with the list of errors in fal's words; fal gets no request."""
    prompt = customers.prompt()
    ended = await client.does(customers, "subscribe", prompt, field={"duration": "7"})
    error = ended.outcome["error"]
    assert (error["kind"], error["status"]) == ("FalClientHTTPError", 422)
    assert [entry["loc"] for entry in error["message"]] == [["body", "duration"]]
    assert all(entry["msg"] and entry["type"] for entry in error["message"])
    assert await customers.bought(prompt) == (0, 0)


async def test_what_the_model_refuses_is_the_clients_typed_error(customers: Customers, client: Client) -> None:
    """A runner's 422 arrives with its list."""
    prompt = customers.prompt("422_image_load")
    ended = await client.does(customers, "subscribe", prompt)
    error = ended.outcome["error"]
    assert (error["kind"], error["status"]) == ("FalClientHTTPError", 422)
    assert error["message"][0]["type"] == "image_load_error"
    assert (await customers.bought(prompt))[0] == 1


async def test_a_spent_budget_is_a_402(customers: Customers, client: Client) -> None:
    """The client does not retry, and fal gets no request."""
    prompt, poor = customers.prompt(), await customers.limited(Limit(Unit.USD, Window.DAY, 1))
    ended = await client.does(customers, "subscribe", prompt, key=poor)
    error = ended.outcome["error"]
    assert (error["kind"], error["status"]) == ("FalClientHTTPError", 402)
    assert isinstance(error["message"], str)
    assert await customers.bought(prompt) == (0, 0)


async def test_a_lost_answer_buys_nothing_twice(customers: Customers, client: Client) -> None:
    """The client without an answer submits again by itself, and gets its existing request."""
    prompt = customers.prompt()
    async with customers.lost_answer() as port:
        ended = await client.does(customers, "subscribe", prompt, port=port)
    assert len(ended.outcome["request_ids"]) == 1
    await customers.assert_one_purchase(prompt, ended.result)


async def test_with_strict_an_answer_lost_behind_a_proxy_buys_nothing_twice(customers: Customers) -> None:
    """The proxy had the whole answer, so that the API cannot know that it was lost."""
    key, prompt = await customers.strict_key(), customers.prompt()
    async with customers.lost_answer(swallow=True) as port:
        ended = await CLIENTS[0].does(customers, "subscribe", prompt, key=key, port=port)
    await customers.assert_one_purchase(prompt, ended.result)


async def test_two_takes_are_two_clips(customers: Customers, client: Client) -> None:
    """The same input again, after the first request's status was read, is a new request."""
    prompt = customers.prompt()
    customers.takes.add(prompt)
    ended = await client.does(customers, "takes", prompt)
    assert len(set(ended.outcome["request_ids"])) == 2
    assert len(set(ended.outcome["clips"])) == 2
    assert await customers.bought(prompt) == (2, 2)


async def test_a_429_passes_after_a_retry(customers: Customers) -> None:
    """A client that is too fast succeeds after a moment, by its own retries, and once; all four at once."""

    async def one(client: Client) -> None:
        prompt = customers.prompt()
        async with customers.hurried() as key:
            ended = await client.does(customers, "subscribe", prompt, key=key)
        await customers.assert_one_purchase(prompt, ended.result)

    await asyncio.gather(*map(one, CLIENTS))


async def test_a_restart_in_the_middle_is_survived(customers: Customers) -> None:
    """The API dies and restarts while subscriptions wait, all four at once; each gets its clip, bought once."""
    async with AsyncExitStack() as stack:
        programs = await all_at_once(stack, customers, "subscribe")
        for program in programs.values():
            await program.until("update")
        customers.installation.serve.kill()
        customers.installation.serve.start()
        async with customers.haste():
            ends = dict(zip(programs, [await program.ended() for program in programs.values()], strict=True))
    await customers.installation.ready()
    for prompt, ended in ends.items():
        await customers.assert_one_purchase(prompt, ended.result)


async def test_a_held_call_survives_a_deployment(customers: Customers) -> None:
    """The API is stopped while all four wait in `run`: each retries, and there is one purchase."""
    refused = customers.answered("/image-to-video", 429)
    async with AsyncExitStack() as stack:
        programs = await all_at_once(stack, customers, "run")
        for prompt in programs:
            await wait_until(partial(customers.installation.request_of, prompt), f"fal has {prompt}")
        await asyncio.to_thread(customers.installation.serve.stop)
        customers.installation.serve.start()
        async with customers.haste():
            ends = dict(zip(programs, [await program.ended() for program in programs.values()], strict=True))
    await customers.installation.ready()
    assert customers.answered("/image-to-video", 429) >= refused + len(CLIENTS)
    for prompt, ended in ends.items():
        await customers.assert_one_purchase(prompt, ended.result)


@pytest.mark.parametrize("old", [False, True], ids=["newest", "0.13"])
async def test_fals_example_runs_as_it_is(customers: Customers, *, old: bool) -> None:
    """Nothing in the program is specific to Filmgate."""
    prompt = customers.prompt()
    arguments = (prompt, customers.installation.emulator.sample_image)
    async with customers.python(SCRIPTS / "seed_subscribe.py", *arguments, old=old) as program:
        ended = await program.ended()
    await customers.assert_one_purchase(prompt, ended.outcome)
