"""Settings from an environment: what is refused, and with which sentence."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import SHARED_NAMES, Settings, SettingsError, load_settings, required_url

REFUSED = {
    "unknown name": ({"FILMGATE_PROT": "1"}, "FILMGATE_PROT"),
    "unknown secret file": ({"FILMGATE_PORT_FILE": "/x"}, "FILMGATE_PORT_FILE"),
    "port text": ({"FILMGATE_PORT": "http"}, "FILMGATE_PORT"),
    "port 0": ({"FILMGATE_PORT": "0"}, "FILMGATE_PORT"),
    "port 65536": ({"FILMGATE_PORT": "65536"}, "FILMGATE_PORT"),
    "flag yes": ({"FILMGATE_STRICT_SCHEMA": "yes"}, "FILMGATE_STRICT_SCHEMA"),
    "flag true": ({"FILMGATE_STRICT_SCHEMA": "true"}, "FILMGATE_STRICT_SCHEMA"),
    "fal over http": ({"FILMGATE_FAL_QUEUE_URL": "http://queue.fal.run"}, "FILMGATE_FAL_QUEUE_URL"),
    "fal over ftp": ({"FILMGATE_FAL_QUEUE_URL": "ftp://127.0.0.1"}, "FILMGATE_FAL_QUEUE_URL"),
    "fal without host": ({"FILMGATE_FAL_REST_URL": "https://"}, "FILMGATE_FAL_REST_URL"),
    "fal with a user": ({"FILMGATE_FAL_REST_URL": "https://me@rest.fal.ai"}, "FILMGATE_FAL_REST_URL"),
    "fal with a query": ({"FILMGATE_FAL_REST_URL": "https://rest.fal.ai?a=b"}, "FILMGATE_FAL_REST_URL"),
    "loopback in disguise": ({"FILMGATE_FAL_QUEUE_URL": "http://localhost.evil.com"}, "FILMGATE_FAL_QUEUE_URL"),
    "placeholder": ({"FAL_KEY": "changeme"}, "FAL_KEY"),
    "placeholder, upper case": ({"FAL_KEY": " CHANGEME "}, "FAL_KEY"),
    "store by http": ({"FILMGATE_REDIS_URL": "http://localhost"}, "FILMGATE_REDIS_URL"),
    "store by nothing": ({"FILMGATE_REDIS_URL": "localhost:6379"}, "FILMGATE_REDIS_URL"),
    "public without scheme": ({"FILMGATE_PUBLIC_URL": "videos.example.com"}, "FILMGATE_PUBLIC_URL"),
    "public with a query": ({"FILMGATE_PUBLIC_URL": "https://example.com/?a"}, "FILMGATE_PUBLIC_URL"),
    "charge": ({"FILMGATE_UNPROVEN_CHARGE": "maybe"}, "FILMGATE_UNPROVEN_CHARGE"),
    "store check": ({"FILMGATE_STORE_CHECK": "off"}, "FILMGATE_STORE_CHECK"),
    "concurrency 0": ({"FILMGATE_UPSTREAM_CONCURRENCY": "0"}, "FILMGATE_UPSTREAM_CONCURRENCY"),
    "workers -1": ({"FILMGATE_WORKERS": "-1"}, "FILMGATE_WORKERS"),
    "workers 1.5": ({"FILMGATE_WORKERS": "1.5"}, "FILMGATE_WORKERS"),
    "retention 7": ({"FILMGATE_RETENTION_DAYS": "7"}, "FILMGATE_RETENTION_DAYS"),
    "drain -1": ({"FILMGATE_DRAIN_SECONDS": "-1"}, "FILMGATE_DRAIN_SECONDS"),
    "drain infinite": ({"FILMGATE_DRAIN_SECONDS": "inf"}, "FILMGATE_DRAIN_SECONDS"),
    "poll NaN": ({"FILMGATE_POLL_INTERVAL": "nan"}, "FILMGATE_POLL_INTERVAL"),
    "poll 0": ({"FILMGATE_POLL_INTERVAL": "0"}, "FILMGATE_POLL_INTERVAL"),
    "metrics token short": ({"FILMGATE_METRICS_TOKEN": "0123456789abcde"}, "FILMGATE_METRICS_TOKEN"),
    "metrics token with a space": ({"FILMGATE_METRICS_TOKEN": "0123456789 abcdef"}, "FILMGATE_METRICS_TOKEN"),
    "metrics port 0": ({"FILMGATE_METRICS_PORT": "0"}, "FILMGATE_METRICS_PORT"),
    "metrics port of the API": ({"FILMGATE_METRICS_PORT": "8000"}, "FILMGATE_METRICS_PORT"),
    "log": ({"FILMGATE_LOG_FORMAT": "xml"}, "FILMGATE_LOG_FORMAT"),
    "admin key short": ({"FILMGATE_ADMIN_KEY": "0123456789abcde"}, "FILMGATE_ADMIN_KEY"),
    "admin key repeated": ({"FILMGATE_ADMIN_KEY": "abcdefg" * 9}, "FILMGATE_ADMIN_KEY"),
    "admin key placeholder": ({"FILMGATE_ADMIN_KEY": "your-key"}, "FILMGATE_ADMIN_KEY"),
    "admin key with a space": ({"FILMGATE_ADMIN_KEY": "0123456789 abcdef"}, "FILMGATE_ADMIN_KEY"),
    "admin key with a line": ({"FILMGATE_ADMIN_KEY": "0123456789\nabcdef"}, "FILMGATE_ADMIN_KEY"),
    "admin key not ASCII": ({"FILMGATE_ADMIN_KEY": "0123456789abcdéf"}, "FILMGATE_ADMIN_KEY"),
    "webhooks of fal yes": ({"FILMGATE_FAL_WEBHOOKS": "yes"}, "FILMGATE_FAL_WEBHOOKS"),
    "webhooks of fal in capitals": ({"FILMGATE_FAL_WEBHOOKS": "ON"}, "FILMGATE_FAL_WEBHOOKS"),
    "fal's keys over http": ({"FILMGATE_FAL_JWKS_URL": "http://rest.fal.ai/keys"}, "FILMGATE_FAL_JWKS_URL"),
    "fal's keys with a query": ({"FILMGATE_FAL_JWKS_URL": "https://rest.fal.ai/keys?a"}, "FILMGATE_FAL_JWKS_URL"),
    "fal's keys with a user": ({"FILMGATE_FAL_JWKS_URL": "https://me@rest.fal.ai"}, "FILMGATE_FAL_JWKS_URL"),
    "fal's user with a space": ({"FILMGATE_FAL_WEBHOOK_USER": "user_1 "}, "FILMGATE_FAL_WEBHOOK_USER"),
    "fal's user with a line": ({"FILMGATE_FAL_WEBHOOK_USER": "user_1\n"}, "FILMGATE_FAL_WEBHOOK_USER"),
    "fal's user too long": ({"FILMGATE_FAL_WEBHOOK_USER": "u" * 201}, "FILMGATE_FAL_WEBHOOK_USER"),
    "storage of another kind": ({"FILMGATE_STORAGE": "ftp://clips"}, "FILMGATE_STORAGE"),
    "storage without a folder": ({"FILMGATE_STORAGE": "local:"}, "FILMGATE_STORAGE"),
    "storage wait without one": ({"FILMGATE_STORAGE_WAIT": "1"}, "FILMGATE_STORAGE_WAIT"),
    "posters without a storage": ({"FILMGATE_POSTERS": "1"}, "FILMGATE_POSTERS"),
    "backup without a storage": ({"FILMGATE_BACKUP_EVERY": "6h"}, "FILMGATE_BACKUP_EVERY"),
    "backup without a unit": (
        {"FILMGATE_STORAGE": "local:/x", "FILMGATE_BACKUP_EVERY": "6"},
        "FILMGATE_BACKUP_EVERY",
    ),
    "backup too often": (
        {"FILMGATE_STORAGE": "local:/x", "FILMGATE_BACKUP_EVERY": "5m"},
        "must be from 10m to 30d",
    ),
    "backup keeps none": ({"FILMGATE_BACKUP_KEEP": "0"}, "FILMGATE_BACKUP_KEEP"),
    "storage key alone": ({"FILMGATE_STORAGE": "s3://clips", "FILMGATE_STORAGE_KEY_ID": "k"}, "STORAGE_KEY_ID"),
    "storage secret alone": ({"FILMGATE_STORAGE": "s3://clips", "FILMGATE_STORAGE_SECRET": "s"}, "STORAGE_SECRET"),
    "storage key of a folder": (
        {"FILMGATE_STORAGE": "local:/x", "FILMGATE_STORAGE_KEY_ID": "k", "FILMGATE_STORAGE_SECRET": "s"},
        "FILMGATE_STORAGE_KEY_ID",
    ),
    "hook secret short": ({"FILMGATE_HOOK_SECRET": "0123456789abcde"}, "FILMGATE_HOOK_SECRET"),
    "hook secret repeated": ({"FILMGATE_HOOK_SECRET": "abcdefg" * 9}, "FILMGATE_HOOK_SECRET"),
    "both hook secrets": (
        {"FILMGATE_HOOK_SECRET": "0123456789abcdef", "FILMGATE_HOOK_SECRET_FILE": "/dev/null"},
        "FILMGATE_HOOK_SECRET",
    ),
    "admin key of five letters": (
        {"FILMGATE_ADMIN_KEY": "admin" * 4},
        "FILMGATE_ADMIN_KEY must have at least 8 diff",
    ),
    "hook secret of two letters": (
        {"FILMGATE_HOOK_SECRET": "ab" * 10},
        "FILMGATE_HOOK_SECRET must have at least 8 different characters",
    ),
    "unknown outcome": ({"FILMGATE_ON_UNKNOWN_OUTCOME": "repeat"}, "FILMGATE_ON_UNKNOWN_OUTCOME"),
    "both admin keys": (
        {"FILMGATE_ADMIN_KEY": "0123456789abcdef", "FILMGATE_ADMIN_KEY_FILE": "/dev/null"},
        "FILMGATE_ADMIN_KEY",
    ),
    "fal's admin key placeholder": ({"FAL_ADMIN_KEY": "changeme"}, "FAL_ADMIN_KEY"),
    "fal's API over http": ({"FILMGATE_FAL_API_URL": "http://api.fal.ai"}, "FILMGATE_FAL_API_URL"),
    "fal's API with a user": ({"FILMGATE_FAL_API_URL": "https://me@api.fal.ai"}, "FILMGATE_FAL_API_URL"),
    "every origin": ({"FILMGATE_CORS_ORIGINS": "*"}, "FILMGATE_CORS_ORIGINS"),
    "origins of a domain": ({"FILMGATE_CORS_ORIGINS": "https://*.example.com"}, "FILMGATE_CORS_ORIGINS"),
    "the null origin": ({"FILMGATE_CORS_ORIGINS": "null"}, "FILMGATE_CORS_ORIGINS"),
    "origin with a path": ({"FILMGATE_CORS_ORIGINS": "https://a.example/"}, "FILMGATE_CORS_ORIGINS"),
    "origin without scheme": ({"FILMGATE_CORS_ORIGINS": "a.example"}, "FILMGATE_CORS_ORIGINS"),
    "origin in capitals": ({"FILMGATE_CORS_ORIGINS": "https://A.example"}, "FILMGATE_CORS_ORIGINS"),
    "origin with its usual port": ({"FILMGATE_CORS_ORIGINS": "https://a.example:443"}, "FILMGATE_CORS_ORIGINS"),
    "origin with half a port": ({"FILMGATE_CORS_ORIGINS": "https://a.example:"}, "FILMGATE_CORS_ORIGINS"),
    "origin with a space": (
        {"FILMGATE_CORS_ORIGINS": "https://a.example b"},
        "FILMGATE_CORS_ORIGINS",
    ),
    "second origin wrong": ({"FILMGATE_CORS_ORIGINS": "https://a.example,b.example"}, "FILMGATE_CORS_ORIGINS"),
    "both secrets": ({"FAL_KEY": "a:b", "FAL_KEY_FILE": "/dev/null"}, "FAL_KEY"),
    "file not there": ({"FAL_KEY_FILE": "/nowhere/at/all"}, "FAL_KEY_FILE"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_setting_is_refused_by_its_name(case: str) -> None:
    """One sentence with the setting's name, and no traceback."""
    environment, name = REFUSED[case]
    with pytest.raises(SettingsError) as caught:
        load_settings(environment)
    sentence = str(caught.value)
    assert name in sentence
    assert "\n" not in sentence
    assert sentence.endswith(".")


