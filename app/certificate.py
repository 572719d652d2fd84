"""The certificate that the API shows to its callers, and its replacement while it serves."""

import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from cryptography.x509 import Certificate, DNSName, IPAddress, SubjectAlternativeName, load_pem_x509_certificate
from cryptography.x509.extensions import ExtensionNotFound

NAMES_SHOWN = 5

log = structlog.get_logger()


class CertificateRefused(Exception):
    """Certificate and key cannot be used; one sentence."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its key, as read from two files."""

    context: ssl.SSLContext
    names: tuple[str, ...]
    begins: datetime
    ends: datetime

    @property
    def warns_at(self) -> datetime:
        """When its end is near: 14 days before, or a third of its life if that is less."""
        return self.ends - min(timedelta(days=14), (self.ends - self.begins) / 3)


class ServedCertificate:
    """What new connections are shown: the pair that was read last and could be used.

    Handshakes begin with one context, which hands them to the pair's own, so a pair is replaced as a whole.
    `refused` is the sentence about files that were read later and cannot be used, else "".
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        """Read both; raises CertificateRefused."""
        self._files = (certificate, key)
        self._seen = self._stamps()
        self._pair = read_pair(certificate, key)
        self.refused = ""
        self.context = self._pair.context
        self.context.sni_callback = self._choose
        self._log("api.certificate")

    @property
    def names(self) -> tuple[str, ...]:
        """The first names of the certificate that is shown."""
        return self._pair.names

    @property
    def ends(self) -> datetime:
        """The end of the certificate that is shown."""
        return self._pair.ends

    @property
    def warns_at(self) -> datetime:
        """From when on its end is near."""
        return self._pair.warns_at

    def reload(self) -> None:
        """Read both files again; a pair that cannot be used changes nothing, and is logged."""
        self._seen = self._stamps()
        try:
            self._pair = read_pair(*self._files)
        except CertificateRefused as error:
            self.refused = str(error)
            until = self._pair.ends.isoformat()
            log.error("api.certificate_refused", reason=self.refused, still_serving_until=until)  # noqa: TRY400
            return
        self.refused = ""
        self._log("api.certificate_reloaded")

    def reload_if_changed(self) -> None:
        """Read them again when they are other files than those that were read last."""
        if self._stamps() != self._seen:
            self.reload()

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._pair.context

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        return [_stamp(file) for file in self._files]

    def _log(self, event: str) -> None:
        begins, ends = (moment.isoformat() for moment in (self._pair.begins, self._pair.ends))
        log.info(event, names=list(self._pair.names), valid_from=begins, valid_until=ends)


def read_pair(certificate: Path, key: Path) -> Pair:
    """The pair in these files. CertificateRefused when it cannot be used; an expired one can."""
    for name, path in (("FILMGATE_TLS_CERT", certificate), ("FILMGATE_TLS_KEY", key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise CertificateRefused(f"{name} names a file that cannot be read ({error.strerror}).") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    remedy = "a certificate and a private key without a password, both as PEM"
    unusable = CertificateRefused(
        f"FILMGATE_TLS_CERT and FILMGATE_TLS_KEY cannot be used; they must hold {remedy}."
    )
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")  # no prompt
        first = load_pem_x509_certificate(certificate.read_bytes())
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            sentence = "FILMGATE_TLS_KEY is not the key of the certificate in FILMGATE_TLS_CERT."
            raise CertificateRefused(sentence) from None
        raise unusable from None
    except (OSError, ValueError):
        raise unusable from None
    return Pair(context, _names(first), first.not_valid_before_utc, first.not_valid_after_utc)


def _names(certificate: Certificate) -> tuple[str, ...]:
    """The first names that it is for."""
    try:
        found = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    except ExtensionNotFound:
        return ()
    names = [*found.get_values_for_type(DNSName), *map(str, found.get_values_for_type(IPAddress))]
    return tuple(names[:NAMES_SHOWN])


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """What tells one version of a file from the next; also behind a link, as Kubernetes replaces secrets."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
