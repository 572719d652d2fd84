"""One attempt against real receivers, well-behaved and hostile."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from app import __version__
from app.domain.deliveries import MAX_BODY_KEPT_BYTES, MAX_LOCATION_CHARS, SCHEDULE_S, next_delay
from app.egress import NOT_ALLOWED, Address, EgressPolicy
from app.webhooks import signing
from app.webhooks.sender import Attempt, Sender
from tests.support.bomb import gzip_bomb
from tests.support.memory import forget_peak, peak_kb
from tests.support.receiver import Answer, Receiver, Reply, held

pytestmark = pytest.mark.anyio

SECRET = signing.new_secret()
BODY = b'{"type":"job.succeeded","data":{"id":"job_1"}}'
LOOPBACK = EgressPolicy.parse("127.0.0.1")
Send = Callable[..., Coroutine[Any, Any, Attempt]]


def now() -> datetime:
    """The time, in UTC."""
    return datetime.fromtimestamp(time.time(), UTC)


def signature() -> dict[str, str]:
    """The headers that sign the message now."""
    return signing.headers([SECRET], "msg_1", now(), BODY)


def came(attempt: Attempt) -> tuple[int | None, str, str | None]:
    """The attempt's status, outcome and error."""
    return attempt.status, attempt.outcome, attempt.error


def closing(answer: bytes) -> Answer:
    """A receiver that writes these bytes and closes."""

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    return script


@asynccontextmanager
async def sending(receiver: Receiver, *, total_s: float) -> AsyncIterator[Send]:
    """Sends one message to the receiver, with this many seconds for the whole attempt."""
    sender = Sender(LOOPBACK, total_timeout=total_s)

    async def send(*answers: Answer, url: str | None = None) -> Attempt:
        receiver.answers(answers)
        return await sender.send(url or f"{receiver.url}/hook", body=BODY, signature=signature(), now=now())

    yield send
    await sender.aclose()


@pytest.fixture
async def send(receiver: Receiver) -> AsyncIterator[Send]:
    """With more time than an attempt needs."""
    async with sending(receiver, total_s=30) as send:
        yield send


@pytest.fixture
async def hasty(receiver: Receiver) -> AsyncIterator[Send]:
    """With one second, for a receiver that never ends."""
    async with sending(receiver, total_s=1) as send:
        yield send


async def test_a_message_arrives_signed_and_named(receiver: Receiver, send: Send) -> None:
    """The receiver verifies it with the specification's package; a changed body does not verify."""
    attempt = await send(Reply(204))
    assert (attempt.status, attempt.outcome, attempt.error, attempt.answer) == (204, "delivered", None, "")
    (request,) = receiver.requests
    assert (request.method, request.target, request.body) == ("POST", "/hook", BODY)
    assert request.headers["user-agent"] == f"Filmgate/{__version__}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    Webhook(SECRET).verify(request.body, dict(request.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body.replace(b"job_1", b"job_2"), dict(request.headers))


@pytest.mark.parametrize(
    ("answer", "outcome", "error", "retry_after"),
    [
        (200, "delivered", None, None),
        (299, "delivered", None, None),
        (Reply(200, {"webhook-delivery": "abort-message"}), "delivered", None, None),
        (Reply(301, {"Location": "/elsewhere"}), "retry", "redirect", None),
        (Reply(307, {"Location": "http://169.254.169.254/latest/meta-data/"}), "retry", "redirect", None),
        (304, "retry", "redirect", None),
        (400, "retry", None, None),
        (404, "retry", None, None),
        (410, "gone", None, None),
        (Reply(400, {"Webhook-Delivery": "Abort-Message"}), "gone", None, None),
        (Reply(500, {"webhook-delivery": "something"}), "retry", None, None),
        (Reply(429, {"Retry-After": "7"}), "retry", None, 7),
        (Reply(502, {"Retry-After": " 0 "}), "retry", None, 0),
        (Reply(503, {"Retry-After": "soon"}), "retry", None, None),
        (Reply(504, {"Retry-After": "-5"}), "retry", None, None),
        (Reply(504, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}), "retry", None, 0),
        (Reply(503, {"Retry-After": "9" * 5000}), "retry", None, 999_999_999),
        (Reply(500, {"Retry-After": "7"}), "retry", None, None),
    ],
)
async def test_the_answer_decides(
    send: Send, receiver: Receiver, answer: Answer, outcome: str, error: str | None, retry_after: int | None
) -> None:
    """One request each, whatever the answer: redirects are never followed."""
    attempt = await send(answer)
    assert (attempt.outcome, attempt.error, attempt.retry_after) == (outcome, error, retry_after)
    assert len(receiver.requests) == 1


