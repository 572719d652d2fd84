"""Operations at run time: status, all teams' jobs, pause, resume, resolve, over HTTP."""

from typing import Any

import pytest

from app.domain.accounts import USER_SCOPES
from app.domain.jobs import Status
from app.store import keys
from tests.integration.admin import CANARY, NEVER, Administrator, assert_refused
from tests.integration.refusals import assert_problem, nothing_changes
from tests.support.callers import calling, stranger
from tests.support.pipeline import Pipeline
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio

ACCEPTED = "[emu:drop_after_accept]"
WHY = "We wait for November."


async def acted(admin: Administrator, method: str, path: str, body: Any = None, **query: Any) -> Any:
    """One call that must be 200; its document."""
    reply = await admin.call(method, path, body, **query)
    assert reply.status_code == 200, reply.text
    assert reply.headers["cache-control"] == "no-store"
    return reply.json()


# --- reading -----------------------------------------------------------------------------------------------------


async def test_the_status_of_an_idle_gateway(admin: Administrator) -> None:
    """Nothing is used, nothing stops buying, nothing waits."""
    assert await acted(admin, "GET", "status") == {
        "upstream_paused": None,
        "slots": {"used": 0, "allowed": 10, "configured": 10},
        "breaker": {
            "open": False,
            "half_open": False,
            "reason": None,
            "until": None,
            "failures": 0,
            "last_failure": None,
        },
        "pauses": [],
        "line": [],
        "workers": {},
        "held": {"count": 0, "oldest_at": None, "oldest_job": None},
        "aside": {"count": 0, "oldest_at": None},
        "active_alarms": [],
        "alarms": [],
        "alerts": {"sent": False, "waiting": 0, "failing_since": None, "failures": 0, "error": None},
    }


async def test_the_status_shows_jobs_slots_and_workers(admin: Administrator, pipeline: Pipeline) -> None:
    """Queued, running and held jobs by team; slots and breaker; workers by role; the alarm with its job."""
    held = await pipeline.bought(ACCEPTED)
    await pipeline.bought()
    for _ in range(2):
        await pipeline.admit()
    await pipeline.gateway.stores.slots.grant()
    await pipeline.gateway.administration.change_team("test", pipeline.team, weight=3)
    stores = pipeline.gateway.stores
    for pid, role in enumerate(("lanes", "work", "work")):
        await stores.heartbeats.beat(f"host:{pid}", role=role)
    await stores.buying.report("busy")
    await stores.buying.report("failed", "fal cannot be reached at the moment.")
    await stores.alarms.raise_alarm("orphan", "a second request", job=held.id, upstream_request_id="r1")
    seen = await acted(admin, "GET", "status")
    assert (seen["slots"], seen["breaker"]["failures"]) == ({"used": 4, "allowed": 2, "configured": 10}, 1)
    (waiting,) = seen["line"]
    assert waiting == {"team": pipeline.team, "name": "test", "weight": 3, "queued": 2, "running": 1, "held": 1}
    assert seen["workers"] == {"lanes": 1, "work": 2}
    assert (seen["held"]["count"], seen["held"]["oldest_job"]) == (1, held.id)
    assert seen["held"]["oldest_at"].endswith("Z")
    ((at, *alarm),) = [list(one.values()) for one in seen["alarms"]]
    assert (at[-1], seen["active_alarms"]) == ("Z", [])  # it tells of an event, which has no end
    assert alarm == ["orphan", "ticket", "raised", "a second request", None, held.id, "r1"]


