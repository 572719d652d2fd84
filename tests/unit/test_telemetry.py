"""Logs: one line each, without secrets."""

import ast
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from app import outages
from app.domain.ids import new_id, new_nonce
from app.domain.upload_tokens import UploadToken, write_upload_token
from app.telemetry import about, redact, set_up_logs
from tests.support.repo import ROOT

SECRETS = {
    "a Filmgate key": "fg_live_0123456789abcdefghijABCDEFGHIJ",
    "a browser token": "fg_tok_0123456789abcdef",
    "a signing secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "a picture": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg==",
}

PREFIX = re.compile(r"(?:fg|wh)[a-z]*_(?:[a-z]+_)?")  # of every secret that we issue
PUBLIC = {"whpk_"}  # the public key


def issued_prefixes() -> list[str]:
    """Every secret's prefix in the code."""
    texts = {
        node.value
        for path in (ROOT / "app").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return sorted({text for text in texts if PREFIX.fullmatch(text)} - PUBLIC)


def a_pass(kind: str) -> str:
    """The signature of an upload URL, as it is in a URL."""
    return write_upload_token("s" * 32, UploadToken(new_id("team"), new_id(kind), 1_790_000_000_000))


@pytest.fixture
def logs() -> Iterator[None]:
    """Logging as a process configures it; restored afterwards."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    root.handlers[:], level = before
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_a_secret_is_redacted_wherever_it_is(secret: str) -> None:
    """At the beginning, in the middle, in quotes, twice."""
    for text in (secret, f"a {secret} b", f'{{"x":"{secret}"}}', f"{secret} {secret}"):
        shown = redact(text)
        assert secret not in shown
        assert "[redacted]" in shown


def test_every_prefix_that_the_code_issues_is_blotted_out() -> None:
    """A new prefix fails here until `app/telemetry.py` has it."""
    assert {"fg_live_", "fg_tok_", "fg_up_", "whsec_"} <= set(issued_prefixes())
    for prefix in issued_prefixes():
        secret = prefix + "0123456789abcdefABCDEF"
        assert redact(f"GET /v1/jobs/{secret} said {secret}") == "GET /v1/jobs/[redacted] said [redacted]", prefix


@pytest.mark.parametrize("kind", ["pass", "file"])
def test_a_pass_is_blotted_out_in_a_token_in_an_address_and_alone(kind: str) -> None:
    """An upload token, and the signature in an upload URL; the id next to it is kept."""
    one = a_pass(kind)
    assert redact(f"token fg_up_{one}") == "token [redacted]"
    assert (
        redact(f"/fal/cdn/uploads/file_1?signature={one}&x=1") == "/fal/cdn/uploads/file_1?signature=[redacted]&x=1"
    )
    assert one.rsplit(".", 1)[1] not in redact(f"signature {one} is wrong")


def test_a_password_in_an_address_is_blotted_out_and_the_host_stays() -> None:
    """Of a store, a proxy, a webhook."""
    assert redact("redis://default:hunter2@10.0.0.5:6379/0 is away") == "redis://[redacted]@10.0.0.5:6379/0 is away"
    assert (
        redact('{"url": "https://example.com/a", "by": "x@y"}') == '{"url": "https://example.com/a", "by": "x@y"}'
    )


def test_the_marker_in_the_path_of_a_webhook_of_fals_is_blotted_out() -> None:
    """With it anyone could claim that fal has ended a job's request."""
    mac = new_nonce()
    assert mac not in redact(f"POST /fal/hooks/{new_id('job')}/{new_nonce()}/{mac}")


def test_a_credential_behind_its_scheme_and_a_token_in_a_url_are_blotted_out() -> None:
    """Fal's `Key id:secret`, and a browser's `?token=`; the text around them is kept."""
    assert redact("Authorization: Key 1234-5678:abcdef") == "Authorization: Key [redacted]"
    assert redact("GET /v1/jobs/job_1/events?token=abc.def&x=1") == "GET /v1/jobs/job_1/events?token=[redacted]&x=1"
    assert redact("the key is wrong") == "the key is wrong"
    assert redact("job_5f0c is running") == "job_5f0c is running"


def test_a_line_is_json_with_its_process_and_without_secrets(logs: None, capfd: pytest.CaptureFixture[str]) -> None:
    """One object a line, to stderr; the time is UTC."""
    set_up_logs("json", process="worker:work")
    structlog.get_logger().warning("job.held", job="job_1", reason=SECRETS["a Filmgate key"])
    out, err = capfd.readouterr()
    assert out == ""
    line: dict[str, Any] = json.loads(err)
    assert (line["event"], line["job"], line["process"], line["level"]) == (
        "job.held",
        "job_1",
        "worker:work",
        "warning",
    )
    assert line["reason"] == "[redacted]"
    assert line["timestamp"].endswith("Z")


def test_a_librarys_warning_comes_in_the_same_form_and_its_chatter_does_not(
    logs: None, capfd: pytest.CaptureFixture[str]
) -> None:
    """Httpx would log every URL; RQ's and asyncio's warnings are wanted."""
    set_up_logs("json", process="api")
    logging.getLogger("httpx").info("HTTP Request: GET https://v3.fal.media/a.mp4?sig=1")
    logging.getLogger("asyncio").warning("slow: %s", SECRETS["a signing secret"])
    _, err = capfd.readouterr()
    line = json.loads(err)
    assert (line["logger"], line["level"], line["process"]) == ("asyncio", "warning", "api")
    assert SECRETS["a signing secret"] not in err


def test_the_lines_of_an_outage_are_about_nobodys_request(
    logs: None, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever meets its begin or its end has nothing to do with it."""
    set_up_logs("json", process="api")
    monkeypatch.setattr(outages, "log", structlog.get_logger())  # it keeps the form of its first line
    monkeypatch.setattr(outages, "QUIET_S", 0)
    with about(trace_id="of-somebody", team="team_1", key="key_1"):
        store = outages.Outage("store")
        store.failed("no_answer", error="ConnectionError")
        store.worked()
    for line in map(json.loads, capfd.readouterr().err.splitlines()):
        assert line["process"] == "api"
        assert not {"trace_id", "team", "key"} & line.keys()


SAYS = """
import sys, structlog
from app.telemetry import set_up_logs
set_up_logs("json", process=sys.argv[1])
for number in range(300):
    structlog.get_logger().error("said", traceback="x" * 2000, exception=sys.argv[1] * 12_000)
"""


def test_lines_of_processes_that_share_stderr_do_not_mix(tmp_path: Path) -> None:
    """In a container Python's own stderr writes a line and its end apart."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with (tmp_path / "log").open("wb") as log:
        processes = [
            subprocess.Popen([sys.executable, "-c", SAYS, name], cwd=ROOT, env=environment, stderr=log)  # noqa: S603  our own
            for name in "abc"
        ]
        assert [process.wait() for process in processes] == [0, 0, 0]
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert sorted(line["process"] for line in lines) == ["a"] * 300 + ["b"] * 300 + ["c"] * 300


def test_text_is_for_people(logs: None, capfd: pytest.CaptureFixture[str]) -> None:
    """Readable, and redacted too."""
    set_up_logs("text", process="api")
    structlog.get_logger().info("request", key=SECRETS["a browser token"])
    _, err = capfd.readouterr()
    assert "request" in err
    assert SECRETS["a browser token"] not in err


def test_no_secret_hides_in_a_traceback(logs: None, capfd: pytest.CaptureFixture[str]) -> None:
    """An exception's text is a value like any other."""
    set_up_logs("json", process="api")
    try:
        int(SECRETS["a Filmgate key"])
    except ValueError:
        structlog.get_logger().exception("poll.failed")
        logging.getLogger("asyncio").exception("task failed")
    _, err = capfd.readouterr()
    assert "ValueError" in err
    assert SECRETS["a Filmgate key"] not in err


def _refuse(text: str) -> None:
    raise ValueError(text)


def test_no_text_makes_a_line_too_long(logs: None, capfd: pytest.CaptureFixture[str]) -> None:
    """A value has at most 2,000 characters, a traceback its last 16,000."""
    set_up_logs("json", process="api")
    log = structlog.get_logger()
    try:
        _refuse("x" * 100_000 + "the end")
    except ValueError:
        log.exception("request.failed", path="/" * 50_000)
    line = json.loads(capfd.readouterr().err)
    assert len(line["path"]) == 2000
    assert len(line["exception"]) == 16_000
    assert line["exception"].endswith("the end")


BREAKS = """
import logging, os, sys, threading, warnings
from app.children import fork
from app.telemetry import about, begin_about, note, set_up_logs
set_up_logs("json", process="api")
begin_about(trace_id="t1", address="10.0.0.1")
note(job="job_1", user=None)
warnings.warn("this is old")
logging.getLogger("library").warning("%d of %d", "no number")
with about(job="job_2"):
    logging.getLogger("rq.worker").error("it failed", exc_info=ValueError("inside\\nof it"))
def fail(): raise ValueError("in a thread")
thread = threading.Thread(target=fail, name="helper"); thread.start(); thread.join()
class Broken:
    def __del__(self): raise ValueError("in a destructor")
broken = Broken()
del broken
def child():
    set_up_logs("json", process="worker:work")
    raise ValueError("in a child")
os.waitpid(fork(child, name="child"), 0)
raise ValueError("at the end")
"""


def test_nothing_but_lines_is_written_whatever_breaks(tmp_path: Path) -> None:
    """Warnings, errors of libraries, of threads, of destructors, of children, and what ends the process."""
    ended = subprocess.run([sys.executable, "-c", BREAKS], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603  our own
    assert ended.returncode == 1
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [(line.get("logger"), line["event"].split(":")[0]) for line in lines] == [
        ("py.warnings", "<string>"),
        ("library", "log.unformattable"),
        ("rq.worker", "it failed"),
        (None, "thread.failed"),
        (None, "destructor.failed"),
        (None, "process.failed"),
        (None, "process.failed"),
    ]
    assert [line.get("job") for line in lines] == ["job_1", "job_1", "job_2", None, "job_1", None, "job_1"]
    assert all(line["trace_id"] == "t1" for line in lines if "job" in line)
    assert not [line for line in lines if "user" in line]
    for line, words in zip(lines[2:], ("of it", "thread", "destructor", "child", "end"), strict=True):
        assert words in line["exception"].splitlines()[-1]
    assert lines[3]["thread"] == "helper"
    assert [line["process"] for line in lines] == ["api"] * 5 + ["worker:work", "api"]
