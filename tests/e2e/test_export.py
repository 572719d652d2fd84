"""`filmgate export`: the ledger and the audit log as files, in one piece or in several."""

import asyncio
import csv
import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app.domain.audit import chain
from tests.support.command import Command, On, command_on
from tests.support.pipeline import Pipeline
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio
FORMULA = "=HYPERLINK(1)"


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> On:
    """A function that runs the command on a store."""
    return partial(command_on, monkeypatch, capsys)


async def rows(call: Command, *words: str) -> list[dict[str, Any]]:
    """The JSON lines of an export that succeeds."""
    ended = await asyncio.to_thread(call, "export", *words)
    assert ended.code == 0, ended.err
    return [json.loads(line) for line in ended.out.splitlines()]


async def test_an_export_is_whole_in_one_piece_and_in_parts(stack: Stack, command: On, tmp_path: Path) -> None:
    """Entries of two teams: as listed, after each cursor, by time, as CSV, and continued in a file."""
    call, pipeline = command(stack.redis), Pipeline(stack)
    await pipeline.ended()
    other = (await asyncio.to_thread(call, "teams", "create", "Film", "--json")).json["id"]
    for team in (pipeline.team, other):
        await asyncio.to_thread(call, "ledger", "credit", team, "5.00", "--reason", FORMULA)
    found = await rows(call, "ledger")
    assert [(row["team"], row["type"]) for row in found] == sorted(
        [(pipeline.team, "reserve"), (pipeline.team, "settle"), (pipeline.team, "credit"), (other, "credit")],
        key=lambda pair: pair[0],
    )
    own = [row for row in found if row["team"] == pipeline.team]
    listed = (await asyncio.to_thread(call, "ledger", "list", "--team", pipeline.team, "--json")).json
    assert [{name: row[name] for name in listed[0]} for row in own] == listed[::-1]
    for number, row in enumerate(found, 1):
        assert await rows(call, "ledger", "--after", row["cursor"]) == found[number:]
    assert await rows(call, "ledger", "--team", other) == [row for row in found if row["team"] == other]
    empty = await asyncio.to_thread(call, "export", "ledger", "--to", "2026-01-01")
    assert (empty.code, empty.out, empty.err) == (0, "", "There are no such rows.\n")
    assert await rows(call, "ledger", "--from", own[1]["at"], "--team", pipeline.team) == own[1:]

    text = (await asyncio.to_thread(call, "export", "ledger", "--format", "csv")).out
    table = list(csv.DictReader(io.StringIO(text)))
    assert [row["cursor"] for row in table] == [row["cursor"] for row in found]
    assert [row["amount_usd"] for row in table] == [row["amount_usd"] for row in found]
    assert {row["reason"] for row in table if row["type"] == "credit"} == {f"'{FORMULA}"}

    file = tmp_path / "ledger.jsonl"
    nobody = await asyncio.to_thread(call, "export", "ledger", "--team", "Nobody", "-o", str(file))
    assert nobody.refused(1).startswith("No team is called Nobody")
    assert await rows(call, "ledger", "--to", own[1]["at"], "--team", pipeline.team, "-o", str(file)) == []
    first = file.read_text("utf-8")
    refused = await asyncio.to_thread(call, "export", "ledger", "-o", str(file))
    assert "overwrites nothing" in refused.refused(1)
    assert (file.read_text("utf-8"), file.stat().st_mode & 0o777) == (first, 0o600)
    after = ("--after", json.loads(first.splitlines()[-1])["cursor"])
    await rows(call, "ledger", "--team", pipeline.team, *after, "-o", str(file))
    assert list(map(json.loads, file.read_text("utf-8").splitlines())) == own
    assert "--format jsonl" in await asyncio.to_thread(
        refused_file, call, file, "ledger", *after, "--format", "csv"
    )
    assert "other columns" in await asyncio.to_thread(refused_file, call, file, "audit", "--after", "1-1")
    with file.open("a") as cut:
        cut.write('{"cursor": ')
    assert "middle of a row" in await asyncio.to_thread(refused_file, call, file, "ledger", *after)
    sheet = tmp_path / "ledger.csv"
    await rows(call, "ledger", *after, "--format", "csv", "-o", str(sheet))
    await rows(call, "ledger", *after, "--format", "csv", "-o", str(sheet))
    assert [line.startswith("cursor,team") for line in sheet.read_text("utf-8").splitlines()].count(True) == 1
    assert "--format csv" in await asyncio.to_thread(refused_file, call, sheet, "ledger", *after)


def refused_file(call: Command, file: Path, *words: str) -> str:
    """The sentence of an export that does not continue this file, which stays as it is."""
    before = file.read_bytes()
    refused = call("export", *words, "-o", str(file)).refused(1)
    assert file.read_bytes() == before
    return refused


async def test_an_exported_audit_log_can_be_verified_elsewhere(stack: Stack, command: On) -> None:
    """Each line's hash follows from the one before; a wrong cursor or time is wrong usage."""
    call = command(stack.redis)
    for name in ("Film", "Shop"):
        await asyncio.to_thread(call, "teams", "create", name)
    lines = await rows(call, "audit")
    assert [line["number"] for line in lines] == list(range(1, len(lines) + 1))
    assert await rows(call, "audit", "--after", lines[1]["cursor"]) == lines[2:]
    stored = [line async for line in stack.gateway.stores.audit.lines()]
    previous = ""
    for line, one in zip(lines, stored, strict=True):
        previous = chain(previous, one.text)
        assert line["hash"] == previous
    for words in (
        ("audit", "--after", "team_1/1-1"),
        ("ledger", "--after", "1-1"),
        ("ledger", "--after", "x"),
        ("ledger", "--after", "team_1/1-1"),
        ("ledger", "--team", stack.account.team.id, "--after", "team_1/1-1"),
        ("ledger", "--from", "2026-02-01", "--to", "2026-01-01"),
        ("ledger", "--from", "yesterday"),
        ("ledger", "--format", "xml"),
    ):
        ended = await asyncio.to_thread(call, "export", *words)
        assert (ended.code, ended.out) == (2, ""), ended
        if "--after" in words:
            assert f"{words[-1]!r} is " in ended.err
    assert "no team" in (await asyncio.to_thread(call, "export", "ledger", "--team", "team_0")).refused(1).lower()
