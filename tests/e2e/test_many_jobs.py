"""Two hundred concurrent jobs through every process of an installation: all end as expected, to the cent."""

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from app.domain.money import format_usd, parse_usd
from tests.support.installation import ENDS, Installation, Job, open_installation
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

Say: TypeAlias = Callable[[str], None]
COUNT = 200
PRICE = 1_400_000
FAULTS = {"[emu:422_image_load]": 2, "[emu:500_downstream]": 2, "[emu:stuck_in_progress]": 1}
CANCELED = 2


def _plan() -> list[tuple[str, dict[str, Any]]]:
    """Prompts and other members: the stuck one is first and has a deadline, the canceled ones are last."""
    prompts = [f"clip {number} {tag}" for tag, count in FAULTS.items() for number in range(count)]
    special: list[tuple[str, dict[str, Any]]] = [
        (prompt, {"priority": "high", "deadline": 10} if "stuck" in prompt else {}) for prompt in prompts
    ]
    last: list[tuple[str, dict[str, Any]]] = [
        (f"canceled {number}", {"priority": "low"}) for number in range(CANCELED)
    ]
    plain: list[tuple[str, dict[str, Any]]] = [
        (f"clip {number}", {}) for number in range(COUNT - len(special) - len(last))
    ]
    return [*plain[:30], *special, *plain[30:], *last]


def _of(jobs: list[Job], tag: str) -> list[Job]:
    return [job for job in jobs if tag in job["input"]["prompt"]]


def _has_ended_well(jobs: list[Job]) -> None:
    """Every kind of job has the status and the error code of its fault."""
    expected = {
        "422_image_load": ("failed", "upstream_rejected_input"),
        "500_downstream": ("failed", "upstream_error"),
        "stuck_in_progress": ("failed", "deadline_exceeded"),
        "canceled": ("canceled", "canceled"),
    }
    for tag, (status, code) in expected.items():
        assert {(job["status"], job["error"]["code"]) for job in _of(jobs, tag)} == {(status, code)}, tag
    plain = [job for job in jobs if not any(tag in job["input"]["prompt"] for tag in expected)]
    assert len(plain) == COUNT - CANCELED - sum(FAULTS.values())
    assert {job["status"] for job in plain} == {"succeeded"}
    assert {job["charged_usd"] for job in plain} == {"1.40"}


async def _agrees_with_fal(installation: Installation, jobs: list[Job]) -> str:
    """The emulator's ledger, `GET /v1/me` and the jobs agree; open jobs are named. Returns the figures."""
    ledger = await installation.emulator.ledger()
    reserved, spent = await installation.usage()
    charged = sum(parse_usd(job["charged_usd"]) for job in jobs if job["charged_usd"] is not None)
    assert ledger["total_micro"] == spent == charged == PRICE * len(_succeeded(jobs))
    disputed = {job["input"]["prompt"] for job in jobs if job["charged_usd"] is None}
    named = {prompt for prompt, _ in _plan() if "422_image_load" in prompt or "stuck" in prompt}
    assert disputed == named
    assert reserved == PRICE * len(named)
    charged_prompts = {charge["prompt"] for charge in ledger["charges"]}
    assert charged_prompts == {job["input"]["prompt"] for job in _succeeded(jobs)}
    both = f"fal charged ${format_usd(ledger['total_micro'])}, we ${format_usd(spent)}"
    return f"{len(jobs)} jobs: {both}; disputed ${format_usd(reserved)}: {', '.join(sorted(disputed))}"


def _succeeded(jobs: list[Job]) -> list[Job]:
    return [job for job in jobs if job["status"] == "succeeded"]


async def test_two_hundred_jobs_at_once_all_end_and_both_ledgers_agree(store: RedisServer, say: Say) -> None:
    """Four fail at fal, two are canceled in line, one is stuck until its deadline; nothing is bought twice."""
    options = ("--concurrency", "20", "--queue-seconds", "0.05", "--run-seconds", "0.3")
    async with open_installation(store, *options, FILMGATE_UPSTREAM_CONCURRENCY="20") as installation:
        submitted = await installation.submit_all(_plan())
        assert len({job["id"] for job in submitted}) == COUNT
        for job in _of(submitted, "canceled"):
            reply = await installation.api.post(f"/v1/jobs/{job['id']}/cancel")
            assert (reply.status_code, reply.json()["status"]) == (202, "canceled"), reply.text
        jobs = await installation.until_all(COUNT, ENDS, timeout=150)
        _has_ended_well(jobs)
        say(await _agrees_with_fal(installation, jobs))
        assert await installation.bought_twice() == []
        assert await installation.faults() == []
