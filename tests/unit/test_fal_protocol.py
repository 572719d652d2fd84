"""fal on the wire: which replies are accepted, and what they mean for money."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.fal_addresses import FalHosts
from app.fal.client import SUBMIT_SECONDS, FalClient
from app.fal.errors import classify_answer, classify_exception
from app.fal.protocol import (
    StatusReport,
    SubmitAccepted,
    SubmitRefused,
    SubmitUnknown,
    app_path,
    read_logs,
    read_output,
    read_progress,
    read_request_id,
    request_url,
)
from app.fal.web import ANSWER_BYTES
from app.store.jobs import SUBMIT_LEASE_MS

QUEUE = "https://queue.fal.run"
HOSTS = FalHosts.of_settings(queue_url=QUEUE, rest_url="https://rest.fal.ai")
LOCAL = FalHosts.of_settings(queue_url="http://127.0.0.1:8001", rest_url="http://127.0.0.1:8001")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)


def reply(**members: Any) -> bytes:
    """A JSON body."""
    return json.dumps(members).encode()


def test_a_request_url_is_built_from_the_model_id() -> None:
    """Status, result and cancel are below owner/app, whatever the rest of the id."""
    assert app_path("fal-ai/kling-video/v2/master/image-to-video") == "fal-ai/kling-video"
    assert app_path("workflows/me/mine/x") == "workflows/me/mine"
    url = request_url(QUEUE, "fal-ai/kling-video/v2/master/image-to-video", "a-1", "/status?logs=1")
    assert url == "https://queue.fal.run/fal-ai/kling-video/requests/a-1/status?logs=1"


@pytest.mark.parametrize("request_id", ["", "..", "a/b", "a?b", "a#b", "a b", "a\n", "x" * 65, "é", "%2e%2e"])
def test_no_url_is_built_from_a_strange_id(request_id: str) -> None:
    """An id is letters, digits, dash and underscore, at most 64; anything else in a reply is no id."""
    with pytest.raises(ValueError, match="request id"):
        request_url(QUEUE, "fal-ai/kling-video", request_id)
    assert read_request_id(reply(request_id=request_id)) is None


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_body_breaks_the_readers(body: bytes) -> None:
    """Any bytes are parsed as some answer; only a usable id counts as accepted."""
    for status in (200, 202, 400, 401, 429, 500, 503):
        outcome = classify_answer(status, body)
        assert isinstance(outcome, SubmitAccepted) == (status < 300 and read_request_id(body) is not None)
    progress = read_progress(body)
    assert progress.status in {"IN_QUEUE", "IN_PROGRESS", "COMPLETED", "unclear"}
    assert progress.queue_position is None or isinstance(progress.queue_position, int)


@given(JSON)
def test_no_result_breaks_the_reader_of_clips(value: Any) -> None:
    """Whatever is in the clip's place, there is one to show or none."""
    for body in (value, {"video": value}, {"video": {"url": value}}, {"audio": {"url": value}}):
        assert read_output(body, hosts=HOSTS) is None


# --- what a submit's outcome means ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [300, 302, 304, 402, 406, 408, 409, 418, 451, 500, 501, 502, 503, 504, 520, 599])
def test_a_status_that_proves_nothing_is_unknown(status: int) -> None:
    """Only a known refusal is a refusal; anything else is held."""
    assert classify_answer(status, b"") == SubmitUnknown(f"http_{status}")