def test_a_refused_secret_is_not_repeated() -> None:
    """The sentence about a wrong secret does not show it."""
    with pytest.raises(SettingsError) as caught:
        load_settings({"FILMGATE_REDIS_URL": "http://:kan4rie@localhost"})
    assert "kan4rie" not in str(caught.value)


def test_nothing_given_is_fine() -> None:
    """The defaults of the contract, and nothing from other variables."""
    made = load_settings({"PATH": "/bin", "HOME": "/root", "FILMGATE_PORT": ""})
    assert (made.host, made.port, made.base_url) == ("127.0.0.1", 8000, "http://127.0.0.1:8000")
    assert made.fal_queue_url == "https://queue.fal.run"
    assert (made.upstream_concurrency, made.lanes, made.workers, made.deliverers) == (10, 1, 2, 1)
    assert (made.job_deadline, made.retention_days, made.strict_schema) == (3600, 30, False)
    assert made.emulated is False


def test_other_programs_names_pass() -> None:
    """Variables of the client and of the tests are not the gateway's, and are no error."""
    theirs = {"FILMGATE_KEY": "fg_live_x", "FILMGATE_URL": "http://x", "FILMGATE_TEST_REDIS": "x"}
    assert load_settings(theirs) == load_settings({})


def test_origins_are_read_one_by_one() -> None:
    """Separated by commas, with optional spaces; a non-default port belongs to the origin."""
    text = " https://app.example.com, http://localhost:5173,http://[::1]:3000 ,"
    origins = ("https://app.example.com", "http://localhost:5173", "http://[::1]:3000")
    assert load_settings({"FILMGATE_CORS_ORIGINS": text}).cors_origins == origins
    assert load_settings({}).cors_origins == ()


