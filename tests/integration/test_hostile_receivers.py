"""A hostile receiver costs one attempt of bounded time, little memory, and delays no other delivery."""

import asyncio
import json
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.domain.deliveries import ATTEMPT_TIMEOUT_S, MAX_ANSWER_BYTES, MAX_BODY_KEPT_BYTES, MAX_BODY_READ_BYTES
from app.egress import EgressPolicy
from app.webhooks.sender import Attempt, Sender
from tests.integration.hostile.receivers import ENCRYPTED, HOSTILE, Hostile, serving, writes
from tests.support.processes import Piped, piped
from tests.support.receiver import Script
from tests.support.tcp_server import Writer
from tests.support.tls import Certificates, issue_certificates

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

GROWTH_KB = 5_000
SPARE_SECONDS = 1  # what a busy machine may add to a limit
FRIENDLY = writes(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + bytes(200_000), ends=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates for this machine."""
    return issue_certificates(tmp_path_factory.mktemp("tls"))


def server_tls(certificates: Certificates) -> ssl.SSLContext:
    """A receiver's TLS context, with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    return context


async def attempt_by(sender: Piped, url: str) -> dict[str, Any]:
    """The attempt of a sender in another process, with `rss_kb`."""
    sender.stdin.write(f"{url}\n".encode())
    made: dict[str, Any] = json.loads(await sender.stdout.readline())
    return made


@asynccontextmanager
async def sending(seconds: float, certificates: Certificates) -> AsyncIterator[Piped]:
    """A sender with this time for an attempt, which trusts the tests' authority."""
    program = (sys.executable, "-m", "tests.integration.hostile.receivers")
    async with piped(*program, str(seconds), str(certificates.authority)) as sender:
        yield sender
        sender.stdin.close()
        async with asyncio.timeout(20):
            assert await sender.process.wait() == 0


async def test_all_of_them_together_cost_less_than_5_mb(certificates: Certificates, *, full: bool) -> None:
    """Each attempt ends in time, has its outcome, and keeps 4 KB; memory is measured only in the sender."""
    seconds = ATTEMPT_TIMEOUT_S if full else 1.0
    cases: list[tuple[str, Hostile, ssl.SSLContext | None]] = [(name, case, None) for name, case in HOSTILE.items()]
    cases += [(name, case, server_tls(certificates)) for name, case in ENCRYPTED.items()]
    async with sending(seconds, certificates) as sender:
        for tls in (None, server_tls(certificates), None):  # warm up what every sender has done once
            async with serving(FRIENDLY, tls=tls) as url:
                before = (await attempt_by(sender, url))["rss_kb"]
        for name, case, tls in cases:
            async with serving(case.script, tls=tls) as url:
                made = await attempt_by(sender, url)
            found = (made["status"], made["outcome"], made["error"])
            assert found == (case.status, case.outcome, case.error), name
            assert made["duration_ms"] < (seconds + SPARE_SECONDS) * 1000, name
            assert case.slow or made["duration_ms"] < max(seconds, 3) * 1000, name
            assert len(made["answer"]) <= MAX_BODY_KEPT_BYTES, name
            assert made["rss_kb"] - before < GROWTH_KB, name


async def one(case: Hostile, *, tls: ssl.SSLContext | None, trusts: ssl.SSLContext | None) -> tuple[Any, ...]:
    """One attempt by this process, within 3 seconds."""
    made = await tried(case.script, tls=tls, trusts=trusts)
    return made.status, made.outcome, made.error


async def tried(script: Script, *, tls: ssl.SSLContext | None, trusts: ssl.SSLContext | None) -> Attempt:
    """The same, whole."""
    sender = Sender(EgressPolicy.parse("127.0.0.1"), total_timeout=3, tls=trusts)
    async with serving(script, tls=tls) as url:
        made = await sender.send(url, body=b"{}", signature={}, now=datetime.fromtimestamp(time.time(), UTC))
    await sender.aclose()
    return made


async def test_no_more_than_its_share_is_read_of_an_answer() -> None:
    """64 KB of a body, 128 KB in total; the kernel's buffers may fill in addition."""
    received: dict[str, int] = {}

    async def body(writer: Writer) -> None:
        await pour(writer, "body", b"HTTP/1.1 200 OK\r\n\r\n")

    async def news(writer: Writer) -> None:
        await pour(writer, "news", b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)

    async def pour(writer: Writer, name: str, first: bytes, then: bytes = bytes(4096)) -> None:
        sock = writer.get_extra_info("socket")
        writer.transport.set_write_buffer_limits(0)
        writer.write(first)
        received[name] = len(first)
        while True:
            writer.write(then)
            await writer.drain()
            received[name] += len(then)
            assert sock.fileno() >= 0

    assert await one(Hostile(body, 200, "", None), tls=None, trusts=None) == (200, "delivered", None)
    assert await one(Hostile(news, 200, "", None), tls=None, trusts=None) == (None, "retry", "too_large")
    assert MAX_BODY_READ_BYTES <= received["body"] < 50_000_000
    assert MAX_ANSWER_BYTES <= received["news"] < 50_000_000


async def test_others_are_served_while_twenty_of_the_worst_are(certificates: Certificates) -> None:
    """Floods are cut off before they take the processor, and waiting costs nothing: good receivers are as fast."""
    worst = [HOSTILE[name].script for name in ("endless 1xx", "a byte in each chunk", "no answer", "1 GB")]
    sender = Sender(EgressPolicy.parse("127.0.0.1"), total_timeout=4)

    async def attempt(url: str) -> Any:
        return await sender.send(url, body=b"{}", signature={}, now=datetime.fromtimestamp(time.time(), UTC))

    async with sending(4, certificates) as friendly_sender, serving(FRIENDLY) as friend:
        alone = (await attempt_by(friendly_sender, friend))["duration_ms"]
        assert alone < 2_000
        async with (
            serving(worst[0]) as news,
            serving(worst[1]) as chunks,
            serving(worst[2]) as silence,
            serving(worst[3]) as flood,
        ):
            floods = [asyncio.create_task(attempt(url)) for url in (news, chunks, silence, flood) * 5]
            made = await attempt(friend)
            assert made.outcome == "delivered"
            assert made.duration_ms < 3_900  # in a process with twenty floods and their servers
            assert {type(done).__name__ for done in await asyncio.gather(*floods)} == {"Attempt"}
    await sender.aclose()


async def test_a_certificate_that_proves_nothing_is_a_failure(certificates: Certificates, tmp_path: Path) -> None:
    """Of an unknown authority, expired, or for another name; the message is not sent, and the attempt says why."""
    tls, old = server_tls(certificates), issue_certificates(tmp_path, days=-1)
    assert (await tried(FRIENDLY, tls=tls, trusts=certificates.context)).outcome == "delivered"
    unknown = await tried(FRIENDLY, tls=tls, trusts=None)
    expired = await tried(FRIENDLY, tls=server_tls(old), trusts=old.context)
    sender = Sender(EgressPolicy.parse("127.0.0.2"), total_timeout=3, tls=certificates.context)
    listens = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.2", 0, ssl=tls)
    async with listens as server:
        url = f"https://127.0.0.2:{server.sockets[0].getsockname()[1]}/"
        other = await sender.send(url, body=b"{}", signature={}, now=datetime.fromtimestamp(time.time(), UTC))
    await sender.aclose()
    for made, why in (
        (unknown, "unable to get local issuer certificate."),
        (expired, "certificate has expired."),
        (other, "IP address mismatch, certificate is not valid for '127.0.0.2'."),
    ):
        assert (made.status, made.outcome, made.error) == (None, "retry", "tls")
        assert made.answer == f"The certificate does not verify: {why}"


async def test_a_receiver_that_wants_a_certificate_of_ours_is_a_failure(certificates: Certificates) -> None:
    """TLS 1.3 reports it only after the handshake, when the answer is read."""
    wants = server_tls(certificates)
    wants.verify_mode = ssl.CERT_REQUIRED
    wants.load_verify_locations(certificates.authority)
    status, outcome, error = await one(Hostile(FRIENDLY, None, "", None), tls=wants, trusts=certificates.context)
    assert (status, outcome) == (None, "retry")
    assert error in {"tls", "connect"}  # whichever end of the connection is read first


async def test_a_handshake_that_never_ends_is_given_up(certificates: Certificates) -> None:
    """The receiver accepts the connection and sends nothing at all."""
    sender = Sender(EgressPolicy.parse("127.0.0.1"), total_timeout=1, tls=certificates.context)
    waits = asyncio.Event()

    async def silent(_: asyncio.StreamReader, writer: Writer) -> None:
        await waits.wait()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        made = await sender.send(url, body=b"{}", signature={}, now=datetime.fromtimestamp(time.time(), UTC))
        waits.set()
    assert (made.status, made.outcome, made.error) == (None, "retry", "timeout")
    assert made.answer == ""
    assert made.duration_ms < 2_000
    await sender.aclose()
