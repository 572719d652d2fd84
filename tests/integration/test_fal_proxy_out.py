"""Connections to fal: through a proxy, with a custom certificate authority; and the error when they are blocked."""

import asyncio
import json
import socket
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.domain.jobs import Job, Money, Status
from app.fal.billing import Bill
from app.fal.history import RequestListing
from app.fal.protocol import SubmitRefused
from app.fal.signature import Verifier
from app.gateway import route_to_fal
from tests.integration.admin import administrator
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.processes import free_port
from tests.support.receiver import Receiver, Reply
from tests.support.redis_server import RedisServer
from tests.support.signed import Signer, jwks_reply, webhook_body
from tests.support.stack import Stack, open_stack
from tests.support.tcp_proxy import first_of, pump
from tests.support.tcp_server import Reader, TcpServer, Writer
from tests.support.tls import served_for

pytestmark = pytest.mark.anyio

NAME = "queue.fal.example"  # no resolver knows it; it is reachable only through the proxy
FAL = f"https://{NAME}"
MODEL = "fal-ai/kling-video/v2/master/image-to-video"
PASSWORD = "kan4rie"
BODY = {"input": {"prompt": "a quiet lake", "image_url": "https://example.com/lake.jpg"}}


class ConnectProxy(TcpServer):
    """`async with ConnectProxy({"queue.fal.example:443": 40123}) as proxy`: maps hosts to ports of this machine.

    `asked` has the requested hosts, `refused` counts callers without the right password. The answer for an
    unknown host is 502.
    """

    def __init__(self, leads: Mapping[str, int], *, user: str = "", password: str = "") -> None:
        super().__init__()
        self._leads = leads
        self._login = f"{user}:{password}" if user else ""
        self.asked: list[str] = []
        self.refused = 0

    @property
    def url(self) -> str:
        """Its URL, with user and password if it has them."""
        return f"http://{f'{self._login}@' if self._login else ''}127.0.0.1:{self.port}"

    async def serve(self, reader: Reader, writer: Writer) -> None:
        """Handle one CONNECT."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, _ = head.split(" ", 2)
        login = f"proxy-authorization: basic {b64encode(self._login.encode()).decode()}\r\n".lower()
        if self._login and login not in head.lower():
            self.refused += 1
            writer.write(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
            return
        self.asked.append(target)
        if method != "CONNECT" or target not in self._leads:
            writer.write(b"HTTP/1.1 502 Not here\r\nContent-Length: 0\r\n\r\n")
            return
        answers, requests = await asyncio.open_connection("127.0.0.1", self._leads[target])
        writer.write(b"HTTP/1.1 200 Go ahead\r\n\r\n")
        try:
            await first_of(pump(reader, requests), pump(answers, writer))
        finally:
            requests.transport.abort()


@dataclass(frozen=True)
class Outside:
    """fal behind TLS of a custom authority, and a proxy that leads there."""

    fal: Receiver
    proxy: ConnectProxy
    authority: Path

    def settings(self, **more: str) -> dict[str, str]:
        """The operator's settings for it."""
        fal = {f"FILMGATE_FAL_{name}_URL": FAL for name in ("QUEUE", "REST", "API")}
        ways = {"HTTPS_PROXY": self.proxy.url, "SSL_CERT_FILE": str(self.authority)}
        return {**fal, **ways, "FAL_ADMIN_KEY": "admin:key", "FILMGATE_STORE_CHECK": "warn", **more}


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[Outside]:
    """As above, with a password at the proxy."""
    server, _ = served_for(tmp_path, [NAME])
    async with AsyncExitStack() as both:
        fal = await both.enter_async_context(Receiver(tls=server))
        proxy = ConnectProxy({f"{NAME}:443": fal.port}, user="filmgate", password=PASSWORD)
        yield Outside(fal, await both.enter_async_context(proxy), tmp_path / "authority.pem")


@asynccontextmanager
async def behind(
    outside: Outside, store: RedisServer, emulator: Emulator, **more: str
) -> AsyncIterator[tuple[Stack, Pipeline]]:
    """A gateway with these settings."""
    async with open_stack(store, emulator, **outside.settings(**more)) as stack:
        yield stack, Pipeline(stack)


def answer(**members: Any) -> Reply:
    """A JSON answer of fal's."""
    return Reply(200, {"Connection": "close"}, json.dumps(members).encode())


async def bought(stack: Stack, pipeline: Pipeline) -> Job:
    """A job of an image on the internet, admitted and submitted once."""
    job_id = (await stack.api.post("/v1/jobs", json=BODY)).json()["id"]
    assert len(await pipeline.gateway.stores.slots.grant()) == 1
    return await pipeline.submit(job_id)


