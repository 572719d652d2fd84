"""The services that raise alarms and send them, which the API and the keeper of each host own."""

import hashlib
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from app.domain.errors import Unprocessable
from app.egress import EgressPolicy, check_url
from app.services.alarm_watch import AlarmWatch
from app.services.alerts import AlertReceiver, Alerts
from app.services.checks.buying import BuyingCheck
from app.services.checks.hosts import HostCheck
from app.services.checks.ledger import LedgerCheck
from app.services.checks.store import StoreCheck
from app.services.host_report import HostReport
from app.settings import Settings, SettingsError
from app.stores import Stores

# On these all hosts must agree: what a job costs, where it is bought, how it is recognised, how long it is kept.
AGREED = (
    "FAL_KEY", "FILMGATE_HOOK_SECRET", "FILMGATE_PUBLIC_URL", "FILMGATE_FAL_QUEUE_URL", "FILMGATE_FAL_REST_URL",
    "FILMGATE_FAL_API_URL", "FILMGATE_FAL_WEBHOOKS", "FILMGATE_FAL_MEDIA_HOSTS", "FILMGATE_ON_UNKNOWN_OUTCOME",
    "FILMGATE_UNPROVEN_CHARGE", "FILMGATE_PRICES", "FILMGATE_MODELS", "FILMGATE_STORE_REPLICAS",
    "FILMGATE_UPSTREAM_CONCURRENCY", "FILMGATE_EGRESS_ALLOW", "FILMGATE_JOB_DEADLINE", "FILMGATE_RETENTION_DAYS",
    "FILMGATE_STORAGE", "FILMGATE_STORAGE_WAIT", "FILMGATE_POSTERS",
)  # fmt: skip
DIGEST_CHARACTERS = 8  # too few to guess a secret by


def alert_receiver(settings: Settings, policy: EgressPolicy) -> AlertReceiver | None:
    """Where alarms are sent; None when the operator has named no receiver.

    The operator has chosen its host, so it may be private without being open to customers' webhooks. SettingsError
    for what the guard refuses all the same: Filmgate, its store, fal and a cloud's metadata.
    """
    if settings.alert_webhook is None:
        return None
    url = settings.alert_webhook.get_secret_value()
    own = policy.allowing(urlsplit(url).hostname or "")
    try:
        check_url(url, own)
    except Unprocessable:
        raise SettingsError("FILMGATE_ALERT_WEBHOOK is not a URL that may be called.") from None
    secret = settings.alert_secret.get_secret_value() if settings.alert_secret else None
    return AlertReceiver(url, secret, settings.alert_form, settings.base_url, own)


def alerts_service(settings: Settings, stores: Stores, policy: EgressPolicy) -> Alerts:
    """The service that sends alarms."""
    return Alerts(stores.alerts, stores.leases, stores.clock, receiver=alert_receiver(settings, policy))


def alarm_watch(settings: Settings, stores: Stores) -> AlarmWatch:
    """The service that raises and resolves the alarms which follow from how things are."""
    checks = (
        BuyingCheck(stores.line, stores.quarantine, stores.buying, stores.epoch),
        HostCheck(stores.hosts),
        StoreCheck(stores.health, strict=settings.store_must_last),
        LedgerCheck(stores.ledger_checks),
    )
    return AlarmWatch(stores.alarms, stores.leases, checks)


def host_report(settings: Settings, stores: Stores, role: Literal["api", "worker"]) -> HostReport:
    """The service that reports this host."""
    return HostReport(stores.hosts, role, settings=agreed_values(settings))


def agreed_values(settings: Settings) -> dict[str, str]:
    """The values of AGREED, secrets and files as short digests. A secret that is not set does not count."""
    values: dict[str, str] = {}
    for name, field in Settings.model_fields.items():
        if field.alias in AGREED:
            value = getattr(settings, name)
            if not (value is None and "SecretStr" in str(field.annotation)):
                values[field.alias] = _shown(value)
    return values


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return f"(digest {_digest(value.get_secret_value().encode())})"
    if isinstance(value, Path):
        files = sorted(value.glob("*.json")) if value.is_dir() else [value]
        return f"(digest {_digest(*(file.read_bytes() for file in files))})"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "(not set)"
    return str(value) if value is not None and value != "" else "(not set)"


def _digest(*parts: bytes) -> str:
    found = hashlib.sha256(b"filmgate setting")
    for part in parts:
        found.update(hashlib.sha256(part).digest())
    return found.hexdigest()[:DIGEST_CHARACTERS]
