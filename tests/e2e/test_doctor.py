"""`filmgate doctor`: every fault is named with a remedy, whatever else is wrong, and in a limited time."""

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from app.doctor.host_checks import check_traces
from app.doctor.results import CheckResult, ok, run_checks
from app.doctor.run import examine
from app.domain import alerts
from app.domain.data_format import FORMAT
from app.store import keys
from tests.support.processes import clean_environment, free_port, run_command
from tests.support.receiver import Receiver, Reply
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack
from tests.support.tls import issue_certificates
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio
CHECKS = {
    "settings", "prices", "disk", "certificate", "sign-on", "traces", "storage", "fal", "fal clock",
    "fal admin key", "fal webhooks", "store", "replicas", "clock", "format", "workers", "lanes", "buying", "alarms",
    "backups",
}  # fmt: skip


def states(found: list[CheckResult]) -> dict[str, str]:
    """The worst state of each check; what is wrong has a remedy."""
    order = ("skipped", "ok", "warning", "fault")
    worst: dict[str, str] = {}
    for result in found:
        assert result.message.endswith((".", "!")), result
        assert bool(result.remedy) == (result.state in {"warning", "fault"}), result
        worst[result.check] = max(worst.get(result.check, "skipped"), result.state, key=order.index)
    return worst


def named(found: list[CheckResult], check: str) -> str:
    """Everything that a check says."""
    return " ".join(f"{one.message} {one.remedy}" for one in found if one.check == check)


async def test_a_healthy_installation_has_no_fault(stack: Stack, tmp_path: Path) -> None:
    """With workers, a storage and a certificate: every check says ok, or that it does not apply."""
    certificates = issue_certificates(tmp_path, days=60)
    environ = {
        **stack.environment,
        "FILMGATE_STORAGE": f"local:{tmp_path / 'clips'}",
        "FILMGATE_TLS_CERT": str(certificates.certificate),
        "FILMGATE_TLS_KEY": str(certificates.key),
    }
    await stack.gateway.migrator.advance(5)
    async with stack.workers(FILMGATE_STORAGE=environ["FILMGATE_STORAGE"]):
        await wait_until(stack.gateway.stores.lanes.idle_s, "a lane has run", interval=0.1)

        async def all_have_reported() -> bool:
            return "storage" in (await stack.gateway.stores.heartbeats.workers()).values()

        await wait_until(all_have_reported, "the storage's worker has reported", interval=0.1)
        found = await examine(environ)
    assert set(states(found)) == CHECKS
    assert [one for one in found if one.state == "fault"] == []
    well = {one.check for one in found if one.state == "ok"}
    assert well >= CHECKS - {"sign-on", "traces", "replicas", "fal webhooks", "fal admin key", "store", "backups"}


async def test_faults_are_named_all_at_once(stack: Stack, tmp_path: Path) -> None:
    """A refused key, an expired certificate, a storage without rights, newer data, no workers, an alarm, a skew."""
    certificates = issue_certificates(tmp_path, days=-1)
    (tmp_path / "file").write_text("no folder")
    redis = stack.gateway.stores.redis
    await redis.hset(keys.DATA_FORMAT, "number", FORMAT + 2)
    await stack.gateway.stores.alarms.raise_alarm("disk_low", "The disk has 1 MB left.")
    await stack.gateway.stores.alerts.note(alerts.Receiver(2, 1_796_000_000_000, "timeout"))
    async with Receiver() as fal:
        fal.answers([Reply(401, {"Date": "Mon, 30 Nov 2020 03:00:00 GMT"})] * 4)
        environ = {
            **stack.environment,
            "FILMGATE_FAL_QUEUE_URL": fal.url,
            "FILMGATE_FAL_API_URL": fal.url,
            "FAL_ADMIN_KEY": "an-admin-key-of-nobody",
            "FILMGATE_STORAGE": f"local:{tmp_path / 'file'}/clips",
            "FILMGATE_TLS_CERT": str(certificates.certificate),
            "FILMGATE_TLS_KEY": str(certificates.key),
            "FILMGATE_ALERT_WEBHOOK": "http://127.0.0.1:1/alarms",
            "FILMGATE_ALERT_FORM": "slack",
            "FILMGATE_DATA_DIR": str(tmp_path / "file"),
        }
        found = await examine(environ)
    faulty = {check for check, state in states(found).items() if state == "fault"}
    assert faulty >= {"fal", "fal clock", "fal admin key", "certificate", "storage", "format", "workers", "alarms"}
    assert "refuses FAL_KEY (401)" in named(found, "fal")
    assert "has expired" in named(found, "certificate")
    assert "start a newer version" in named(found, "format")
    assert "docs/runbook.md#disk_low" in named(found, "alarms")
    assert "FILMGATE_ALERT_WEBHOOK fails since 2026-11-30T00:53:20.000Z: timeout" in named(found, "alarms")
    assert "No worker for the storage" in named(found, "workers")
    assert [one for one in found if one.remedy.startswith(("see docs", "see `"))] == []


