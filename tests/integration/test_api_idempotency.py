"""One key, one job: repeats spend nothing, and a refused submission does not consume its key."""

import pytest

from tests.integration.concurrency import concurrently
from tests.integration.refusals import assert_problem, nothing_changes, store_digests
from tests.support.callers import second_account
from tests.support.stack import Stack
from workers.finalize import finalize
from workers.submit import submit

pytestmark = pytest.mark.anyio


async def test_two_hundred_submissions_make_one_job(stack: Stack) -> None:
    """Fifty at a time: one 202 is new and 199 repeat it; the price is reserved once."""
    headers = {"Idempotency-Key": "once"}
    replies = await concurrently(stack.api.post("/v1/jobs", json=stack.body(), headers=headers) for _ in range(200))
    assert {reply.status_code for reply in replies} == {202}
    assert len({reply.json()["id"] for reply in replies}) == 1
    assert sum(reply.json()["repeated"] for reply in replies) == 199
    assert sum(reply.headers.get("idempotent-replayed") == "true" for reply in replies) == 199
    assert (await stack.api.get("/v1/me")).json()["usage"]["reserved_usd"] == "1.40"


async def test_a_repeat_changes_nothing(stack: Stack) -> None:
    """A repeat is 202 with the job and its queue position, and the store is unchanged."""
    headers = {"Idempotency-Key": "again"}
    first = await stack.api.post("/v1/jobs", json=stack.body(), headers=headers)
    async with nothing_changes(stack):
        repeat = await stack.api.post("/v1/jobs", json=stack.body(), headers=headers)
    assert repeat.status_code == 202
    assert repeat.headers["location"] == first.headers["location"]
    assert repeat.json() == {**first.json(), "repeated": True}
    assert "idempotent-replayed" not in first.headers


async def test_another_body_is_refused(stack: Stack) -> None:
    """422 for the same key with a different body; the first job is unchanged."""
    headers = {"Idempotency-Key": "taken"}
    await stack.api.post("/v1/jobs", json=stack.body(), headers=headers)
    others = [
        stack.body("another prompt kan4rie"),
        stack.body(priority="high"),
        stack.body(metadata={"a": "b"}),
        stack.body(deadline=600),
        stack.body(max_usd="9"),
        stack.body(model="fal-ai/kling-video/v2.1/master/image-to-video"),
    ]
    async with nothing_changes(stack):
        for body in others:
            reply = await stack.api.post("/v1/jobs", json=body, headers=headers)
            assert_problem(reply, 422, "idempotency_key_reused", secret="kan4rie")


async def test_the_same_request_in_other_words_is_a_repeat(stack: Stack) -> None:
    """White space, member order and explicit defaults do not make a different request."""
    headers = {"Idempotency-Key": "words"}
    first = await stack.api.post("/v1/jobs", json=stack.body(), headers=headers)
    given = stack.body(priority="normal", metadata={}, webhook_url=None)
    given["input"] = {"duration": "5", "cfg_scale": 0.5, **dict(reversed(given["input"].items()))}
    repeat = await stack.api.post("/v1/jobs", json=given, headers=headers)
    assert repeat.json()["id"] == first.json()["id"]


async def test_a_prompt_normalised_otherwise_is_another_body(stack: Stack) -> None:
    """A precomposed letter and a letter with a combining accent are different requests: 422."""
    headers = {"Idempotency-Key": "accent"}
    first = await stack.api.post("/v1/jobs", json=stack.body("\u00e9"), headers=headers)
    assert first.status_code == 202
    other = await stack.api.post("/v1/jobs", json=stack.body("e\u0301"), headers=headers)
    assert_problem(other, 422, "idempotency_key_reused")


async def test_the_quoted_form_is_the_same_key(stack: Stack) -> None:
    """A bare key and a structured-field string are the same key; any other character makes another key."""
    ids = []
    for key in ("a key", '"a key"', " a key ", "A key"):
        reply = await stack.api.post("/v1/jobs", json=stack.body(), headers={"Idempotency-Key": key})
        assert reply.status_code == 202
        ids.append(reply.json()["id"])
    assert len(set(ids[:3])) == 1
    assert ids[3] != ids[0]


