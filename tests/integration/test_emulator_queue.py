"""The emulated queue has fal's shapes, codes and order."""

import json

import pytest

from tests.support.emulator import KLING, Emulator, FalCaller, running_emulator
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio
ENDLESS = "[emu:stuck_in_progress]"


async def test_a_submit_is_answered_with_the_applications_urls(fal: Emulator, caller: FalCaller) -> None:
    """200, IN_QUEUE, and URLs that name owner and application but not the model."""
    answer = await caller.post()
    reply = answer.json()
    base = f"{fal.url}/fal-ai/kling-video/requests/{reply['request_id']}"
    assert answer.status_code == 200
    assert answer.headers["x-fal-request-id"] == reply["request_id"]
    assert reply == {
        "status": "IN_QUEUE",
        "request_id": reply["request_id"],
        "response_url": base,
        "status_url": f"{base}/status",
        "cancel_url": f"{base}/cancel",
        "logs": None,
        "metrics": {},
        "queue_position": 0,
    }


async def test_a_queued_status_is_202_with_a_position(caller: FalCaller) -> None:
    """IN_QUEUE has a position and null logs."""
    reply = await caller.submit("[emu:stuck_in_queue]")
    answer = await caller.web.get(reply["status_url"], params={"logs": "true"})
    status = answer.json()
    assert answer.status_code == 202
    assert status["status"] == "IN_QUEUE"
    assert status["queue_position"] >= 0
    assert {status["response_url"], status["status_url"], status["cancel_url"]} == {
        reply["response_url"], reply["status_url"], reply["cancel_url"],
    }  # fmt: skip
    assert status["metrics"] == {}


async def test_a_running_status_is_202_with_logs_when_asked(caller: FalCaller) -> None:
    """IN_PROGRESS has no position; `logs` is a list for 1 and true, and null for 0 and false."""
    reply = await caller.submit(ENDLESS)
    status = await caller.until(reply, "IN_PROGRESS")
    assert "queue_position" not in status
    for word, kind in (("1", list), ("true", list), ("0", type(None)), ("false", type(None))):
        answer = await caller.web.get(reply["status_url"], params={"logs": word})
        assert answer.status_code == 202
        assert isinstance(answer.json()["logs"], kind)
    assert set(status["logs"][0]) == {"message", "timestamp", "level", "source"}


async def test_a_completed_status_is_200_with_its_inference_time(caller: FalCaller) -> None:
    """COMPLETED is 200; a success has neither error nor error_type."""
    reply = await caller.submit()
    await caller.until(reply, "COMPLETED")
    answer = await caller.web.get(reply["status_url"])
    status = answer.json()
    assert answer.status_code == 200
    assert status["metrics"]["inference_time"] > 0
    assert not {"error", "error_type", "queue_position"} & set(status)


async def test_a_result_before_the_end_is_400(caller: FalCaller) -> None:
    """Clients that poll the result depend on this exact text."""
    reply = await caller.submit(ENDLESS)
    answer = await caller.web.get(reply["response_url"])
    assert (answer.status_code, answer.json()) == (400, {"detail": "Request is still in progress"})


async def test_a_result_is_the_bare_output(caller: FalCaller) -> None:
    """No envelope; billable units and the request id are in the headers; /response is the same."""
    reply = await caller.submit(duration="10")
    answer = await caller.result(reply)
    video = answer.json()["video"]
    assert answer.status_code == 200
    assert set(answer.json()) == {"video"}
    assert (video["content_type"], video["file_name"]) == ("video/mp4", "output.mp4")
    assert answer.headers["x-fal-request-id"] == reply["request_id"]
    assert answer.headers["x-fal-billable-units"] == "10"
    assert (await caller.web.get(reply["response_url"] + "/response")).json() == answer.json()


async def test_unknown_ids_are_404_in_fals_two_shapes(caller: FalCaller) -> None:
    """Status and cancel say NOT_FOUND, the result says Request not found; another application's id too."""
    reply = await caller.submit()
    for one in ("/fal-ai/kling-video/requests/nothing", f"/fal-ai/flux/requests/{reply['request_id']}"):
        status, result = await caller.web.get(f"{one}/status"), await caller.web.get(one)
        cancel = await caller.web.put(f"{one}/cancel")
        assert (status.status_code, status.json()) == (404, {"status": "NOT_FOUND"})
        assert (cancel.status_code, cancel.json()) == (404, {"status": "NOT_FOUND"})
        assert (result.status_code, result.json()) == (404, {"detail": "Request not found"})
        assert status.headers["x-fal-request-id"]


