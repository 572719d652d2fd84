"""Every fault that the emulator offers happens as its sentence says."""

import re
from pathlib import Path

import httpx
import pytest

from app.emulator.emulator import NOT_IMITATED
from app.emulator.scenarios import SCENARIOS
from tests.support.emulator import Emulator, FalCaller

pytestmark = pytest.mark.anyio
PAGE = Path(__file__).parents[2] / "docs" / "emulator.md"


def test_the_page_lists_the_table() -> None:
    """docs/emulator.md lists each scenario with its sentence, in order, and everything that is not imitated."""
    text = PAGE.read_text()
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \|$", text.split("## Scenarios")[1], re.MULTILINE)
    assert rows == [(name, scenario.about) for name, scenario in SCENARIOS.items()]
    for sentence in NOT_IMITATED:
        assert f"- {sentence}\n" in text


async def test_an_unknown_scenario_is_refused_with_the_known_ones(caller: FalCaller) -> None:
    """422 at the submit, in the prompt and in the header; also for a number where none is allowed."""
    for prompt, headers in (
        ("[emu:nonsense]", {}),
        ("p", {"X-Emulator-Scenario": "nonsense"}),
        ("[emu:ok:3]", {}),
        ("[emu:run:x]", {}),
        ("[emu:run:-1]", {}),
    ):
        answer = await caller.post(prompt, headers=headers)
        assert answer.status_code == 422
    assert "stuck_in_queue" in (await caller.post("[emu:nonsense]")).json()["detail"]


async def test_the_header_wins_over_the_prompt(caller: FalCaller) -> None:
    """The header's scenario is played, whatever the prompt has; several may be combined."""
    headers = {"X-Emulator-Scenario": "run:0.1, 500_downstream"}
    reply = await caller.submit("[emu:422_image_load]", headers=headers)
    assert (await caller.result(reply)).status_code == 500


@pytest.mark.parametrize(
    ("name", "code", "kind", "charged"),
    [
        ("ok", 200, "", True),
        ("422_image_load", 422, "image_load_error", False),
        ("422_one_of", 422, "one_of", False),
        ("422_content_policy", 422, "content_policy_violation", True),
        ("500_downstream", 500, "downstream_service_error", False),
        ("503_runner_disconnected", 503, "runner_disconnected", False),
        ("504_request_timeout", 504, "request_timeout", False),
        ("504_user_timeout", 504, "request_timeout", False),
        ("completed_with_error", 200, "runner_server_error", True),
        ("result_expired", 404, "", True),
        ("result_unavailable", 500, "internal_server_error", True),
        ("result_no_url", 200, "", True),
        ("result_foreign_url", 200, "", True),
    ],
)
async def test_an_end_has_its_code_and_its_charge(
    fal: Emulator, caller: FalCaller, name: str, code: int, kind: str, *, charged: bool
) -> None:
    """The result's status, and where the error is (the model's in the result, fal's in the status too)."""
    reply = await caller.submit(f"a lake [emu:{name}]")
    answer, status = await caller.result(reply), await caller.status(reply)
    truth = await fal.request(reply["request_id"])
    assert answer.status_code == code
    assert status["status"] == "COMPLETED"
    assert bool(truth["charged_micro"]) == charged
    if "error_type" in status:
        assert status["error_type"] == kind
        assert answer.headers.get("x-fal-error-type", kind) == kind
    elif kind:
        assert answer.json()["detail"][0]["type"] == kind
    assert ("x-fal-request-timeout-type" in answer.headers) == (name == "504_user_timeout")
    assert (truth["started_at"] is None) == (name == "504_user_timeout")


