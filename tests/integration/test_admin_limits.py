"""Limits, raises, credits and corrections over the admin API."""

import csv
import io
from typing import Any

import pytest

from app.domain.limits import GATEWAY
from app.store import keys
from tests.integration.admin import Administrator
from tests.integration.refusals import assert_problem, nothing_changes
from tests.support.pipeline import Pipeline
from tests.support.stack import ADMIN_KEY, Stack

pytestmark = pytest.mark.anyio

ONE_JOB = {"unit": "jobs", "window": "total", "amount": 1}
ONE_CLIP = {"unit": "usd", "window": "total", "amount": "1.40"}  # the price of one clip
OWNERS = ["gateway", "team", "user"]


def path_of(owner: str, stack: Stack) -> str:
    """The path of an owner's limits."""
    return {
        "gateway": "",
        "team": f"teams/{stack.account.team.id}",
        "user": f"users/{stack.account.user.id}",
    }[owner]


async def refused(stack: Stack, status: int = 429, code: str = "over_limit") -> dict[str, Any]:
    """The first limit in the problem that refuses a submission."""
    problem = assert_problem(await stack.api.post("/v1/jobs", json=stack.body()), status, code)
    limit: dict[str, Any] = problem["limits"][0]
    return limit


async def _limits(admin: Administrator, path: str) -> list[dict[str, Any]]:
    """The limits as they were set, without their states."""
    shown = (await admin.done("GET", path))["data"]
    return [{name: value for name, value in one.items() if name != "state"} for one in shown]


@pytest.mark.parametrize("owner", OWNERS)
async def test_new_limits_take_the_place_of_the_old(admin: Administrator, stack: Stack, owner: str) -> None:
    """What was put is read back and enforced; an empty list removes all limits."""
    path = f"{path_of(owner, stack)}/limits"
    assert await admin.done("GET", path) == {"data": []}
    await admin.done("PUT", path, [{"unit": "submits", "window": "hour", "amount": 60}])
    both = await admin.done("PUT", path, [ONE_CLIP, ONE_JOB])
    assert both == {"data": [ONE_JOB, ONE_CLIP]} == {"data": await _limits(admin, path)}
    await stack.submit()
    limit = await refused(stack, 402, "over_budget")
    assert (limit["owner"], limit["left"]) == (owner, 0)
    states = [one["state"] for one in (await admin.done("GET", path))["data"]]
    assert [(one["held"], one["left"]) for one in states] == [(1, 0), ("1.40", "0.00")]
    assert await admin.done("PUT", path, []) == {"data": []}
    await stack.submit()


@pytest.mark.parametrize("amount", ["1.40", "1.4", "1.400000", 1.4])
async def test_dollars_are_a_string_or_a_number(admin: Administrator, stack: Stack, amount: Any) -> None:
    """Both are accepted, and shown with two decimal places."""
    path = f"{path_of('user', stack)}/limits"
    put = await admin.done("PUT", path, [{**ONE_CLIP, "amount": amount}])
    assert put["data"] == [ONE_CLIP]


async def test_limits_of_zero_and_nine_billion_are_fine(admin: Administrator, stack: Stack) -> None:
    """Both bounds are accepted; zero refuses every submission."""
    path = f"{path_of('team', stack)}/limits"
    highest = {**ONE_CLIP, "amount": "9000000000.00"}
    assert (await admin.done("PUT", path, [highest]))["data"] == [highest]
    await stack.submit()
    await admin.done("PUT", path, [highest, {**ONE_JOB, "amount": 0}])
    assert (await refused(stack))["amount"] == 0