async def test_an_unknown_application_is_404(caller: FalCaller) -> None:
    """Unknown owners and ids without an alias do not exist."""
    for model in ("nobody/nothing", "fal-ai"):
        answer = await caller.post(model=model)
        assert (answer.status_code, answer.json()) == (404, {"detail": f'Application "{model}" not found'})


async def test_both_forms_of_a_status_url_work(caller: FalCaller) -> None:
    """Many clients put the complete model id into the URL."""
    reply = await caller.submit()
    answer = await caller.web.get(f"/{KLING}/requests/{reply['request_id']}/status")
    assert answer.status_code in {200, 202}


async def test_strict_urls_refuse_the_long_form() -> None:
    """With --strict-urls it is 405 with Allow: POST, as fal answers."""
    async with running_emulator("--strict-urls", "--no-clips") as strict, FalCaller(strict.url) as caller:
        reply = await caller.submit()
        answer = await caller.web.get(f"/{KLING}/requests/{reply['request_id']}/status")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        assert (await caller.web.get(reply["status_url"])).status_code == 202


async def test_keys_are_asked_for(caller: FalCaller) -> None:
    """Any key is accepted unless some were configured; a missing key is 401 everywhere."""
    reply = await caller.submit()
    for header in ("", "Basic x", "Key"):
        answer = await caller.web.get(reply["status_url"], headers={"Authorization": header})
        assert answer.status_code == 401
        assert "detail" in answer.json()
    bearer = await caller.web.get(reply["status_url"], headers={"Authorization": "Bearer x"})
    assert bearer.status_code in {200, 202}


async def test_named_keys_are_the_only_ones() -> None:
    """With --key others are refused, and the refused submit is recorded."""
    async with running_emulator("--key", "a:b", "--no-clips") as fal:
        async with FalCaller(fal.url, "a:b") as known:
            await known.submit()
        async with FalCaller(fal.url, "c:d") as unknown:
            assert (await unknown.post()).status_code == 401
        assert [one["status"] for one in await fal.refused()] == [401]
        assert len(await fal.requests()) == 1


async def test_a_submit_does_not_validate_the_input(caller: FalCaller) -> None:
    """A bad duration is accepted; the result is 422, while the status is a plain COMPLETED."""
    reply = await caller.submit(duration="7")
    answer = await caller.result(reply)
    entry = answer.json()["detail"][0]
    assert answer.status_code == 422
    assert (entry["loc"], entry["type"], entry["input"]) == (["body", "duration"], "one_of", "7")
    assert entry["msg"] == "Input should be '5' or '10'"
    assert entry["ctx"] == {"expected": ["5", "10"]}
    assert "error" not in await caller.status(reply)


@pytest.mark.parametrize(
    ("fields", "where", "kind"),
    [
        ({"duration": 5}, "duration", "one_of"),
        ({"image_url": None}, "image_url", "missing"),
        ({"cfg_scale": 1.5}, "cfg_scale", "less_than_equal"),
        ({"negative_prompt": 3}, "negative_prompt", "string_type"),
        ({"prompt": "x" * 2501}, "prompt", "string_too_long"),
    ],
)
async def test_wrong_input_is_refused_by_the_model(
    caller: FalCaller, fields: dict[str, object], where: str, kind: str
) -> None:
    """Each fault names its field and fal's type."""
    prompt = str(fields.pop("prompt", "a lake"))
    answer = await caller.result(await caller.submit(prompt, **fields))
    assert answer.status_code == 422
    assert [(entry["loc"][-1], entry["type"]) for entry in answer.json()["detail"]] == [(where, kind)]


async def test_the_first_frames_field_depends_on_the_generation(caller: FalCaller) -> None:
    """v2.6 and v3 take start_image_url, text to video takes none."""
    newer = "fal-ai/kling-video/v3/pro/image-to-video"
    wrong = await caller.result(await caller.submit(model=newer))
    right = await caller.result(
        await caller.submit(model=newer, image_url=None, start_image_url=caller.picture, duration="12")
    )
    text = await caller.result(
        await caller.submit(model="fal-ai/kling-video/v2/master/text-to-video", image_url=None)
    )
    assert [wrong.status_code, right.status_code, text.status_code] == [422, 200, 200]


