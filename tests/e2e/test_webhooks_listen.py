"""`filmgate webhooks`: signed events arrive on a developer's machine; deliveries are listed and replayed."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from standardwebhooks import Webhook

from app.domain.accounts import USER_SCOPES, Scope
from tests.support.callers import another_key
from tests.support.command import Ended, command_on
from tests.support.endpoints import endpoint, sent, team_admin
from tests.support.pipeline import Pipeline
from tests.support.processes import COMMAND, clean_environment, run_command
from tests.support.receiver import Receiver, Reply
from tests.support.redis_server import RedisServer
from tests.support.repo import ROOT
from tests.support.server import Server, running_server
from tests.support.stack import Stack, environment
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

SECRET = "whsec_" + "c2VjcmV0" * 4
STEPS = "job.queued,job.canceled"


def heeding_ctrl_c() -> None:
    """Restore Ctrl-C as a signal: a shell's background processes ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Listening:
    """`filmgate webhooks listen`, its output, and its end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.out = ""
        self.err = ""
        self._reading = [asyncio.create_task(self._read(name)) for name in ("stdout", "stderr")]

    async def prints(self, pattern: str, count: int = 1) -> str:
        """The last match, once there are this many; on stdout or stderr."""

        async def found() -> list[str]:
            matches = [match[0] for match in re.finditer(pattern, self.out + self.err)]
            return matches if len(matches) >= count else []

        matches = await wait_until(found, f"{pattern!r} {count} times in\n{self.out}\n{self.err}", timeout=40)
        return matches[-1]

    async def ends(self, number: signal.Signals | None = None) -> int:
        """The exit code, after this signal."""
        if number is not None and self.process.returncode is None:
            self.process.send_signal(number)
        _, reading = await asyncio.wait(self._reading, timeout=30)  # the tasks stay for another call
        assert not reading, f"it has not ended: {self.out}\n{self.err}"
        await asyncio.gather(*self._reading)
        return await self.process.wait()

    async def _read(self, name: str) -> None:
        stream: asyncio.StreamReader = getattr(self.process, name)
        while line := await stream.readline():
            setattr(self, name[3:], getattr(self, name[3:]) + line.decode())


@asynccontextmanager
async def listening(server: Server, key: str, *words: str) -> AsyncIterator[Listening]:
    """Run the command until the end of the block."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "webhooks",
        "listen",
        *words,
        cwd=ROOT,
        env=clean_environment(FILMGATE_URL=server.url, FILMGATE_KEY=key),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=heeding_ctrl_c,
    )
    one = Listening(process)
    try:
        yield one
    finally:
        await one.ends(signal.SIGKILL)


@pytest.fixture
async def server(store: RedisServer, stack: Stack) -> AsyncIterator[Server]:
    """An API process on the stack's store."""
    async with running_server(environment(store, stack.emulator)) as running:
        yield running


async def command(server: Server, key: str, *words: str) -> Any:
    """The JSON output of `filmgate webhooks …`."""
    env = clean_environment(FILMGATE_URL=server.url, FILMGATE_KEY=key)
    ended = await run_command("webhooks", *words, "--json", environment=env)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
    return json.loads(ended.stdout)


async def test_events_arrive_signed_until_ctrl_c(server: Server, stack: Stack) -> None:
    """This run's secret is printed once and verifies; each forward is a line with its status; Ctrl-C exits 0."""
    async with Receiver() as mine:
        address = f"{mine.url}/hook"
        async with listening(server, stack.account.key, "--forward", address, "--events", STEPS) as command:
            secret = (await command.prints(r"whsec_\S+")).removesuffix("(for")
            await command.prints("Ctrl-C ends")
            mine.answers([200, Reply(301, {"Location": "http://xn--a/", "Content-Encoding": "gzip"}, b"no gzip")])
            job = await stack.submit("kan4rie")
            await stack.api.post(f"/v1/jobs/{job['id']}/cancel")
            first, second = await mine.wait_for(2)
            await command.prints(rf"job\.queued  {job['id']}  200  \d+ ms")
            await command.prints(rf"job\.canceled  {job['id']}  301  \d+ ms")
            assert await command.ends(signal.SIGINT) == 0
        assert command.out.count("whsec_") == 1
        assert command.err.strip() == ""
    for request, kind in ((first, "job.queued"), (second, "job.canceled")):
        assert (request.method, request.target) == ("POST", "/hook")
        body = Webhook(secret).verify(request.body, dict(request.headers))
        assert (body["type"], body["data"]["id"]) == (kind, job["id"])
        assert body.keys() == {"type", "timestamp", "sequence", "data"}
        assert b"kan4rie" not in request.body
    assert first.headers["webhook-id"] != second.headers["webhook-id"]