@pytest.mark.parametrize(
    ("status", "code", "again", "account"),
    [
        (400, "upstream_rejected", False, False),
        (401, "upstream_unauthorized", True, True),
        (403, "upstream_forbidden", True, True),
        (404, "upstream_rejected", False, False),
        (413, "upstream_rejected", False, False),
        (422, "upstream_rejected", False, False),
        (429, "upstream_busy", True, False),
    ],
)
def test_a_refusal_says_whether_it_may_be_tried_again(status: int, code: str, again: bool, account: bool) -> None:  # noqa: FBT001  a table
    """And whether it concerns fal's account instead of the request; fal's own message is not repeated."""
    outcome = classify_answer(status, reply(detail="the key abc:def is wrong"))
    assert isinstance(outcome, SubmitRefused)
    assert (outcome.code, outcome.retryable, outcome.account_fault, outcome.status) == (
        code,
        again,
        account,
        status,
    )
    assert "abc:def" not in outcome.message


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout])
def test_before_the_connection_nothing_was_sent(error: type[httpx.HTTPError]) -> None:
    """Connection refused, no such name, no TLS: the job may be submitted again."""
    outcome = classify_exception(error("no"), begun=False)
    assert isinstance(outcome, SubmitRefused)
    assert (outcome.retryable, outcome.account_fault) == (True, False)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (httpx.ReadTimeout("x"), "no_answer_in_time"),
        (httpx.WriteTimeout("x"), "no_answer_in_time"),
        (TimeoutError(), "no_answer_in_time"),
        (httpx.ReadError("x"), "connection_lost"),
        (httpx.WriteError("x"), "connection_lost"),
        (httpx.RemoteProtocolError("x"), "connection_lost"),
        (httpx.DecodingError("x"), "connection_lost"),
    ],
)
def test_after_the_connection_the_outcome_is_unknown(error: Exception, reason: str) -> None:
    """The reason is a stable code; no exception text is stored in the job."""
    assert classify_exception(error, begun=True) == SubmitUnknown(reason)


def test_a_submission_ends_before_its_lease() -> None:
    """Otherwise a slow one would be held while it is in progress."""
    assert SUBMIT_SECONDS * 1000 + 10_000 <= SUBMIT_LEASE_MS


@pytest.mark.anyio
async def test_without_a_key_nothing_is_sent() -> None:
    """The refusal concerns the account, so buying pauses."""
    fal = FalClient(queue_url="http://127.0.0.1:9", rest_url="http://127.0.0.1:9", key=None)
    outcome = await fal.submit("fal-ai/kling-video", {}, start_timeout=None, marker="m", webhook_url=None)
    await fal.close()
    assert isinstance(outcome, SubmitRefused)
    assert (outcome.code, outcome.account_fault) == ("upstream_unauthorized", True)


# --- polls ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "position"),
    [
        (reply(status="IN_QUEUE", queue_position=3), "IN_QUEUE", 3),
        (reply(status="IN_PROGRESS"), "IN_PROGRESS", None),
        (reply(status="COMPLETED", error="x", error_type="y"), "COMPLETED", None),
        (reply(status="WARMING_UP"), "IN_PROGRESS", None),
        (reply(status="completed"), "IN_PROGRESS", None),
        (reply(status="IN_QUEUE", queue_position="3"), "IN_QUEUE", None),
        (reply(status=None), "unclear", None),
        (reply(detail="oops"), "unclear", None),
        (b"", "unclear", None),
    ],
)
def test_a_status_is_a_word_we_know_or_running(body: bytes, status: str, position: int | None) -> None:
    """Only fal's exact COMPLETED ends the polling."""
    progress = read_progress(body)
    assert (progress.status, progress.queue_position) == (status, position)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("2026-11-29T10:44:51.123456", "2026-11-29T10:44:51.123456Z"),
        ("2026-11-29T10:44:51", "2026-11-29T10:44:51Z"),
        ("2026-11-29T10:44:51Z", "2026-11-29T10:44:51Z"),
        ("2026-11-29T10:44:51+01:00", "2026-11-29T10:44:51+01:00"),
        ("soon", "soon"),
        (None, ""),
    ],
)
def test_the_time_of_a_log_line_has_a_zone(given: str | None, shown: str) -> None:
    """Fal writes UTC, with and without a zone; an invalid time is unchanged."""
    assert read_logs([{"message": "m", "timestamp": given}]) == [{"message": "m", "timestamp": shown}]