@pytest.mark.parametrize("same_team", [True, False])
async def test_another_users_key_is_another_job(stack: Stack, same_team: bool) -> None:  # noqa: FBT001 - a table
    """A key belongs to a user: equal keys of another team or of a colleague create their own jobs."""
    headers = {"Idempotency-Key": "shared"}
    first = await stack.api.post("/v1/jobs", json=stack.body(), headers=headers)
    async with second_account(stack, same_team=same_team) as other:
        reply = await other.post("/v1/jobs", json=stack.body("another"), headers=headers)
    assert reply.status_code == 202
    assert reply.json()["id"] != first.json()["id"]
    assert reply.json()["repeated"] is False


async def test_a_refused_submission_does_not_use_the_key_up(stack: Stack) -> None:
    """After 400, 402, 404, 413, 415 and 422 the key can be used as if new."""
    headers = {"Idempotency-Key": "careful", "Content-Type": "application/json"}
    wrong = stack.body()
    wrong["input"]["duration"] = 5
    async with nothing_changes(stack):
        refused = [
            await stack.api.post("/v1/jobs", content=b"{", headers=headers),
            await stack.api.post("/v1/jobs", json=stack.body(max_usd="0.01"), headers=headers),
            await stack.api.post("/v1/jobs", json=stack.body(model="x/y"), headers=headers),
            await stack.api.post("/v1/jobs", content=b" " * 9_000_000, headers=headers),
            await stack.api.post("/v1/jobs", content=b"{}", headers=headers | {"Content-Type": "text/plain"}),
            await stack.api.post("/v1/jobs", json=wrong, headers=headers),
        ]
    assert [reply.status_code for reply in refused] == [400, 402, 404, 413, 415, 422]
    reply = await stack.api.post("/v1/jobs", json=stack.body(), headers=headers)
    assert (reply.status_code, reply.json()["repeated"]) == (202, False)


async def test_a_repeat_after_the_end_shows_the_job_as_it_is(stack: Stack) -> None:
    """A canceled job, and later its erased record, are still 202 for the key that created it."""
    headers = {"Idempotency-Key": "late"}
    job = (await stack.api.post("/v1/jobs", json=stack.body(), headers=headers)).json()
    await stack.api.post(f"/v1/jobs/{job['id']}/cancel")
    for erase in (False, True):
        if erase:
            assert (await stack.api.delete(f"/v1/jobs/{job['id']}")).status_code == 204
        before = await store_digests(stack)
        repeat = await stack.api.post("/v1/jobs", json=stack.body(), headers=headers)
        assert repeat.json()["status"] == "canceled"
        assert repeat.json()["id"] == job["id"]
        assert repeat.headers["idempotent-replayed"] == "true"
        assert repeat.status_code == 202
        waited = await stack.api.post("/v1/jobs", json=stack.body(), headers={**headers, "Prefer": "wait=5"})
        assert waited.status_code == 200  # with a wait for the end, the answer is that of an ended job
        assert await store_digests(stack) == before


async def test_a_repeat_while_it_runs_buys_nothing(stack: Stack) -> None:
    """A repeat for a running or finalizing job shows its state; fal has one request."""
    headers = {"Idempotency-Key": "running"}
    known = len(await stack.emulator.requests())
    job = (await stack.api.post("/v1/jobs", json=stack.body(), headers=headers)).json()
    ref = f"{stack.account.team.id}/{job['id']}"
    await stack.gateway.stores.slots.grant()
    await submit(stack.gateway, ref)
    repeat = await stack.api.post("/v1/jobs", json=stack.body(), headers=headers)
    assert (repeat.status_code, repeat.json()["status"]) == (202, "running")
    await finalize(stack.gateway, ref)  # not yet due: changes nothing
    assert len(await stack.emulator.requests()) == known + 1
    assert (await stack.api.get("/v1/me")).json()["usage"]["reserved_usd"] == "1.40"
