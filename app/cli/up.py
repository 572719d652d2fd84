"""`filmgate up`: store, emulator, API and workers as children of one process."""

import asyncio
import errno
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
from pydantic import SecretStr
from rich.console import Console

from app.children import Restarts, die_with_parent, result_of
from app.cli.banner import BannerFacts, print_banner
from app.cli.exits import Failure
from app.cli.housekeeping import Housekeeping
from app.cli.preflight import check_tls, warnings
from app.cli.progress import StartProgress, WorkersLog, describe_missing
from app.data_dir import DataDirLock, make_private
from app.domain.ports import LAST_PORT
from app.embedded import EmbeddedStore
from app.engines import EmbeddedError, find_engine
from app.settings import SECRETS, Settings, SettingsError, load_settings

READY_S = 60.0
GRACE_S = {"api": 25.0, "worker": 35.0, "emulator": 5.0}
DRAIN = "FILMGATE_DRAIN_SECONDS"
CHECK_S = 0.25
EMULATOR_KEY_BYTES = 16
LOOPBACK = "127.0.0.1"
WILDCARDS = ("0.0.0.0", "::")  # noqa: S104  names, not a decision to listen


@dataclass
class UpChild:
    """One child process, with its command and its log."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    restarts: Restarts = field(default_factory=Restarts)

    def start(self) -> None:
        """Start it in another process group: Ctrl-C reaches only the parent, which stops all in order."""
        self.restarts.started()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603  our own programs
                self.command,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
                preexec_fn=die_with_parent(),  # noqa: PLW1509  one thread only, and one system call
            )

    def died(self) -> int | None:
        """The exit status of a process that has ended, else None."""
        return None if self.process is None else self.process.poll()

    def stop(self, grace: float) -> None:
        """SIGTERM, wait, then SIGKILL."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(grace)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def log_tail(self) -> str:
        """The last lines of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-8:])


def up() -> None:
    """Start store, emulator (without FAL_KEY), API and workers; Ctrl-C stops them.

    Settings are environment variables, each described in docs/settings.md, such as FAL_KEY, FILMGATE_PORT,
    FILMGATE_DATA_DIR and FILMGATE_ADMIN_KEY. `filmgate logs --follow` shows what happens.
    """
    settings = load_settings(os.environ, keep_unknown=True)
    console = Console(stderr=True)
    check_tls(settings)
    for sentence in warnings(settings):
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)
    stop = _stop_flag()
    progress = StartProgress(partial(_say, console))
    with ExitStack() as stack:
        stack.enter_context(DataDirLock(settings.data_dir, settings.base_url))
        _refuse_used_ports(settings)
        store_name = "the one FILMGATE_REDIS_URL names"
        store: EmbeddedStore | None = None
        if settings.redis_url is None:
            store = EmbeddedStore(settings.data_dir, on_wait=progress.report)
            stack.callback(store.stop)
            settings = settings.model_copy(update={"redis_url": SecretStr(store.start())})
            store_name = f"{find_engine().name}, data in {settings.data_dir}"
        emulated = settings.fal_key is None
        if emulated:
            settings = _with_emulator(settings)
        key, code = _prepare(settings, progress)
        children = _children(settings, emulated=emulated)
        stack.callback(_stop_all, children)
        if settings.tls_cert is not None and not sys.stderr.isatty():
            signal.signal(signal.SIGHUP, lambda *_: _reload_certificate(children))
        workers_log = WorkersLog(settings.data_dir / "logs" / "worker.log")
        url = settings.redis_url.get_secret_value() if store is not None and settings.redis_url else None
        housekeeping = Housekeeping(settings.data_dir, [child.log for child in children], store_url=url)
        housekeeping.rotate_logs()
        for child in children:
            child.start()
        _wait_ready(settings, children, housekeeping, stop, progress, workers_log)
        if not stop():
            facts = BannerFacts(settings=settings, key=key, code=code, store=store_name, emulated=emulated)
            print_banner(console, facts)
            _watch(children, store, housekeeping, stop, console)
        console.print("Stopping …")
    console.print("Stopped.")


def _stop_flag() -> Callable[[], bool]:
    """A function that returns whether SIGINT or SIGTERM has arrived."""
    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    signal.signal(signal.SIGINT, note)
    signal.signal(signal.SIGTERM, note)
    return lambda: bool(received)


def _refuse_used_ports(settings: Settings) -> None:
    """Try every address that a child will listen on, so that a fault is reported before anything starts."""
    listeners = [(settings.host, settings.port, "FILMGATE_PORT", "")]
    if settings.fal_key is None:
        listeners.append((_emulator_host(settings), settings.port + 1, "FILMGATE_PORT", "the emulator's"))
    if settings.metrics_port is not None:
        name = "FILMGATE_METRICS_PORT"
        listeners.append((settings.host, settings.metrics_port, name, ""))
        listeners.append((settings.host, settings.metrics_port + 1, name, "the workers'"))
    ports: set[int] = set()
    for host, port, setting, user in listeners:
        if port > LAST_PORT:
            raise SettingsError(f"{setting} must be below {LAST_PORT}: the port after it is {user}.")
        if port in ports:
            raise SettingsError(f"{setting}: port {port} has another use already; the port after each is used too.")
        ports.add(port)
        _refuse_used_port(host, port, setting, f"{user} port, {setting} + 1" if user else setting)


def _refuse_used_port(host: str, port: int, setting: str, what: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Failure(f"Port {port} is taken ({what}); set {setting} to a free one.") from None
            where = f"this machine cannot listen on {host}, port {port}"
            raise SettingsError(f"FILMGATE_HOST, {setting}: {where} ({error.strerror}).") from None


def _emulator_host(settings: Settings) -> str:
    """The emulator's address: every one if the gateway listens on all (containers), else loopback."""
    return settings.host if settings.host in WILDCARDS else LOOPBACK


