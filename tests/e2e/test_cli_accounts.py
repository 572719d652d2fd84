"""`filmgate teams|users|keys|limits|ledger|audit|usage`, as an operator uses them, on a gateway's store."""

import asyncio
import json
import re
import shlex
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import httpx
import pytest
from redis import Redis

from app.store import keys
from tests.support.command import Ended, On, command_on
from tests.support.processes import COMMAND, clean_environment, run_command
from tests.support.redis_server import RedisServer
from tests.support.repo import ROOT
from tests.support.stack import Stack
from tests.support.terminal import Terminal
from tests.support.waiting import wait_until
from workers.submit import submit

pytestmark = pytest.mark.timeout(200)

MODEL = "fal-ai/kling-video/v2/master/image-to-video"
ORIGIN = "https://app.example.com"


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> On:
    """A function that runs the command on a store, as the operator `olga`."""
    return partial(command_on, monkeypatch, capsys)


async def _as(stack: Stack, key: str) -> httpx.Response:
    return await stack.api.get("/v1/me", headers={"Authorization": f"Bearer {key}"})


async def _closes(stack: Stack, key: str) -> None:
    """The key is refused, within a second on an idle machine."""

    async def closed() -> bool:
        return (await _as(stack, key)).status_code == 401

    await wait_until(closed, "the key is refused", timeout=5)


@pytest.mark.anyio
async def test_an_account_lives_from_its_team_to_its_end(stack: Stack, command: On) -> None:
    """The API shows each command's effect at once; each act is an audit line with the operator's name."""
    call = command(stack.redis)

    async def answer(*words: str) -> Any:
        return (await asyncio.to_thread(call, *words, "--json")).json

    zone = ("--time-zone", "Europe/Berlin")
    made = await answer("teams", "create", "Film", "--weight", "3", *zone, "--limit", "usd/day=50.00")
    team = made["id"]
    assert (made["name"], made["weight"], made["time_zone"]) == ("Film", 3, "Europe/Berlin")
    assert made["limits"] == [{"unit": "usd", "window": "day", "amount": "50.00"}]
    user = (await answer("users", "create", "Ada", "--team", team))["id"]

    rights = (
        "--scope",
        "jobs:read",
        "--model",
        MODEL,
        "--origin",
        ORIGIN,
        "--expires-in",
        "30d",
        "--reposts",
        "strict",
    )
    key = await answer("keys", "create", "laptop", "--user", user, *rights)
    me = (await _as(stack, key["key"])).json()
    assert (me["team"]["id"], me["user"]["id"]) == (team, user)
    assert (key["name"], key["scopes"]) == ("laptop", ["jobs:read"])
    assert (key["models"], key["origins"], key["reposts"]) == ([MODEL], [ORIGIN], "strict")
    assert key["expires_at"][:10] > key["created_at"][:10]

    await answer("limits", "set", team, "usd/day=1.00", "submits/minute=30")
    (raised,) = await answer("limits", "raise", team, "usd/day=7.50", "--for", "2h")
    assert (raised["amount"], raised["raised_to"]) == ("1.00", "7.50")
    shown = {one["unit"]: one for one in await answer("limits", "show", team[:13])}  # the beginning of its id
    assert shown["usd"]["state"] == {"amount": "7.50", "used": "0.00", "held": "0.00", "left": "7.50"} | {
        "resets_at": shown["usd"]["state"]["resets_at"]
    }
    limits = (await _as(stack, key["key"])).json()["limits"]
    assert {(one["unit"], one["amount"]) for one in limits} == {("submits", 30), ("usd", "7.50")}

    new = await answer("keys", "rotate", key["id"], "--overlap", "15m")
    assert [(await _as(stack, one["key"])).status_code for one in (key, new)] == [200, 200]
    assert (await answer("keys", "revoke", new["id"]))["revoked_at"] is not None
    await _closes(stack, new["key"])
    assert (await _as(stack, key["key"])).status_code == 200
    assert await answer("teams", "delete", team, "--yes") == {"id": team, "deleted": True}
    await _closes(stack, key["key"])

    lines = await answer("audit", "list", "--limit", "8")
    assert [line["action"] for line in reversed(lines)] == [
        *("team.add", "user.add", "key.add", "limits.replace"),
        *("limits.raise", "key.rotate", "key.revoke", "team.remove"),
    ]
    assert {line["actor"] for line in lines} == {"cli:olga"}
    assert key["key"] not in str(lines)