async def test_a_failed_forward_is_printed_and_stops_nothing(server: Server, stack: Stack) -> None:
    """A failed forward is one line; the next event is forwarded, with the given secret."""
    async with Receiver() as mine:
        port = mine.port
    words = ("--forward", f"http://127.0.0.1:{port}/hook", "--events", "job.queued", "--secret", SECRET)
    async with listening(server, stack.account.key, *words) as command:
        await command.prints("Ctrl-C ends")
        lost = await stack.submit()
        await command.prints(rf"{lost['id']}  failed  \d+ ms  nobody answers at http://127\.0\.0\.1:{port}/hook")
        async with Receiver(port=port) as mine:
            job = await stack.submit()
            (request,) = await mine.wait_for(1)
        assert await command.ends(signal.SIGINT) == 0
    assert "whsec_" not in command.out
    assert Webhook(SECRET).verify(request.body, dict(request.headers))["data"]["id"] == job["id"]


async def test_a_restart_of_the_gateway_loses_no_event(store: RedisServer, stack: Stack) -> None:
    """Events during the gateway's restart arrive afterwards, each once and in order."""
    async with Receiver() as mine, running_server(environment(store, stack.emulator)) as first:
        words = ("--forward", mine.url, "--events", "job.queued")
        async with listening(first, stack.account.key, *words) as command:
            await command.prints("Ctrl-C ends")
            jobs = [(await stack.submit())["id"]]
            await mine.wait_for(1)
            await asyncio.to_thread(first.stop)
            jobs += [(await stack.submit())["id"] for _ in range(2)]
            await command.prints("reconnecting")
            await first.start().ready()
            jobs.append((await stack.submit())["id"])
            requests = await mine.wait_for(4, timeout=40)
            assert await command.ends(signal.SIGINT) == 0
    assert [json.loads(request.body)["data"]["id"] for request in requests] == jobs
    assert len({request.headers["webhook-id"] for request in requests}) == 4


async def test_usual_events_only_and_the_end_of_the_key(server: Server, stack: Stack) -> None:
    """Without --events the default ones of an endpoint; when the key is revoked, a sentence and code 1."""
    made = await another_key(stack, scopes=USER_SCOPES)
    async with Receiver() as mine, listening(server, made.key, "--forward", mine.url) as command:
        await command.prints("Ctrl-C ends")
        job = await stack.submit()
        await stack.api.post(f"/v1/jobs/{job['id']}/cancel")
        (request,) = await mine.wait_for(1)
        assert json.loads(request.body)["type"] == "job.canceled"
        await stack.gateway.administration.revoke_key("test", made.record.id)
        assert await command.ends() == 1
    assert "The key came from FILMGATE_KEY." in command.err.splitlines()[-1]


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--forward", "localhost:3000"),
        ("--forward", "ftp://localhost/hook"),
        ("--forward", "http://localhost/hook", "--events", "job.lost"),
        ("--forward", "http://localhost/hook", "--secret", "whsec_short"),
        ("--forward", "http://localhost/hook", "--secret", "x"),
    ],
)
async def test_wrong_words_are_wrong_usage(words: tuple[str, ...]) -> None:
    """Code 2 and a sentence, before anything connects."""
    ended = await run_command("webhooks", "listen", *words, environment=clean_environment())
    assert (ended.returncode, ended.stdout) == (2, "")
    assert len(ended.stderr.splitlines()) == 1