def _with_emulator(settings: Settings) -> Settings:
    """The settings of a gateway whose fal is the emulator."""
    url = f"http://{LOOPBACK}:{settings.port + 1}"
    changes = {
        "fal_queue_url": url,
        "fal_rest_url": url,
        "fal_api_url": url,
        "fal_admin_key": SecretStr(secrets.token_hex(EMULATOR_KEY_BYTES)),
        "fal_key": SecretStr(secrets.token_hex(EMULATOR_KEY_BYTES)),
    }
    return settings.model_copy(update=changes)


def _environment(settings: Settings) -> dict[str, str]:
    """Our environment with the settings made here; secrets are passed in no other way."""
    files = {f"{name}_FILE" for name in SECRETS}  # already read; together with the value they would be refused
    environment = {name: value for name, value in os.environ.items() if name not in files}
    decided = {
        "FILMGATE_REDIS_URL": settings.redis_url.get_secret_value() if settings.redis_url else "",
        "FAL_KEY": settings.fal_key.get_secret_value() if settings.fal_key else "",
        "FILMGATE_FAL_QUEUE_URL": settings.fal_queue_url,
        "FILMGATE_FAL_REST_URL": settings.fal_rest_url,
        "FAL_ADMIN_KEY": settings.fal_admin_key.get_secret_value() if settings.fal_admin_key else "",
        "FILMGATE_ADMIN_KEY": settings.admin_key.get_secret_value() if settings.admin_key else "",
        "FILMGATE_FAL_API_URL": settings.fal_api_url,
    }
    drain = os.environ.get(DRAIN) or "0"  # usually no balancer is in front of it
    return environment | decided | {DRAIN: drain}


def _children(settings: Settings, *, emulated: bool) -> list[UpChild]:
    logs = settings.data_dir / "logs"
    make_private(logs)
    environment = _environment(settings)
    python = [sys.executable, "-m"]
    commands = {"worker": [*python, "workers"], "api": [*python, "app.cli", "serve"]}
    if emulated and settings.fal_admin_key is not None:
        environment["EMULATOR_ADMIN_KEYS"] = settings.fal_admin_key.get_secret_value()  # not in the process list
        where = ["--host", _emulator_host(settings), "--port", str(settings.port + 1)]
        state = ["--state-file", str(settings.data_dir / "emulator.jsonl")]
        commands = {"emulator": [*python, "app.emulator", *where, *state], **commands}
    of_workers = {}
    if settings.metrics_port is not None:
        of_workers["FILMGATE_METRICS_PORT"] = str(settings.metrics_port + 1)  # the API has the port itself
    return [
        UpChild(name, command, environment | (of_workers if name == "worker" else {}), logs / f"{name}.log")
        for name, command in commands.items()
    ]