async def test_cancelling_ends_a_request_without_a_charge(fal: Emulator, caller: FalCaller) -> None:
    """202, then COMPLETED with client_cancelled and a 499; a second cancel is 400. Queued or running."""
    for prompt, word in (("[emu:stuck_in_queue]", "IN_QUEUE"), (ENDLESS, "IN_PROGRESS")):
        reply = await caller.submit(prompt)
        await caller.until(reply, word)
        # fal-js sends a JSON content type and no body.
        first = await caller.web.put(reply["cancel_url"], headers={"Content-Type": "application/json"})
        second = await caller.web.put(reply["cancel_url"])
        status, result = await caller.status(reply), await caller.web.get(reply["response_url"])
        assert (first.status_code, first.json()) == (202, {"status": "CANCELLATION_REQUESTED"})
        assert (second.status_code, second.json()) == (400, {"status": "ALREADY_COMPLETED"})
        assert (status["status"], status["error_type"]) == ("COMPLETED", "client_cancelled")
        assert result.status_code == 499
        assert result.headers["x-fal-error-type"] == "client_cancelled"
        truth = await fal.request(reply["request_id"])
        assert (truth["cancelled"], truth["charged_micro"]) == (True, 0)


async def test_only_so_many_run_and_the_rest_waits_in_order() -> None:
    """Two slots, five requests: two run, the others are at 0, 1, 2 and start in that order."""
    async with (
        running_emulator("--concurrency", "2", "--no-clips", "--queue-seconds", "0", "--speed", "50") as fal,
        FalCaller(fal.url) as caller,
    ):
        replies = [await caller.submit(f"{number} {ENDLESS}") for number in range(5)]

        async def two_run() -> bool:
            statuses = [await caller.status(reply) for reply in replies]
            return [status["status"] for status in statuses].count("IN_PROGRESS") == 2

        await wait_until(two_run, "two requests run")
        positions = [(await caller.status(reply)).get("queue_position") for reply in replies]
        assert positions == [None, None, 0, 1, 2]
        await caller.web.put(replies[2]["cancel_url"])
        assert (await caller.status(replies[3]))["queue_position"] == 0
        await caller.web.put(replies[0]["cancel_url"])
        await caller.until(replies[3], "IN_PROGRESS")
        assert (await caller.status(replies[4]))["queue_position"] == 0


async def test_a_full_queue_refuses_who_asked_for_a_short_one() -> None:
    """fal_max_queue_length answers 429 when more than that many wait; other submits are accepted."""
    async with running_emulator("--no-clips") as fal, FalCaller(fal.url) as caller:
        for _ in range(3):
            await caller.submit("[emu:stuck_in_queue]")
        refused = await caller.post(params={"fal_max_queue_length": "2"})
        accepted = await caller.post(params={"fal_max_queue_length": "3"})
        assert (refused.status_code, accepted.status_code) == (429, 200)


async def test_a_request_that_did_not_start_in_time_ends_with_the_users_timeout(caller: FalCaller) -> None:
    """504 request_timeout with X-Fal-Request-Timeout-Type: user, and no charge."""
    reply = await caller.submit("[emu:stuck_in_queue]", headers={"X-Fal-Request-Timeout": "2"})
    answer = await caller.result(reply)
    status = await caller.status(reply)
    assert answer.status_code == 504
    assert answer.json() == {"detail": "Request timed out", "error_type": "request_timeout"}
    assert answer.headers["x-fal-request-timeout-type"] == "user"
    assert (status["error"], status["error_type"]) == ("Request timed out", "request_timeout")


async def test_a_running_request_outlives_its_start_deadline(caller: FalCaller) -> None:
    """The deadline applies only to the start."""
    reply = await caller.submit("[emu:run:6]", headers={"X-Fal-Request-Timeout": "4"})
    assert (await caller.result(reply)).status_code == 200


async def test_run_waits_for_the_output(fal: Emulator, caller: FalCaller) -> None:
    """A direct call returns the output, or the model's error with its code."""
    body = {"prompt": "a lake", "image_url": caller.picture}
    good = await caller.web.post(f"/run/{KLING}", json=body)
    bad = await caller.web.post(f"/run/{KLING}", json={**body, "duration": "7"})
    assert (good.status_code, bad.status_code) == (200, 422)
    assert good.json()["video"]["url"].startswith(fal.url)