def test_a_long_enough_admin_key_passes() -> None:
    """Sixteen random characters; the key is not shown."""
    made = load_settings({"FILMGATE_ADMIN_KEY": "8f2c11d07a9e4b63"})
    assert made.admin_key is not None
    assert made.admin_key.get_secret_value() == "8f2c11d07a9e4b63"
    assert "8f2c11d0" not in repr(made)


@pytest.mark.parametrize("name", ["FAL_ADMIN_KEY", "FILMGATE_ADMIN_KEY", "FILMGATE_HOOK_SECRET"])
def test_a_refused_key_is_not_repeated(name: str) -> None:
    """The sentence names the setting and not its value."""
    with pytest.raises(SettingsError) as caught:
        load_settings({name: "password"})
    assert name in str(caught.value)
    assert "password" not in str(caught.value)


def test_fals_api_is_fals_own_unless_it_is_set() -> None:
    """https, or loopback; without a trailing slash."""
    assert load_settings({}).fal_api_url == "https://api.fal.ai"
    assert load_settings({"FILMGATE_FAL_API_URL": "http://127.0.0.1:9/"}).fal_api_url == "http://127.0.0.1:9"


def test_fals_keys_are_at_its_storage_unless_set() -> None:
    """At the emulator's, where that is fal: its webhooks are signed with its own keys."""
    assert load_settings({}).jwks_url == "https://rest.fal.ai/.well-known/jwks.json"
    emulated = {"FILMGATE_FAL_REST_URL": "http://127.0.0.1:9/"}
    assert load_settings(emulated).jwks_url == "http://127.0.0.1:9/.well-known/jwks.json"
    older = "https://rest.alpha.fal.ai/.well-known/jwks.json"
    assert load_settings({**emulated, "FILMGATE_FAL_JWKS_URL": older}).jwks_url == older


