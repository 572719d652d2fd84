"""An installation as docker-compose.yml describes it, without a container engine.

Commands, settings, secrets, the store's users and Caddy's file are those of the repository; each program runs as in
its container: its files are read-only but for its volume and its `/tmp`, it has no capability, and gains none.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.processes import Process, free_port
from tests.support.redis_server import engine_under_test
from tests.support.repo import ROOT
from tests.support.stack import EMULATOR_KEY

BIN = ROOT / ".venv" / "bin"
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
WITH_ROOT = ("unshare", "--mount")
UNSHARE = WITH_ROOT if os.geteuid() == 0 else (*WITH_ROOT, "--user", "--map-root-user")
# $1 is its volume, $2 its /tmp; what follows is the program.
CONFINED = """
mount --bind "$1" "$1"
mount -t tmpfs tmpfs "$2"
mount -o remount,bind,ro /
if mountpoint -q /tmp; then mount -o remount,bind,ro /tmp; fi
shift 2
exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all -- "$@"
"""


def composed(**variables: str) -> dict[str, Any]:
    """docker-compose.yml as Docker reads it, with every profile and these variables."""
    command = [str(BIN / "docker-compose"), "--profile", "*", "config", "--format", "json"]
    passed_on = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
    done = subprocess.run(  # noqa: S603  a tool of the project
        command, cwd=ROOT, env={**passed_on, **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def no_mounts() -> str | None:
    """Why nothing can be mounted here; None where it can."""
    command = [*UNSHARE, "setpriv", "--no-new-privs", "--bounding-set=-all", "true"]
    tried = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603  our own words
    return None if tried.returncode == 0 else f"mounts are refused: {tried.stderr.strip()}"


def image_variables() -> dict[str, str]:
    """The image's environment, as its last stage sets it."""
    text = DOCKERFILE.rpartition("\nENV ")[2].partition("\nUSER")[0]
    return dict(re.findall(r"(\w+)=(\S+)", text))


@dataclass
class Composed:
    """The services of the file by name, on ports and in folders of their own; `image` is where it is installed."""

    folder: Path
    image: Path
    more: Mapping[str, str]
    store_port: int = field(default_factory=free_port)
    api_port: int = field(default_factory=free_port)
    tls_port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        """Make the secrets, and read the file."""
        self.url = f"https://localhost:{self.tls_port}"
        self.secrets = self.folder / "secrets"
        variables = {"FILMGATE_PUBLIC_URL": self.url, "CADDY_NETWORK": "127.0.0.0/8"}
        self.services: dict[str, dict[str, Any]] = composed(**variables)["services"]
        self.make_secrets()

    def make_secrets(self) -> str:
        """Run deploy/secrets.sh; its output."""
        words = [str(ROOT / "deploy" / "secrets.sh"), str(self.secrets), f"127.0.0.1:{self.store_port}"]
        env = {"PATH": os.environ["PATH"], "FAL_KEY": EMULATOR_KEY}
        made = subprocess.run(words, env=env, capture_output=True, text=True, check=True)  # noqa: S603  ours
        return made.stdout

    def secret(self, name: str) -> str:
        """What a secret's file has."""
        return (self.secrets / name).read_text("utf-8")

    def store(self) -> Process:
        """The store; a user `test` may also ask what it has refused."""
        users = self.secrets / "store_acl"
        users.chmod(0o600)
        users.write_text(f"{users.read_text('utf-8')}user test on nopass resetkeys -@all +acl|log\n", "utf-8")
        _, *words = map(self._here, self.services["redis"]["command"])
        place = ["--port", str(self.store_port), "--bind", "127.0.0.1", "--dir", str(self._folder("redis"))]
        return self._process("redis", [str(engine_under_test().path), *words, *place], {})

    def role(self, name: str, *command: str) -> Process:
        """A container of Filmgate, with the file's command or another one."""
        return self._process(name, *self._role(name, command))

    def run(self, name: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run `docker compose run NAME COMMAND` to its end."""
        words, environment = self._confined(name, *self._role(name, command))
        folder = self._folder(name)
        return subprocess.run(  # noqa: S603  our own words
            words, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    def _role(self, name: str, command: tuple[str, ...]) -> tuple[list[str], dict[str, str]]:
        service = self.services[name]
        words = [str(self.image / "bin" / "filmgate"), *(command or service["command"])]
        environment = {**image_variables(), **service["environment"]}
        if "FILMGATE_HOST" in environment:
            environment |= {"FILMGATE_HOST": "127.0.0.1", "FILMGATE_PORT": str(self.api_port)}
        environment["FILMGATE_METRICS_PORT"] = str(free_port())  # all of them share this machine's
        environment = {key: self._here(value) for key, value in environment.items()}
        environment["FILMGATE_DATA_DIR"] = str(self._folder(name))
        return words, {**environment, **self.more}

    def caddy(self) -> Process:
        """Caddy in front of the API, at `url`; its authority's certificate is `authority`."""
        environment = {
            **self.services["caddy"]["environment"],
            "CADDY_UPSTREAM": f"127.0.0.1:{self.api_port}",
            "HTTP_PORT": str(free_port()),
            "HTTPS_PORT": str(self.tls_port),
            "XDG_DATA_HOME": str(self._folder("caddy")),
            "XDG_CONFIG_HOME": str(self._folder("caddy")),
        }
        file = ROOT / "deploy" / "Caddyfile"
        return self._process("caddy", [str(BIN / "caddy"), "run", "--config", str(file)], environment)

    def second_host(self) -> Process:
        """Workers of another host, with the store's URL, fal's key, and no other setting of Filmgate."""
        words = ["unshare", "--uts", "sh", "-ec", 'hostname second; exec "$@"', "sh"]
        settings = {"FILMGATE_REDIS_URL": self.secret("store_url_worker"), "FAL_KEY": EMULATOR_KEY}
        command = [*words, str(self.image / "bin" / "filmgate"), "worker"]
        variables = {**settings, **self.more, "PATH": os.environ["PATH"]}
        return Process(command, variables, log=self.folder / "second.log", cwd=self._folder("second"))

    @property
    def authority(self) -> Path:
        """The certificate that callers must trust."""
        return self._folder("caddy") / "caddy/pki/authorities/local/root.crt"

    def log(self, name: str) -> str:
        """What a service has printed."""
        return (self.folder / f"{name}.log").read_text("utf-8")

    def _process(self, name: str, words: list[str], environment: Mapping[str, str]) -> Process:
        confined, variables = self._confined(name, words, environment)
        return Process(confined, variables, log=self.folder / f"{name}.log", cwd=self._folder(name))

    def _confined(
        self, name: str, words: list[str], environment: Mapping[str, str]
    ) -> tuple[list[str], dict[str, str]]:
        temporary = self._folder(f"{name}-tmp")
        confined = [*UNSHARE, "sh", "-ec", CONFINED, "sh", str(self._folder(name)), str(temporary), *words]
        return confined, {**environment, "TMPDIR": str(temporary), "PATH": os.environ["PATH"]}

    def _here(self, value: str) -> str:
        return value.replace("/run/secrets/", f"{self.secrets}/")

    def _folder(self, name: str) -> Path:
        made = self.folder / name
        made.mkdir(mode=0o700, exist_ok=True)
        return made


@contextmanager
def running(*processes: Process) -> Iterator[None]:
    """Start these, and stop them in the opposite order."""
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in reversed(processes):
            process.stop()
