"""What needs a real connection: wrong lengths, unfinished bodies, malformed requests."""

import asyncio
import json

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from app.api.incoming import JSON_LIMIT, Pace
from app.api.middleware import RequestMiddleware
from tests.integration.refusals import nothing_changes
from tests.support.server import Server
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio


def head(stack: Stack, *lines: str, target: str = "/v1/jobs", method: str = "POST") -> bytes:
    """The head of a request with the stack's key; `lines` are extra headers."""
    first = [f"{method} {target} HTTP/1.1", "Host: filmgate.test", f"Authorization: Bearer {stack.account.key}"]
    return "\r\n".join([*first, "Content-Type: application/json", *lines, "", ""]).encode()


def chunked(content: bytes) -> bytes:
    """The content as one chunk, and the last chunk."""
    return b"%x\r\n" % len(content) + content + b"\r\n0\r\n\r\n"


def status_of(answer: bytes) -> int:
    """The status of a raw answer; 0 when there is none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


async def test_a_good_body_may_come_in_chunks(server: Server, stack: Stack) -> None:
    """A body without a declared length is read to its end: 202."""
    raw = json.dumps(stack.body()).encode()
    request = head(stack, "Transfer-Encoding: chunked", "Connection: close") + chunked(raw)
    answer = await asyncio.to_thread(server.send_raw, request)
    assert status_of(answer) == 202, answer[:500]
    assert b"connection: close" in answer.lower()


async def test_a_body_without_a_length_is_cut_off(server: Server, stack: Stack) -> None:
    """413 once the limit is exceeded; the connection is closed without waiting for the end."""
    started = b"%x\r\n" % (JSON_LIMIT + 100) + b" " * (JSON_LIMIT + 1)  # the chunk does not end
    async with nothing_changes(stack):
        answer = await asyncio.to_thread(server.send_raw, head(stack, "Transfer-Encoding: chunked") + started)
    assert status_of(answer) == 413, answer[:500]
    assert b"connection: close" in answer.lower()
    assert b"application/problem+json" in answer


async def test_a_length_over_the_limit_is_refused_at_once(server: Server, stack: Stack) -> None:
    """413 before any body arrives, and the connection is closed."""
    for length in (JSON_LIMIT + 1, 60_000_000, 10**12):
        async with nothing_changes(stack):
            answer = await asyncio.to_thread(server.send_raw, head(stack, f"Content-Length: {length}"))
        assert status_of(answer) == 413, answer[:500]
        assert b"connection: close" in answer.lower()


async def test_a_caller_who_leaves_in_the_middle_does_no_harm(server: Server, stack: Stack) -> None:
    """50 of 100 declared bytes arrive and the connection ends: nothing happens, and the server keeps working."""
    async with nothing_changes(stack):
        await asyncio.to_thread(server.send_raw, head(stack, "Content-Length: 100") + b"{" * 50, timeout=0.3)
    async with httpx.AsyncClient(trust_env=False) as web:
        assert (await web.get(f"{server.url}/livez")).status_code == 200


MALFORMED = {
    "length and chunks": ("Content-Length: 2", "Transfer-Encoding: chunked"),
    "two lengths": ("Content-Length: 2", "Content-Length: 3"),
    "+2": ("Content-Length: +2",),
    "-1": ("Content-Length: -1",),
    "xchunked": ("Transfer-Encoding: xchunked",),
    "space before colon": ("Transfer-Encoding : chunked",),
    "NUL in a header": ("X-A: a\0b",),
    "no name": (": x",),
    "bare LF": ("X-A: a\nX-B: b",),
    "folded": ("X-A: a\r\n b",),
}


@pytest.mark.parametrize("case", MALFORMED)
async def test_a_malformed_request_is_refused(server: Server, stack: Stack, case: str) -> None:
    """400, so that a proxy in front and this server cannot see two different requests."""
    request = head(stack, *MALFORMED[case]) + b"2\r\n{}\r\n0\r\n\r\n"
    async with nothing_changes(stack):
        answer = await asyncio.to_thread(server.send_raw, request, timeout=2)
    assert status_of(answer) == 400, answer[:300]
    assert b"\r\nx-request-id: " in answer.lower()


@pytest.mark.parametrize("missing", [1, 200])
async def test_a_form_that_is_longer_than_it_says_is_answered(server: Server, stack: Stack, missing: int) -> None:
    """What is declared is the body, what follows is no request: the caller reads why, and the connection ends."""
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n%b\r\n--b--\r\n' % (
        b"x" * 5000
    )
    lines = [f"POST /v1/files HTTP/1.1\r\nHost: a\r\nAuthorization: Key {stack.account.key}"]
    lines += ["Content-Type: multipart/form-data; boundary=b", f"Content-Length: {len(form) - missing}", "", ""]
    async with nothing_changes(stack):
        answer = await asyncio.to_thread(server.send_raw, "\r\n".join(lines).encode() + form, timeout=5)
    assert status_of(answer) in {400, 422}, answer[:300]
    assert b"\r\nx-request-id: " in answer.lower()
    assert answer.count(b"HTTP/1.1") == 1


TARGETS = {
    "100 KB": ("GET", "/v1/jobs?" + "a" * 100_000, {400, 414}),
    "CONNECT": ("CONNECT", "evil.com:443", {400, 404, 405}),
    "TRACE": ("TRACE", "/v1/jobs", {400, 405}),
    "unknown method": ("BREW", "/v1/jobs", {400, 405}),
    "PRI": ("PRI", "*", {400, 404, 405}),
    "absolute": ("GET", "http://evil.com/v1/nothing", {400, 404}),
    "two slashes": ("GET", "//v1/jobs", {404}),
    "dot": ("GET", "/v1/./jobs", {404}),
    "dots": ("GET", "/v1/x/../jobs", {404}),
    "encoded slash": ("GET", "/v1%2f..%2fv1/jobs", {404}),
    "not UTF-8": ("GET", "/v1/jobs/%ff%fe", {404}),
    "encoded NUL": ("GET", "/v1/jobs/%00", {404}),
    "line break": ("GET", "/v1/jobs/%0d%0aX:%20y", {404}),
}


@pytest.mark.parametrize("case", TARGETS)
async def test_a_strange_target_leads_nowhere(server: Server, stack: Stack, case: str) -> None:
    """400, 404, 405 or 414: no alternative spelling of a path reaches a route."""
    method, target, statuses = TARGETS[case]
    request = head(stack, "Connection: close", target=target, method=method)
    async with nothing_changes(stack):
        answer = await asyncio.to_thread(server.send_raw, request, timeout=2)
    assert status_of(answer) in statuses, answer[:300]


async def test_the_server_does_not_say_what_it_is(server: Server) -> None:
    """No `Server` header, and a trace id on every answer."""
    async with httpx.AsyncClient(trust_env=False) as web:
        reply = await web.get(f"{server.url}/v1/nothing")
    assert "server" not in reply.headers
    assert reply.headers["x-request-id"]


def entrance(stack: Stack, seconds: float) -> RequestMiddleware:
    """The application behind a check that waits this many seconds for a body."""
    app = stack.api._transport.app  # type: ignore[attr-defined]  # httpx types the transport as its base class
    return RequestMiddleware(app, base_url="http://filmgate.test", pace=Pace(pause_s=seconds, grace_s=seconds))


async def reply_to(door: RequestMiddleware, scope: Scope, receive: Receive) -> tuple[int, bytes]:
    """Status and body of the answer to a request whose body comes from `receive`."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    answer: Send = send
    await door(scope, receive, answer)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def scope_of(stack: Stack) -> Scope:
    """A submission as an ASGI scope."""
    headers = {"authorization": f"Bearer {stack.account.key}", "content-type": "application/json"}
    return {
        "type": "http",
        "method": "POST",
        "path": "/v1/jobs",
        "raw_path": b"/v1/jobs",
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }


