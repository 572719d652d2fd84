"""Wrong paths, ids, cursors and headers: uniform answers, and no request to fal."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.refusals import assert_problem, nothing_changes
from tests.support.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, open_stack

pytestmark = pytest.mark.anyio

KLING = "fal-ai/kling-video/v2/master/image-to-video"


@pytest.fixture(scope="module")
async def stack(redis_server: RedisServer, emulator: Emulator) -> AsyncIterator[Stack]:
    """One gateway for all cases: a refusal changes nothing, which each case proves."""
    redis_server.flush()
    async with open_stack(redis_server, emulator) as made:
        yield made


MODELS = [
    "fal-ai/unknown",
    KLING.upper(),
    KLING + "/",
    "/" + KLING,
    KLING.rpartition("/")[0],
    "fal-ai/../../tokens",
    f"{KLING}/../../tokens",
    "fal-ai/%2e%2e/tokens",
    "fal-ai/..%2ftokens",
    "//evil.com/x",
    "https://evil.com/",
    f"{KLING}?fal_webhook=https://evil.com",
    f"{KLING}#",
    f"{KLING}@evil.com",
    f"{KLING}\r\nHost: evil.com",
    "\\\\evil\\x",
    "fal-ai\u2024kling-video",
    f"{KLING}\x00",
    f"{KLING}/requests/id/cancel",
    "fal-ai/kling-video/v2/master/ｉmage-to-video",  # noqa: RUF001 - a full-width letter
    "",
    ".",
    "..",
    "x" * 100_000,
]


@pytest.mark.parametrize("model", MODELS, ids=range(len(MODELS)))
async def test_a_model_id_that_is_not_in_the_registry_is_unknown(stack: Stack, model: str) -> None:
    """404 in a submission and in a quote, whatever the spelling, and no call to fal."""
    async with nothing_changes(stack):
        for path in ("/v1/jobs", "/v1/quotes"):
            reply = await stack.api.post(path, json=stack.body(model=model))
            assert_problem(reply, 404, "model_not_found")


# Raw paths below /v1/models/, exactly as sent in the request line.
MODEL_PATHS = [
    "fal-ai/unknown",
    KLING.upper(),
    KLING + "/",
    f"{KLING}/requests",
    f"{KLING}%00",
    f"{KLING}%0d%0aHost:%20evil",
    f"{KLING}%3Ffal_webhook=x",
    "fal-ai/%2e%2e/%2e%2e/tokens",
    "..%2f..%2ftokens",
    "%ff%fe",
    "x" * 50_000,
]


@pytest.mark.parametrize("path", MODEL_PATHS, ids=range(len(MODEL_PATHS)))
async def test_a_model_path_that_is_not_in_the_registry_is_unknown(stack: Stack, path: str) -> None:
    """404 with a short answer, and no call to fal."""
    async with nothing_changes(stack):
        reply = await stack.api.get(f"/v1/models/{path}")
    assert_problem(reply, 404, reply.json()["code"])
    assert reply.json()["code"] in {"model_not_found", "not_found"}  # some are not below models at all


# Raw ids; those with a slash or dots name other paths, which do not exist either.
JOB_IDS = [
    "job_00000000000000000000000000000000",
    "job_",
    "x",
    "*",
    "job_*",
    "%00",
    "job_%00",
    "%ff",
    "%0d%0a",
    "..",
    "%2e%2e",
    "..%2f..",
    "..;",
    "job_' or 1=1 --",
    "{job_id}",
    "é",
    "😀",
    "9" * 60_000,
]


@pytest.mark.parametrize("job_id", JOB_IDS, ids=range(len(JOB_IDS)))
async def test_an_id_that_is_nobodys_is_not_found(stack: Stack, job_id: str) -> None:
    """The same 404 on every route that takes a job's id."""
    async with nothing_changes(stack):
        replies = [
            await stack.api.get(f"/v1/jobs/{job_id}"),
            await stack.api.delete(f"/v1/jobs/{job_id}"),
            await stack.api.post(f"/v1/jobs/{job_id}/cancel"),
            await stack.api.get(f"/v1/jobs/{job_id}/video"),
            await stack.api.get(f"/v1/jobs/{job_id}/events"),
            await stack.api.get(f"/v1/jobs/{job_id}/deliveries"),
        ]
    for reply in replies:
        if "/v1/jobs/" in reply.request.url.path:
            assert_problem(reply, 404, "not_found")
        else:  # the client resolved `..` and requested a different path
            assert job_id == ".."