@pytest.mark.anyio
async def test_an_invitation_is_a_link_that_can_be_piped(stack: Stack, command: On) -> None:
    """Only the link on stdout; under it a key with these scopes, once; the audit line has the operator's name."""
    call, user = command(stack.redis), stack.account.user.id
    rights = ("--key-name", "laptop", "--scope", "jobs:read", "--expires-in", "2h")
    link = (await asyncio.to_thread(call, "users", "invite", user, *rights)).out.strip()
    assert "/invite#fg_inv_" in link
    code = link.partition("#")[2]
    made = (await stack.api.post("/v1/invitations/accept", json={"code": code})).json()["key"]
    assert (made["name"], made["user"], made["scopes"]) == ("laptop", user, ["jobs:read"])
    view = (await asyncio.to_thread(call, "users", "invite", user, "--json")).json
    assert (view["scopes"], view["key_name"]) == (["jobs:read", "jobs:write"], "")
    (line, *_) = (await asyncio.to_thread(call, "audit", "list", "--json")).json
    assert (line["action"], line["actor"], line["target"]) == ("invitation.add", "cli:olga", view["id"])


@pytest.mark.anyio
async def test_the_command_is_the_same_as_a_process(stack: Stack) -> None:
    """Only the key on stdout, for pipes; faults are sentences on stderr, also where stdout is full or closed."""
    environment = clean_environment(FILMGATE_REDIS_URL=stack.redis.url, LOGNAME="olga")

    def process(*words: str) -> Coroutine[Any, Any, CompletedProcess[str]]:
        return run_command(*words, environment=environment)

    async def printed_to(where: str) -> tuple[int | None, str]:
        line = f"exec {shlex.join([*COMMAND, 'teams', 'list'])} {where}"
        shell = await asyncio.create_subprocess_shell(
            line, cwd=ROOT, env={"PYTHONPATH": str(ROOT), **environment}, stderr=asyncio.subprocess.PIPE
        )
        _, said = await shell.communicate()
        return shell.returncode, said.decode()

    team = stack.account.team.id
    made, asked, garbled, full, closed = await asyncio.gather(
        process("keys", "create", "render farm"),
        process("teams", "delete", team),
        process("teams", "create", "\udcff"),
        printed_to("> /dev/full"),
        printed_to(">&-"),
    )
    assert full == (1, "filmgate: The output or a file cannot be written (No space left on device).\n")
    assert closed == (0, "")
    assert (made.returncode, made.stderr) == (0, "")
    (key,) = made.stdout.splitlines()
    me = (await _as(stack, key)).json()
    assert (me["team"]["id"], me["user"]["name"]) == (team, "render farm")
    assert (asked.returncode, asked.stdout) == (2, "")
    assert asked.stderr == "filmgate: Invalid value for --yes: nobody can be asked here: say --yes.\n"
    assert (garbled.returncode, garbled.stdout, len(garbled.stderr.splitlines())) == (2, "", 1)


def test_the_first_key_makes_its_team(store: RedisServer, command: On) -> None:
    """On an empty store it creates one team, with one user and one key, all three the operator's acts."""
    call = command(store)
    made = call("keys", "create", "me", "--json").json
    (team,) = call("teams", "list", "--json").json
    (user,) = call("users", "list", "--json").json
    (key,) = call("keys", "list", "--user", user["id"], "--json").json
    assert (made["team"], made["user"], made["id"], made["name"]) == (team["id"], user["id"], key["id"], "me")
    assert made["scopes"] == ["jobs:read", "jobs:write"]
    assert made["key"] not in json.dumps(key)
    assert [line["actor"] for line in call("audit", "list", "--json").json] == ["cli:olga"] * 3


