"""fal's own clients as a customer runs them: in a separate program, configured only by its environment."""

import asyncio
import json
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from app.children import die_with_parent
from app.domain.accounts import Reposts
from app.domain.fal_targets import HOSTS
from app.domain.limits import Limit, Unit, Window
from app.gateway import Gateway, open_gateway
from app.settings import load_settings
from app.tasks import cancel_and_wait
from app.tls import trusted_roots
from tests.support.accounts import new_account
from tests.support.emulator import Emulator
from tests.support.installation import Installation
from tests.support.node import find_node, install_packages
from tests.support.repo import ROOT
from tests.support.tcp_proxy import TlsProxy
from tests.support.tls import Certificates
from tests.support.waiting import wait_until

KLING = "fal-ai/kling-video/v2/master/image-to-video"
OLD_CLIENT = "fal-client-0"  # fal-client 0.13; `./dev test` installs it and earlier ones in .bootstrap
FAL_NAMES = sorted(host.decode() for host in HOSTS)
OPEN_ID_LABEL, OPEN_ID_TEAM = "Studio accounts", "Film"
OLD_HOST = "videos.test"
OLD_NAMES = [OLD_HOST, f"queue.{OLD_HOST}"]
PROGRAM_SECONDS = 60
HURRY = 10_000  # times real time
WATCHED = "run:600"  # until `Customers.watch` or `haste` ends it
PASSED_ON = ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR")  # the variables of this process that a program needs


def picture(colour: str = "teal") -> bytes:
    """A JPEG that Kling accepts; the same bytes for the same colour."""
    file = BytesIO()
    Image.new("RGB", (480, 320), colour).save(file, "JPEG")
    return file.getvalue()


@dataclass(frozen=True, slots=True)
class Ended:
    """What a program did: the JSON lines it printed, its exit code, and how long it ran."""

    lines: list[dict[str, Any]]
    code: int
    errors: str
    seconds: float
    output: str

    @property
    def outcome(self) -> Any:
        """Its result or its error."""
        assert self.code == 0, f"exit code {self.code}: {self.errors[-3000:]}"
        found = [line["outcome"] for line in self.lines if "outcome" in line]
        assert len(found) == 1, f"{self.lines}: {self.errors[-3000:]}"
        return found[0]

    @property
    def result(self) -> Any:
        """The result in its outcome, which must be no error."""
        assert "result" in self.outcome, self.outcome
        return self.outcome["result"]

    @property
    def updates(self) -> list[dict[str, Any]]:
        """Every queue update that it received: `status`, `position`, `logs`."""
        return [line["update"] for line in self.lines if "update" in line]

    @property
    def lasted(self) -> float:
        """Seconds between its outcome and its end: how long the interpreter took to exit."""
        at: float = next(line["at"] for line in self.lines if "outcome" in line)
        return self.seconds - at


@dataclass
class Program:
    """A running program; every JSON line that it prints is kept, with `at`: seconds since its start."""

    process: asyncio.subprocess.Process
    started: float = field(default_factory=time.monotonic)
    lines: list[dict[str, Any]] = field(default_factory=list)
    output: str = ""

    async def until(self, name: str) -> dict[str, Any]:
        """The next line with this member."""
        async with asyncio.timeout(PROGRAM_SECONDS):
            while (line := await self._line()) is not None:
                if name in line:
                    return line
        raise AssertionError(f"it ended without {name!r}: {self.lines} {await self._errors()}")

    async def ended(self) -> Ended:
        """Wait for its end."""
        async with asyncio.timeout(PROGRAM_SECONDS):
            while await self._line() is not None:
                pass
            errors = await self._errors()
            code = await self.process.wait()
        return Ended(self.lines, code, errors, time.monotonic() - self.started, self.output)

    async def _line(self) -> dict[str, Any] | None:
        assert self.process.stdout is not None
        while text := await self.process.stdout.readline():
            self.output += text.decode(errors="replace")
            if text.startswith(b"{"):
                line = {"at": time.monotonic() - self.started, **json.loads(text)}
                self.lines.append(line)
                return line
        return None

    async def _errors(self) -> str:
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode(errors="replace")