# Method, path, and the expected refusal.
ROUTES = [
    ("GET", "/v1", 404),
    ("GET", "/v2/jobs", 404),
    ("GET", "/V1/JOBS", 404),
    ("GET", "//v1/jobs", 404),
    ("GET", "/v1//jobs", 404),
    ("GET", "/v1/%2e/jobs", 404),
    ("GET", "/v1/jobs;a=b", 404),
    ("GET", "/v1%2fjobs%2f..", 404),
    ("GET", "/problems/unknown", 404),
    ("PUT", "/v1/jobs", 405),
    ("PATCH", "/v1/jobs", 405),
    ("TRACE", "/v1/jobs", 405),
    ("BREW", "/v1/jobs", 405),
    ("POST", "/v1/jobs/job_1", 405),
    ("GET", "/v1/jobs/job_1/cancel", 405),
    ("GET", "/v1/quotes", 405),
    ("PUT", "/v1/files", 405),
    ("POST", "/livez", 405),
]


@pytest.mark.parametrize(("method", "path", "status"), ROUTES)
async def test_an_unknown_route_or_method_is_a_problem(stack: Stack, method: str, path: str, status: int) -> None:
    """404, or 405 with the allowed methods."""
    async with nothing_changes(stack):
        reply = await stack.api.request(method, f"http://filmgate.test{path}")
    assert_problem(reply, status, "not_found" if status == 404 else "method_not_allowed")
    assert ("allow" in reply.headers) == (status == 405)


@pytest.mark.parametrize("path", ["/v1/jobs/", "/v1/me/", "/livez/", "/v1/jobs/%2F"])
async def test_a_trailing_slash_is_another_path(stack: Stack, path: str) -> None:
    """404, and never a redirect to an address from the request."""
    assert_problem(await stack.api.get(path, headers={"Host": "evil.com"}), 404, "not_found")


@pytest.mark.parametrize("override", ["X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"])
async def test_a_method_is_not_overridden_by_a_header(stack: Stack, override: str) -> None:
    """A POST stays a POST, whatever a header says."""
    reply = await stack.api.post("/v1/me", headers={override: "GET"})
    assert_problem(reply, 405, "method_not_allowed")


LISTS = [
    ("limit=0", 422, "invalid_input"),
    ("limit=-1", 422, "invalid_input"),
    ("limit=101", 422, "invalid_input"),
    ("limit=1000000000", 422, "invalid_input"),
    ("limit=" + "9" * 5000, 422, "invalid_input"),
    ("limit=kan4rie", 422, "invalid_input"),
    ("limit=1.5", 422, "invalid_input"),
    ("limit=%00", 422, "invalid_input"),
    ("limit=", 422, "invalid_input"),
    ("status=kan4rie", 422, "invalid_input"),
    ("status=QUEUED", 422, "invalid_input"),
    ("status=", 422, "invalid_input"),
    ("model=" + "kan4rie" * 100, 422, "invalid_input"),
    ("cursor=", 400, "invalid_cursor"),
    ("cursor=kan4rie", 400, "invalid_cursor"),
    ("cursor=%00", 400, "invalid_cursor"),
    ("cursor=%C3%A9", 400, "invalid_cursor"),
    ("cursor=LTE6am9iXzA", 400, "invalid_cursor"),  # -1:job_0
    ("cursor=" + "QUFB" * 100, 422, "invalid_input"),
    ("metadata.a=1&metadata.b=2", 422, "invalid_input"),
]


@pytest.mark.parametrize(("query", "status", "code"), LISTS)
async def test_a_wrong_list_parameter_is_refused(stack: Stack, query: str, status: int, code: str) -> None:
    """422 for a value that no list has, 400 for a cursor that is not ours."""
    async with nothing_changes(stack):
        reply = await stack.api.get(f"/v1/jobs?{query}")
    assert_problem(reply, status, code, secret="kan4rie")


KEYS = {
    "empty": [b""],
    "quotes around nothing": [b'""'],
    "256": [b"k" * 256],
    "256 in quotes": [b'"' + b"k" * 256 + b'"'],
    "UTF-8": ["kan4rie-é".encode()],
    "Latin-1": [b"kan4rie-\xe9"],
    "tab": [b"a\tb"],
    "DEL": [b"a\x7f"],
    "NUL": [b"a\x00"],
    "line break": [b"a\r\nX-Evil: 1"],
    "two": [b"kan4rie", b"kan4rie"],
}