async def test_every_teams_jobs_are_listed_newest_first(
    admin: Administrator, stack: Stack, pipeline: Pipeline
) -> None:
    """By pages, each once, by state and by team; with owner and fal's id, never the prompt."""
    async with calling(stack, await stranger(stack)) as theirs:
        made = []
        for number in range(7):
            api = stack.api if number % 2 else theirs
            reply = await api.post("/v1/jobs", json=stack.body(f"{CANARY} {number}"))
            made.append(reply.json()["id"])
    running = await pipeline.bought(CANARY)
    made.append(running.id)
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await acted(admin, "GET", "jobs", limit=3, **cursor)
        found += page["data"]
        assert page["has_more"] == (page["next_cursor"] is not None)
        if not page["has_more"]:
            break
        assert len(page["data"]) == 3
        cursor = {"cursor": page["next_cursor"]}
    assert [job["id"] for job in found] == made[::-1]
    assert CANARY not in repr(found)
    assert not {"input", "output", "metadata", "logs"} & found[0].keys()
    assert found[0] | {"attempt": 1, "money": "reserved", "held_reason": None} == found[0]
    assert (found[0]["team"], found[0]["user"]) == (pipeline.team, stack.account.user.id)
    assert found[0]["upstream_request_id"] == running.upstream_request_id
    mine = await acted(admin, "GET", "jobs", team=pipeline.team)
    assert [job["id"] for job in mine["data"]] == [job["id"] for job in found if job["team"] == pipeline.team]
    only = await acted(admin, "GET", "jobs", status="running")
    assert [job["id"] for job in only["data"]] == [running.id]
    assert (await acted(admin, "GET", "jobs", status="held"))["data"] == []


async def test_held_jobs_are_found_behind_many_others(admin: Administrator, pipeline: Pipeline) -> None:
    """They are listed by their state, however old they are."""
    first, second = await pipeline.bought(ACCEPTED), await pipeline.bought(ACCEPTED)
    for _ in range(3):
        await pipeline.admit()
    page = await acted(admin, "GET", "jobs", status="held", limit=1)
    assert [job["id"] for job in page["data"]] == [second.id]
    page = await acted(admin, "GET", "jobs", status="held", limit=1, cursor=page["next_cursor"])
    assert [(job["id"], job["held_reason"]) for job in page["data"]] == [(first.id, first.held_reason)]
    assert not page["has_more"]


async def test_wrong_questions_are_refused(admin: Administrator) -> None:
    """An unknown state, cursor or page size, an unknown team."""
    for query in ({"status": "lost"}, {"limit": 0}, {"limit": 101}):
        assert_problem(await admin.call("GET", "jobs", **query), 422, "invalid_input")
    assert_problem(await admin.call("GET", "jobs", cursor="x"), 400, "invalid_cursor")
    assert_problem(await admin.call("GET", "jobs", team=f"team_{NEVER}"), 404, "not_found")


# --- resolving ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "money"),
    [
        ({"action": "adopt", "upstream_request_id": "abc-1"}, "running", "reserved"),
        ({"action": "resubmit"}, "queued", "reserved"),
        ({"action": "fail", "charged": False}, "failed", "released"),
        ({"action": "fail", "charged": True}, "failed", "spent"),
    ],
)
async def test_a_held_job_is_resolved_as_the_administrator_says(
    admin: Administrator, pipeline: Pipeline, body: dict[str, Any], status: str, money: str
) -> None:
    """The reply shows it, the audit log has actor, action and reason of the hold; a second time is 409."""
    job = await pipeline.bought(ACCEPTED)
    lines = len(await admin.audit())
    answer = await acted(admin, "POST", f"jobs/{job.id}/resolve", body)
    assert (answer["status"], answer["money"]) == (status, money)
    assert answer["upstream_request_id"] == body.get("upstream_request_id")
    newest, *others = await admin.audit()
    assert len(others) == lines
    assert (newest["actor"], newest["action"], newest["target"]) == ("administrator", "job.resolve", job.id)
    assert newest["details"] == {**body, "team": pipeline.team, "held_reason": job.held_reason}
    async with nothing_changes(pipeline.stack):
        assert_problem(await admin.call("POST", f"jobs/{job.id}/resolve", body), 409, "not_held")


async def test_a_request_that_another_job_has_is_not_adopted(admin: Administrator, pipeline: Pipeline) -> None:
    """409 names that job, running or ended, of any team; nothing changes, and no line is written."""
    running, ended = await pipeline.bought(), await pipeline.ended()
    held = await pipeline.bought(ACCEPTED)
    async with nothing_changes(pipeline.stack):
        for other in (running, ended):
            body = {"action": "adopt", "upstream_request_id": other.upstream_request_id}
            reply = await admin.call("POST", f"jobs/{held.id}/resolve", body)
            assert_problem(reply, 409, "conflict")
            assert other.id in reply.json()["detail"]
    assert (await pipeline.job(held.id)).status is Status.HELD