_LOCATIONS = """
http://xn--/ https://xn--a.example.com/ javascript:1 http://[::1 http://a:b/ http://\u2100/ // : http://a:99999999/
https://\udc80.example/ http://[fe80::1%25]/ \x7f %
"""


@pytest.mark.parametrize("location", [*_LOCATIONS.split(), "", "http://" + "a" * 70_000])
async def test_no_location_is_read(send: Send, location: str) -> None:
    """Whatever it has, the status decides, and the other headers."""
    head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location.encode(errors="surrogatepass")
    for beside, outcome in ((b"", "retry"), (b"Webhook-Delivery: abort-message\r\n", "gone")):
        attempt = await send(closing(head + b"\r\n" + beside + b"\r\n"))
        assert came(attempt) == (302, outcome, "redirect")


async def test_where_a_redirect_points_to_is_shown(send: Send) -> None:
    """Before the answer's body, and shortened; unprintable characters are left out."""
    there = "https://elsewhere.example/hook?" + "q" * 300
    attempt = await send(Reply(308, {"Location": there}))
    assert attempt.answer.splitlines()[0] == f"Location: {there[:MAX_LOCATION_CHARS]}"
    odd = b"HTTP/1.1 302 Found\r\nContent-Length: 5\r\nLocation: /a\xc2\x85b\r\n\r\nmoved"
    assert (await send(closing(odd))).answer == "Location: /ab\nmoved"


_MOMENTS = [
    "Fri, 31 Dec 2020 23:59:59 +99999999999999",
    "Fri, 31 Dec 2020 23:59:59 -9999",
    "Fri, 31 Dec 99999999999999999999 23:59:59 GMT",
    "Fri, 31 Dec 2020 99:99:99 GMT",
    "Mon, 1 Jan 0001 00:00:00 +2359",
    "Fri, 31 Dec 2020",
    ", , , ,",
    "\u0661\u0662",
    "1e9",
]


@pytest.mark.parametrize("moment", _MOMENTS)
async def test_a_retry_after_that_is_no_moment_asks_for_nothing(send: Send, moment: str) -> None:
    """The attempt is recorded like any other."""
    head = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nRetry-After: " + moment.encode() + b"\r\n\r\n"
    attempt = await send(closing(head))
    assert came(attempt) == (503, "retry", None)
    assert attempt.retry_after in {None, 0}


@pytest.mark.parametrize("url", ["http://xn--.localhost:1/", "https://xn--a.example.com/", "https://xn--ls8h.la/"])
async def test_a_host_that_is_no_name_is_a_failed_attempt(send: Send, url: str) -> None:
    """As an older version's registration allowed."""
    assert came(await send(url=url)) == (None, "retry", "protocol")


async def test_whatever_breaks_is_an_attempt() -> None:
    """An unexpected exception becomes a failed attempt, so that it is not repeated forever."""

    async def broken(host: str) -> list[Address]:
        raise RuntimeError(host)

    sender = Sender(LOOPBACK, total_timeout=10, resolver=broken)
    attempt = await sender.send("http://hooks.example.com/", body=BODY, signature=signature(), now=now())
    await sender.aclose()
    assert came(attempt) == (None, "retry", "protocol")


async def test_a_retry_after_may_be_a_date(send: Send) -> None:
    """It counts from now."""
    later = datetime.fromtimestamp(time.time() + 90, UTC)
    attempt = await send(Reply(503, {"Retry-After": format_datetime(later, usegmt=True)}))
    assert attempt.retry_after is not None
    assert 85 <= attempt.retry_after <= 91


