"""The guard dials an address, and TLS still verifies the name."""

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.egress import Address, EgressPolicy, GuardedTransport, guarded_client
from tests.support.receiver import Receiver

pytestmark = pytest.mark.anyio

ALLOWED = EgressPolicy.parse("127.0.0.1")


async def here(host: str) -> Sequence[Address]:
    """Every name is this machine."""
    assert host
    return [ip_address("127.0.0.1")]


def contexts(folder: Path, names: list[str], *, days: int = 1) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context for `names`, self-signed and valid for `days`, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cafile=str(pem))


async def test_the_name_is_verified_though_the_address_is_dialled(tmp_path: Path) -> None:
    """A certificate for the name is accepted, and the same certificate for another name is not."""
    server, client_tls = contexts(tmp_path, ["hooks.example.com"])
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
    server, client_tls = contexts(tmp_path, ["hooks.example.com"], days=days)
    transport = GuardedTransport(ALLOWED, resolver=here, tls=client_tls if days < 0 else None)
    async with Receiver(tls=server) as receiver, guarded_client(transport, total=5) as client:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await client.get(f"https://hooks.example.com:{receiver.port}/")
        assert not receiver.requests


async def test_two_names_at_one_address_share_no_connection(tmp_path: Path) -> None:
    """A pool keyed by the address would send the second request over what was verified for the first."""
    asked: list[str | None] = []
    server, client_tls = contexts(tmp_path, ["a.example.com", "b.example.com"])
    server.sni_callback = lambda _socket, name, _context: asked.append(name)
    transport = GuardedTransport(ALLOWED, resolver=here, tls=client_tls)
    async with Receiver(tls=server, keep_alive=True) as receiver, guarded_client(transport, total=5) as client:
        for name in ("a.example.com", "b.example.com", "a.example.com"):
            assert (await client.get(f"https://{name}:{receiver.port}/")).status_code == 200
    assert asked == ["a.example.com", "b.example.com", "a.example.com"]
