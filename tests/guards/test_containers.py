"""Properties of the image and the compose file."""

import re
import subprocess
from typing import Any

import pytest
from ruamel.yaml import YAML

from app.cli.command import COMMANDS
from app.settings import KNOWN_NAMES, Settings
from tests.support.repo import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
COMPOSE: dict[str, dict[str, Any]] = YAML(typ="safe").load(ROOT / "docker-compose.yml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ["api", "worker", "admin", "demo"]
PINNED = re.compile(r"[a-z0-9./-]+:[\w.-]+@sha256:[0-9a-f]{64}")
BYTES = {"m": 1 << 20, "mb": 1 << 20, "Mi": 1 << 20, "g": 1 << 30, "gb": 1 << 30, "Gi": 1 << 30}


def in_bytes(size: str) -> int:
    """A size as Redis, Docker and Kubernetes write it; of a variable, its default."""
    number, unit = re.fullmatch(r"(?:\$\{\w+:-)?(\d+)(\w+)\}?", size).groups()  # type: ignore[union-attr]
    return int(number) * BYTES[unit]


def flag(words: list[str], name: str) -> str:
    """The value of a flag in a command."""
    return words[words.index(name) + 1]


def image_has(pattern: str) -> str:
    """What the last stage of the Dockerfile says last about something."""
    return str(re.findall(pattern, DOCKERFILE.rpartition("\nFROM ")[2], re.MULTILINE)[-1])


def test_the_image_runs_as_a_user_without_rights() -> None:
    """The last stage ends as uid 10001, by number, so that Kubernetes can verify it."""
    assert image_has(r"^USER (.+)$") == "10001:10001"


def test_every_base_is_one_exact_image() -> None:
    """By digest, with its tag, whose newest digest deploy/pin_images.sh asks for; ours are built here."""
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"${BASE}"}
    images = [s["image"] for name, s in SERVICES.items() if name not in OURS]
    images += re.findall(r"^ARG BASE=(.+)$", DOCKERFILE, re.MULTILINE)
    assert [image for image in images if not PINNED.fullmatch(image)] == []
    assert all("build" in SERVICES[name] for name in OURS)


def test_docker_reads_the_compose_file() -> None:
    """With every profile; a variable that has no default would be a warning."""
    command = [str(ROOT / ".venv/bin/docker-compose"), "--profile", "*", "config", "--quiet"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603  our tool
    assert (done.returncode, done.stderr) == (0, "")


def test_each_role_is_asked_what_it_can_answer() -> None:
    """The image's own check asks the API as it listens, also with TLS; workers have their own, a command none."""
    assert 'CMD ["filmgate", "alive"]' in DOCKERFILE.split("HEALTHCHECK")[1]
    assert SERVICES["worker"]["healthcheck"]["test"] == ["CMD", "filmgate", "ready", "worker"]
    assert SERVICES["admin"]["healthcheck"] == {"disable": True}


def test_every_command_and_setting_exists() -> None:
    """The commands are `filmgate`'s, and no environment has a name that a start refuses."""
    assert {SERVICES[name]["command"][0] for name in OURS} <= set(COMMANDS)
    named = {key for name in OURS for key in SERVICES[name].get("environment", {})}
    assert named - KNOWN_NAMES == set()


def test_ports_and_folders_are_those_of_the_image() -> None:
    """The API's port, where it is published and where Caddy looks for it; the volume of each role."""
    port, folder = image_has(r"^EXPOSE (\d+)"), image_has(r"FILMGATE_DATA_DIR=(\S+)")
    assert int(port) == Settings.model_fields["port"].default
    assert SERVICES["api"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"CADDY_UPSTREAM:api:{port}" in (ROOT / "deploy" / "Caddyfile").read_text("utf-8")
    assert all(SERVICES[name]["volumes"][0].partition(":")[2] == folder for name in OURS)


def test_the_store_keeps_what_it_acknowledged() -> None:
    """Redis syncs every write, evicts nothing, and keeps its files in a volume."""
    command = " ".join(SERVICES["redis"]["command"])
    for words in ("--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction"):
        assert words in command
    assert SERVICES["redis"]["volumes"] == ["redis:/data"]


def test_the_store_has_users_and_less_memory_than_its_limit() -> None:
    """It is full before the kernel kills it; its network alone gives no access."""
    redis = SERVICES["redis"]
    assert flag(redis["command"], "--aclfile") == "/run/secrets/store_acl"
    assert redis["secrets"] == ["store_acl"]
    assert 2 * in_bytes(flag(redis["command"], "--maxmemory")) <= in_bytes(redis["mem_limit"])


def test_the_store_is_not_published() -> None:
    """Redis has no published port, and only the network without internet."""
    assert "ports" not in SERVICES["redis"]
    assert SERVICES["redis"]["networks"] == ["store"]
    assert COMPOSE["networks"]["store"] == {"internal": True}


def confined(service: dict[str, Any]) -> bool:
    """True when it cannot write to its image, gain a capability, or use a host up."""
    return (
        service["read_only"] is True
        and service["cap_drop"] == ["ALL"]
        and service["security_opt"] == ["no-new-privileges:true"]
        and service["pids_limit"] > 0
        and in_bytes(service["mem_limit"]) > 0
        and service["cpus"] > 0
    )


def cuts_its_log(service: dict[str, Any]) -> bool:
    """True when Docker keeps a few files of the log, each of a limited size."""
    logging = service["logging"]
    size, files = logging["options"]["max-size"], int(logging["options"]["max-file"])
    return logging["driver"] == "json-file" and bool(re.fullmatch(r"[0-9]+m", size)) and files > 1


def keeps_secrets_in_files(service: dict[str, Any]) -> bool:
    """True when no key is in the environment, and each *_FILE names a secret of that service."""
    environment: dict[str, str] = service["environment"]
    files = {value for key, value in environment.items() if key.endswith("_FILE")}
    plain = [key for key in environment if re.search(r"KEY$|SECRET$|REDIS_URL$", key)]
    return not plain and files == {f"/run/secrets/{secret}" for secret in service.get("secrets", [])}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_is_confined(name: str) -> None:
    """It cannot write to its image, gain a capability, or take all memory, processors or disk of the host."""
    assert confined(SERVICES[name])
    assert cuts_its_log(SERVICES[name])
    assert SERVICES[name].get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "caddy" else [])


def test_secrets_arrive_as_files() -> None:
    """No key is in the environment; each *_FILE names a secret of that service, which deploy/secrets.sh makes."""
    assert [name for name in OURS if not keeps_secrets_in_files(SERVICES[name])] == []
    script = (ROOT / "deploy" / "secrets.sh").read_text("utf-8")
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"./.filmgate/secrets/{name}"}
        assert name.replace("store_url_api", "store_url_$role").rpartition("_url_")[0] in script


def test_each_role_has_only_its_own_user_of_the_store() -> None:
    """The administrator's key is the API's alone."""
    urls = {name: [s for s in SERVICES[name].get("secrets", []) if s.startswith("store_")] for name in SERVICES}
    assert {name: found for name, found in urls.items() if found} == {
        "redis": ["store_acl"],
        **{name: [f"store_url_{name}"] for name in ("api", "worker", "admin")},
    }
    assert [name for name in SERVICES if "admin_key" in SERVICES[name].get("secrets", [])] == ["api"]


def test_a_worker_may_finish_its_submission() -> None:
    """A worker has a minute between the signal and the kill."""
    assert SERVICES["worker"]["stop_grace_period"] == "60s"