async def test_a_result_may_point_nowhere(caller: FalCaller) -> None:
    """No URL at all, a foreign one, a forbidden one, a web page instead of the clip."""

    async def video(name: str) -> dict[str, str]:
        found: dict[str, str] = (await caller.result(await caller.submit(f"[emu:{name}]"))).json()["video"]
        return found

    assert "url" not in await video("result_no_url")
    assert (await video("result_foreign_url"))["url"].startswith("https://files.evil.example/")
    assert (await caller.web.get((await video("media_403"))["url"])).status_code == 403
    page = await caller.web.get((await video("media_html"))["url"])
    assert page.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("401", 401, "No user found for Key ID and Secret"),
        ("403_locked", 403, "User is locked. Reason: Exhausted balance."),
        ("429_direct", 429, "concurrent_requests_limit"),
        ("submit_500", 500, "internal_error"),
        ("submit_502_nginx", 502, "<center>nginx</center>"),
        ("submit_redirect", 302, ""),
    ],
)
async def test_a_refused_submit_leaves_nothing(
    fal: Emulator, caller: FalCaller, name: str, code: int, words: str
) -> None:
    """The code and the text; no request, no charge; a load balancer's page has no fal header."""
    before = len(await fal.requests())
    answer = await caller.post(f"[emu:{name}]")
    assert answer.status_code == code
    assert words in answer.text
    assert ("x-fal-request-id" in answer.headers) == (name != "submit_502_nginx")
    assert len(await fal.requests()) == before
    assert (await fal.refused())[-1]["status"] == code


async def test_a_number_says_how_often_a_submit_is_refused(caller: FalCaller) -> None:
    """`429_direct:2`: the first two submits of that exact prompt fail, then it works; each prompt has its count."""
    for prompt in ("one [emu:429_direct:2]", "two [emu:429_direct:2]"):
        codes = [(await caller.post(prompt)).status_code for _ in range(4)]
        assert codes == [429, 429, 200, 200]


async def test_a_dropped_connection_hides_whether_it_was_accepted(fal: Emulator, caller: FalCaller) -> None:
    """The caller cannot tell the two apart; the emulator's ledger can."""
    for name, accepted in (("drop_before_accept", 0), ("drop_after_accept", 1)):
        before = len(await fal.requests())
        with pytest.raises(httpx.RemoteProtocolError):
            await caller.post(f"[emu:{name}:1]")
        assert len(await fal.requests()) - before == accepted
        assert (await caller.post(f"[emu:{name}:1]")).status_code == 200


async def test_an_accepted_submit_may_be_answered_with_nonsense(fal: Emulator, caller: FalCaller) -> None:
    """No JSON, half a reply, a load balancer's page, silence: each was accepted."""
    before = len(await fal.requests())
    garbage = await caller.post("[emu:submit_garbage]")
    assert garbage.status_code == 200
    with pytest.raises(ValueError, match="Expecting value"):
        garbage.json()
    with pytest.raises(httpx.RemoteProtocolError):
        await caller.post("[emu:submit_cut:40]")
    assert (await caller.post("[emu:submit_502_accepted]")).status_code == 502
    caller.web.timeout = httpx.Timeout(30, read=0.3)
    with pytest.raises(httpx.ReadTimeout):
        await caller.post("[emu:submit_hang]")
    assert len(await fal.requests()) - before == 4


async def test_evil_urls_lead_away(fal: Emulator, caller: FalCaller) -> None:
    """The request is real, its three URLs are not fal's."""
    reply = await caller.submit("[emu:evil_status_url]")
    urls = [reply["status_url"], reply["response_url"], reply["cancel_url"]]
    assert all(url.startswith("https://queue.evil.example/") for url in urls)
    assert await fal.request(reply["request_id"])


async def test_status_polls_may_fail_for_a_while(caller: FalCaller) -> None:
    """A load balancer's 503 without fal's header three times, a 404 twice; then the real status."""
    page = await caller.submit("[emu:html_nginx_503]")
    missing = await caller.submit("[emu:status_404_first]")
    pages = [await caller.web.get(page["status_url"]) for _ in range(4)]
    misses = [await caller.web.get(missing["status_url"]) for _ in range(3)]
    assert [answer.status_code for answer in pages][:3] == [503, 503, 503]
    assert "nginx" in pages[0].text
    assert "x-fal-request-id" not in pages[0].headers
    assert [answer.status_code for answer in misses][:2] == [404, 404]
    assert {pages[3].status_code, misses[2].status_code} <= {200, 202}