async def test_the_beginning_of_the_answer_is_kept_as_text(send: Send) -> None:
    """4 KB of it, and no byte sequence breaks it."""
    attempt = await send(Reply(500, body=b"no \xff\xfe: " + b"x" * 10_000))
    assert attempt.answer.startswith("no \ufffd\ufffd: xxx")
    assert len(attempt.answer) == MAX_BODY_KEPT_BYTES


def raw(*parts: bytes, pause: float = 0, repeat: bytes = b"", times: int = 0) -> Answer:
    """A receiver that writes `parts`, then `repeat` again and again, and never closes."""

    async def script(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
        for _ in range(times):
            writer.write(repeat)
            await writer.drain()
            await asyncio.sleep(pause)
        await asyncio.Event().wait()

    return script


OK = b"HTTP/1.1 200 OK\r\n"
BOMB = gzip_bomb(300)
DELIVERED = (200, "delivered", None)
TIMEOUT = (None, "retry", "timeout")
TOO_LARGE = (None, "retry", "too_large")
Cases = dict[str, tuple[Answer, tuple[int | None, str, str | None]]]
ENDLESS: Cases = {
    "says nothing": (raw(), TIMEOUT),
    "drips its headers": (raw(OK, pause=0.1, repeat=b"x: y\r\n", times=1000), TIMEOUT),
    "informs for ever": (raw(pause=0.01, repeat=b"HTTP/1.1 103 Early Hints\r\n\r\n", times=10_000), TIMEOUT),
    "asks for more and waits": (raw(b"HTTP/1.1 100 Continue\r\n\r\n"), TIMEOUT),
    "drips its body": (raw(OK + b"\r\n", pause=0.1, repeat=b"x", times=1000), DELIVERED),
    "drips a failure": (
        raw(b"HTTP/1.1 500 No\r\n\r\n", pause=0.1, repeat=b"x", times=1000),
        (500, "retry", "timeout"),
    ),
    "never closes": (raw(b"HTTP/1.0 200 OK\r\n\r\nfine"), DELIVERED),
}
LOUD: Cases = {
    "sends 1 GB": (
        raw(OK + b"Content-Length: 1000000000\r\n\r\n", repeat=bytes(1_000_000), times=1000),
        DELIVERED,
    ),
    "sends a gzip bomb": (Reply(200, {"Content-Encoding": "gzip"}, BOMB), DELIVERED),
    "sends 1 MB of headers": (raw(OK, repeat=b"x: " + b"y" * 9_995 + b"\r\n", times=100), TOO_LARGE),
    "sends one header of 1 MB": (raw(OK + b"x: " + b"y" * 1_000_000), TOO_LARGE),
    "speaks no HTTP": (raw(b"220 mail.example.com ESMTP\r\n\r\n"), (None, "retry", "protocol")),
    "ends in the middle": (Reply(200, {"Content-Length": "100"}, b"x"), DELIVERED),
}


async def assert_costs_little(send: Send, answer: Answer, expected: tuple[int | None, str, str | None]) -> None:
    """The attempt has this outcome, within seconds and with a few MB."""
    await send(200)
    before = forget_peak()
    attempt = await send(answer)
    assert (attempt.status, attempt.outcome, attempt.error) == expected
    assert attempt.duration_ms < 10_000
    assert peak_kb() - before < 5_000  # KB
    assert len(attempt.answer) <= MAX_BODY_KEPT_BYTES


@pytest.mark.parametrize(("answer", "expected"), ENDLESS.values(), ids=ENDLESS)
async def test_a_receiver_that_never_ends_costs_no_more_than_the_deadline(
    hasty: Send, answer: Answer, expected: tuple[int | None, str, str | None]
) -> None:
    """And a few MB; a status line that arrived counts."""
    await assert_costs_little(hasty, answer, expected)


@pytest.mark.parametrize(("answer", "expected"), LOUD.values(), ids=LOUD)
async def test_a_receiver_that_says_too_much_costs_little_time_and_memory(
    send: Send, answer: Answer, expected: tuple[int | None, str, str | None]
) -> None:
    """The attempt ends long before its deadline, with a few MB; a status line that arrived counts."""
    await assert_costs_little(send, answer, expected)


async def test_the_deadline_is_for_the_whole_attempt(hasty: Send) -> None:
    """A receiver that sends a byte now and then is given up after 1 s, not after 1 s of silence."""
    attempt = await hasty(raw(OK, pause=0.2, repeat=b"x: y\r\n", times=1000))
    assert 900 <= attempt.duration_ms < 10_000


async def test_a_refused_connection_is_retried_later(send: Send) -> None:
    """The connection is refused, which is a reason to retry."""
    async with Receiver() as gone:
        url = gone.url
    attempt = await send(url=url)
    assert (attempt.status, attempt.outcome, attempt.error) == (None, "retry", "connect")
    assert attempt.answer == "Connection refused."


async def test_a_receiver_that_hangs_up_is_retried_later(send: Send) -> None:
    """It may have succeeded or not; the receiver can tell by the message's id."""

    async def hang_up(writer: asyncio.StreamWriter) -> None:
        writer.close()

    attempt = await send(hang_up)
    assert (attempt.status, attempt.outcome, attempt.error) == (None, "retry", "protocol")


async def test_plain_text_on_a_tls_port_is_a_tls_failure(send: Send) -> None:
    """Distinguished from a port without a listener."""

    def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        attempt = await send(url=f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert (attempt.status, attempt.outcome, attempt.error) == (None, "retry", "tls")
    assert attempt.answer == "TLS failed: wrong version number."


@pytest.mark.parametrize("url", ["http://[::1]:{port}/", "http://127.0.0.2:{port}/", "https://localhost:{port}/"])
async def test_a_forbidden_target_is_refused_and_hears_nothing(url: str) -> None:
    """Refused again at every attempt, even if its registration was accepted."""
    async with Receiver("::1" if "[" in url else "127.0.0.2" if "0.2" in url else "127.0.0.1") as receiver:
        sender = Sender(EgressPolicy.parse("10.0.0.0/8"), total_timeout=10)
        attempt = await sender.send(url.format(port=receiver.port), body=BODY, signature=signature(), now=now())
        await sender.aclose()
    assert (attempt.status, attempt.outcome, attempt.error) == (None, "refused", "forbidden_target")
    assert attempt.answer == NOT_ALLOWED
    assert receiver.connections == 0


async def test_a_slow_receiver_does_not_hold_up_a_quick_one(receiver: Receiver, send: Send) -> None:
    """Attempts share only the client."""
    answers = asyncio.Event()
    slow = asyncio.create_task(send(held(Reply(204), until=answers)))
    await receiver.wait_for(1)
    quick = await send(200)
    assert not slow.done()
    answers.set()
    assert (quick.status, (await slow).status) == (200, 204)


def test_ten_attempts_in_three_days() -> None:
    """The schedule of Standard Webhooks: 75 hours and 35 minutes."""
    assert [next_delay(made, None, 0) for made in range(11)] == [*SCHEDULE_S, None]
    assert sum(SCHEDULE_S) == 75 * 3600 + 35 * 60 + 5


@pytest.mark.parametrize("made", range(1, 10))
def test_delays_vary_by_a_fifth(made: int) -> None:
    """So that deliveries that failed together are not retried together."""
    planned = SCHEDULE_S[made]
    assert next_delay(made, None, -1) == round(planned * 0.8)
    assert next_delay(made, None, 1) == round(planned * 1.2)


@pytest.mark.parametrize(("asked", "delay"), [(0, 300), (100, 300), (400, 400), (600, 600), (10**9, 600)])
def test_a_receiver_may_ask_for_up_to_twice_the_delay(asked: int, delay: int) -> None:
    """And never for less than the delay."""
    assert next_delay(2, asked, 0) == delay
