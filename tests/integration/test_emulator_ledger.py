"""The emulator's ledger: every charge once, with its price, across restarts; history and billing agree with it."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.emulator import KLING, Emulator, FalCaller, running_emulator
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio
QUICK = ("--speed", "20", "--no-clips")


@pytest.fixture
async def fal() -> AsyncIterator[Emulator]:
    """An emulator with an empty ledger."""
    async with running_emulator(*QUICK) as emulator:
        yield emulator


@pytest.mark.parametrize(
    ("model", "fields", "cost"),
    [
        (KLING, {}, 1_400_000),
        (KLING, {"duration": "10"}, 2_800_000),
        ("fal-ai/kling-video/v2.5-turbo/pro/image-to-video", {"duration": "10"}, 700_000),
        ("fal-ai/kling-video/v2.1/standard/image-to-video", {}, 280_000),
        ("fal-ai/kling-video/v2.6/pro/text-to-video", {"image_url": None}, 700_000),
        ("fal-ai/kling-video/v2.6/pro/text-to-video", {"image_url": None, "generate_audio": False}, 350_000),
    ],
)
async def test_a_success_is_charged_once_at_its_price(
    fal: Emulator, caller: FalCaller, model: str, fields: dict[str, object], cost: int
) -> None:
    """Seconds, micro-dollars, prompt and tags are in the ledger, and their sum."""
    async with fal.paused():
        reply = await caller.submit("a boat", model=model, headers={"X-Fal-Tags": "job=1"}, **fields)
        assert (await fal.ledger())["charges"] == []
    await caller.result(reply)
    await caller.result(reply)
    ledger = await fal.ledger()
    (charge,) = ledger["charges"]
    assert charge["request_id"] == reply["request_id"]
    assert (charge["endpoint"], charge["cost_micro"], ledger["total_micro"]) == (model, cost, cost)
    assert charge["seconds"] == int(str(fields.get("duration", "5")))
    assert (charge["prompt"], charge["tags"]) == ("a boat", {"job": "1"})


async def test_nothing_is_forgotten_over_a_crash(tmp_path: Path) -> None:
    """After kill -9 charges, ended, queued and running requests are there; time went on by the wall clock."""
    options = (
        "--no-clips",
        "--state-file",
        str(tmp_path / "state.jsonl"),
        "--queue-seconds",
        "0.1",
        "--run-seconds",
        "0.1",
    )
    fal = await Emulator.start(*options)
    async with FalCaller(fal.url) as caller:
        paid = await caller.submit("paid [emu:queue:0]")
        await caller.result(paid)
        cancelled = await caller.submit("[emu:stuck_in_queue]")
        await caller.web.put(cancelled["cancel_url"])
        waiting = await caller.submit("waits [emu:queue:60]")
        running = await caller.submit("runs [emu:run:60]")
        await caller.until(running, "IN_PROGRESS")
        before = await fal.ledger()
        assert await fal.kill() == -signal.SIGKILL
        again = ("--port", str(fal.port))
        async with running_emulator(*options, *again) as second:
            assert await second.ledger() == before
            assert (await caller.web.get(paid["response_url"])).status_code == 200
            assert (await caller.web.get(cancelled["response_url"])).status_code == 499
            await second.set_speed(30)
            for reply in (waiting, running):
                assert (await caller.result(reply)).status_code == 200
            clip = (await caller.web.get(paid["response_url"])).json()["video"]["url"]
            assert (await caller.web.get(clip)).status_code == 200
            after = await second.ledger()
            assert len(after["charges"]) == 3
            truth = await second.request(running["request_id"])
            assert 1.9 < truth["completed_at"] - truth["started_at"] < 60
        async with running_emulator(*options, *again) as third:
            assert await third.ledger() == after


async def test_a_line_torn_by_a_crash_is_left_out(tmp_path: Path) -> None:
    """Half a line at the end of the state file neither prevents the start nor damages the next line."""
    state = tmp_path / "state.jsonl"
    options = (*QUICK, "--state-file", str(state))
    async with running_emulator(*options) as fal, FalCaller(fal.url) as caller:
        await caller.result(await caller.submit())
    with state.open("ab") as file:
        file.write(b'{"event":"submitted","id":"x')
    async with running_emulator(*options) as fal, FalCaller(fal.url) as caller:
        await caller.result(await caller.submit())
    async with running_emulator(*options) as fal:
        assert len((await fal.ledger())["charges"]) == 2


async def test_the_signing_key_outlives_a_restart(tmp_path: Path) -> None:
    """Receivers cache the key set for up to a day."""
    options = (*QUICK, "--state-file", str(tmp_path / "state.jsonl"))
    sets = []
    for _ in range(2):
        async with running_emulator(*options) as fal, FalCaller(fal.url) as caller:
            sets.append((await caller.web.get("/.well-known/jwks.json")).json())
    assert sets[0] == sets[1]


async def test_history_pages_through_what_has_started(caller: FalCaller) -> None:
    """Newest first, a cursor until the end, payloads on request; queued requests are absent."""
    replies = [await caller.submit(f"number {number}") for number in range(5)]
    for reply in replies:
        await caller.result(reply)
    await caller.submit("[emu:stuck_in_queue]")
    hidden = await caller.submit("secret", headers={"X-Fal-Store-IO": "0"})
    await caller.result(hidden)
    query = {"endpoint_id": KLING, "limit": "2", "expand": "payloads"}
    items, cursor = [], None
    for _ in range(3):
        page = (await caller.web.get("/v1/models/requests/by-endpoint", params=query)).json()
        items += page["items"]
        cursor = page["next_cursor"]
        query["cursor"] = cursor or ""
    assert cursor is None
    assert not page["has_more"]
    ids = [hidden["request_id"], *(reply["request_id"] for reply in reversed(replies))]
    assert [item["request_id"] for item in items] == ids
    assert "json_input" not in items[0]
    assert items[1]["json_input"]["prompt"] == "number 4"
    assert items[1]["status_code"] == 200
    assert items[1]["sent_at"] <= items[1]["started_at"] <= items[1]["ended_at"]


async def test_history_filters(caller: FalCaller) -> None:
    """By request id, outcome and time; without an endpoint it is 422."""
    good, bad = await caller.submit(), await caller.submit("[emu:422_image_load]")
    await caller.result(good)
    await caller.result(bad)

    async def ids(**query: str) -> list[str]:
        params = {"endpoint_id": KLING, **query}
        answer = await caller.web.get("/v1/models/requests/by-endpoint", params=params)
        return [item["request_id"] for item in answer.json()["items"]]

    assert await ids(request_id=good["request_id"]) == [good["request_id"]]
    assert await ids(status="user_error") == [bad["request_id"]]
    assert await ids(status="success") == [good["request_id"]]
    assert await ids(end="2020-01-01T00:00:00Z") == []
    assert (await caller.web.get("/v1/models/requests/by-endpoint")).status_code == 422


async def test_billing_says_what_the_ledger_says(caller: FalCaller) -> None:
    """One event for each charge, in units, dollars and nano-dollars; filtered by tag."""
    await caller.result(await caller.submit(headers={"X-Fal-Tags": "job=1"}))
    await caller.result(await caller.submit(headers={"X-Fal-Tags": "job=2"}, duration="10"))
    await caller.result(await caller.submit("[emu:500_downstream]"))
    events = (await caller.web.get("/v1/models/billing-events")).json()["billing_events"]
    query = {"source": "tagged-billed", "tag": "job=1"}
    tagged = (await caller.web.get("/v1/models/billing-events", params=query)).json()["billing_events"]
    assert [event["cost_estimate_nano_usd"] for event in events] == [2_800_000_000, 1_400_000_000]
    assert [(event["output_units"], event["unit_price"]) for event in events] == [(10, 0.28), (5, 0.28)]
    assert [event["request_id"] for event in tagged] == [events[1]["request_id"]]


async def test_the_platform_can_be_in_trouble(fal: Emulator, caller: FalCaller) -> None:
    """An error status for everything, a lag that hides the newest, a cursor that does not move."""
    for _ in range(3):
        await caller.result(await caller.submit())
    query = {"endpoint_id": KLING, "limit": "1"}
    await fal.trouble_platform(status=403)
    assert (await caller.web.get("/v1/models/requests/by-endpoint", params=query)).status_code == 403
    await fal.trouble_platform(lag_seconds=900)
    assert (await caller.web.get("/v1/models/requests/by-endpoint", params=query)).json()["items"] == []
    await fal.trouble_platform(same_cursor=True)
    first = (await caller.web.get("/v1/models/requests/by-endpoint", params=query)).json()
    second = (
        await caller.web.get("/v1/models/requests/by-endpoint", params={**query, "cursor": first["next_cursor"]})
    ).json()
    assert first == second
    await fal.trouble_platform()
    assert (await caller.web.get("/v1/models/requests/by-endpoint", params=query)).status_code == 200


async def test_the_rest_of_the_platform_answers(caller: FalCaller) -> None:
    """Prices and webhook addresses."""
    prices = (await caller.web.get("/v1/models/pricing", params={"endpoint_id": KLING})).json()["prices"]
    assert prices == [{"endpoint_id": KLING, "unit_price": 0.28, "unit": "seconds", "currency": "USD"}]
    assert "webhook_ip_ranges" in (await caller.web.get("/v1/meta")).json()


async def test_it_ends_at_once_also_while_it_is_watched() -> None:
    """SIGTERM with an open stream and a waiting run: exit code 0 within seconds."""
    fal = await Emulator.start("--no-clips")
    async with FalCaller(fal.url) as caller:
        reply = await caller.submit("[emu:stuck_in_queue]")

        async def watch() -> list[str]:
            async with caller.web.stream("GET", reply["status_url"] + "/stream") as answer:
                return [line async for line in answer.aiter_lines()]

        watching = asyncio.create_task(watch())
        body = {"prompt": "[emu:stuck_in_progress]", "image_url": caller.picture}
        running = asyncio.create_task(caller.web.post(f"/run/{KLING}", json=body))

        async def both_arrived() -> bool:
            return len(await fal.requests()) == 2

        await wait_until(both_arrived, "the run has arrived")
        async with asyncio.timeout(5):
            assert await fal.stop() == 0
            await asyncio.gather(watching, running, return_exceptions=True)


async def test_it_says_what_it_does_not_imitate(caller: FalCaller) -> None:
    """The page at /emulator/ says it, and lists the scenarios."""
    text = (await caller.web.get("/emulator/")).text
    assert "fal drops them" in text
    assert "drop_after_accept" in text