async def test_a_held_job_says_what_to_look_for_at_fal(admin: Administrator, pipeline: Pipeline) -> None:
    """When it was claimed and held, and the beginning of the tag of fal's request."""
    job = await pipeline.bought(ACCEPTED)
    (seen,) = (await acted(admin, "GET", "jobs", status="held"))["data"]
    (request,) = [one for one in await pipeline.stack.emulator.requests() if job.id in repr(one)]
    assert seen["fal_tag"] == f"filmgate={job.id}.{job.nonce}"
    assert repr(request).count(f"{job.id}.{job.nonce}.")
    assert seen["created_at"] <= seen["claimed_at"] <= seen["held_at"]
    queued = await acted(admin, "POST", f"jobs/{job.id}/resolve", {"action": "resubmit"})
    assert (queued["fal_tag"], queued["held_at"]) == (None, None)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/action"),
        ({"action": "forget"}, "/action"),
        ({"action": "adopt"}, ""),
        ({"action": "adopt", "upstream_request_id": "../x"}, "/upstream_request_id"),
        ({"action": "adopt", "upstream_request_id": "x" * 65}, "/upstream_request_id"),
        ({"action": "adopt", "upstream_request_id": "abc", "charged": True}, ""),
        ({"action": "resubmit", "upstream_request_id": "abc"}, ""),
        ({"action": "fail"}, ""),
        ({"action": "fail", "charged": 1}, "/charged"),
        ({"action": "fail", "charged": True, "why": CANARY}, "/why"),
    ],
)
async def test_a_resolution_has_exactly_the_members_of_its_form(
    admin: Administrator, pipeline: Pipeline, body: dict[str, Any], pointer: str
) -> None:
    """422 with the place, and nothing changes."""
    job = await pipeline.bought(ACCEPTED)
    await assert_refused(admin, pipeline.stack, ("POST", f"jobs/{job.id}/resolve", body, pointer))


# --- pausing -----------------------------------------------------------------------------------------------------


async def test_a_paused_team_waits_and_reads_why(admin: Administrator, stack: Stack, pipeline: Pipeline) -> None:
    """In jobs, lists and quotes, while it waits in line; other teams' jobs continue; resumed, all is as before."""
    running, waiting = await pipeline.bought(), await pipeline.admit()
    await pipeline.gateway.operations.pause("an earlier one", team=pipeline.team, reason="over")
    await pipeline.gateway.operations.resume("an earlier one", team=pipeline.team)
    expected = {"reason": WHY}
    answer = await acted(admin, "POST", "pause", {"team": pipeline.team, "reason": WHY})
    assert answer == {"team": pipeline.team, "upstream_paused": expected}
    assert (await stack.job(waiting))["upstream_paused"] == expected
    assert (await stack.job(running.id))["upstream_paused"] is None
    listed = {job["id"]: job["upstream_paused"] for job in (await stack.api.get("/v1/jobs")).json()["data"]}
    assert listed == {waiting: expected, running.id: None}
    quoted = (await stack.api.post("/v1/quotes", json=stack.body())).json()["queue"]
    assert quoted["upstream_paused"] == expected
    assert (await stack.submit("a further one"))["upstream_paused"] == expected
    assert (await stack.api.get("/readyz")).json().get("upstream_paused") is None
    async with calling(stack, await stranger(stack)) as theirs:
        assert (await theirs.post("/v1/jobs", json=stack.body())).json()["upstream_paused"] is None
    assert len(await pipeline.gateway.stores.slots.grant()) == 1
    (pause,) = (await acted(admin, "GET", "status"))["pauses"]
    assert pause.pop("paused_at") is not None
    assert pause == {"team": pipeline.team, "name": "test", "reason": WHY, "paused_by": "administrator"}
    assert (await acted(admin, "POST", "resume", {"team": pipeline.team}))["upstream_paused"] is None
    assert (await stack.job(waiting))["upstream_paused"] is None
    assert len(await pipeline.gateway.stores.slots.grant()) == 2


