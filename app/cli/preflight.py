"""Checks of settings before a role starts."""

from app.data_dir import NotPrivate, require_private
from app.domain.addresses import is_loopback
from app.settings import Settings, SettingsError


def check_tls(settings: Settings) -> None:
    """SettingsError when the certificate and its key cannot be used."""
    if settings.tls_cert is None or settings.tls_key is None:
        return  # both or neither, see Settings
    from app.certificate import CertificateRefused, read_pair  # noqa: PLC0415  3 MB, only where it is needed

    try:
        read_pair(settings.tls_cert, settings.tls_key)
    except CertificateRefused as error:
        raise SettingsError(str(error)) from None


def data_dir_warnings(settings: Settings) -> list[str]:
    """Warnings about a data directory that others can write to; raises NotPrivate with real money.

    They could hide that the store went back in time, or make a good store look wrong.
    """
    try:
        require_private(settings.data_dir)
    except NotPrivate as error:
        if settings.real_money:
            raise
        return [str(error)]
    return []


def warnings(settings: Settings) -> list[str]:
    """Warnings about settings that are allowed, but may be a mistake."""
    found = []
    if settings.real_money and not is_loopback(settings.host) and not settings.base_url.startswith("https:"):
        fault = f"Keys and clips travel readable: the API listens on {settings.host} in plain http."
        remedy = "Set FILMGATE_TLS_CERT and FILMGATE_TLS_KEY, or FILMGATE_PUBLIC_URL to a proxy's https address."
        found.append(f"{fault} {remedy}")
    behind_proxy = settings.base_url.startswith("https:") and not settings.tls_cert
    if settings.real_money and behind_proxy and not settings.trusted_proxies:
        fault = "FILMGATE_PUBLIC_URL is a proxy's, and all callers behind it count as one address."
        found.append(f"{fault} Set FILMGATE_TRUSTED_PROXIES to the addresses that the proxy calls from.")
    return found
