"""A private certificate authority, and a certificate of its own for this machine."""

import ssl
from base64 import b64encode
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
    """Three PEM files: the authority, and the certificate and key of 127.0.0.1 and localhost that it signed.

    `pin` is what Chromium compares with `--ignore-certificate-errors-spki-list`: base64 of the SHA-256 of the
    certificate's public key.
    """

    authority: Path
    certificate: Path
    key: Path
    pin: str

    @property
    def context(self) -> ssl.SSLContext:
        """What a client trusts: this authority and no other."""
        return ssl.create_default_context(cafile=str(self.authority))


def issue_certificates(folder: Path) -> Certificates:
    """New keys and certificates in `folder`."""
    authority, certificate, key = (folder / f"{name}.pem" for name in ("authority", "certificate", "key"))
    signing = trustme.CA()
    leaf = signing.issue_cert("127.0.0.1", "localhost")
    signing.cert_pem.write_to_path(str(authority))
    leaf.cert_chain_pems[0].write_to_path(str(certificate))
    leaf.private_key_pem.write_to_path(str(key))
    public = load_pem_x509_certificate(certificate.read_bytes()).public_key()
    digest = sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    return Certificates(authority, certificate, key, b64encode(digest).decode())


def served_for(folder: Path, names: list[str], *, days: int = LONG) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context for `names`, its certificate valid for `days` more, and a client's that trusts it."""
    now = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
    signing = trustme.CA()
    leaf = signing.issue_cert(*names, not_before=now - timedelta(days=9), not_after=now + timedelta(days=days))
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    leaf.configure_cert(server)
    signing.configure_trust(client)
    return server, client