async def test_no_gateway_is_a_sentence() -> None:
    """Code 1 after a while, with the address that does not answer."""
    async with Receiver() as gone:
        url = gone.url
    env = clean_environment(FILMGATE_KEY="fg_live_x", FILMGATE_URL=url)
    ended = await run_command("webhooks", "listen", "--forward", "http://127.0.0.1:9/", environment=env)
    assert ended.returncode == 1
    assert f"No gateway answers at {url}" in ended.stderr


async def test_deliveries_are_listed_and_replayed(server: Server, stack: Stack) -> None:
    """Endpoints, deliveries with their attempts, a replay of one and of many."""
    pipeline, made = Pipeline(stack), await another_key(stack, scopes=frozenset({Scope.TEAM_ADMIN}))
    async with Receiver() as mine, team_admin(stack) as api:
        added = await endpoint(api, mine.url, events=["job.queued"])
        await pipeline.admit()
        await sent(pipeline)
        (shown,) = await command(server, made.key, "endpoints")
        assert shown["id"] == added["id"]
        (one,) = await command(server, made.key, "deliveries", "--endpoint", added["id"], "--status", "delivered")
        assert [attempt["status"] for attempt in one["attempts"]] == [200]
        assert (await command(server, made.key, "replay", one["id"]))["status"] == "due"
        assert await sent(pipeline) == 1
        done = await command(server, made.key, "replay", "--endpoint", added["id"], "--status", "delivered")
        assert (done["replayed"], done["more"]) == (1, False)
        env = clean_environment(FILMGATE_URL=server.url, FILMGATE_KEY=made.key)
        table = await run_command("webhooks", "deliveries", environment=env)
        assert one["id"] in table.stdout
        assert table.stdout.splitlines()[1].endswith(f"  {one['prompt']}")
        wrong = await run_command("webhooks", "replay", one["id"], "--status", "dead", environment=env)
        assert wrong.returncode == 2
        refused = await run_command("webhooks", "replay", "msg_" + "0" * 32, environment=env)
        assert (refused.returncode, refused.stderr) == (1, "filmgate: There is no delivery with this id.\n")


async def test_endpoints_are_made_tried_and_changed(
    server: Server, stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Create, test, rotate, pause, resume, delete, by the beginning of an id; a refused test exits with 1."""
    pipeline, made = Pipeline(stack), await another_key(stack, scopes=frozenset({Scope.TEAM_ADMIN}))
    here = command_on(monkeypatch, capsys, stack.redis)
    monkeypatch.setenv("FILMGATE_URL", server.url)
    monkeypatch.setenv("FILMGATE_KEY", made.key)

    async def endpoints(*words: str) -> Ended:
        return await asyncio.to_thread(here, "webhooks", "endpoints", *words)

    async def tried(endpoint_id: str) -> Ended:
        """A test whose delivery is sent as soon as it is there."""
        trying = asyncio.create_task(endpoints("test", endpoint_id))
        await wait_until(lambda: sent(pipeline), "the test is sent", timeout=20)
        return await trying

    async with Receiver() as mine:
        new = (
            await endpoints("create", mine.url, "--events", "job.queued", "--description", "mine", "--json")
        ).json
        assert (new["events"], new["description"], new["secret"][:6]) == (["job.queued"], "mine", "whsec_")
        short = new["id"][:11]
        taken = await tried(short)
        assert (taken.code, taken.err) == (0, "")
        assert re.search(r"^state +delivered\nanswer +200$", taken.out, re.MULTILINE)
        rotated = (await endpoints("rotate", short, "--overlap", "12h", "--json")).json
        assert rotated["secret"] != new["secret"]
        assert len(rotated["older_secrets_until"]) == 1
        assert "paused" in (await endpoints("pause", short)).out
        assert "paused" in (await endpoints()).out
        assert "active" in (await endpoints("resume", short)).out
        mine.answers([Reply(500, {}, b"")])
        refused = await tried(short)
        assert (refused.code, refused.err) == (
            1,
            "filmgate: The endpoint did not take the test: it answered 500.\n",
        )
    assert (await endpoints("delete", short, "--json")).json == {"id": new["id"], "deleted": True}
    assert (await endpoints("list")).out == "none\n"