@pytest.mark.parametrize(
    ("setting", "value", "check", "words"),
    [
        ("FILMGATE_PORT", "x", "settings", "FILMGATE_PORT"),
        ("FILMGATE_EGRESS_ALLOW", "not a network", "settings", "FILMGATE_EGRESS_ALLOW"),
        ("FILMGATE_PRICES", "/nowhere.json", "prices", "/nowhere.json cannot be read (No such file or directory)"),
        ("FILMGATE_LANS", "1", "settings", "is FILMGATE_LANES meant?"),
        ("FILMGATE_DATA_DIR", "/proc/y", "disk", "a file system of the kernel's (proc)"),
        ("FILMGATE_REDIS_URL", "", "store", "nothing runs in"),
        ("FILMGATE_REDIS_URL", "redis://127.0.0.1:1/0", "store", "is not there yet"),
        ("FILMGATE_FAL_QUEUE_URL", "http://127.0.0.1:1", "fal", "refuses the connection"),
        ("FILMGATE_STORE_REPLICAS", "1", "replicas", "503"),
    ],
)
async def test_each_wrong_setting_is_named(stack: Stack, setting: str, value: str, check: str, words: str) -> None:
    """In the result of the check that it concerns; the others still run."""
    found = await examine({**stack.environment, setting: value})
    assert states(found)[check] == "fault"
    assert words in named(found, check)
    if check != "settings":
        assert states(found)["settings"] != "fault"


async def test_a_setting_of_a_newer_version_is_a_warning_and_any_other_unknown_one_a_fault(stack: Stack) -> None:
    """As at a start, which refuses the second; without the store nobody knows of a newer version."""
    await stack.gateway.stores.setting_names.note("99.0", ["FILMGATE_NEWER"])
    unknown = {"FILMGATE_NEWER": "1", "FILMGATE_NOBODYS": "1"}
    away = {"FILMGATE_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    for more, expected in (({}, ("warning", "fault")), (away, ("fault", "fault"))):
        found = await examine({**stack.environment, **unknown, **more})
        assert (
            tuple(one.state for name in unknown for one in found if one.check == "settings" and name in one.message)
            == expected
        )


@pytest.mark.parametrize(
    ("more", "state", "words"),
    [
        ({}, "ok", "takes spans"),
        ({"OTEL_SDK_DISABLED": "true"}, "skipped", "switched off"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "fault", "http/protobuf is spoken here"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "fault", "write it as http://HOST:4318"),
        ({"OTEL_BSP_SCHEDULE_DELAY": "-1"}, "fault", "correct the OTEL_* variables"),
        ({"OTEL_TRACES_SAMPLER": "some"}, "fault", "set one of always_on"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, "warning", "start it, or correct"),
    ],
)
async def test_what_is_wrong_with_opentelemetry_is_named(
    monkeypatch: pytest.MonkeyPatch, more: Mapping[str, str], state: str, words: str
) -> None:
    """As a start takes it, which says so only in the log; and a real collector, which may be away."""
    async with Receiver() as collector:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **more}
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        found = [one async for one in check_traces(environ)]
    assert states(found) == {"traces": state}
    assert words in named(found, "traces")


async def test_what_hangs_ends_in_time(stack: Stack) -> None:
    """A frozen store and a fal that never answers: faults within the time of a check, and no exception."""
    async with Receiver() as fal:
        fal.answers([Reply(200, delay=60)] * 4)
        stack.redis.freeze()
        began = time.monotonic()
        try:
            found = await examine({**stack.environment, "FILMGATE_FAL_QUEUE_URL": fal.url}, seconds=2)
        finally:
            stack.redis.thaw()
        took = time.monotonic() - began
    worst = states(found)
    assert (worst["fal"], worst["store"], worst["workers"]) == ("fault", "fault", "skipped")
    assert took < 12


async def test_a_check_that_breaks_hides_no_other() -> None:
    """It is a fault of its own."""

    async def broken():  # type: ignore[no-untyped-def]  # noqa: ANN202
        yield ok("one", "It began.")
        raise ZeroDivisionError

    async def fine():  # type: ignore[no-untyped-def]  # noqa: ANN202
        yield ok("two", "It is well.")

    found = await run_checks([("one", broken), ("two", fine)])
    assert [(one.check, one.state) for one in found] == [("one", "ok"), ("one", "fault"), ("two", "ok")]


async def test_the_command_prints_a_line_for_each_and_its_code(store: RedisServer, tmp_path: Path) -> None:
    """Without a store: 1, a table or JSON, nothing on stderr."""
    away: Mapping[str, str] = {
        "FILMGATE_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "FILMGATE_DATA_DIR": str(tmp_path / "data"),
    }
    table, as_json = await asyncio.gather(
        *(run_command("doctor", *more, environment=clean_environment(**away)) for more in ((), ("--json",)))
    )
    assert (table.returncode, table.stderr, as_json.returncode, as_json.stderr) == (1, "", 1, "")
    read = json.loads(as_json.stdout)
    assert "FAL_KEY is not set: the emulator of `filmgate up` sends its own." in table.stdout
    assert read["ok"] is False
    assert {one["check"] for one in read["checks"]} >= CHECKS - {"fal clock", "replicas"}
    for one in read["checks"]:
        assert one["message"] in table.stdout
