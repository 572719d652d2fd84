"""Settings: one frozen object, read from the environment only at the start of a process."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from app.domain.addresses import is_loopback
from app.domain.store_address import read_store_address
from app.setting_values import (
    VISIBLE,
    AlertSecret,
    AlertUrl,
    BackupInterval,
    FalUrl,
    Flag,
    GroupRules,
    HeaderName,
    HostNames,
    Issuer,
    Networks,
    NoProxyHosts,
    OidcScopes,
    Origins,
    Proxy,
    StoragePlace,
    is_plain_url,
    is_public_host,
    refuse_guessable,
)
from app.sign_on_rules import require_own_proxies, require_whole_provider, require_whole_sign_on

SECRETS = (
    "FAL_KEY", "FAL_ADMIN_KEY", "FILMGATE_ADMIN_KEY", "FILMGATE_HOOK_SECRET", "FILMGATE_REDIS_URL",
    "FILMGATE_STORAGE_KEY_ID", "FILMGATE_STORAGE_SECRET",
    "FILMGATE_ALERT_WEBHOOK", "FILMGATE_ALERT_SECRET", "FILMGATE_METRICS_TOKEN",
    "FILMGATE_OIDC_CLIENT_SECRET",
)  # fmt: skip
PLACEHOLDERS = frozenset({"changeme", "change-me", "secret", "password", "your-key", "xxx", "test"})
# For `filmgate generate`, not for the gateway.
CLIENT_NAMES = frozenset({"FILMGATE_KEY", "FILMGATE_URL"})
# Also read by curl and others, in either case; lower case takes precedence, as there.
SHARED_NAMES = frozenset({"HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE"})
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
CALLABLE_HOSTS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  a listener's wildcard cannot be called


class SettingsError(Exception):
    """The configuration is refused; the message is one sentence that names the setting. Exit code 78."""


class Settings(BaseModel):
    """Every setting of the gateway. The alias is the name in the environment; docs: docs/settings.md."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    fal_key: SecretStr | None = Field(None, alias="FAL_KEY")
    fal_admin_key: SecretStr | None = Field(None, alias="FAL_ADMIN_KEY")
    admin_key: SecretStr | None = Field(None, alias="FILMGATE_ADMIN_KEY")
    redis_url: SecretStr | None = Field(None, alias="FILMGATE_REDIS_URL")
    host: str = Field("127.0.0.1", alias="FILMGATE_HOST")
    port: int = Field(8000, alias="FILMGATE_PORT", ge=1, le=65535)
    public_url: str | None = Field(None, alias="FILMGATE_PUBLIC_URL")
    fal_queue_url: FalUrl = Field("https://queue.fal.run", alias="FILMGATE_FAL_QUEUE_URL")
    fal_rest_url: FalUrl = Field("https://rest.fal.ai", alias="FILMGATE_FAL_REST_URL")
    fal_api_url: FalUrl = Field("https://api.fal.ai", alias="FILMGATE_FAL_API_URL")
    fal_site_url: FalUrl | None = Field(None, alias="FILMGATE_FAL_SITE_URL")
    fal_hosts: Flag = Field(False, alias="FILMGATE_FAL_HOSTS")
    fal_media_hosts: HostNames = Field((), alias="FILMGATE_FAL_MEDIA_HOSTS")
    https_proxy: Proxy | None = Field(None, alias="HTTPS_PROXY")
    no_proxy: NoProxyHosts = Field((), alias="NO_PROXY")
    ssl_cert_file: Path | None = Field(None, alias="SSL_CERT_FILE")
    fal_jwks_url: FalUrl | None = Field(None, alias="FILMGATE_FAL_JWKS_URL")
    fal_webhooks: Literal["auto", "on", "off"] = Field("auto", alias="FILMGATE_FAL_WEBHOOKS")
    fal_webhook_user: str | None = Field(None, alias="FILMGATE_FAL_WEBHOOK_USER", pattern=r"^[!-~]{1,200}$")
    hook_secret: SecretStr | None = Field(None, alias="FILMGATE_HOOK_SECRET")
    on_unknown_outcome: Literal["hold", "resubmit"] = Field("hold", alias="FILMGATE_ON_UNKNOWN_OUTCOME")
    unproven_charge: Literal["settle", "release"] = Field("settle", alias="FILMGATE_UNPROVEN_CHARGE")
    prices: Path | None = Field(None, alias="FILMGATE_PRICES")
    models: Path | None = Field(None, alias="FILMGATE_MODELS")
    store_check: Literal["refuse", "warn"] | None = Field(None, alias="FILMGATE_STORE_CHECK")
    store_replicas_given: int | None = Field(None, alias="FILMGATE_STORE_REPLICAS", ge=0, le=10)
    tls_cert: Path | None = Field(None, alias="FILMGATE_TLS_CERT")
    tls_key: Path | None = Field(None, alias="FILMGATE_TLS_KEY")
    drain_seconds: float = Field(8, alias="FILMGATE_DRAIN_SECONDS", ge=0, le=600)
    upstream_concurrency: int = Field(10, alias="FILMGATE_UPSTREAM_CONCURRENCY", ge=1, le=10_000)
    lanes: int = Field(1, alias="FILMGATE_LANES", ge=1, le=64)
    workers: int = Field(2, alias="FILMGATE_WORKERS", ge=1, le=64)
    deliverers: int = Field(1, alias="FILMGATE_DELIVERERS", ge=1, le=64)
    trusted_proxies: Networks = Field((), alias="FILMGATE_TRUSTED_PROXIES")
    data_dir: Path = Field(Path(".filmgate"), alias="FILMGATE_DATA_DIR")
    storage: StoragePlace = Field(None, alias="FILMGATE_STORAGE")
    storage_key_id: SecretStr | None = Field(None, alias="FILMGATE_STORAGE_KEY_ID")
    backup_every: BackupInterval | None = Field(None, alias="FILMGATE_BACKUP_EVERY")
    backup_keep: int = Field(14, alias="FILMGATE_BACKUP_KEEP", ge=1, le=10_000)
    storage_secret: SecretStr | None = Field(None, alias="FILMGATE_STORAGE_SECRET")
    storage_wait: Flag = Field(False, alias="FILMGATE_STORAGE_WAIT")
    posters: Flag = Field(False, alias="FILMGATE_POSTERS")
    egress_allow: str = Field("", alias="FILMGATE_EGRESS_ALLOW")
    cors_origins: Origins = Field((), alias="FILMGATE_CORS_ORIGINS")
    poll_interval: float = Field(1.0, alias="FILMGATE_POLL_INTERVAL", ge=0.05, le=60)
    job_deadline: int = Field(3600, alias="FILMGATE_JOB_DEADLINE", ge=10, le=604_800)
    retention_days: int = Field(30, alias="FILMGATE_RETENTION_DAYS", ge=8, le=3650)
    strict_schema: Flag = Field(False, alias="FILMGATE_STRICT_SCHEMA")
    docs: Flag = Field(True, alias="FILMGATE_DOCS")
    alert_webhook: AlertUrl | None = Field(None, alias="FILMGATE_ALERT_WEBHOOK")
    alert_secret: AlertSecret | None = Field(None, alias="FILMGATE_ALERT_SECRET")
    alert_form: Literal["standard", "slack"] = Field("standard", alias="FILMGATE_ALERT_FORM")
    metrics_token: SecretStr | None = Field(None, alias="FILMGATE_METRICS_TOKEN")
    metrics_port: int | None = Field(None, alias="FILMGATE_METRICS_PORT", ge=1, le=65535)
    log_format: Literal["auto", "json", "text"] = Field("auto", alias="FILMGATE_LOG_FORMAT")
    oidc_issuer: Issuer | None = Field(None, alias="FILMGATE_OIDC_ISSUER")
    oidc_client_id: str | None = Field(None, alias="FILMGATE_OIDC_CLIENT_ID", pattern=r"^[!-~]{1,255}$")
    oidc_client_secret: SecretStr | None = Field(None, alias="FILMGATE_OIDC_CLIENT_SECRET")
    oidc_scopes: OidcScopes = Field("openid profile email", alias="FILMGATE_OIDC_SCOPES")
    oidc_groups_claim: str = Field("groups", alias="FILMGATE_OIDC_GROUPS_CLAIM", pattern=r"^[!-~]{1,200}$")
    oidc_label: str | None = Field(None, alias="FILMGATE_OIDC_LABEL", max_length=40)
    groups: GroupRules = Field((), alias="FILMGATE_GROUPS")
    proxy_user_header: HeaderName | None = Field(None, alias="FILMGATE_PROXY_USER_HEADER")
    proxy_groups_header: HeaderName | None = Field(None, alias="FILMGATE_PROXY_GROUPS_HEADER")
    crash: Path | None = Field(None, alias="FILMGATE_CRASH")
    _unknown: tuple[str, ...] = PrivateAttr(())

    @field_validator("fal_key", "fal_admin_key", "admin_key", "metrics_token")
    @classmethod
    def _no_placeholder(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and value.get_secret_value().strip().lower() in PLACEHOLDERS:
            raise ValueError("is a placeholder; set the real secret")
        return value

    @field_validator("fal_key", "fal_admin_key")
    @classmethod
    def _sendable(cls, value: SecretStr | None) -> SecretStr | None:
        """A header cannot hold line breaks or other characters than ASCII."""
        if value is not None and not VISIBLE.fullmatch(value.get_secret_value()):
            raise ValueError("must be printable ASCII without white space, also around it; it travels in a header")
        return value

    @field_validator("admin_key", "metrics_token")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        """The operator chooses it, so it must be hard to guess."""
        if value is None:
            return None
        key = value.get_secret_value()
        refuse_guessable(key)
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError("must be printable ASCII without spaces, because it travels in a header")
        return value

    @field_validator("crash")
    @classmethod
    def _tests_only(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        """Crash points are for tests, never where a submission costs money."""
        urls = (info.data.get("fal_queue_url", ""), info.data.get("fal_rest_url", ""))
        if value is not None and not all(is_loopback(urlsplit(url).hostname) for url in urls):
            raise ValueError("is for tests, and is refused where fal is not an emulator on this machine")
        return value

    @field_validator("hook_secret")
    @classmethod
    def _hard_to_guess(cls, value: SecretStr | None) -> SecretStr | None:
        """Anybody with a marker can test guesses of it."""
        if value is not None:
            refuse_guessable(value.get_secret_value())
        return value

    @field_validator("redis_url")
    @classmethod
    def _store_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            read_store_address(value.get_secret_value())
        return value

    @field_validator("public_url")
    @classmethod
    def _public_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not is_plain_url(value):
            remedy = "no user or password, no query, no white space, an IDN host as xn--, a port below 65536"
            raise ValueError(f"must be a URL such as https://videos.example.com: {remedy}")
        return value.rstrip("/")

    @property
    def base_url(self) -> str:
        """The base of every URL in a reply, without trailing slash."""
        if self.public_url:
            return self.public_url
        scheme = "https" if self.tls_cert else "http"
        host = CALLABLE_HOSTS.get(self.host, self.host)
        host = f"[{host}]" if ":" in host else host
        return f"{scheme}://{host}:{self.port}"

    @property
    def receives_fal_webhooks(self) -> bool:
        """True when fal is asked for webhooks: it can reach the public URL, or is the emulator on this machine."""
        if self.fal_webhooks != "auto":
            return self.fal_webhooks == "on"
        url = urlsplit(self.base_url)
        return self.emulated or (url.scheme == "https" and is_public_host(url.hostname or ""))

    @property
    def jwks_url(self) -> str:
        """The URL of fal's webhook keys: below its storage API, unless set."""
        return self.fal_jwks_url or f"{self.fal_rest_url}/.well-known/jwks.json"

    @property
    def site_url(self) -> str:
        """Where fal's model pages are: at an emulator, its own address."""
        if self.fal_site_url is not None:
            return self.fal_site_url
        return self.fal_api_url if is_loopback(urlsplit(self.fal_api_url).hostname) else "https://fal.ai"

    @property
    def unknown_names(self) -> tuple[str, ...]:
        """`FILMGATE_*` names that are set and unknown to this version."""
        return self._unknown

    @property
    def real_money(self) -> bool:
        """True when submissions cost money: there is a key, and fal is not an emulator on this machine."""
        return self.fal_key is not None and not self.emulated

    @property
    def store_must_last(self) -> bool:
        """True when a store that may lose what it has acknowledged is refused, False when it is warned of."""
        return self.real_money if self.store_check is None else self.store_check == "refuse"

    @property
    def emulated(self) -> bool:
        """True when "fal" is a process on this machine, which can fetch images from loopback."""
        return is_loopback(urlsplit(self.fal_queue_url).hostname)

    @property
    def store_replicas(self) -> int:
        """Replicas that must confirm a write: 1 by default with Sentinel, where one may become the primary."""
        if self.store_replicas_given is not None:
            return self.store_replicas_given
        url = self.redis_url.get_secret_value() if self.redis_url else ""
        return int(url.startswith("sentinel:"))

    @property
    def retention_ms(self) -> int:
        """How long an ended job is kept, in milliseconds."""
        return self.retention_days * 86_400_000


def required_url(settings: Settings) -> str:
    """The store's URL; SettingsError without one, about an unknown name first, which may be misspelt."""
    if settings.redis_url is None and settings.unknown_names:
        raise unknown_setting(settings.unknown_names[0])
    if settings.redis_url is None:
        raise SettingsError("FILMGATE_REDIS_URL is not set; `filmgate up` brings its own store.")
    return settings.redis_url.get_secret_value()


def _secret_from_file(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig").strip()  # Windows' editors write a mark at the beginning
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"{name}_FILE names a file that cannot be read.") from None


def _sentence(error: ValidationError, *, in_files: Iterable[str]) -> str:
    """A sentence about the first error; `in_files` are the settings that were given as files."""
    first = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    name += "_FILE" if name in in_files else ""
    text = first["msg"].removeprefix("Value error, ").rstrip(".")
    text = text[0].lower() + text[1:]
    return f"{name} {text}." if text.startswith(("must", "is ")) else f"{name}: {text}."


@dataclass(slots=True)
class _Given:
    """Values of an environment by setting, which of them came from files, and unknown names."""

    values: dict[str, str] = field(default_factory=dict)
    in_files: set[str] = field(default_factory=set)
    unknown: list[str] = field(default_factory=list)


SETTING_NAMES = frozenset(found.alias for found in Settings.model_fields.values() if found.alias)
KNOWN_NAMES = SETTING_NAMES | CLIENT_NAMES | {f"{name}_FILE" for name in SECRETS}


def _given(environ: Mapping[str, str]) -> _Given:
    given = _Given()
    for name, value in environ.items():
        plain = name.removesuffix("_FILE")
        ours = name.startswith("FILMGATE_") and not name.startswith("FILMGATE_TEST_")
        if name in CLIENT_NAMES or value == "":
            continue
        if CONTROL.search(value) and name != "FILMGATE_REDIS_URL" and (name in SETTING_NAMES or ours):
            cause = "a file with CRLF leaves one behind each value"
            raise SettingsError(f"{name} holds a line break or another control character; {cause}.")
        if name.upper() in SHARED_NAMES:
            given.values[name.upper()] = environ.get(name.lower()) or value
        elif name in SETTING_NAMES:
            given.values[name] = value
        elif plain in SECRETS and name.endswith("_FILE"):
            given.values[plain] = _secret_from_file(plain, value)
            given.in_files.add(plain)
        elif ours:
            given.unknown.append(name)
    return given


def load_settings(environ: Mapping[str, str], *, keep_unknown: bool = False) -> Settings:
    """The settings in `environ`; SettingsError for an unknown `FILMGATE_*` name or a malformed value.

    Each secret may also be given as a file: `FAL_KEY_FILE=/run/secrets/fal_key`. With `keep_unknown`, unknown names
    go into `unknown_names`: the store tells whether a newer version knows them (`app/starting.py`).
    """
    given = _given(environ)
    if given.unknown and not keep_unknown:
        raise unknown_setting(given.unknown[0])
    for name in SECRETS:
        if environ.get(name) and environ.get(f"{name}_FILE"):
            raise SettingsError(f"{name} and {name}_FILE are both set; keep one.")
    try:
        made = Settings.model_validate(given.values)
    except ValidationError as error:
        raise SettingsError(_sentence(error, in_files=given.in_files)) from None
    if (made.tls_cert is None) != (made.tls_key is None):
        there, missing = ("CERT", "KEY") if made.tls_cert else ("KEY", "CERT")
        raise SettingsError(f"FILMGATE_TLS_{there} is set without FILMGATE_TLS_{missing}; https needs both.")
    _check_storage(made)
    _check_alerts(made)
    _check_sign_on(made)
    if made.metrics_port == made.port:
        raise SettingsError("FILMGATE_METRICS_PORT must be another port than FILMGATE_PORT.")
    made._unknown = tuple(given.unknown)  # noqa: SLF001  a private attribute of ours
    return made


def _check_storage(made: Settings) -> None:
    """SettingsError for settings of the storage that do not fit together."""
    kind = made.storage.kind if made.storage else "none"
    if made.storage_wait and kind == "none":
        raise SettingsError("FILMGATE_STORAGE_WAIT is set without FILMGATE_STORAGE; there is nothing to wait for.")
    if made.posters and kind == "none":
        raise SettingsError("FILMGATE_POSTERS is set without FILMGATE_STORAGE, where the posters would be kept.")
    if made.backup_every is not None and made.storage is None:
        raise SettingsError("FILMGATE_BACKUP_EVERY is set without FILMGATE_STORAGE, where the backups would go.")
    if (made.storage_key_id is None) != (made.storage_secret is None):
        there, missing = ("KEY_ID", "SECRET") if made.storage_key_id else ("SECRET", "KEY_ID")
        raise SettingsError(f"FILMGATE_STORAGE_{there} is set without FILMGATE_STORAGE_{missing}; set both.")
    if made.storage_key_id is not None and kind in {"none", "local", "gs"}:
        remedy = (
            "Google's key is the file that GOOGLE_APPLICATION_CREDENTIALS names" if kind == "gs" else "remove it"
        )
        raise SettingsError(f"FILMGATE_STORAGE_KEY_ID is for s3:// and az://, not for {kind}; {remedy}.")


def _check_alerts(made: Settings) -> None:
    """SettingsError for a receiver of alarms without the secret that signs."""
    if made.alert_webhook is not None and made.alert_secret is None and made.alert_form == "standard":
        remedy = "set it, or FILMGATE_ALERT_FORM=slack, whose messages need no signature"
        raise SettingsError(f"FILMGATE_ALERT_WEBHOOK is set without FILMGATE_ALERT_SECRET, which signs; {remedy}.")


def _check_sign_on(made: Settings) -> None:
    """SettingsError for single sign-on that is half set, or that would believe everybody."""
    provider = (made.oidc_issuer, made.oidc_client_id, made.oidc_client_secret)
    headers = (made.proxy_user_header, made.proxy_groups_header)
    try:
        require_whole_provider(provider)
        require_whole_sign_on(provider=made.oidc_issuer, headers=headers, rules=made.groups)
        if made.proxy_user_header is not None:
            require_own_proxies(made.trusted_proxies, real_money=made.real_money)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def unknown_setting(name: str) -> SettingsError:
    """The error for a name that is not a setting."""
    return SettingsError(f"{name} is not a setting; docs/settings.md lists them all.")