@pytest.mark.parametrize("owner", OWNERS)
async def test_a_raise_is_in_force_until_it_ends(admin: Administrator, stack: Stack, owner: str) -> None:
    """It is shown with its limit and allows more; afterwards the original limit is in force."""
    path = path_of(owner, stack)
    await admin.done("PUT", f"{path}/limits", [ONE_JOB])
    await stack.submit()
    assert (await refused(stack))["amount"] == 1
    raised = await admin.done("POST", f"{path}/raises", {**ONE_JOB, "amount": 2, "expires_in": 60})
    assert {name: raised[name] for name in ONE_JOB} == ONE_JOB
    assert (raised["raised_to"], raised["raised_until"][-1]) == (2, "Z")
    assert await _limits(admin, f"{path}/limits") == [raised]
    await stack.submit()
    assert (await refused(stack))["amount"] == 2
    name = {"team": stack.account.team.id, "user": stack.account.user.id}.get(owner, GATEWAY)
    over = await stack.gateway.stores.clock.now_ms() - 1
    await Pipeline(stack).redis.hset(keys.limits(name), "raise:jobs/total", f"2 {over}")
    assert await _limits(admin, f"{path}/limits") == [ONE_JOB]
    assert (await refused(stack))["amount"] == 1


async def test_a_raise_needs_a_lower_limit(admin: Administrator, stack: Stack) -> None:
    """The limit must exist and the raise must exceed it: otherwise 422, and nothing changes."""
    path = path_of("team", stack)
    async with nothing_changes(stack):
        reply = await admin.call("POST", f"{path}/raises", {**ONE_JOB, "expires_in": 60})
    assert assert_problem(reply, 422, "invalid_input")["errors"][0]["pointer"] == "/window"
    await admin.done("PUT", f"{path}/limits", [ONE_JOB])
    async with nothing_changes(stack):
        for amount in (0, 1):
            reply = await admin.call("POST", f"{path}/raises", {**ONE_JOB, "amount": amount, "expires_in": 60})
            assert assert_problem(reply, 422, "invalid_input")["errors"][0]["pointer"] == "/amount"


async def test_a_credit_lets_the_team_spend_more(admin: Administrator, stack: Stack) -> None:
    """One clip is paid for; the second is refused, and accepted after a credit of its price."""
    path = path_of("team", stack)
    await admin.done("PUT", f"{path}/limits", [ONE_CLIP])
    await stack.submit()
    await refused(stack, 402, "over_budget")
    answer = await admin.done("POST", f"{path}/credits", {"amount_usd": "1.40", "reason": " a gift "})
    assert answer == {"team": stack.account.team.id, "done": "credit", "amount_usd": "1.40", "reason": "a gift"}
    await stack.submit()
    await refused(stack, 402, "over_budget")
    (entry,) = [
        entry
        for entry in (await admin.done("GET", "ledger", team=stack.account.team.id))["data"]
        if entry["type"] == "credit"
    ]
    assert (entry["amount_usd"], entry["reason"], entry["job"]) == ("1.40", "a gift", None)


async def test_a_correction_counts_as_spent_and_can_be_taken_back(admin: Administrator, stack: Stack) -> None:
    """Three dollars more, then three less; one more less would go below zero: 409, and nothing changes."""
    path = path_of("team", stack)
    for amount, spent in (("3.10", "3.10"), ("-3.00", "0.10")):
        answer = await admin.done("POST", f"{path}/credits", {"correction_usd": amount, "reason": "a bill"})
        assert (answer["done"], answer["correction_usd"]) == ("correction", amount)
        assert (await stack.api.get("/v1/me")).json()["usage"]["spent_usd"] == spent
    async with nothing_changes(stack):
        reply = await admin.call("POST", f"{path}/credits", {"correction_usd": "-0.11", "reason": "too much"})
        assert_problem(reply, 409, "below_zero")


async def test_a_jobs_charge_becomes_what_it_really_cost(admin: Administrator, stack: Stack) -> None:
    """The difference is a separate entry; a repeat changes nothing; the log has the requested charge."""
    pipeline = Pipeline(stack)
    job = await pipeline.ended()
    path = f"{path_of('team', stack)}/credits"
    body = {"job": job.id, "actual_usd": "1.25", "reason": "fal's invoice"}
    answer = await admin.done("POST", path, body)
    assert answer == {**body, "team": stack.account.team.id, "done": "corrected"}
    assert (await admin.done("POST", path, body))["done"] == "same"
    assert (await stack.job(job.id))["charged_usd"] == "1.25"
    assert await pipeline.money() == (0, 1_250_000)
    newest = (await admin.done("GET", "ledger", team=stack.account.team.id, limit=1))["data"][0]
    assert (newest["type"], newest["amount_usd"], newest["job"]) == ("correction", "-0.15", job.id)
    assert (await admin.audit())[0]["details"] == {name: body[name] for name in body}


