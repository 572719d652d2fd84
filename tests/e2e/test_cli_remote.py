"""Administration of a gateway over HTTP: the same commands, tables and JSON as at the store."""

import asyncio
import re
from typing import Any

import pytest

from tests.support.command import Command, command_on
from tests.support.server import running_server
from tests.support.stack import ADMIN_KEY, Stack

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(200)]

SHOWN = ("jobs list", "teams list", "users list", "keys list", "limits show", "audit list", "audit verify")


def _administer(call: Command) -> None:
    """What a command does over HTTP, the next one shows; ids may be short; refusals are the gateway's sentences."""
    team = call("teams", "create", "Far", "--weight", "2", "--retention-days", "60", "--json").json["id"]
    freed = call("teams", "update", team[:14], "--retention-days", "gateway", "--json").json
    assert (freed["weight"], freed["retention_days"]) == (2, None)
    limit = ("--limit", "usd/month=50")
    bob = call("users", "create", "Bob", "--team", team, *limit, "--key", "--json").json
    assert bob["limits"] == [{"unit": "usd", "window": "month", "amount": "50.00"}]
    assert bob["key"].startswith("fg_live_")
    assert call("users", "update", bob["id"][:12], "--name", "Rob", "--json").json["name"] == "Rob"
    assert [one["id"] for one in call("keys", "list", "--user", bob["id"], "--json").json] == [bob["key_id"]]
    assert re.search(r"Rob +Far +key_\w+ +active", call("keys", "list").out)
    new = call("keys", "rotate", bob["key_id"], "--overlap", "0", "--json").json
    assert call("keys", "revoke", new["id"], "--json").json["revoked_at"] is not None
    (raised,) = call("limits", "raise", bob["id"], "usd/month=80", "--for", "2h", "--json").json
    assert raised["raised_to"] == "80.00"
    assert call("limits", "set", "gateway", "jobs/queued=9", "--json").json[0]["amount"] == 9
    call("ledger", "credit", team, "5", "--reason", "a gift")
    assert [one["type"] for one in call("ledger", "list", "--team", team, "--json").json] == ["credit"]
    paused = call("pause", "--team", team, "--reason", "a look at the bill", "--json").json
    assert paused["upstream_paused"]["reason"]
    assert re.search(r"Far: paused by administrator since [-0-9T:.]+Z: a look at the bill", call("status").out)
    assert call("resume", "--team", team, "--json").json["upstream_paused"] is None
    assert call("audit", "verify", "--json").json["intact"] is True
    assert re.search(r"administrator +limits.raise +Rob ", call("audit", "list").out)
    assert call("users", "delete", bob["id"], "--json").json == {"id": bob["id"], "deleted": True}
    assert call("teams", "show", "team_" + "0" * 32).refused(1) == "There is no team with this id."


def _same(near: Any, far: Any) -> None:
    """Two replies are equal; a job has its content too at the store."""
    if isinstance(far, list):
        assert len(near) == len(far)
        for one, other in zip(near, far, strict=True):
            _same(one, other)
    else:
        only_near = near.keys() - far.keys()
        assert {name: near[name] for name in far} == far
        assert not only_near or {"input", "output", "urls"} <= only_near


def _look_at(call: Command, jobs: list[str], user: str) -> None:
    """Newest first, with the names of those whose they are; the beginning of an id is enough."""
    assert [one["id"] for one in call("jobs", "list", "--json").json] == jobs
    assert call("jobs", "list", "--status", "held").out == "none\n"
    rows = call("jobs", "list").out.splitlines()[1:]
    assert all(re.match(rf"{user} .*master/image-to-video +queued +1.40 .* job_", row) for row in rows)
    assert re.search(rf"job +{jobs[0]}\n(?s:.+)user +{user}, user_", call("jobs", "show", jobs[0][:12]).out)
    assert call("usage", "--group-by", "model", "--json").json["total"]["held_usd"] == "2.80"
    assert call("usage", "--csv").out.startswith("team,")
    assert "2.80" in call("usage").out.splitlines()[-1]
    nothing = "The job is queued, not held; there is nothing to decide."
    assert call("jobs", "resolve", jobs[0][:12], "resubmit").refused(1) == nothing
    assert [one["state"]["left"] for one in call("limits", "show", "--json").json] == [7]


def _cancel(call: Command, job: str, ended: str, user: str) -> None:
    """The live job ends and costs nothing, one that had ended is named; an unknown id cancels nothing."""
    assert call("jobs", "cancel", job, "job_" + "0" * 32).refused(1) == "There is no job with this id."
    assert call("jobs", "cancel", ended).refused(1) == f"{ended} has already ended."
    listed = call("jobs", "list", "--user", user[:12], "--status", "queued", "--json").json
    assert [one["id"] for one in listed] == [job]
    both = call("jobs", "cancel", job[:12], ended[:12])
    assert (both.code, both.err) == (1, f"filmgate: {ended} has already ended.\n")
    assert re.search(rf"\n{job} +canceled .*1.40 +0.00", both.out)
    assert call("jobs", "list", "--user", "user_" + "0" * 32).out == "none\n"


@pytest.mark.anyio
async def test_a_gateway_is_administered_from_elsewhere(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a machine with nothing but the gateway's address and the administrator's key; without it, a sentence."""
    jobs = [(await stack.submit(f"number {number}"))["id"] for number in range(2)]
    call = command_on(monkeypatch, capsys, stack.redis)
    monkeypatch.delenv("FILMGATE_REDIS_URL")
    async with running_server(stack.environment) as server:
        monkeypatch.setenv("FILMGATE_URL", server.url)
        monkeypatch.setenv("FILMGATE_ADMIN_KEY", ADMIN_KEY)
        await asyncio.to_thread(_administer, call)
        await asyncio.to_thread(_look_at, call, jobs[::-1], stack.account.user.name)
        shown = [("jobs", "show", jobs[0]), *(tuple(words.split()) for words in SHOWN)]
        far = await asyncio.to_thread(lambda: [call(*words, "--json").json for words in shown])
        monkeypatch.setenv("FILMGATE_REDIS_URL", stack.redis.url)
        near = await asyncio.to_thread(lambda: [call(*words, "--json").json for words in shown])
        (canceled,) = await asyncio.to_thread(lambda: call("jobs", "cancel", jobs[1], "--json").json)
        assert canceled["status"] == "canceled"
        monkeypatch.delenv("FILMGATE_REDIS_URL")
        _same(near, far)
        await asyncio.to_thread(_cancel, call, jobs[0], jobs[1], stack.account.user.id)
        monkeypatch.setenv("FILMGATE_ADMIN_KEY", "not-the-administrators-key-at-all")
        assert "FILMGATE_ADMIN_KEY" in (await asyncio.to_thread(call, "teams", "list")).refused(1)
        monkeypatch.delenv("FILMGATE_ADMIN_KEY")
        needs_key, at_store = await asyncio.to_thread(
            lambda: [
                call(*words.split(), "--url", server.url).refused(1) for words in ("teams list", "ledger verify")
            ]
        )
    assert needs_key == "--url needs the administrator's key of that gateway: set FILMGATE_ADMIN_KEY."
    assert at_store.startswith("This command works at the store only")
