"""Every command in docs/runbook.md works as it is written there."""

import asyncio
import re
import shlex
from collections.abc import Callable

import pytest

from app.domain.jobs import Job
from app.settings import load_settings
from app.store import keys
from tests.support.command import Ended, command_on
from tests.support.pipeline import Pipeline
from tests.support.processes import clean_environment, run_command
from tests.support.receiver import Receiver
from tests.support.redis_server import RedisServer
from tests.support.repo import ROOT
from tests.support.server import running_server
from tests.support.stack import Stack

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(200)]

PAGE = " ".join((ROOT / "docs" / "runbook.md").read_text("utf-8").split())
PROGRAMS = "filmgate|curl|echo|df|du|openssl|systemctl|timedatectl|kill|CONFIG|INFO|CLIENT|SLOWLOG"
COMMANDS = list(dict.fromkeys(re.findall(rf"`((?:{PROGRAMS})(?: [^`]*)?)`", PAGE)))
NOT_RUN = {
    "filmgate up", "filmgate serve", "filmgate worker", "filmgate restore", "filmgate backup",  # named only
    "filmgate limits set", "CONFIG SET", "CONFIG SET appendonly yes",  # no command; the tests' store has it already
    "systemctl status redis", "systemctl restart chronyd", "timedatectl", "kill -HUP",  # no services here
    "curl -i http://HOST:9464/metrics",  # no port of its own here
    r"curl -sS -o /dev/null -w '%{http_code}\n' https://queue.fal.run",  # the real fal
    'openssl x509 -noout -enddate -subject -in "$FILMGATE_TLS_CERT"',  # no certificate here
}  # fmt: skip
MAY_FIND_FAULTS = ("filmgate doctor", "filmgate models sync --check")  # exit 1, and say what it is
SECRET = "whsec_c2VjcmV0IG9mIHRoZSBvcGVyYXRvcnMgaW4gdGVzdHM="


class Installation:
    """A stack with what the commands are about: held jobs, quarantined steps, a stopped epoch."""

    def __init__(self, stack: Stack) -> None:
        self.pipeline = Pipeline(stack)
        self.stack = stack
        self.id = ""  # of the newest job
        self.key_id = ""  # of a key that may be revoked

    async def words(self, command: str) -> list[str]:
        """The words of a command, with ids of things for which it works."""
        found = {"TEAM": self.stack.account.team.id, "TEXT": "a reason", "KEY": self.key_id, "N": "2"}
        if "filmgate epoch accept" in command:
            await self.pipeline.redis.hset(keys.PAUSES, "epoch", "The store has gone back in time.")
        if " ID" in command:
            made = self._set_aside if "release" in command else self._held
            self.id = self.id if "show" in command and self.id else await made()
            found["ID"] = self.id
        if " REQUEST" in command:
            found["REQUEST"] = "0b5e3f0e-1b7a-4d6e-9a57-0a1c2b3d4e5f"
        return [found.get(word, word) for word in shlex.split(command)]

    async def _bought(self, prompt: str) -> Job:
        """A job that was submitted, whatever the commands before have stopped."""
        for team in (None, self.stack.account.team.id):
            await self.stack.gateway.operations.resume("test", team=team)
        return await self.pipeline.bought(prompt)

    async def _held(self) -> str:
        return (await self._bought("[emu:drop_after_accept]")).id

    async def _set_aside(self) -> str:
        job = await self._bought("[emu:slow]")
        await self.pipeline.redis.hset(keys.QUARANTINE, f"poll {self.pipeline.ref(job.id)}", 1_764_000_000_000)
        return job.id


async def shell(command: str, environment: dict[str, str]) -> str:
    """What it prints; it must succeed."""
    running = await asyncio.create_subprocess_exec(
        "bash", "-c", command, stdout=asyncio.subprocess.PIPE, env=environment
    )
    printed, _ = await running.communicate()
    assert running.returncode == 0, command
    return printed.decode()


async def test_every_command_of_the_runbook_works(
    stack: Stack, store: RedisServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Filmgate's on a store with such jobs, the store's at the store, the shell's in a shell."""
    installation = Installation(stack)
    run: Callable[..., Ended] = command_on(monkeypatch, capsys, store)
    async with Receiver() as receiver, running_server(stack.environment) as server, store.client() as redis:
        environment = {
            **stack.environment,
            "FILMGATE_FAL_API_URL": stack.emulator.url,
            "FILMGATE_ALERT_WEBHOOK": receiver.url,
            "FILMGATE_ALERT_SECRET": SECRET,
            "FILMGATE_STORAGE": f"local:{store.dir / 'storage'}",
            "FILMGATE_URL": server.url,
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        team = stack.account.team.id
        for words in (["set", "gateway", "usd/month=100"], ["set", team, "usd/day=100"]):
            assert (await asyncio.to_thread(run, "limits", *words)).code == 0
        for scope in ("jobs:read", "team:admin"):  # the second is the team's, the first may be revoked
            words = ["create", "more", "--user", stack.account.user.id, "--scope", scope, "--json"]
            made = (await asyncio.to_thread(run, "keys", *words)).json
            installation.key_id = installation.key_id or made["id"]
        monkeypatch.setenv("FILMGATE_KEY", made["key"])
        for command in COMMANDS:
            if command in NOT_RUN:
                continue
            program, *rest = words = await installation.words(command)
            if program == "filmgate":
                if rest[0] == "backup":  # it starts a process, which only a main thread can
                    process = await run_command(*rest, environment=clean_environment(**environment))
                    assert process.returncode == 0, (command, process.stderr)
                    continue
                ended = await asyncio.to_thread(run, *rest)
                assert ended.code == 0 or (ended.code == 1 and command in MAY_FIND_FAULTS), (command, ended)
            elif program.isupper():
                await redis.execute_command(*words)
            else:
                printed = await shell(command, {"PATH": "/usr/local/bin:/usr/bin:/bin", "FILMGATE_URL": server.url})
                if "whsec_" in command:
                    assert load_settings({"FILMGATE_ALERT_SECRET": printed.strip()}).alert_secret is not None


def test_the_list_of_commands_that_are_not_run_is_true() -> None:
    """Each of them is still on the page, and most of the page's commands are run."""
    assert set(COMMANDS) >= NOT_RUN
    assert len(COMMANDS) > 40