def test_unknown_outcomes_are_held_unless_set() -> None:
    """By default nothing is resubmitted, fal's account may be any, and the store makes the markers' secret."""
    made = load_settings({})
    assert (made.on_unknown_outcome, made.fal_webhook_user, made.hook_secret) == ("hold", None, None)
    settings = load_settings({"FILMGATE_ON_UNKNOWN_OUTCOME": "resubmit", "FILMGATE_FAL_WEBHOOK_USER": "google|1"})
    assert (settings.on_unknown_outcome, settings.fal_webhook_user) == ("resubmit", "google|1")


EMULATED = {"FILMGATE_FAL_QUEUE_URL": "http://127.0.0.1:9000"}
RECEIVES = {
    "nothing set": ({}, False),
    "a public name": ({"FILMGATE_PUBLIC_URL": "https://videos.example.com/base"}, True),
    "a public name with a port": ({"FILMGATE_PUBLIC_URL": "https://videos.example.com:8443"}, True),
    "a public address": ({"FILMGATE_PUBLIC_URL": "https://8.8.8.8"}, True),
    "a public IPv6 address": ({"FILMGATE_PUBLIC_URL": "https://[2606:4700::1111]"}, True),
    "a public name without TLS": ({"FILMGATE_PUBLIC_URL": "http://videos.example.com"}, False),
    "a private address": ({"FILMGATE_PUBLIC_URL": "https://10.0.0.1"}, False),
    "a private address in disguise": ({"FILMGATE_PUBLIC_URL": "https://0x7f000001"}, False),
    "a private address in IPv6": ({"FILMGATE_PUBLIC_URL": "https://[::ffff:10.0.0.1]"}, False),
    "loopback": ({"FILMGATE_PUBLIC_URL": "https://localhost:8000"}, False),
    "a name of one part": ({"FILMGATE_PUBLIC_URL": "https://gateway"}, False),
    "a name on the local link": ({"FILMGATE_PUBLIC_URL": "https://gateway.local"}, False),
    "a name of an intranet": ({"FILMGATE_PUBLIC_URL": "https://gateway.corp.internal."}, False),
    "a name of a router": ({"FILMGATE_PUBLIC_URL": "https://gateway.LAN"}, False),
    "a name for loopback": ({"FILMGATE_PUBLIC_URL": "https://app.localhost"}, False),
    "a certificate on loopback": ({"FILMGATE_TLS_CERT": "/c", "FILMGATE_TLS_KEY": "/k"}, False),
    "the emulator next door": (EMULATED, True),
    "the emulator, and off": ({**EMULATED, "FILMGATE_FAL_WEBHOOKS": "off"}, False),
    "a private name, and on": (
        {"FILMGATE_PUBLIC_URL": "http://gateway.lan", "FILMGATE_FAL_WEBHOOKS": "on"},
        True,
    ),
    "a public name, and off": (
        {"FILMGATE_PUBLIC_URL": "https://videos.example.com", "FILMGATE_FAL_WEBHOOKS": "off"},
        False,
    ),
    "a public name, and auto": (
        {"FILMGATE_PUBLIC_URL": "https://videos.example.com", "FILMGATE_FAL_WEBHOOKS": "auto"},
        True,
    ),
}


