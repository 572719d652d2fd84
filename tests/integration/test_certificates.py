"""A certificate that is renewed, replaced by a bad one, or about to end, while the API serves."""

import asyncio
import contextlib
import json
import re
import shutil
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.x509 import load_pem_x509_certificate

from app.certificate import ServedCertificate
from app.domain.times import iso
from app.services.certificate_watch import CertificateWatch
from tests.support.memory import resident_kb
from tests.support.server import Server
from tests.support.stack import Stack
from tests.support.tls import Certificates, issue_certificates
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio
LARGE = "/static/vendor/swagger-ui/swagger-ui-bundle.js"


@dataclass
class Secure:
    """A server with a certificate, the files it is read from, and its log."""

    server: Server
    served: Certificates
    log: Path

    def shown(self) -> bytes:
        """The certificate that a new connection is shown, as PEM."""
        return ssl.get_server_certificate(("127.0.0.1", self.server.port), timeout=10).encode()

    def replace(self, *, certificate: Certificates, key: Certificates) -> None:
        """Put other files in the place of those that are served."""
        shutil.copyfile(certificate.certificate, self.served.certificate)
        shutil.copyfile(key.key, self.served.key)

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The log's lines of this event."""
        found = [json.loads(line) for line in self.log.read_text("utf-8").splitlines() if line.startswith("{")]
        return [line for line in found if line["event"] == event]

    async def reload(self, event: str) -> dict[str, Any]:
        """SIGHUP; the line of the log that follows it."""
        before = len(self.lines(event))
        self.server.send(signal.SIGHUP)
        await wait_until(lambda: len(self.lines(event)) > before, f"the log has {event}")
        return self.lines(event)[-1]


def issued(tmp_path: Path, name: str, *, days: int) -> Certificates:
    """A certificate in a folder of this name."""
    (tmp_path / name).mkdir()
    return issue_certificates(tmp_path / name, days=days)


@asynccontextmanager
async def serving(stack: Stack, served: Certificates, log: Path) -> AsyncIterator[Secure]:
    """An API with this certificate."""
    files = {"FILMGATE_TLS_CERT": str(served.certificate), "FILMGATE_TLS_KEY": str(served.key)}
    server = Server({**stack.environment, **files}, log=log).start()
    try:

        async def answers() -> bool:
            try:
                async with httpx.AsyncClient(verify=served.context, trust_env=False) as web:
                    return (await web.get(f"{server.url}/livez")).is_success
            except httpx.TransportError:
                return False

        await wait_until(answers, "the API answers", timeout=30, interval=0.1)
        yield Secure(server, served, log)
    finally:
        await asyncio.to_thread(server.stop)


async def test_a_renewed_certificate_is_shown_and_a_bad_one_is_not(stack: Stack, tmp_path: Path) -> None:
    """SIGHUP: new connections see the new pair, open ones go on; with a wrong key the old pair stays."""
    old, new, other = (issued(tmp_path, name, days=90) for name in ("old", "new", "other"))
    trusted = {name: made.certificate.read_bytes() for name, made in (("old", old), ("new", new))}
    until = load_pem_x509_certificate(trusted["new"]).not_valid_after_utc.isoformat()
    async with (
        serving(stack, old, tmp_path / "log") as secure,
        httpx.AsyncClient(base_url=secure.server.url, verify=old.context, trust_env=False) as web,
    ):
        assert (await web.get("/livez")).is_success
        assert secure.shown() == trusted["old"]
        assert len(secure.lines("api.certificate")) == 1
        secure.replace(certificate=new, key=new)
        line = await secure.reload("api.certificate_reloaded")
        assert (line["valid_until"], "localhost" in line["names"]) == (until, True)
        assert secure.shown() == trusted["new"]
        assert (await web.get("/livez")).is_success, "the open connection was cut"
        secure.replace(certificate=other, key=new)
        line = await secure.reload("api.certificate_refused")
        assert "is not the key of" in line["reason"]
        assert line["still_serving_until"] == until
        secure.served.key.unlink()
        assert "cannot be read" in (await secure.reload("api.certificate_refused"))["reason"]
        assert secure.shown() == trusted["new"]
        secure.replace(certificate=other, key=other)
        await secure.reload("api.certificate_reloaded")
        assert secure.shown() == other.certificate.read_bytes()


async def test_an_end_that_is_near_is_an_alarm_until_it_is_renewed(stack: Stack, tmp_path: Path) -> None:
    """Two days left of eleven: one alarm, and a worse one at the end; resolved by a certificate that lasts."""
    lasting, soon, ended = (issued(tmp_path, name, days=days) for name, days in (("a", 90), ("b", 2), ("c", -1)))
    served = issued(tmp_path, "served", days=90)
    certificate = ServedCertificate(served.certificate, served.key)
    alarms = stack.gateway.stores.alarms

    async def said(certificate_of: Certificates | None = None, key_of: Certificates | None = None) -> str:
        """The sentence of the active alarm, after these files were put in place and looked at."""
        if certificate_of is not None:
            shutil.copyfile(certificate_of.certificate, served.certificate)
            shutil.copyfile((key_of or certificate_of).key, served.key)
        await CertificateWatch(certificate, alarms).check()
        active = [alarm.message for alarm in await alarms.active() if alarm.kind == "certificate_expires"]
        return " ".join(active)

    assert await said() == ""
    sentence = await said(soon)
    assert re.search(rf"ends in (1\.9|2\.0) days, at {iso(int(certificate.ends.timestamp()) * 1000)}", sentence)
    assert "is not the key of" in await said(ended, soon), "the pair that is shown is still the old one"
    assert "has ended, at " in await said(ended)
    assert await said(lasting) == ""
    rows = [alarm.state for alarm in await alarms.newest(9) if alarm.kind == "certificate_expires"]
    assert rows == ["resolved", "raised", "raised"]


async def test_who_reads_nothing_is_kept_no_reply(stack: Stack, tmp_path: Path) -> None:
    """1.7 MB for anybody, and thirty callers who do not take it: TLS would keep 3.6 MB for each of them."""
    served = issued(tmp_path, "served", days=90)
    request = f"GET {LARGE} HTTP/1.1\r\nHost: filmgate.test\r\n\r\n".encode()
    async with (
        serving(stack, served, tmp_path / "log") as secure,
        httpx.AsyncClient(base_url=secure.server.url, verify=served.context, trust_env=False) as web,
    ):
        whole = await web.get(LARGE)
        assert len(whole.content) > 10**6
        before = resident_kb(secure.server.pid)
        with contextlib.ExitStack() as concurrently:
            for _ in range(30):
                plain = concurrently.enter_context(socket.create_connection(("127.0.0.1", secure.server.port)))
                wrapped = served.context.wrap_socket(plain, server_hostname="127.0.0.1")
                concurrently.enter_context(wrapped).sendall(request)
            assert (await web.get(LARGE)).content == whole.content
            assert resident_kb(secure.server.pid) - before < 16 * 1024