async def test_all_teams_are_paused_and_resumed_and_the_breaker_closes(
    admin: Administrator, pipeline: Pipeline
) -> None:
    """Without a team; a team's own pause stays, and the reply says so; each act is an audit line with a reason."""
    await pipeline.admit()
    await pipeline.gateway.stores.buying.report("account", "fal refuses the gateway's key or account.")
    await acted(admin, "POST", "pause", {"team": pipeline.team, "reason": "by name"})
    assert (await acted(admin, "POST", "pause", {"reason": WHY}))["team"] is None
    seen = await acted(admin, "GET", "status")
    assert [pause["team"] for pause in seen["pauses"]] == [None, pipeline.team]
    assert seen["breaker"]["open"]
    assert seen["upstream_paused"] == "fal refuses the gateway's key or account."
    assert await acted(admin, "POST", "resume", {"reason": "November"}) == {"team": None, "upstream_paused": None}
    seen = await acted(admin, "GET", "status")
    assert ([pause["team"] for pause in seen["pauses"]], seen["breaker"]["open"]) == ([pipeline.team], False)
    assert len(await pipeline.gateway.stores.slots.grant()) == 0
    await acted(admin, "POST", "resume", {"team": pipeline.team})
    assert len(await pipeline.gateway.stores.slots.grant()) == 1
    lines = [(line["action"], line["target"], line["details"]) for line in (await admin.audit())[:4]]
    assert lines[::-1] == [
        ("buying.pause", pipeline.team, {"reason": "by name"}),
        ("buying.pause", "all", {"reason": WHY}),
        ("buying.resume", "all", {"reason": "November"}),
        ("buying.resume", pipeline.team, {}),
    ]


async def test_a_resume_forgets_how_much_the_failures_weighed(pipeline: Pipeline) -> None:
    """Two unknown outcomes, a resume, two more: the breaker stays closed."""
    for _ in range(2):
        await pipeline.gateway.stores.buying.report("unknown", "unclear")
    await pipeline.gateway.operations.resume("test", team=None)
    for _ in range(2):
        assert await pipeline.gateway.stores.buying.report("unknown", "unclear") == ""
    assert await pipeline.gateway.stores.buying.report("unknown", "unclear") == "opened"


async def test_a_pause_does_not_outlive_its_team(admin: Administrator, pipeline: Pipeline) -> None:
    """A deleted team's pause is deleted, and the team can no longer be paused."""
    team = (await admin.team())["id"]
    await acted(admin, "POST", "pause", {"team": team, "reason": WHY})
    await admin.done("DELETE", f"teams/{team}")
    assert await pipeline.redis.hgetall(keys.PAUSES) == {}
    async with nothing_changes(pipeline.stack):
        for path in ("pause", "resume"):
            body = {"team": team, "reason": WHY}
            assert_problem(await admin.call("POST", path, body), 404, "not_found")
            assert_problem(await admin.call("POST", path, {**body, "team": "all"}), 404, "not_found")


async def test_a_pause_says_why_and_nothing_else(admin: Administrator, stack: Stack) -> None:
    """Without a reason, with an empty one, one with control characters, or with another member: 422."""
    await assert_refused(
        admin,
        stack,
        ("POST", "pause", {}, "/reason"),
        ("POST", "pause", {"reason": "  "}, "/reason"),
        ("POST", "pause", {"reason": f"{CANARY}\x1b[2J"}, "/reason"),
        ("POST", "pause", {"reason": "x" * 501}, "/reason"),
        ("POST", "pause", {"reason": WHY, "team": 7}, "/team"),
        ("POST", "resume", {"all": True}, "/all"),
    )


async def test_only_the_administrator_sees_and_steers(admin: Administrator, stack: Stack) -> None:
    """A user's key is refused before the body is read, and nothing changes."""
    key = await admin.key(stack.account.user.id, scopes=sorted(USER_SCOPES))
    calls = (("GET", "status"), ("GET", "jobs"), ("POST", "pause"), ("POST", "resume"))
    async with calling(stack, key["key"]) as theirs:
        await theirs.get("/v1/jobs")
        async with nothing_changes(stack):
            for method, path in calls:
                reply = await theirs.request(method, f"/v1/admin/{path}", content=b"{")
                assert_problem(reply, 403, "forbidden")