@asynccontextmanager
async def running(*argv: str, environment: Mapping[str, str], cwd: Path = ROOT) -> AsyncIterator[Program]:
    """Run a program with only this environment; it is stopped at the end of the block."""
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=cwd,
        env={**passed_on, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=2**20,
        preexec_fn=die_with_parent(),
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@dataclass(frozen=True)
class Leisure:
    """Starts and finishes a clip on command, so that each state can be observed on a slow machine too."""

    gateway: Gateway
    emulator: Emulator

    async def begin(self) -> None:
        """Let the gateway submit it to fal."""
        await self.gateway.operations.resume("test", team=None)

    async def finish(self) -> None:
        """Let fal finish it at once."""
        await self.emulator.set_speed(HURRY)


@dataclass(frozen=True)
class Customers:
    """An installation over TLS, and the people who use it."""

    installation: Installation
    certificates: Certificates
    log: Path
    takes: set[str] = field(default_factory=set)  # prompts that are bought more than once on purpose
    open_id_port: int = 0  # where a provider of single sign-on would be

    @property
    def key(self) -> str:
        """The account's key."""
        return self.installation.api.headers["Authorization"].removeprefix("Bearer ")

    @property
    def web(self) -> httpx.AsyncClient:
        """The account's own HTTP client, for calls that fal's clients do not have."""
        return self.installation.api

    def prompt(self, *scenarios: str) -> str:
        """A new prompt with these scenarios of the emulator."""
        return "".join(f"[emu:{name}]" for name in scenarios) + f" a lake {uuid.uuid4().hex}"

    def input(self, prompt: str, **more: Any) -> dict[str, Any]:
        """A model's input."""
        return {"prompt": prompt, "image_url": self.installation.emulator.sample_image, **more}

    async def limited(self, *limits: Limit) -> str:
        """The key of another team, whose user has these limits."""
        async with open_gateway(load_settings(self.installation.settings), process="test") as gateway:
            account = await new_account(gateway.administration, team_name=uuid.uuid4().hex, user_name="one")
            await gateway.limits.replace("test", account.user.id, list(limits))
        return account.key

    async def bound_to(self, origin: str) -> str:
        """Another key of the user, restricted to web pages of this origin."""
        user = (await self.web.get("/v1/me")).json()["user"]["id"]
        async with open_gateway(load_settings(self.installation.settings), process="test") as gateway:
            return (await gateway.administration.add_key("test", user=user, origins=[origin])).key

    async def strict_key(self) -> str:
        """Another key of the user, for which an equal request is a repeat until the first one was polled."""
        user = (await self.web.get("/v1/me")).json()["user"]["id"]
        async with open_gateway(load_settings(self.installation.settings), process="test") as gateway:
            return (await gateway.administration.add_key("test", user=user, reposts=Reposts.STRICT)).key

    @asynccontextmanager
    async def hurried(self) -> AsyncIterator[str]:
        """The key of a user who has used up the minute's submissions; raised as soon as a client was refused."""
        rate, nothing = Limit(Unit.SUBMITS, Window.MINUTE, 1), Limit(Unit.USD, Window.DAY, 1)
        async with open_gateway(load_settings(self.installation.settings), process="test") as gateway:
            account = await new_account(gateway.administration, team_name=uuid.uuid4().hex, user_name="one")
            user = account.user.id

            async def lift() -> None:
                await wait_until(
                    lambda: self.answered("/image-to-video", 429, user=user) > 0,
                    "a client is refused",
                    timeout=PROGRAM_SECONDS,
                    interval=0.2,
                )
                await gateway.limits.replace("test", user, [])

            await gateway.limits.replace("test", user, [rate, nothing])
            headers = {"Authorization": f"Bearer {account.key}"}
            reply = await self.web.post("/v1/jobs", json={"input": self.input("too dear")}, headers=headers)
            assert reply.status_code == 402, reply.text  # refused for lack of money, and counted
            await gateway.limits.replace("test", user, [rate])
            lifting = asyncio.create_task(lift())
            try:
                yield account.key
                await lifting
            finally:
                await cancel_and_wait(lifting)

    def answered(self, path: str, status: int, **members: str) -> int:
        """How many requests to a path with this end the API has answered with this status."""
        lines = [json.loads(line) for line in self.log.read_text("utf-8").splitlines() if line.startswith("{")]
        found = [one for one in lines if one.get("path", "").endswith(path) and one.get("status") == status]
        return len([one for one in found if members.items() <= one.items()])

    @asynccontextmanager
    async def lost_answer(self, *, swallow: bool = False) -> AsyncIterator[int]:
        """A port that loses only the answer to the first submission; the block ends after the client's retry.

        With `swallow` as a proxy that had taken the answer: the API cannot know.
        """
        before = self.answered("/image-to-video", 200)

        async def written() -> bool:
            return self.answered("/image-to-video", 200) > before

        async with TlsProxy(self.installation.serve.port, swallow=swallow) as proxy:
            loss = asyncio.create_task(wait_until(written, "the API has answered"))
            loss.add_done_callback(lambda _: proxy.cut())
            yield proxy.port
            await loss
            assert proxy.connections > 1, "the client did not try again"

    async def bought(self, prompt: str) -> tuple[int, int]:
        """How many requests fal has accepted for this prompt, and how many it has charged for."""
        charges = (await self.installation.emulator.ledger())["charges"]
        accepted = [one for one in await self.installation.emulator.requests() if one["prompt"] == prompt]
        return len(accepted), len([one for one in charges if one["prompt"] == prompt])

    async def assert_one_purchase(self, prompt: str, outcome: dict[str, Any]) -> None:
        """Fal has one request and one charge, and the clip in the outcome can be fetched."""
        assert await self.bought(prompt) == (1, 1)
        async with httpx.AsyncClient(trust_env=False, verify=self.certificates.context) as web:
            clip = await web.get(outcome["video"]["url"], follow_redirects=True)
        assert clip.is_success, clip.text
        assert clip.content[4:8] == b"ftyp", "no MP4"

    async def assert_first_frame(self, request_id: str, content: bytes) -> None:
        """The job's image has these bytes, and fal's URL of it serves them to everyone."""
        image = (await self.web.get(f"/v1/jobs/{request_id}")).json()["input"]["image_url"]
        assert image["sha256"] == sha256(content).hexdigest()
        assert image["url"].startswith(self.installation.emulator.url)
        async with httpx.AsyncClient(trust_env=False, verify=trusted_roots()) as web:
            assert (await web.get(image["url"])).content == content

    @asynccontextmanager
    async def haste(self) -> AsyncIterator[None]:
        """In the block fal finishes every clip at once, including those with the scenario `WATCHED`."""
        async with self.installation.emulator.steered():
            await self.installation.emulator.set_speed(HURRY)
            yield

    @asynccontextmanager
    async def leisure(self) -> AsyncIterator[Leisure]:
        """A request waits in fal's queue until `begin`; with the scenario `WATCHED` it runs until `finish`."""
        emulator = self.installation.emulator
        async with (
            open_gateway(load_settings(self.installation.settings), process="test") as gateway,
            emulator.steered(),
        ):
            await gateway.operations.pause("test", team=None, reason="a test observes the queue")
            try:
                yield Leisure(gateway, emulator)
            finally:
                await gateway.operations.resume("test", team=None)

    async def watch(self, starting: AbstractAsyncContextManager[Program]) -> Ended:
        """A program's outcome; it must see its request queued, then progress with logs, however slow it is."""
        async with self.leisure() as clip, starting as program:
            await program.until("update")
            await clip.begin()
            while not (await program.until("update"))["update"]["logs"]:
                pass
            await clip.finish()
            return await program.ended()

    # --- fal's clients ---------------------------------------------------------------------------------------

    def python(
        self, script: Path, *arguments: str, old: bool = False, key: str = "", port: int = 0
    ) -> AbstractAsyncContextManager[Program]:
        """A Python program with fal's client: the newest, or the newest of 0.13 (`old`)."""
        address = f"127.0.0.1:{port or self.installation.serve.port}"
        environment = {
            "FAL_RUN_HOST": f"{address}/fal/run",
            "FAL_QUEUE_RUN_HOST": f"{address}/fal/queue",
            "FAL_KEY": key or self.key,
            "SSL_CERT_FILE": str(self.certificates.authority),
        }
        if old:
            environment["PYTHONPATH"] = self.earlier(OLD_CLIENT)
        return running(sys.executable, str(script), *arguments, environment=environment)

    def earlier(self, client: str) -> str:
        """The `PYTHONPATH` of an earlier version of the client."""
        folder = ROOT / ".bootstrap" / client
        assert folder.is_dir(), f"{client} is not here: run ./dev test, which fetches it."
        return str(folder)

    @asynccontextmanager
    async def by_name(self, script: Path, *arguments: str, proxy: str, **more: str) -> AsyncIterator[Program]:
        """A Python program for which host names lead to the gateway; `more` is added to its environment."""
        environment = {
            "FAL_KEY": self.key,
            "SSL_CERT_FILE": str(self.certificates.authority),
            "HTTPS_PROXY": proxy,
            **more,
        }
        async with running(sys.executable, str(script), *arguments, environment=environment) as program:
            yield program

    @asynccontextmanager
    async def javascript(
        self, script: str, *arguments: str, key: str = "", port: int = 0
    ) -> AsyncIterator[Program]:
        """A Node program with fal's client; `script` is a name in the scripts' folder."""
        folder = await install_packages()
        environment = {
            "FAL_KEY": key or self.key,
            "GATEWAY": f"https://127.0.0.1:{port or self.installation.serve.port}",
            "NODE_EXTRA_CA_CERTS": str(self.certificates.authority),
        }
        argv = (str(find_node().path), str(folder / script), *arguments)
        async with running(*argv, environment=environment) as program:
            yield program
