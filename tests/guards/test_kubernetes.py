"""The manifests of deploy/kubernetes, as `kubectl apply -k` renders them: valid, confined, and in agreement."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it has none
import pytest
from ruamel.yaml import YAML

from app.cli.command import COMMANDS
from app.settings import KNOWN_NAMES
from tests.guards.openapi_document import drawn
from tests.guards.test_containers import SERVICES, flag, image_has, in_bytes
from tests.support.repo import ROOT

Manifest = dict[str, Any]
FOLDER = ROOT / "deploy" / "kubernetes"
COMPONENTS = ("ingress", "own-store", "large", "autoscaling")
RELEASES = ("1.29", "1.37")  # the oldest and the newest that the schemas were checked for
DATA = image_has(r"FILMGATE_DATA_DIR=(\S+)")

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


def render(folder: Path, components: tuple[str, ...]) -> list[Manifest]:
    """What `kubectl apply -k` would apply, with these components."""
    file = folder / "kustomization.yaml"
    wanted = f"components: [{', '.join(components)}]"
    text = (FOLDER / file.name).read_text("utf-8")
    file.write_text(re.sub("^components: .*$", wanted, text, flags=re.MULTILINE), "utf-8")
    command = ["kubectl", "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  a tool
    assert done.returncode == 0, done.stderr
    return list(YAML(typ="safe").load_all(done.stdout))


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Manifest]]:
    """The manifests by the components that are added: none, each, and three together."""
    folder = tmp_path_factory.mktemp("manifests") / "kubernetes"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("secrets"))
    words = [str(ROOT / "deploy" / "secrets.sh"), str(folder / "secrets"), "store.filmgate.svc:6379"]
    env = {"PATH": os.environ["PATH"], "FAL_KEY": "a:key"}
    subprocess.run(words, env=env, check=True, capture_output=True)  # noqa: S603  ours
    chosen = [(), *((one,) for one in COMPONENTS), ("ingress", "large", "autoscaling")]
    return {"+".join(components): render(folder, components) for components in chosen}


@pytest.fixture
def plain(rendered: dict[str, list[Manifest]]) -> list[Manifest]:
    """The manifests without a component."""
    return rendered[""]


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Name and template of each pod."""
    for manifest in manifests:
        if template := manifest.get("spec", {}).get("template"):
            yield manifest["metadata"]["name"], template


