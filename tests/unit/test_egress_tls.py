"""The guard dials an address, and TLS still verifies the name."""

from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest

from app.egress import Address, EgressPolicy
from app.webhooks.transport import GuardedTransport, guarded_client
from tests.support.receiver import Receiver
from tests.support.tls import served_for

pytestmark = pytest.mark.anyio

ALLOWED = EgressPolicy.parse("127.0.0.1")


async def here(host: str) -> Sequence[Address]:
    """Every name resolves to this machine."""
    assert host
    return [ip_address("127.0.0.1")]


async def test_the_name_is_verified_though_the_address_is_dialled(tmp_path: Path) -> None:
    """A certificate for the name is accepted, and the same certificate for another name is not."""
    server, client_tls = served_for(tmp_path, ["hooks.example.com"])
    transport = GuardedTransport(ALLOWED, resolver=here, tls=client_tls)
    async with Receiver(tls=server) as receiver, guarded_client(transport, total=5) as client:
        assert (await client.get(f"https://hooks.example.com:{receiver.port}/")).status_code == 200
        with pytest.raises(httpx.ConnectError, match="ostname"):
            await client.get(f"https://other.example.com:{receiver.port}/")
        with pytest.raises(httpx.ConnectError, match="IP address mismatch"):
            await client.get(f"https://127.0.0.1:{receiver.port}/")
        assert len(receiver.requests) == 1


@pytest.mark.parametrize("days", [1, -1])
async def test_an_unknown_or_expired_certificate_is_refused(tmp_path: Path, days: int) -> None:
    """Self-signed for the default roots; expired for a client that trusts the issuer."""
    server, client_tls = served_for(tmp_path, ["hooks.example.com"], days=days)
    transport = GuardedTransport(ALLOWED, resolver=here, tls=client_tls if days < 0 else None)
    async with Receiver(tls=server) as receiver, guarded_client(transport, total=5) as client:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await client.get(f"https://hooks.example.com:{receiver.port}/")
        assert not receiver.requests


async def test_two_names_at_one_address_share_no_connection(tmp_path: Path) -> None:
    """A pool keyed by the address would send the second request over the connection verified for the first."""
    asked: list[str | None] = []
    server, client_tls = served_for(tmp_path, ["a.example.com", "b.example.com"])
    server.sni_callback = lambda _socket, name, _context: asked.append(name)
    transport = GuardedTransport(ALLOWED, resolver=here, tls=client_tls)
    async with Receiver(tls=server, keep_alive=True) as receiver, guarded_client(transport, total=5) as client:
        for name in ("a.example.com", "b.example.com", "a.example.com"):
            assert (await client.get(f"https://{name}:{receiver.port}/")).status_code == 200
    assert asked == ["a.example.com", "b.example.com", "a.example.com"]