def test_logs_are_few_short_and_of_known_shape() -> None:
    """The newest fifty, 500 characters each, with message and time only."""
    lines = [
        {"message": f"{n} " + "x" * 9000, "timestamp": "t" * 900, "labels": {"secret": "s"}} for n in range(80)
    ]
    read = read_logs([*lines, "no", {"message": 5}])
    assert len(read) == 48  # two of the newest fifty have no message
    assert read[-1]["message"].startswith("79 ")
    assert {(len(line["message"]), len(line["timestamp"])) for line in read} == {(500, 40)}
    assert {frozenset(line) for line in read} == {frozenset({"message", "timestamp"})}
    assert read_logs({"message": "x"}) == []
    assert read_progress(reply(status="IN_QUEUE")) == StatusReport("IN_QUEUE")


# --- clips ----------------------------------------------------------------------------------------------------


def video(url: Any, **more: Any) -> dict[str, Any]:
    """A result."""
    return {"video": {"url": url, **more}}


@pytest.mark.parametrize(
    "url",
    [
        "https://v3.fal.media/files/a/output.mp4",
        "https://fal.media/x.mp4",
        "https://v3b.fal.media:443/x.mp4?sig=a%20b",
    ],
)
def test_a_clip_on_fals_hosts_is_shown(url: str) -> None:
    """With its members, where they have the right type."""
    found = read_output(video(url, content_type="video/mp4", file_size="7", secret="x"), hosts=HOSTS)
    assert found == {"video": {"url": url, "content_type": "video/mp4"}}


def test_an_output_has_what_the_model_gives() -> None:
    """Sound beside or without a clip, the length, a voice; one file at a foreign address spoils the whole."""
    sound = {"url": "https://v3.fal.media/a.wav"}
    both = {**video("https://v3.fal.media/a.mp4"), "audio": sound, "duration": 6.5, "seed": 1}
    kept = {"video": {"url": "https://v3.fal.media/a.mp4"}, "audio": sound, "duration": 6.5}
    assert read_output(both, hosts=HOSTS) == kept
    assert read_output({"audio": sound}, hosts=HOSTS) == {"audio": sound}
    assert read_output({"voice_id": "829"}, hosts=HOSTS) == {"voice_id": "829"}
    assert read_output({"duration": 6.5}, hosts=HOSTS) is None
    assert read_output({"voice_id": "a\nb"}, hosts=HOSTS) is None
    assert read_output({**both, "audio": {"url": "https://evil.example/a.wav"}}, hosts=HOSTS) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://v3.fal.media/x.mp4",
        "https://files.evil.example/output.mp4",
        "https://evilfal.media/x.mp4",
        "https://fal.media.evil.example/x.mp4",
        "https://evil.example\\.fal.media/x.mp4",
        "https://evil.example/\\@v3.fal.media/x.mp4",
        "https://user:pw@v3.fal.media/x.mp4",
        "https://v3.fal.media:8443/x.mp4",
        "https://v3.fal.media:99999/x.mp4",
        "https://[v3.fal.media/x.mp4",
        "https://v3.fal.media/x.mp4\r\nSet-Cookie: a=b",
        "https://v3.fal.media/x y.mp4",
        "https://v3.fal.media/" + "x" * 2048,
        "//v3.fal.media/x.mp4",
        "data:video/mp4;base64,AAAA",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://127.0.0.1/x.mp4",
        "",
        None,
        7,
    ],
)
def test_a_clip_anywhere_else_is_not_shown(url: Any) -> None:
    """Other hosts and schemes, user names, ports, line breaks, and what browsers parse differently."""
    assert read_output(video(url), hosts=HOSTS) is None


def test_the_emulators_clips_are_shown_only_where_fal_is_the_emulator() -> None:
    """The queue's own origin, and only on loopback."""
    local = "http://127.0.0.1:8001"
    assert read_output(video(f"{local}/files/a.mp4"), hosts=LOCAL) == {"video": {"url": f"{local}/files/a.mp4"}}
    assert read_output(video("http://127.0.0.1:8002/files/a.mp4"), hosts=LOCAL) is None
    assert read_output(video(f"{QUEUE}/files/a.mp4"), hosts=HOSTS) is None


def test_answers_are_capped() -> None:
    """One megabyte is more than fal ever sends as JSON."""
    assert ANSWER_BYTES == 1_000_000