@pytest.mark.parametrize("case", RECEIVES)
def test_fal_is_asked_for_webhooks_where_it_can_reach_us(case: str) -> None:
    """Https and public, or the emulator on this machine, unless the operator sets on or off (contract.md 2)."""
    environment, receives = RECEIVES[case]
    assert load_settings(environment).receives_fal_webhooks is receives


SECRETS = {
    "FAL_KEY": "fal_key",
    "FAL_ADMIN_KEY": "fal_admin_key",
    "FILMGATE_ADMIN_KEY": "admin_key",
    "FILMGATE_HOOK_SECRET": "hook_secret",
    "FILMGATE_REDIS_URL": "redis_url",
}


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_may_come_in_a_file(name: str, tmp_path: Path) -> None:
    """The file's text without surrounding white space."""
    secret = "redis://:pw@store:6379/0"
    (tmp_path / "secret").write_text(f"{secret}\n")
    made = load_settings({f"{name}_FILE": str(tmp_path / "secret")})
    found = getattr(made, SECRETS[name])
    assert found is not None
    assert found.get_secret_value() == secret
    assert secret not in repr(made)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.9.9.9"])
def test_an_emulator_on_this_machine_needs_no_https(host: str) -> None:
    """Loopback addresses may be http, and mean that fal is emulated."""
    made = load_settings({"FILMGATE_FAL_QUEUE_URL": f"http://{host}:9000/"})
    assert made.emulated
    assert made.fal_queue_url == f"http://{host}:9000"