def test_names_and_limits_are_changed(store: RedisServer, command: On) -> None:
    """Omitted values are kept; limits are replaced as a whole; `--none` removes them."""
    call = command(store)
    made = call("teams", "create", "one", "--weight", "2", "--reposts", "strict", "--json").json
    team = made["id"]
    user = call("users", "create", "Bo", "--limit", "jobs/concurrent=2", "--limit", "usd/total=3", "--json").json
    assert user["team"] == team
    assert call("users", "update", user["id"], "--name", "Bob", "--json").json == {**user, "name": "Bob"}
    changed = call("teams", "update", team, "--time-zone", "Asia/Kolkata", "--reposts", "never", "--json").json
    bounds = ("--retention-days", "60", "--storage-bytes", "5000000000")
    kept = call("teams", "update", team, *bounds, "--json").json
    freed = call("teams", "update", team, *("--retention-days", "gateway"), "--json").json
    assert (kept["retention_days"], kept["storage_bytes"]) == (60, 5_000_000_000)
    assert (freed["retention_days"], freed["storage_bytes"]) == (None, 5_000_000_000)
    assert (changed["name"], changed["weight"], changed["time_zone"]) == ("one", 2, "Asia/Kolkata")
    assert (made["reposts"], changed["reposts"]) == ("strict", "never")
    assert call("teams", "show", team, "--json").json == freed
    for owner in (user["id"], "BOB", "gateway"):
        (limit,) = call("limits", "set", owner, "video_seconds/month=600", "--json").json
        assert limit == {"unit": "video_seconds", "window": "month", "amount": 600}
        (shown,) = call("limits", "show", owner, "--json").json
        assert shown["state"].pop("resets_at") is not None
        assert shown == {**limit, "state": {"amount": 600, "used": 0, "held": 0, "left": 600}}
    assert call("limits", "show", "--json").json[0]["amount"] == 600
    assert call("limits", "show", "Nemo").refused(1).startswith("Nobody is called Nemo: `filmgate teams list`")
    twin = call("teams", "create", "Bob", "--json").json["id"]
    several = f"2 teams and users are called Bob; give an id: {twin}, {user['id']}."
    assert call("limits", "show", "Bob").refused(1) == several
    call("teams", "delete", twin, "--yes")
    assert call("limits", "set", "gateway", "--none", "--json").json == []
    assert call("users", "delete", user["id"], "--json").json == {"id": user["id"], "deleted": True}
    assert call("users", "list", "--team", team, "--json").json == []


NAMED = (
    "teams show FILM",
    "teams update Film --weight 2",
    "users list --team film",
    "users create Bo --team film",
    "users show ada",
    "users update Ada --name Ada",
    "users invite Ada",
    "keys create laptop --user Ada",
    "keys list --user Ada",
    "keys list --team Film",
    "jobs list --team Film --user Ada",
    "usage --team Film",
    "limits show Ada",
    "limits set Ada usd/day=5",
    "ledger credit Film 5 --reason gift",
    "ledger correct Film 1 --reason bill",
    "ledger list --team Film",
    "pause --team Film --reason bill",
    "resume --team Film",
    "export ledger --team Film",
    "users delete Ada",
    "teams delete team_a --yes",
)
NOBODY = {
    "teams show Nemo": "No team is called Nemo: `filmgate teams list` shows names and ids.",
    "keys list --user team_a": "No user is called team_a: `filmgate users list` shows names and ids.",
    "pause --team team_abc --reason a": "There is no team with this id.",
    "limits show Nemo": "Nobody is called Nemo: `filmgate teams list` and `filmgate users list` show "
    "names and ids.",
}