async def test_every_call_to_fal_goes_through_the_proxy(
    outside: Outside, store: RedisServer, emulator: Emulator
) -> None:
    """Submit, status, result, cancel, upload, bill, history, keys: each by CONNECT, with the password."""
    async with behind(outside, store, emulator) as (stack, pipeline):
        fal, client = outside.fal, stack.gateway.fal
        fal.answers([answer(request_id="abc-1"), answer(status="IN_QUEUE"), answer(video={"url": f"{FAL}/a.mp4"})])
        assert (await bought(stack, pipeline)).status is Status.RUNNING
        assert (await client.status(MODEL, "abc-1")).status == "IN_QUEUE"
        assert await client.result(MODEL, "abc-1") is not None
        assert await client.cancel(MODEL, "abc-1")
        fal.answers([answer(upload_url=f"{FAL}/put", file_url=f"{FAL}/a.png"), 200])
        assert await client.upload(b"x", content_type="image/png", file_name="a.png") == f"{FAL}/a.png"
        fal.answers([answer(billing_events=[], has_more=False), answer(items=[], has_more=False)])
        assert isinstance(await client.bill(["abc-1"], start_ms=0, end_ms=1), Bill)
        assert isinstance(await client.history(MODEL, start_ms=0, end_ms=1), RequestListing)
        fal.answers([jwks_reply(Signer())])
        verifier = Verifier(f"{FAL}/jwks.json", user_id=None, route=route_to_fal(stack.settings))
        body = webhook_body("abc-1")
        await verifier.verify(Signer().headers("abc-1", body).items(), body, now_s=time.time())
        await verifier.aclose()
        assert len(fal.requests) == 9
        assert set(outside.proxy.asked) == {f"{NAME}:443"}
        assert outside.proxy.refused == 0
        assert not [one for one in fal.requests if "proxy-authorization" in one.headers]


async def test_a_spared_host_and_this_machine_are_called_directly(
    outside: Outside, store: RedisServer, emulator: Emulator
) -> None:
    """NO_PROXY with its subdomains; the emulator in any case."""
    for spared in (NAME, ".fal.example", "other.example, *.fal.example", "*"):
        async with behind(outside, store, emulator, NO_PROXY=spared) as (stack, _):
            outcome = await stack.gateway.fal.submit(MODEL, {}, start_timeout=None, marker="m", webhook_url=None)
            assert isinstance(outcome, SubmitRefused)
            assert outcome.cause == "dns"
    local = {f"FILMGATE_FAL_{name}_URL": emulator.url for name in ("QUEUE", "REST", "API")}
    async with behind(outside, store, emulator, **local) as (stack, pipeline):
        assert (await pipeline.bought()).status is Status.RUNNING
    assert (outside.proxy.asked, outside.proxy.refused) == ([], 0)


@pytest.mark.parametrize(
    "trouble", ["certificate", "password", "away", "no such place", "dns", "refused", "silent"]
)
async def test_a_closed_way_is_named_everywhere(
    outside: Outside, store: RedisServer, emulator: Emulator, trouble: str
) -> None:
    """In the log, the status and `upstream_paused`; the job waits in line, unbought, and no password is shown."""
    proxy = outside.proxy.url
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        more: dict[str, dict[str, str]] = {
            "certificate": {"SSL_CERT_FILE": ""},
            "password": {"HTTPS_PROXY": proxy.replace(PASSWORD, f"{PASSWORD}-wrong")},
            "away": {"HTTPS_PROXY": proxy.replace(str(outside.proxy.port), str(free_port()))},
            "no such place": {"FILMGATE_FAL_QUEUE_URL": "https://elsewhere.example"},
            "dns": {"NO_PROXY": "*"},
            "refused": {"FILMGATE_FAL_QUEUE_URL": f"https://127.0.0.1:{free_port()}"},
            "silent": {"FILMGATE_FAL_QUEUE_URL": f"https://127.0.0.1:{silent.getsockname()[1]}"},
        }
        cause, words = {
            "certificate": ("certificate", "certificate"),
            "dns": ("dns", "DNS"),
            "refused": ("refused", "refuses"),
            "silent": ("timeout", "in time"),
        }.get(trouble, ("proxy", "HTTPS_PROXY"))
        async with behind(outside, store, emulator, **more[trouble]) as (stack, pipeline):
            with capture_logs() as lines:
                job = await bought(stack, pipeline)
            assert (job.status, job.money, job.attempt) == (Status.QUEUED, Money.RESERVED, 1)
            (refused,) = [line for line in lines if line["event"] == "job.refused"]
            assert (refused["code"], refused["cause"]) == ("upstream_unreachable", cause)
            async with administrator(stack) as admin:
                breaker = (await admin.done("GET", "status"))["breaker"]
                assert words in breaker["last_failure"]
                assert breaker["open"] is False
                for _ in range(4):
                    await pipeline.gateway.stores.buying.report("failed", breaker["last_failure"])
                stack.gateway.stores.buying.forget()
                status = await admin.done("GET", "status")
            shown = await stack.job(job.id)
            assert words in shown["upstream_paused"]["reason"]
            assert PASSWORD not in json.dumps([status, shown, [str(line) for line in lines]])
    assert outside.fal.requests == []
