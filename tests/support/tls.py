"""A private certificate authority, and a certificate for this machine."""

import ssl
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate

LONG = 2  # days


@dataclass(frozen=True, slots=True)
class Certificates:
    """Three PEM files: the authority, and the certificate and key that it signed for this machine and other names.

    `pin` is what Chromium compares with `--ignore-certificate-errors-spki-list`: base64 of the SHA-256 of the
    certificate's public key.
    """

    authority: Path
    certificate: Path
    key: Path
    pin: str

    @property
    def context(self) -> ssl.SSLContext:
        """What a client trusts: only this authority."""
        return ssl.create_default_context(cafile=str(self.authority))


def issue_certificates(folder: Path, *, days: int = LONG, names: Sequence[str] = ()) -> Certificates:
    """New keys and certificates in `folder`, for 127.0.0.1, localhost and further `names`.

    They are valid for this many days; a negative number means expired ones.
    """
    authority, certificate, key = (folder / f"{name}.pem" for name in ("authority", "certificate", "key"))
    leaf = _issued(folder, ["127.0.0.1", "localhost", *names], days)
    leaf.cert_chain_pems[0].write_to_path(str(certificate))
    leaf.private_key_pem.write_to_path(str(key))
    public = load_pem_x509_certificate(certificate.read_bytes()).public_key()
    digest = sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    return Certificates(authority, certificate, key, b64encode(digest).decode())


def served_for(folder: Path, names: list[str], *, days: int = LONG) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context for `names`, and a client's that trusts only the folder's `authority.pem`."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _issued(folder, names, days).configure_cert(server)
    return server, ssl.create_default_context(cafile=str(folder / "authority.pem"))


def _issued(folder: Path, names: list[str], days: int) -> trustme.LeafCert:
    """A certificate, signed by a new `authority.pem`."""
    now = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
    signing = trustme.CA()
    signing.cert_pem.write_to_path(str(folder / "authority.pem"))
    return signing.issue_cert(*names, not_before=now - timedelta(days=9), not_after=now + timedelta(days=days))
