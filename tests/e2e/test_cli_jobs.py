"""`filmgate jobs`, as an operator uses it: the command is a process, and reads the same store as the gateway."""

import asyncio
import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from app.domain.times import iso
from tests.support.processes import clean_environment, run_command
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack
from workers.submit import submit

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(200)]

ACCEPTED = "[emu:drop_after_accept]"
NOT_ACCEPTED = "[emu:drop_before_accept]"


async def _held(stack: Stack, prompt: str) -> dict[str, Any]:
    """A job whose one POST was interrupted, so that its outcome is unknown."""
    job = await stack.submit(prompt)
    await stack.gateway.stores.slots.grant()
    await submit(stack.gateway, f"{stack.account.team.id}/{job['id']}")
    job = await stack.job(job["id"])
    assert job["status"] == "held", job
    return job


async def _run(stack: Stack, *arguments: str) -> CompletedProcess[str]:
    return await run_command("jobs", *arguments, environment=clean_environment(**stack.environment))


async def _answer(stack: Stack, *arguments: str) -> Any:
    ended = await _run(stack, *arguments, "--json")
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
    return json.loads(ended.stdout)


async def _says(stack: Stack, sentence: str, *arguments: str) -> None:
    """The command fails with 1 and this one sentence."""
    ended = await _run(stack, *arguments)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.splitlines() == [f"filmgate: {sentence}"]


async def _money(stack: Stack) -> dict[str, str]:
    found: dict[str, str] = (await stack.api.get("/v1/me")).json()["usage"]
    return found


async def test_held_jobs_are_listed_and_shown(stack: Stack) -> None:
    """As JSON the API's jobs, with what finds them at fal; as a table a row to copy from each, and its tag."""
    job = await _held(stack, f"held {ACCEPTED}")
    plain = await stack.submit("not held")
    listed, shown, table = await asyncio.gather(
        _answer(stack, "held"), _answer(stack, "show", plain["id"]), _run(stack, "held")
    )
    record = await stack.gateway.stores.jobs.find(job["id"])
    assert record is not None
    (since,) = (await stack.gateway.operations.held_since([record])).values()
    attempt = {"claimed_at": iso(record.claimed_ms), "held_at": iso(since)}
    tag = f"filmgate={job['id']}.{record.nonce}"
    (held,) = listed
    added = {"team": stack.account.team.id, "user_name": stack.account.user.name, "fal_tag": tag, **attempt}
    assert held == held | job | added
    assert table.stdout.splitlines()[1].startswith(f"{stack.account.user.name} ")
    assert [one["id"] for one in shown] == [plain["id"]]
    assert table.returncode == 0
    row, at_fal = [line for line in table.stdout.splitlines() if job["id"] in line]
    for words in (job["held_reason"], stack.account.team.name, *attempt.values()):
        assert str(words) in row
    assert at_fal == f"At fal: {job['model']}, with a tag that begins {tag}"


async def test_adopting_names_the_request_at_fal(stack: Stack) -> None:
    """The job runs with fal's id, and its money stays reserved until fal's answer."""
    job = await _held(stack, f"adopt {ACCEPTED}")
    (request,) = await stack.emulator.requests()
    (answered,) = await _answer(
        stack, "resolve", job["id"], "adopt", "--upstream-request-id", request["request_id"]
    )
    assert answered["status"] == "running"
    assert (await stack.job(job["id"]))["held_reason"] is None
    assert await _money(stack) == {"reserved_usd": "1.40", "spent_usd": "0.00"}
    await _says(
        stack, "The job is running, not held; there is nothing to decide.", "resolve", job["id"], "resubmit"
    )


async def test_failing_says_whether_it_was_charged(stack: Stack) -> None:
    """`--no-charged` releases the money, `--charged` spends it."""
    free = await _held(stack, f"free {NOT_ACCEPTED}")
    paid = await _held(stack, f"paid {ACCEPTED}")
    answers = await asyncio.gather(
        _answer(stack, "resolve", free["id"], "fail", "--no-charged"),
        _answer(stack, "resolve", paid["id"], "fail", "--charged"),
    )
    ends = [(one["status"], one["error"]["code"], one["charged_usd"]) for (one,) in answers]
    assert ends == [("failed", "unknown_outcome", "0.00"), ("failed", "unknown_outcome", "1.40")]
    assert await _money(stack) == {"reserved_usd": "0.00", "spent_usd": "1.40"}
    assert await _answer(stack, "held") == []


async def test_what_cannot_be_done_is_one_sentence(stack: Stack) -> None:
    """Exit 1 and the reason; wrong usage is 2, and names what is missing or surplus; the job stays held."""
    job = await _held(stack, f"stays {ACCEPTED}")
    request_id, charged = "--upstream-request-id", "--charged/--no-charged"
    unknown = "There is no job with this id."
    wrong = {
        ("forget",): "forget",
        ("adopt",): request_id,
        ("adopt", request_id, "../x"): "'../x' is no request id",
        ("adopt", request_id, "x", "--charged"): charged,
        ("resubmit", request_id, "x"): request_id,
        ("fail",): charged,
        ("fail", "--charged", request_id, "x"): request_id,
    }
    ends, _ = await asyncio.gather(
        asyncio.gather(*(_run(stack, "resolve", job["id"], *words) for words in wrong)),
        _says(stack, unknown, "show", "job_none"),
    )
    for ended, named in zip(ends, wrong.values(), strict=True):
        assert (ended.returncode, ended.stdout) == (2, "")
        assert named in ended.stderr
    assert (await stack.job(job["id"]))["status"] == "held"


async def test_without_a_gateway_the_command_says_how_to_get_one(tmp_path: Path) -> None:
    """Nothing runs in the data directory: one sentence with both remedies."""
    environment = clean_environment(FILMGATE_DATA_DIR=str(tmp_path))
    ended = await run_command("jobs", "held", environment=environment)
    sentence = f"filmgate: Nothing runs in {tmp_path}: start `filmgate up`, or set FILMGATE_REDIS_URL."
    assert (ended.returncode, ended.stderr.splitlines()) == (1, [sentence])


async def test_a_store_that_is_away_is_one_sentence() -> None:
    """Exit 1, no traceback."""
    with RedisServer() as server:
        away = server.url
    ended = await run_command("jobs", "held", environment=clean_environment(FILMGATE_REDIS_URL=away))
    assert ended.returncode == 1, ended.stderr
    lines = [line for line in ended.stderr.splitlines() if line.startswith("filmgate: ")]
    assert len(lines) == 1
    assert "Traceback" not in ended.stderr
