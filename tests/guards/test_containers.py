"""Properties of the image and the compose file."""

import re
from typing import Any

from ruamel.yaml import YAML

from tests.support.repo import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
SERVICES: dict[str, dict[str, Any]] = YAML(typ="safe").load(ROOT / "docker-compose.yml")["services"]
OURS = ["api", "worker", "demo"]


def test_the_image_runs_as_a_user_without_rights() -> None:
    """The last stage ends as uid 10001, by number, so that Kubernetes can verify it."""
    last = DOCKERFILE.split("\nFROM ")[-1]
    assert re.findall(r"^USER (.+)$", last, re.MULTILINE)[-1] == "10001:10001"


def test_every_base_is_pinned() -> None:
    """Each image has a tag or a digest, and none is `latest`."""
    images = [*re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE), *(s["image"] for s in SERVICES.values())]
    assert all(re.search(r"[:@](?!latest$).+", image) for image in images), images


def test_the_image_asks_for_its_own_health() -> None:
    """The health check uses the standard library on /livez; the roles without a port switch it off."""
    assert "http.client" in DOCKERFILE.split("HEALTHCHECK")[1]
    assert "/livez" in DOCKERFILE.split("HEALTHCHECK")[1]
    assert SERVICES["worker"]["healthcheck"] == {"disable": True}


def test_the_store_keeps_what_it_acknowledged() -> None:
    """Redis syncs every write, evicts nothing, and keeps its files in a volume."""
    command = " ".join(SERVICES["redis"]["command"])
    for flag in ("--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction"):
        assert flag in command
    assert SERVICES["redis"]["volumes"] == ["redis:/data"]


def test_the_store_has_a_password_and_less_memory_than_its_limit() -> None:
    """It is full before the kernel kills it; its network alone gives no access."""
    redis = SERVICES["redis"]
    assert redis["command"][1] == "/run/secrets/redis_conf"
    assert redis["secrets"] == ["redis_conf"]
    most = redis["command"][redis["command"].index("--maxmemory") + 1]
    assert (most, redis["mem_limit"]) == ("${REDIS_MAXMEMORY:-1gb}", "${REDIS_MEMORY:-2g}")


def test_the_store_is_not_published() -> None:
    """Redis has no published port, and only the network without internet."""
    assert "ports" not in SERVICES["redis"]
    assert SERVICES["redis"]["networks"] == ["store"]


def confined(service: dict[str, Any]) -> bool:
    """True when it cannot write to its image, gain a capability, or fork without a limit."""
    return (
        service["read_only"] is True
        and service["cap_drop"] == ["ALL"]
        and service["security_opt"] == ["no-new-privileges:true"]
        and service["pids_limit"] > 0
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
    plain = [key for key in environment if re.search(r"KEY$|SECRET$", key)]
    return not plain and files == {f"/run/secrets/{secret}" for secret in service.get("secrets", [])}


def test_every_service_is_confined() -> None:
    """No service can write to its image, gain a capability, or fork without a limit."""
    assert [name for name, service in SERVICES.items() if not confined(service)] == []


def test_no_log_grows_without_end() -> None:
    """Docker keeps five files of each container's log, each of a limited size."""
    assert [name for name, service in SERVICES.items() if not cuts_its_log(service)] == []


def test_secrets_arrive_as_files() -> None:
    """No key is in the environment; each *_FILE names a secret of that service."""
    assert [name for name in OURS if not keeps_secrets_in_files(SERVICES[name])] == []


def test_the_api_can_keep_parts_of_uploads() -> None:
    """Its data directory is a volume: its root is read-only."""
    directory = re.findall(r"FILMGATE_DATA_DIR=(\S+)", DOCKERFILE)[-1]
    assert [volume.partition(":")[2] for volume in SERVICES["api"]["volumes"]] == [directory]


def test_a_worker_may_finish_its_submission() -> None:
    """A worker has a minute between the signal and the kill."""
    assert SERVICES["worker"]["stop_grace_period"] == "60s"