@pytest.mark.parametrize("case", KEYS)
async def test_a_wrong_idempotency_key_is_refused(stack: Stack, case: str) -> None:
    """400, before anything else is done."""
    headers = [(b"Idempotency-Key", value) for value in KEYS[case]]
    async with nothing_changes(stack):
        reply = await stack.api.post("/v1/jobs", json=stack.body(), headers=headers)
    assert_problem(reply, 400, "invalid_header", secret="kan4rie")


@pytest.mark.parametrize(
    "value", ["kan4rie", "", "1", "-1-0", "1-", "1-0-0", "1" * 16 + "-0", "$", "+", "1-0\x00", "é"]
)
async def test_a_forged_last_event_id_is_refused(stack: Stack, value: str) -> None:
    """400 before the stream begins."""
    job = await stack.submit()
    headers = {b"Last-Event-ID": value.encode()}
    async with nothing_changes(stack):
        reply = await stack.api.get(f"/v1/jobs/{job['id']}/events", headers=headers)
    assert_problem(reply, 400, "invalid_header", secret="kan4rie")


PREFERENCES = [
    (b"wait=-1", None),
    (b"wait=0", None),
    (b"wait=x", None),
    (b"wait=1.5", None),
    (b"wait=\xb2", None),
    (b"wait=" + b"9" * 5000, None),
    (b"respond-async", None),
    (b"waiting=3", None),
    (b"respond-async, wait=1", "wait=1"),
    (b'Wait = "1"; strict', "wait=1"),
]


@pytest.mark.parametrize(("value", "applied"), PREFERENCES)
async def test_a_preference_we_do_not_know_is_ignored(stack: Stack, value: bytes, applied: str | None) -> None:
    """RFC 7240: an unreadable preference is treated as absent."""
    job = await stack.submit()
    reply = await stack.api.get(f"/v1/jobs/{job['id']}", headers={b"Prefer": value})
    assert reply.status_code == 200
    assert reply.headers.get("preference-applied") == applied


HOSTS = [b"[", b"evil.com", b"", b"a b", b"evil.com:99999", b"\xff"]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", ["/v1/jobs?limit=1", "/v1/unknown", "/v1/jobs?limit=0"])
async def test_the_host_header_changes_nothing(stack: Stack, path: str, host: bytes) -> None:
    """Replies have the gateway's configured address, and an absurd host causes no 5xx."""
    await stack.submit()
    await stack.submit()
    reply = await stack.api.get(path, headers={b"Host": host})
    assert reply.status_code in {200, 404, 422}
    assert "evil.com" not in reply.text + str(reply.headers)


TRACES = [
    (b"abc-1.2_3", True),
    (b"x" * 64, True),
    (b"x" * 65, False),
    (b"", False),
    (b"a b", False),
    (b"a\r\nX-Evil: 1", False),
    (b"\xe9", False),
    (b"<script>", False),
]


@pytest.mark.parametrize(("given", "echoed"), TRACES)
async def test_a_sane_trace_id_is_echoed(stack: Stack, given: bytes, echoed: bool) -> None:  # noqa: FBT001 - a table
    """`X-Request-ID` is echoed when it is valid; otherwise a new one is made."""
    for path in ("/livez", "/v1/unknown"):
        reply = await stack.api.get(path, headers={b"X-Request-ID": given})
        found = reply.headers["x-request-id"]
        assert (found.encode() == given) == echoed
        assert len(found) >= 1


LENGTHS = [
    (b"1000000000000", 413, "payload_too_large"),
    (b"9" * 5000, 413, "payload_too_large"),
    (b"8388609", 413, "payload_too_large"),
    (b"-1", 400, "invalid_header"),
    (b"+2", 400, "invalid_header"),
    (b"0x10", 400, "invalid_header"),
    (b"", 400, "invalid_header"),
    (b"1e3", 400, "invalid_header"),
    ("２".encode(), 400, "invalid_header"),  # noqa: RUF001 - a digit, but not in ASCII
]


@pytest.mark.parametrize(("length", "status", "code"), LENGTHS, ids=range(len(LENGTHS)))
async def test_a_declared_length_is_judged_before_the_body(
    stack: Stack, length: bytes, status: int, code: str
) -> None:
    """413 or 400 without reading a byte, and the connection is closed."""
    for path in ("/v1/jobs", "/v1/quotes"):
        async with nothing_changes(stack):
            reply = await stack.api.post(path, content=b"{}", headers={b"Content-Length": length})
        assert_problem(reply, status, code)
        assert reply.headers["connection"] == "close"