def _reload_certificate(children: list[UpChild]) -> None:
    """SIGHUP is for the API."""
    for child in children:
        if child.name == "api" and child.process is not None:
            child.process.send_signal(signal.SIGHUP)


def _stop_all(children: list[UpChild]) -> None:
    """The API first, so that no new jobs arrive; the emulator last, because workers call it."""
    for child in reversed(children):
        child.stop(GRACE_S[child.name] + float(child.environment[DRAIN]))


def _wait_ready(
    settings: Settings,
    children: list[UpChild],
    housekeeping: Housekeeping,
    stop: Callable[[], bool],
    progress: StartProgress,
    workers_log: WorkersLog,
) -> None:
    """Wait until `/readyz` reports the store and all workers, and report what is missing."""
    end = time.monotonic() + READY_S
    url = f"{settings.model_copy(update={'public_url': None}).base_url}/readyz"
    while not stop():
        for child in children:
            status = child.died()
            if status is not None:
                raise Failure(
                    f"The {child.name} ended with {status} at its start. Its log ends:\n{child.log_tail()}"
                )
        why = workers_log.startup_failure()
        if why is not None:
            raise Failure(f"The workers end as soon as they are started: {why} (see {children[0].log.parent}).")
        ready = _ask(url)
        if ready is not None and ready.get("status") == "ready" and not ready.get("workers_missing"):
            return
        what = housekeeping.check() or describe_missing(ready)
        progress.report(what)
        if time.monotonic() > end:
            logs = children[0].log.parent
            raise Failure(f"The gateway was not ready after {READY_S:.0f} s: it waited for {what}; see {logs}.")
        time.sleep(CHECK_S)  # noqa: TID251  a supervisor without a loop


def _ask(url: str) -> Any:
    """The reply of `/readyz`; None without one."""
    try:
        return httpx.get(url, timeout=2, verify=False, trust_env=False).json()  # noqa: S501  our own child
    except (httpx.HTTPError, ValueError):
        return None


def _watch(
    children: list[UpChild],
    store: EmbeddedStore | None,
    housekeeping: Housekeeping,
    stop: Callable[[], bool],
    console: Console,
) -> None:
    """Restart dead processes, with a growing pause, and do the housekeeping, until a signal."""
    of_store = Restarts()
    of_store.started()
    while not stop():
        if store is not None and not store.alive() and of_store.due:
            _restart_store(store, of_store, console)
        for child in children:
            _restart_if_dead(child, console)
        fault = housekeeping.check()
        if fault is not None:
            _say(console, fault)
        time.sleep(CHECK_S)  # noqa: TID251  a supervisor without a loop


def _restart_store(store: EmbeddedStore, restarts: Restarts, console: Console) -> None:
    """Start it again. On a full disk it ends at its next write; with room again, all goes on."""
    restarts.died()
    _say(console, "The store died; starting it again.")
    restarts.started()
    try:
        store.start()
    except OSError as error:
        _say(console, f"The store cannot be started ({error.strerror}); it is tried again.")
    except EmbeddedError as error:
        _say(console, f"{error} It is tried again.")


def _say(console: Console, sentence: str) -> None:
    """Print it. A full disk, where the output may be too, ends no gateway."""
    with suppress(OSError):
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _restart_if_dead(child: UpChild, console: Console) -> None:
    status = child.died()
    if status is not None:
        child.restarts.died()
        child.process = None
        _say(console, f"The {child.name} died (exit {status}); starting it again. Its log: {child.log}")
    if child.process is None and child.restarts.due:
        child.start()


def _prepare(settings: Settings, progress: StartProgress) -> tuple[str, str]:
    """Check the store, and return this machine's key, and a code that signs a browser in with it, once.

    A copy of this process does it: the gateway takes 35 MB, which are not needed while the children run.
    """

    def prepare() -> tuple[str, str]:
        from app.cli.installation import prepare_installation  # noqa: PLC0415  only in the copy

        return asyncio.run(prepare_installation(settings, patience=READY_S, on_wait=progress.report))

    return result_of(prepare, name="preparing")