def test_every_command_takes_a_team_and_a_user_by_name(store: RedisServer, command: On) -> None:
    """In any case, also a name that looks like an id; where several have it, it counts as it is written."""
    call = command(store)
    teams = {name: call("teams", "create", name, "--json").json["id"] for name in ("Film", "team_a")}
    ada = call("users", "create", "Ada", "--team", "Film", "--json").json["id"]
    for words, says in NOBODY.items():
        assert call(*words.split()).refused(1) == says
    twin = call("users", "create", "ADA", "--team", "team_a", "--json").json["id"]
    several = f"2 users are called ada; give an id: {ada}, {twin}."
    assert call("users", "delete", "ada").refused(1) == several
    assert call("users", "delete", "ADA", "--json").json["id"] == twin
    for words in NAMED:
        assert call(*words.split()).code == 0, words
    (team,) = call("teams", "list", "--json").json
    assert (team["id"], team["weight"]) == (teams["Film"], 2)
    assert [one["name"] for one in call("users", "list", "--team", "Film", "--json").json] == ["Bo"]


def test_tables_hold_what_is_copied(store: RedisServer, command: On) -> None:
    """Without `--json` each thing is one row, with its full id; an empty list says so."""
    call = command(store)
    assert call("teams", "list").out == "none\n"
    team = call("teams", "create", "[red]Łódź", "--limit", "usd/day=5", "--json").json["id"]
    key = call("keys", "create", "a", "--json").json
    tables = {
        ("teams", "list"): (team, "[red]Łódź", "usd/day=5.00"),
        ("teams", "show", team): (team, "UTC", "no limit", "as FILMGATE_RETENTION_DAYS"),
        ("users", "list"): (key["user"],),
        ("keys", "list"): (key["id"], key["shown_as"]),
        ("keys", "show", key["id"]): (key["shown_as"],),
        ("limits", "show", team): ("usd", "5.00"),
        ("audit", "list"): ("key.add", "cli:olga"),
        ("audit", "verify"): ("3", "intact"),
        ("ledger", "verify"): ("differences: 0",),
    }
    for words, shown in tables.items():
        ended = call(*words)
        assert (ended.code, ended.err) == (0, ""), words
        assert all(text in ended.out for text in shown), (words, ended.out)
    assert "broken" not in call("audit", "verify").out


@pytest.mark.anyio
async def test_tables_fit_a_terminal(store: RedisServer, command: On, tmp_path: Path) -> None:
    """In 80 columns: names, whole states, ids that commands accept, times in words; in a pipe nothing is cut."""
    here = command(store)

    async def call(*words: str) -> Ended:
        return await asyncio.to_thread(here, *words)

    team = (
        await call("teams", "create", "Film", "--limit", "usd/day=5", "--limit", "submits/minute=30", "--json")
    ).json
    made = (await call("users", "create", "Ada Lovelace", "--limit", "usd/month=50", "--key")).out
    assert re.search(r"^user +Ada Lovelace, user_\w{32}\nlimits +usd/month=50.00\nkey +fg_live_\w+\n$", made)
    (key,) = (await call("keys", "list", "--json")).json
    await call("keys", "revoke", key["id"])
    for words in ("keys list", "users list", "teams list", "audit list"):
        whole = (await call(*words.split())).out
        assert not set(whole) & set("┃│━\t"), whole
        environment = clean_environment(FILMGATE_REDIS_URL=store.url)
        terminal = Terminal([*COMMAND, *words.split()], tmp_path, environment)
        try:
            assert await terminal.ends() == 0
        finally:
            terminal.close()
        assert max(map(len, terminal.text.splitlines())) <= 80, terminal.text
        if words == "audit list":
            assert not re.search(r"_[0-9a-f]{9}", terminal.text), terminal.text
            assert re.search("just now|s ago", terminal.text), terminal.text
        if words == "keys list":
            assert re.search(
                r"^Ada Lovelace +Film +key_\w{8} +revoked", terminal.text.replace("\r", ""), re.MULTILINE
            )
            assert "\x1b[31mrevoked" in terminal.seen
    assert (await call("teams", "show", team["id"][:13], "--json")).json["id"] == team["id"]