@pytest.mark.parametrize(
    ("environment", "base"),
    [
        ({"FILMGATE_PUBLIC_URL": "https://v.example.com/base/"}, "https://v.example.com/base"),
        ({"FILMGATE_HOST": "::1", "FILMGATE_PORT": "9"}, "http://[::1]:9"),
        ({"FILMGATE_HOST": "0.0.0.0"}, "http://127.0.0.1:8000"),
        ({"FILMGATE_TLS_CERT": "/c", "FILMGATE_TLS_KEY": "/k"}, "https://127.0.0.1:8000"),
    ],
)
def test_addresses_in_replies_have_one_base(environment: dict[str, str], base: str) -> None:
    """The public URL, or the server's own address; without a trailing slash."""
    assert load_settings(environment).base_url == base


def test_settings_do_not_change() -> None:
    """The tree is frozen."""
    made = load_settings({})
    with pytest.raises(ValidationError):
        made.port = 1  # type: ignore[misc]  # what is tested


def test_a_store_is_required_where_one_is_needed() -> None:
    """A sentence with the setting's name and the remedy."""
    with pytest.raises(SettingsError, match="FILMGATE_REDIS_URL"):
        required_url(load_settings({}))
    with pytest.raises(SettingsError, match="FILMGATE_REDIS_ULR is not a setting"):
        required_url(load_settings({"FILMGATE_REDIS_ULR": "redis://store"}, keep_unknown=True))


def test_every_setting_has_a_name_in_the_environment() -> None:
    """Each field has FAL_ or FILMGATE_, or a name that other programs read too, and no other."""
    for field in Settings.model_fields.values():
        assert field.alias is not None
        assert field.alias.startswith(("FAL_", "FILMGATE_")) or field.alias in SHARED_NAMES


@pytest.mark.parametrize(
    "fal",
    [
        {},
        {"FILMGATE_FAL_QUEUE_URL": "http://127.0.0.1:1"},
        {"FILMGATE_FAL_REST_URL": "http://127.0.0.1:1"},
    ],
)
def test_crash_points_are_refused_with_a_fal_elsewhere(fal: dict[str, str]) -> None:
    """Only with an emulator on this machine may a process die on purpose."""
    with pytest.raises(SettingsError, match=r"FILMGATE_CRASH is for tests"):
        load_settings({"FILMGATE_CRASH": "tickets", **fal})


def test_crash_points_are_accepted_with_the_emulator() -> None:
    """On loopback the setting is the directory of tickets."""
    here = "http://127.0.0.1:1"
    read = load_settings(
        {"FILMGATE_CRASH": "tickets", "FILMGATE_FAL_QUEUE_URL": here, "FILMGATE_FAL_REST_URL": here}
    )
    assert str(read.crash) == "tickets"