def of_kind(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    """Those of one kind, by name."""
    return {found["metadata"]["name"]: found for found in manifests if found["kind"] == kind}


def container(template: Manifest) -> Manifest:
    """The only container of a pod."""
    (only,) = template["spec"]["containers"]
    return dict(only)


def test_kubernetes_accepts_every_manifest(rendered: dict[str, list[Manifest]]) -> None:
    """By the schemas of the oldest and the newest release; an unknown member is an error."""
    every = {repr(manifest): manifest for manifests in rendered.values() for manifest in manifests}
    for manifest in every.values():
        for release in RELEASES:
            kubernetes_validate.validate(manifest, release, strict=True)
        assert manifest["kind"] == "Namespace" or manifest["metadata"]["namespace"] == "filmgate"


def test_a_component_does_what_it_says(rendered: dict[str, list[Manifest]]) -> None:
    """`own-store` takes the store away, `large` makes more pods, the others add their manifests."""
    assert "store" not in {name for name, _ in pods(rendered["own-store"])}
    few, many = (of_kind(rendered[name], "StatefulSet")["worker"]["spec"] for name in ("", "large"))
    assert many["replicas"] > few["replicas"]
    sizes = [{e["name"]: e.get("value") for e in container(s["template"])["env"]} for s in (few, many)]
    grown = {name for name in sizes[0] if sizes[0][name] != sizes[1][name]}
    assert grown == {"FILMGATE_LANES", "FILMGATE_WORKERS", "FILMGATE_DELIVERERS"}
    assert set(of_kind(rendered["ingress"], "Ingress")) == {"api"}
    assert set(of_kind(rendered["autoscaling"], "HorizontalPodAutoscaler")) == {"api", "worker"}


def test_the_number_of_pods_is_the_autoscaler_s_where_there_is_one(rendered: dict[str, list[Manifest]]) -> None:
    """A manifest that says one would set it back at every apply; the listed order of components works."""
    for components, manifests in rendered.items():
        scaled = {
            (found["spec"]["scaleTargetRef"]["kind"], found["spec"]["scaleTargetRef"]["name"])
            for found in of_kind(manifests, "HorizontalPodAutoscaler").values()
        }
        said = {(m["kind"], m["metadata"]["name"]) for m in manifests if "replicas" in m.get("spec", {})}
        assert not scaled & said, components
        assert scaled or said >= {("Deployment", "api"), ("StatefulSet", "worker")}
    listed = re.findall("^#  - ([a-z-]+) #", (FOLDER / "kustomization.yaml").read_text("utf-8"), flags=re.MULTILINE)
    assert tuple(listed) == COMPONENTS


def test_every_pod_is_confined(rendered: dict[str, list[Manifest]]) -> None:
    """No root, no capability, no token, no writable image, no variables of other Services, and limited memory."""
    for name, template in [pod for manifests in rendered.values() for pod in pods(manifests)]:
        spec, only = template["spec"], container(template)
        assert spec["automountServiceAccountToken"] is spec["enableServiceLinks"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        rights = only["securityContext"]
        assert rights["readOnlyRootFilesystem"] is not rights["allowPrivilegeEscalation"] is False, name
        assert rights["capabilities"] == {"drop": ["ALL"]}, name
        assert in_bytes(only["resources"]["limits"]["memory"]) >= in_bytes(only["resources"]["requests"]["memory"])
        assert "cpu" in only["resources"]["requests"], name


def test_users_ports_and_folders_are_those_of_the_image(plain: list[Manifest]) -> None:
    """Our pods run as its user, write to its folder and /tmp, and listen on its port."""
    uid, gid = map(int, image_has(r"^USER (\d+:\d+)").split(":"))
    for name, template in pods(plain):
        only, spec = container(template), template["spec"]
        if name == "store":
            continue
        assert (spec["securityContext"]["runAsUser"], spec["securityContext"]["runAsGroup"]) == (uid, gid)
        assert {m["mountPath"] for m in only["volumeMounts"] if not m.get("readOnly")} == {DATA, "/tmp"}  # noqa: S108
        assert [port["containerPort"] for port in only.get("ports", []) if port["name"] == "http"] == (
            [int(image_has(r"^EXPOSE (\d+)"))] if name == "api" else []
        )


def test_commands_settings_and_probes_exist(plain: list[Manifest]) -> None:
    """Of `filmgate`, of its settings, of the API's routes; each `*_FILE` is in the pod's own Secret."""
    settings = of_kind(plain, "ConfigMap")
    (common,) = (found["data"] for found in settings.values())
    secrets = {name: set(found["data"]) for name, found in of_kind(plain, "Secret").items()}
    for name, template in pods(plain):
        only = container(template)
        if name == "store":
            continue
        assert only["args"][0] in COMMANDS, name
        given = {e["name"]: e["value"] for e in only["env"]}
        assert {*given, *common} - KNOWN_NAMES == set(), name
        (secret,) = (v["secret"]["secretName"] for v in template["spec"]["volumes"] if "secret" in v)
        files = {value for key, value in given.items() if key.endswith("_FILE")}
        assert files == {f"/run/secrets/{key}" for key in secrets[secret]}, name
        for probe in (only.get(f"{kind}Probe") for kind in ("startup", "liveness", "readiness")):
            if probe and "exec" in probe:
                assert probe["exec"]["command"][0] == "filmgate"
                assert probe["exec"]["command"][1] in COMMANDS
            elif probe:
                assert probe["httpGet"]["path"] in drawn()["paths"]


def test_selectors_find_their_pods(rendered: dict[str, list[Manifest]]) -> None:
    """Of Services, disruption budgets and network policies; named ports exist."""
    for manifests in rendered.values():
        labels = {name: template["metadata"]["labels"] for name, template in pods(manifests)}
        ports = {p["name"] for _, t in pods(manifests) for p in container(t).get("ports", [])}
        for manifest in manifests:
            selector = manifest["spec"].get("selector", {}) if "spec" in manifest else {}
            wanted = selector.get("matchLabels", selector)
            matching = [name for name, found in labels.items() if wanted.items() <= found.items()]
            assert matching, (manifest["kind"], manifest["metadata"]["name"])
        for service in of_kind(manifests, "Service").values():
            assert {port["targetPort"] for port in service["spec"].get("ports", [])} <= ports


def test_the_store_is_the_one_of_the_compose_file(plain: list[Manifest]) -> None:
    """The same image and the same flags but for its size; full before the kernel kills it."""
    only = container(dict(pods(plain))["store"])
    assert only["image"] == SERVICES["redis"]["image"]
    size = flag(only["args"], "--maxmemory")
    composed = [word for word in SERVICES["redis"]["command"] if not word.startswith("${")]
    assert [word for word in only["args"] if word != size] == composed
    assert 2 * in_bytes(size) <= in_bytes(only["resources"]["limits"]["memory"])


def test_only_the_store_s_clients_reach_it(plain: list[Manifest]) -> None:
    """Everything is closed first; the store opens its port to the pods with the label, which it has not itself."""
    policies = {name: found["spec"] for name, found in of_kind(plain, "NetworkPolicy").items()}
    assert policies["nothing"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    (rule,) = policies["store"]["ingress"]
    (wanted,) = (found["podSelector"]["matchLabels"] for found in rule["from"])
    clients = {name for name, t in pods(plain) if wanted.items() <= t["metadata"]["labels"].items()}
    assert clients == {"api", "worker", "migrate"}