def test_a_changed_store_is_noticed(store: RedisServer, command: On) -> None:
    """A counter and a line were changed by hand: exit 1, and the differences."""
    call = command(store)
    team = call("teams", "create", "one", "--json").json["id"]
    call("ledger", "correct", team, "2.50", "--reason", "an invoice")
    assert call("ledger", "verify", "--json").json == {"teams": 1, "entries": 1, "differences": []}
    assert call("audit", "verify", "--json").json == {"lines": 2, "intact": True, "broken_at": None}
    with Redis.from_url(store.url) as redis:
        redis.hset(keys.total(team), "used:usd", "1")
        ((first, _), _) = redis.xrange(keys.AUDIT)
        redis.xdel(keys.AUDIT, first)
    ended = call("ledger", "verify", "--json")
    (difference,) = json.loads(ended.out)["differences"]
    assert (difference["key"], difference["stored"], difference["rebuilt"]) == (keys.total(team), 1, 2_500_000)
    assert (ended.code, len(ended.err.splitlines())) == (1, 1)
    assert keys.total(team) in call("ledger", "verify").out
    ended = call("audit", "verify", "--json")
    assert (ended.code, json.loads(ended.out)["broken_at"]) == (1, 1)
    assert ended.err == "filmgate: The audit log is not as it was written, from line 1 on.\n"


@pytest.mark.anyio
async def test_the_ledger_is_corrected(stack: Stack, command: On) -> None:
    """A credit, a correction of today, and a job's real cost are entries with a reason, and usage."""
    team = stack.account.team.id
    job = await stack.submit("paid [emu:drop_after_accept]")
    await stack.gateway.stores.slots.grant()
    await submit(stack.gateway, f"{team}/{job['id']}")

    def ledger() -> None:
        call = command(stack.redis)
        why = ("--reason", "it was so", "--json")
        open_one = call("ledger", "correct", team, "1.00", "--job", job["id"], "--reason", "too early")
        assert open_one.refused(1) == "The job has not ended; its charge is not known yet."
        call("jobs", "resolve", job["id"], "fail", "--charged")
        corrected = call("ledger", "correct", team, "1.00", "--job", job["id"], *why).json
        assert (corrected["job"], corrected["outcome"]) == (job["id"], "corrected")
        assert call("ledger", "correct", team, "1.00", "--job", job["id"], *why).json["outcome"] == "same"
        assert call("ledger", "credit", team, "20", *why).json["amount_usd"] == "20.00"
        assert call("ledger", "correct", team, "0.50", *why).json["amount_usd"] == "0.50"
        assert call("ledger", "correct", team, "-0.25", *why).json["amount_usd"] == "-0.25"
        below = call("ledger", "correct", team, "-99", "--reason", "too much")
        assert below.refused(1) == "Less than nothing would be spent; name the job that is corrected."
        entries = call("ledger", "list", "--team", team, "--limit", "5", "--json").json
        assert [(entry["type"], entry["amount_usd"]) for entry in entries] == [
            *(("correction", "-0.25"), ("correction", "0.50"), ("credit", "20.00")),
            *(("correction", "-0.40"), ("settle", "1.40")),
        ]
        assert {entry["reason"] for entry in entries[:4]} == {"it was so"}
        assert call("ledger", "verify", "--json").json["differences"] == []
        usage = call("usage", "--team", team, "--group-by", "model", "--json").json
        assert (usage["total"]["spent_usd"], usage["credits_usd"]) == ("1.25", "20.00")
        assert call("usage").out.count("1.25") == 2  # the day, and the total
        header, *rows = call("usage", "--group-by", "user", "--csv").out.splitlines()
        assert header.startswith("team,team_name,user,name,jobs,")
        assert {row.split(",")[0] for row in rows} == {team}

    await asyncio.to_thread(ledger)


def test_a_user_without_a_team_is_told_how_to_make_one(store: RedisServer, command: On) -> None:
    """The sentence is the remedy."""
    refused = command(store)("users", "create", "a").refused(1)
    assert refused == "There is no team yet: make one with `filmgate teams create NAME`."