async def test_run_on_a_full_account_is_429() -> None:
    """Direct calls do not queue."""
    async with (
        running_emulator("--concurrency", "1", "--no-clips", "--speed", "50") as fal,
        FalCaller(fal.url) as caller,
    ):
        await caller.until(await caller.submit(ENDLESS), "IN_PROGRESS")
        answer = await caller.web.post(f"/run/{KLING}", json={"prompt": "p", "image_url": caller.picture})
        assert answer.status_code == 429
        assert answer.json()["error_type"] == "concurrent_requests_limit"
        assert answer.headers["x-fal-needs-retry"] == "1"


async def test_the_stream_sends_each_state_and_each_log_line_once(fal: Emulator, caller: FalCaller) -> None:
    """Data frames only, the last one COMPLETED; log lines are not repeated."""
    words: list[str] = []
    lines: list[str] = []
    async with fal.paused():
        reply = await caller.submit("[emu:run:3600]")
        async with caller.web.stream("GET", reply["status_url"] + "/stream", params={"logs": "1"}) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    frame = json.loads(line.removeprefix("data: "))
                    words.append(frame["status"])
                    lines += [entry["message"] for entry in frame["logs"]]
                    if words == ["IN_QUEUE"]:
                        await fal.resume()
                    elif words[-2:] == ["IN_QUEUE", "IN_PROGRESS"]:
                        await fal.set_speed(10_000)
                else:
                    assert not line or line.startswith(":")
    assert list(dict.fromkeys(words)) == ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]
    assert lines == [entry["message"] for entry in (await caller.status(reply))["logs"]]


async def test_what_came_with_a_submit_is_on_record(fal: Emulator, caller: FalCaller) -> None:
    """Payload, valid tags, Store-IO and fal's headers are recorded; the key is not."""
    headers = {"X-Fal-Tags": "job=7,team=a b,BAD=1,fal.x=2", "X-Fal-Store-IO": "0", "X-Fal-Queue-Priority": "low"}
    reply = await caller.submit("a boat", headers=headers, duration="10")
    truth = await fal.request(reply["request_id"])
    assert truth["tags"] == {"job": "7", "team": "a b"}
    assert truth["store_io"] is False
    assert truth["payload"] == {"prompt": "a boat", "image_url": caller.picture, "duration": "10"}
    assert truth["headers"]["x-fal-queue-priority"] == "low"
    assert "ksecret" not in json.dumps(truth)


async def test_a_body_that_is_no_json_is_400(caller: FalCaller) -> None:
    """The queue checks only that."""
    answer = await caller.web.post(f"/{KLING}", content=b"{not json")
    assert (answer.status_code, answer.json()["error_type"]) == (400, "bad_request")


async def test_time_can_stand_still_and_run_faster() -> None:
    """Paused, nothing starts; resumed at a higher speed, a minute passes at once."""
    async with running_emulator("--no-clips", "--queue-seconds", "60") as fal, FalCaller(fal.url) as caller:
        await fal.pause()
        await fal.set_speed(1000)
        reply = await caller.submit("[emu:slow]")
        for _ in range(20):
            assert (await caller.status(reply))["status"] == "IN_QUEUE"
        await fal.resume()
        assert (await caller.result(reply)).status_code == 200
        refused = await caller.web.post("/emulator/clock", json={"speed": 0})
        assert refused.status_code == 400


@pytest.mark.parametrize(
    "path", ["/emulator/requests", "/emulator/ledger", "/", f"/{KLING}", "/.well-known/jwks.json"]
)
async def test_a_web_page_of_another_origin_gets_nothing(caller: FalCaller, path: str) -> None:
    """No readable answer, no preflight, no effect; programs and direct navigation are answered."""
    foreign: list[dict[str, str]] = [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},
    ]
    for headers in foreign:
        for method in ("GET", "POST", "OPTIONS"):
            answer = await caller.web.request(method, path, headers=headers)
            assert answer.status_code == 403, (method, headers)
            assert not [name for name in answer.headers if name.startswith("access-control")]
    for headers in ({}, {"Sec-Fetch-Site": "none"}, {"Origin": str(caller.web.base_url).rstrip("/")}):
        assert (await caller.web.get(path, headers=headers)).status_code != 403


async def test_a_page_of_another_port_may_show_a_clip(caller: FalCaller) -> None:
    """As the gateway's dashboard does: the browser may show it, a script may not read it."""
    shown = await caller.web.get("/sample.jpg", headers={"Sec-Fetch-Site": "same-site"})
    assert shown.status_code == 200
    assert (await caller.web.get("/sample.jpg", headers={"Origin": "https://evil.example"})).status_code == 403
