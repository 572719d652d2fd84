"""Operations at run time, as commands: status, pause, resume, resolve, release, and what a stopped store says."""

import asyncio
from typing import Any

import pytest

from app.domain.jobs import Status
from app.store import keys
from tests.integration.admin import NEVER, Administrator
from tests.support.command import Command, command_on
from tests.support.pipeline import Pipeline
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio

ACCEPTED = "[emu:drop_after_accept]"
WHY = "We wait for November."


@pytest.fixture
def command(stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`filmgate …` on this store, as the operator `olga`."""
    return command_on(monkeypatch, capsys, stack.redis)


async def test_the_commands_do_the_same(admin: Administrator, pipeline: Pipeline, command: Command) -> None:
    """`status`, `pause`, `resume` and `jobs resolve`, with the person's name in the audit log."""

    async def run(*words: str) -> Any:
        return await asyncio.to_thread(command, *words)

    job = await pipeline.bought(ACCEPTED)
    paused = (await run("pause", "--team", pipeline.team, "--reason", WHY, "--json")).json
    assert paused == {"team": pipeline.team, "upstream_paused": {"reason": WHY}}
    assert (await run("pause", "--reason", "all of it")).out.count("all of it") == 1
    assert (await run("status", "--json")).json == await admin.done("GET", "status")
    table = (await run("status")).out
    for words in (
        "buying     paused by cli:olga since ",
        WHY,
        "1 of 10 used (10 configured)",
        "closed, 1 failure in a row",
        "none alive",
        pipeline.team,
    ):
        assert words in table
    assert "goes on" in (await run("resume")).out
    assert WHY in (await run("status")).out
    assert (await run("resume", "--team", pipeline.team, "--json")).json["upstream_paused"] is None
    (resolved,) = (await run("jobs", "resolve", job.id, "fail", "--no-charged", "--json")).json
    assert resolved["status"] == Status.FAILED.value
    lines = [(line["actor"], line["action"], line["target"]) for line in (await admin.audit())[:5]]
    assert lines[::-1] == [
        ("cli:olga", "buying.pause", pipeline.team),
        ("cli:olga", "buying.pause", "all"),
        ("cli:olga", "buying.resume", "all"),
        ("cli:olga", "buying.resume", pipeline.team),
        ("cli:olga", "job.resolve", job.id),
    ]
    unknown = await run("pause", "--team", f"team_{NEVER}", "--reason", "x")
    assert unknown.refused(1) == "There is no team with this id."
    assert "--reason" in (await run("pause")).refused(2)


async def test_what_is_set_aside_is_seen_and_released_with_a_line(
    admin: Administrator, pipeline: Pipeline, command: Command
) -> None:
    """The status counts it; a release prints a line, or JSON, and the audit log has who released what."""
    job = await pipeline.completed((await pipeline.bought()).id)
    for at_ms, words in ((1000, ()), (2000, ("--json",))):
        await pipeline.redis.hset(keys.QUARANTINE, f"finalize {pipeline.ref(job.id)}", at_ms)
        seen = await admin.done("GET", "status")
        assert seen["aside"] == {"count": 1, "oldest_at": f"1970-01-01T00:00:0{at_ms // 1000}.000Z"}
        assert seen["aside"]["oldest_at"] in (await asyncio.to_thread(command, "status")).out
        done = await asyncio.to_thread(command, "jobs", "release", job.id, *words)
        assert done.out.splitlines() == [f"{job.id} goes on: finalize."] if not words else done.json
        assert (await admin.done("GET", "status"))["aside"]["count"] == 0
    line = (await admin.audit())[0]
    assert (line["actor"], line["action"], line["target"]) == ("cli:olga", "step.release", job.id)
    assert line["details"] == {"team": pipeline.team, "steps": ["finalize"]}
    nothing = await asyncio.to_thread(command, "jobs", "release", job.id)
    assert nothing.refused(1) == "Nothing with this id is set aside."
    assert (await admin.audit())[0]["number"] == line["number"]


async def test_a_trusted_store_that_is_paused_is_shown_as_not_buying(pipeline: Pipeline, command: Command) -> None:
    """`epoch show` names what else stops buying, and the command that ends it."""
    await pipeline.gateway.operations.pause("test", team=None, reason=WHY)
    seen = (await asyncio.to_thread(command, "epoch", "show", "--json")).json
    expected = {"trusted": True, "buying": False, "stopped": WHY, "lifted_by": "filmgate resume"}
    assert seen | expected == seen
    await pipeline.gateway.operations.resume("test", team=None)
    seen = (await asyncio.to_thread(command, "epoch", "show", "--json")).json
    assert seen | {"trusted": True, "buying": True, "stopped": None, "lifted_by": None} == seen
