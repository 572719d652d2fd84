"""A private certificate authority, and a certificate of its own for this machine."""

import ssl
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAYS = 2  # after the making; they begin before it


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
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = _name("Filmgate's tests")
    no_purpose = dict.fromkeys(
        ["content_commitment", "key_encipherment", "data_encipherment", "key_agreement"], False
    ) | {"encipher_only": False, "decipher_only": False}
    may_sign = x509.KeyUsage(digital_signature=False, key_cert_sign=True, crl_sign=True, **no_purpose)
    authority_id = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    authority = (
        _certificate(folder, authority_key.public_key(), subject=issuer, issuer=issuer)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(may_sign, critical=True)
        .add_extension(authority_id, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")])
    leaf = (
        _certificate(folder, key.public_key(), subject=_name("127.0.0.1"), issuer=issuer)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(names, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority_id), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    return Certificates(
        _written(folder / "authority.pem", authority.public_bytes(serialization.Encoding.PEM)),
        _written(folder / "certificate.pem", leaf.public_bytes(serialization.Encoding.PEM)),
        _written(folder / "key.pem", _private(key)),
        b64encode(
            sha256(
                key.public_key().public_bytes(
                    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
                )
            ).digest()
        ).decode(),
    )


def self_signed(folder: Path, names: list[str], *, days: int = DAYS) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context for `names`, its own certificate valid for `days`, and a client's that trusts it."""
    key, name = ec.generate_private_key(ec.SECP256R1()), _name("test")
    certificate = (
        _certificate(folder, key.public_key(), subject=name, issuer=name, days=days)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = _written(folder / "server.pem", _private(key) + certificate.public_bytes(serialization.Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cafile=str(pem))


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(
    folder: Path, public: ec.EllipticCurvePublicKey, *, subject: x509.Name, issuer: x509.Name, days: int = DAYS
) -> x509.CertificateBuilder:
    """What all certificates have in common; the folder's own time is now, and it may end before."""
    now = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
    )


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
