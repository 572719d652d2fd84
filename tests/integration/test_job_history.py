"""What a job went through: its states, its attempts at fal and its money, for its caller and the administrator."""

from typing import Any

import pytest

from app.store import keys
from tests.integration.admin import Administrator
from tests.integration.refusals import assert_problem
from tests.support.callers import second_account
from tests.support.pipeline import Pipeline
from tests.support.receiver import Receiver

pytestmark = pytest.mark.anyio
USUAL = ["queued", "submitting", "running", "finalizing", "succeeded"]


async def history(pipeline: Pipeline, job_id: str) -> dict[str, Any]:
    """The history as the job's caller reads it; each state begins where the one before has ended."""
    reply = await pipeline.stack.api.get(f"/v1/jobs/{job_id}/history")
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    states = found["states"]
    assert [state["until"] for state in states] == [*(state["at"] for state in states[1:]), None]
    return found


def words(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    """These members of each row."""
    return [tuple(row[name] for name in names) for row in rows]


async def test_a_usual_job_has_five_states_and_two_entries(pipeline: Pipeline) -> None:
    """The times are the job's own, and its record holds nothing more for them; nobody else reads them."""
    ended = await pipeline.ended()
    await pipeline.ended()
    found, job = await history(pipeline, ended.id), await pipeline.stack.job(ended.id)
    assert [state["status"] for state in found["states"]] == USUAL
    times = [state["at"] for state in found["states"]]
    assert [times[0], times[2], times[4]] == [job["created_at"], job["submitted_at"], job["completed_at"]]
    assert all(state["seconds"] >= 0 for state in found["states"][:-1])
    assert words(found["attempts"], "number", "outcome", "reason") == [(1, "accepted", None)]
    assert words(found["entries"], "type", "job", "amount_usd") == [
        ("reserve", ended.id, "1.40"),
        ("settle", ended.id, "1.40"),
    ]
    assert found["user"] == {"id": job["user"], "name": "tester"}
    kept = await pipeline.redis.hgetall(keys.job(pipeline.ref(ended.id)))
    assert not {"turns", "entries"} & kept.keys()
    async with second_account(pipeline.stack, same_team=True) as other:
        assert_problem(await other.get(f"/v1/jobs/{ended.id}/history"), 404, "not_found")


async def test_refused_and_held_attempts_are_in_the_history(pipeline: Pipeline, admin: Administrator) -> None:
    """With their reasons, after the record was packed too; a hold says what to look for at fal."""
    job = await pipeline.bought("[emu:429_direct:1]")
    assert words((await history(pipeline, job.id))["states"], "status", "reason") == [
        ("queued", None),
        ("submitting", None),
        ("queued", "upstream_busy"),
    ]
    await pipeline.redis.zadd(keys.LATER, {pipeline.ref(job.id): 0}, xx=True)
    await pipeline.gateway.stores.slots.grant()
    await pipeline.submit(job.id)
    await pipeline.completed(job.id)
    await pipeline.finalized(job.id)
    found = await history(pipeline, job.id)
    assert [state["status"] for state in found["states"]] == ["queued", "submitting", *USUAL]
    assert words(found["attempts"], "number", "outcome", "reason") == [
        (1, "refused", "upstream_busy"),
        (2, "accepted", None),
    ]
    assert "turns" not in await pipeline.redis.hgetall(keys.job(pipeline.ref(job.id))), "it is packed"

    held = await pipeline.bought("[emu:submit_502_accepted]")
    details = await admin.done("GET", f"jobs/{held.id}")
    assert words(details["states"], "status", "reason")[1:] == [("submitting", None), ("held", "http_502")]
    assert words(details["attempts"], "number", "outcome", "reason") == [(1, "unknown", "http_502")]
    assert details["held_at"] == details["states"][-1]["at"]
    assert details["fal_tag"] == f"filmgate={held.id}.{held.nonce}"
    await admin.api.post(f"/v1/admin/jobs/{held.id}/resolve", json={"action": "fail", "charged": False})
    details = await admin.done("GET", f"jobs/{held.id}")
    assert words(details["attempts"], "outcome") == [("unknown",)]
    assert words(details["entries"], "type") == [("reserve",), ("release",)]
    assert details["error"]["code"] == "unknown_outcome"


async def test_later_entries_and_fals_own_reason_are_in_the_administrators_view(
    pipeline: Pipeline, admin: Administrator, receiver: Receiver
) -> None:
    """A dispute, how it ended, a correction; the error with fal's answer, and the webhooks; no prompt."""
    stack, hook = pipeline.stack, receiver.url
    job = await pipeline.ended("[emu:422_content_policy] my secret", webhook_url=hook)
    books = pipeline.gateway.ledger
    for actual in (1_400_000, 700_000):
        await books.correct_job("test", pipeline.team, job.id, actual=actual, reason="by fal's bill")
    reply = await admin.call("GET", f"jobs/{job.id}")
    details = reply.json()
    money = [("reserve", "1.40"), ("dispute", "1.40"), ("settle", "1.40"), ("correction", "-0.70")]
    assert words(details["entries"], "type", "amount_usd") == money
    assert words((await history(pipeline, job.id))["entries"], "type", "amount_usd") == money
    assert details["error"] == (await stack.job(job.id))["error"]
    assert details["error"]["upstream"]["status"] == 422
    assert (details["team_name"], details["user_name"]) == ("test", "tester")
    assert words(details["deliveries"], "event", "url", "status") == [("job.failed", hook, "due")]
    assert "my secret" not in reply.text
    assert_problem(await admin.call("GET", "jobs/job_none"), 404, "not_found")
    assert_problem(await stack.api.get(f"/v1/admin/jobs/{job.id}"), 403, "forbidden")
