"""The caller's address behind a reverse proxy: `X-Forwarded-For` counts only from a trusted proxy."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.domain.accounts import KEY_PREFIX, new_key
from app.services.bad_keys import BURST
from tests.support.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.server import Server, running_server
from tests.support.stack import ADMIN_KEY, environment
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

PEER = "127.0.0.1"
EXPECTED: dict[str, tuple[list[str], str]] = {
    "one address": (["203.0.113.9"], "203.0.113.9"),
    "what the caller wrote stands left of it": (["8.8.8.8, 203.0.113.9"], "203.0.113.9"),
    "proxies of ours stand right of it": (["8.8.8.8, 203.0.113.9, 10.1.2.3,10.1.2.4"], "203.0.113.9"),
    "several headers are one list": (["8.8.8.8", "203.0.113.9", "10.1.2.3"], "203.0.113.9"),
    "all of them are ours": (["10.1.2.3, 10.1.2.4"], "10.1.2.3"),
    "with a port": (["203.0.113.9:50123"], "203.0.113.9"),
    "IPv6": (["8.8.8.8, 2001:db8::7"], "2001:db8::7"),
    "IPv6 with a port": (["[2001:db8::7]:50123"], "2001:db8::7"),
    "IPv6 in brackets": (["[2001:db8::7]"], "2001:db8::7"),
    "nothing": ([""], PEER),
    "no header": ([], PEER),
    "no address": (["8.8.8.8, unknown"], "unknown"),
    "far too long": (["8.8.8.8, " + "x" * 9000], "x" * 64),
    "thousands": (["1.1.1.1," * 1500 + "203.0.113.9"], "203.0.113.9"),
}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The path of the server's log."""
    return tmp_path / "log"


@pytest.fixture
async def behind(store: RedisServer, emulator: Emulator, log: Path) -> AsyncIterator[Server]:
    """An API process whose proxies are 127.0.0.1 and a network."""
    given = environment(store, emulator, FILMGATE_TRUSTED_PROXIES=f"{PEER}, 10.1.0.0/16")
    async with running_server(given, log=log) as server:
        yield server


async def addresses(server: Server, log: Path, calls: list[list[str]], *, peer: str = PEER) -> list[str]:
    """The addresses that the log has for calls with these values of `X-Forwarded-For`."""
    transport = httpx.AsyncHTTPTransport(local_address=peer)
    async with httpx.AsyncClient(transport=transport, base_url=server.url) as web:
        for number, values in enumerate(calls):
            headers = [*(("X-Forwarded-For", value) for value in values), ("X-Request-ID", f"call-{number}")]
            assert (await web.get("/v1/me", headers=headers)).status_code == 401

    def found() -> list[str]:
        lines = [json.loads(line) for line in log.read_text().splitlines() if '"request"' in line]
        by_call = {line["trace_id"]: line["address"] for line in lines}
        return [by_call[f"call-{number}"] for number in range(len(calls)) if f"call-{number}" in by_call]

    await wait_until(lambda: len(found()) == len(calls), "every call has its line")
    return found()


async def test_a_call_comes_from_the_last_address_that_is_no_proxys(behind: Server, log: Path) -> None:
    """In the log: the rightmost address of all headers that is no trusted proxy; malformed ones do no harm."""
    found = await addresses(behind, log, [values for values, _ in EXPECTED.values()])
    assert dict(zip(EXPECTED, found, strict=True)) == {name: wanted for name, (_, wanted) in EXPECTED.items()}


async def test_the_cookie_is_secure_behind_a_proxy_that_speaks_https(behind: Server) -> None:
    """It says so in `X-Forwarded-Proto`, which counts from a trusted proxy only."""
    for peer, secure in ((PEER, True), ("127.0.0.2", False)):
        transport = httpx.AsyncHTTPTransport(local_address=peer)
        async with httpx.AsyncClient(transport=transport, base_url=behind.url) as web:
            reply = await web.post("/v1/session", json={"key": ADMIN_KEY}, headers={"X-Forwarded-Proto": "https"})
        assert reply.status_code == 201, reply.text
        assert ("; Secure" in reply.headers["set-cookie"]) is secure


async def test_nobody_else_is_believed(behind: Server, log: Path) -> None:
    """From an address that is no trusted proxy the header is ignored."""
    spoofed = [["203.0.113.9"], ["127.0.0.1"], ["10.1.2.3, 203.0.113.9"]]
    assert await addresses(behind, log, spoofed, peer="127.0.0.2") == ["127.0.0.2"] * 3


async def test_without_the_setting_no_proxy_is_believed(store: RedisServer, emulator: Emulator, log: Path) -> None:
    """Not even on this machine."""
    async with running_server(environment(store, emulator), log=log) as server:
        assert await addresses(server, log, [["203.0.113.9"]]) == [PEER]


async def test_bad_keys_are_counted_for_the_caller_and_not_for_the_proxy(behind: Server) -> None:
    """A caller with too many is throttled, whatever the header; others behind the same proxy are not."""
    async with httpx.AsyncClient(base_url=behind.url, trust_env=False) as web:

        async def shown(address: str) -> int:
            headers = {"Authorization": f"Bearer {new_key(KEY_PREFIX)}", "X-Forwarded-For": address}
            return (await web.get("/v1/me", headers=headers)).status_code

        for number in range(BURST):
            await shown(f"198.51.100.{number}, 203.0.113.9")

        async def is_slowed() -> bool:
            return await shown("198.51.100.250, 203.0.113.9") == 429

        await wait_until(is_slowed, "the caller is slowed")
        assert await shown("203.0.113.10") == 401