async def test_a_jobs_charge_is_corrected_once_it_has_ended(admin: Administrator, stack: Stack) -> None:
    """A running job is 409; another team's job and an unknown one are 404; nothing changes."""
    job = await stack.submit()
    other = await admin.team()
    never = "job_" + "0" * 32
    async with nothing_changes(stack):
        for team, job_id, status, code in (
            (stack.account.team.id, job["id"], 409, "not_ended"),
            (other["id"], job["id"], 404, "not_found"),
            (stack.account.team.id, never, 404, "not_found"),
        ):
            body = {"job": job_id, "actual_usd": "1", "reason": "x"}
            assert_problem(await admin.call("POST", f"teams/{team}/credits", body), status, code)


async def test_no_credit_carries_a_sum_beyond_what_is_counted_exactly(admin: Administrator, stack: Stack) -> None:
    """Nine billion dollars are accepted once; a micro-dollar more is 422, and nothing changes."""
    path = f"{path_of('team', stack)}/credits"
    for form in ("amount_usd", "correction_usd"):
        await admin.done("POST", path, {form: "9000000000", "reason": "all of it"})
        async with nothing_changes(stack):
            reply = await admin.call("POST", path, {form: "0.000001", "reason": "more"})
            assert_problem(reply, 422, "invalid_input")


async def test_the_ledger_is_read_in_pages(admin: Administrator, stack: Stack) -> None:
    """Newest first, each entry once, and the last page has no cursor."""
    path = f"{path_of('team', stack)}/credits"
    for number in range(1, 6):
        await admin.done("POST", path, {"amount_usd": number, "reason": f"number {number}"})
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await admin.done("GET", "ledger", team=stack.account.team.id, limit=2, **cursor)
        found += [entry["amount_usd"] for entry in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert found == ["5.00", "4.00", "3.00", "2.00", "1.00"]
    assert_problem(await admin.call("GET", "ledger", team="team_" + "0" * 32), 404, "not_found")


async def test_the_ledger_of_a_span_is_a_file_with_names(admin: Administrator, pipeline: Pipeline) -> None:
    """Oldest first, whoever moved the money by name, also in a span; what people wrote runs in no spreadsheet."""
    stack, job = pipeline.stack, await pipeline.ended()
    books, team = pipeline.gateway.ledger, pipeline.team
    await books.correct("test", team, micro=-400_000, reason="=1+1")
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Accept": "text/csv"}

    async def file(**query: str) -> list[dict[str, str]]:
        reply = await stack.api.get("/v1/admin/ledger", params={"team": team, **query}, headers=headers)
        assert reply.status_code == 200, reply.text
        assert reply.headers["content-disposition"].startswith('attachment; filename="ledger-')
        return list(csv.DictReader(io.StringIO(reply.text)))

    rows = await file()
    assert [row["type"] for row in rows] == ["reserve", "settle", "correction"]
    assert [row["job"] for row in rows] == [job.id, job.id, ""]
    assert {row["user_name"] for row in rows[:2]} == {"tester"}
    assert (rows[2]["amount_usd"], rows[2]["reason"], rows[2]["user_name"]) == ("-0.40", "'=1+1", "")
    newest = [entry["id"] for entry in (await admin.done("GET", "ledger", team=team))["data"]]
    assert newest == [row["id"] for row in reversed(rows)]
    for span in ({"to": "2026-01-01"}, {"from": "2999-01-01"}):
        assert await file(**span) == []
        for cursor in ({}, {"cursor": newest[0]}):  # also with the cursor of a page of another span
            assert (await admin.done("GET", "ledger", team=team, **span, **cursor))["data"] == []
    assert await file(**{"from": "2026-01-01", "to": "2999-01-01"}) == rows
    assert_problem(await admin.call("GET", "ledger", team=team, to="yesterday"), 422, "not_a_time")