async def test_a_status_may_be_unknown_or_go_backwards(fal: Emulator, caller: FalCaller) -> None:
    """WARMING_UP with 202; IN_QUEUE after IN_PROGRESS; both succeed."""
    warming = await caller.submit("[emu:unknown_status][emu:run:3600]")
    backwards = await caller.submit("[emu:status_backwards][emu:run:3600]")
    await caller.until(warming, "WARMING_UP")
    await caller.until(backwards, "IN_PROGRESS")
    await caller.until(backwards, "IN_QUEUE")
    async with fal.steered():
        await fal.set_speed(10_000)
        assert (await caller.result(warming)).status_code == 200
        assert (await caller.result(backwards)).status_code == 200


async def test_stuck_requests_stay_where_they_are(caller: FalCaller) -> None:
    """Neither ends by itself; a later request overtakes them."""
    queued = await caller.submit("[emu:stuck_in_queue]")
    running = await caller.submit("[emu:stuck_in_progress]")
    await caller.result(await caller.submit())
    await caller.result(await caller.submit())
    assert (await caller.status(queued))["status"] == "IN_QUEUE"
    assert (await caller.status(running))["status"] == "IN_PROGRESS"


async def test_a_cancel_may_be_ignored(fal: Emulator, caller: FalCaller) -> None:
    """202, yet it succeeds and is charged."""
    async with fal.paused():
        reply = await caller.submit("[emu:cancel_ignored]")
        answer = await caller.web.put(reply["cancel_url"])
        assert answer.status_code == 202
    assert (await caller.result(reply)).status_code == 200
    truth = await fal.request(reply["request_id"])
    assert (truth["cancelled"], truth["charged_micro"]) == (True, 1_400_000)


async def test_logs_can_be_many(caller: FalCaller) -> None:
    """500 lines, or the given number."""
    for name, count in (("logs_burst", 500), ("logs_burst:1200", 1200)):
        status = await caller.until(await caller.submit(f"[emu:{name}]"), "COMPLETED")
        assert len(status["logs"]) == count


async def test_unknown_fields_are_ignored_unless_strict(caller: FalCaller) -> None:
    """Fal's real behaviour is unknown; both are available."""
    lenient = await caller.result(await caller.submit(aspect_ratio="16:9"))
    strict = await caller.result(await caller.submit("[emu:unknown_fields]", aspect_ratio="16:9"))
    assert (lenient.status_code, strict.status_code) == (200, 422)
    assert strict.json()["detail"][0]["loc"] == ["body", "aspect_ratio"]


async def test_the_durations_of_one_request_can_be_set(fal: Emulator, caller: FalCaller) -> None:
    """`queue:` and `run:` are emulated seconds: at speed 20, four take 0.2 s."""
    reply = await caller.submit("[emu:queue:4][emu:run:6]")
    await caller.result(reply)
    truth = await fal.request(reply["request_id"])
    assert 0.2 <= truth["started_at"] - truth["received_at"] < 2
    assert 0.3 <= truth["completed_at"] - truth["started_at"] < 2


async def test_answers_can_be_slow_and_huge(caller: FalCaller) -> None:
    """A status sent byte by byte, and a result of 200 MB, of which a part is read."""
    dripping = await caller.submit("[emu:status_drip]")
    caller.web.timeout = httpx.Timeout(30)
    async with caller.web.stream("GET", dripping["status_url"]) as answer:
        assert await anext(answer.aiter_raw()) == b"{"
    huge = await caller.submit("[emu:result_huge]")
    await caller.until(huge, "COMPLETED")
    size = 0
    async with caller.web.stream("GET", huge["response_url"]) as answer:
        async for chunk in answer.aiter_raw():
            size += len(chunk)
            if size > 5_000_000:
                break
    assert size > 5_000_000
