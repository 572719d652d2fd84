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

DAYS = 2  # before and after the making


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
        _written(
            folder / "key.pem",
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        ),
        b64encode(
            sha256(
                key.public_key().public_bytes(
                    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
                )
            ).digest()
        ).decode(),
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(
    folder: Path, public: ec.EllipticCurvePublicKey, *, subject: x509.Name, issuer: x509.Name
) -> x509.CertificateBuilder:
    """What the two certificates have in common; the folder's own time is now."""
    now = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=DAYS))
        .not_valid_after(now + timedelta(days=DAYS))
    )


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