async def test_a_body_that_stops_coming_is_given_up(stack: Stack) -> None:
    """408 after the given time, whether nothing arrives or one byte at a time."""
    forever = asyncio.Event()
    pieces = iter([b"{"])

    async def silent() -> Message:
        for piece in pieces:
            return {"type": "http.request", "body": piece, "more_body": True}
        await forever.wait()
        raise AssertionError

    async def dripping() -> Message:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async with nothing_changes(stack):
        for receive in (silent, dripping):
            async with asyncio.timeout(5):
                status, body = await reply_to(entrance(stack, 0.3), scope_of(stack), receive)
            assert (status, json.loads(body)["code"]) == (408, "request_timeout")


async def test_a_body_whose_sender_has_gone_is_no_error_of_ours(stack: Stack) -> None:
    """A connection that ends during a body is 400, and the application raises nothing."""
    started: Message = {"type": "http.request", "body": b"{", "more_body": True}
    messages = iter([started, {"type": "http.disconnect"}])

    async def leaving() -> Message:
        return next(messages)

    async with nothing_changes(stack):
        status, body = await reply_to(entrance(stack, 5), scope_of(stack), leaving)
    assert (status, json.loads(body)["code"]) == (400, "malformed")


async def test_the_limit_is_for_the_body_and_not_for_the_answer(stack: Stack) -> None:
    """A wait for a job may be longer than the limit for a body: the body has arrived."""
    raw = json.dumps(stack.body()).encode()
    scope = scope_of(stack)
    scope["headers"] = [*scope["headers"], (b"prefer", b"wait=1")]
    messages = iter([{"type": "http.request", "body": raw, "more_body": False}])

    async def whole() -> Message:
        for message in messages:
            return message
        await asyncio.Event().wait()
        raise AssertionError

    status, body = await reply_to(entrance(stack, 0.3), scope, whole)
    assert (status, json.loads(body)["status"]) == (202, "queued")
