"""The administrator and a team's webhooks: as a key with `team:admin` has them, and in the audit log."""

import pytest

from tests.integration.admin import administrator
from tests.integration.refusals import assert_problem
from tests.support.endpoints import sent, team_admin
from tests.support.pipeline import Pipeline
from tests.support.receiver import Receiver

pytestmark = pytest.mark.anyio


async def test_the_administrator_runs_a_teams_endpoints(pipeline: Pipeline, receiver: Receiver) -> None:
    """Made, tested, paused, resumed, given another secret, deleted, as the team sees it; not at another team."""
    async with administrator(pipeline.stack) as admin, team_admin(pipeline.stack) as api:
        path = f"teams/{pipeline.team}/webhook-endpoints"
        made = await admin.done("POST", path, {"url": receiver.url, "description": "the shop"})
        own = f"{path}/{made['id']}"
        shown = {name: value for name, value in made.items() if name != "secret"}
        assert (await api.get(f"/v1/webhook-endpoints/{made['id']}")).json() == shown
        assert await admin.done("GET", path) == {"data": [shown]}
        other = await admin.team("another")
        elsewhere = own.replace(pipeline.team, other["id"])
        for asked in ("GET", "PATCH", "DELETE", "POST /test", "POST /rotate-secret"):
            method, _, end = asked.partition(" ")
            reply = await admin.call(method, elsewhere + end, {} if method == "PATCH" else None)
            assert_problem(reply, 404, "not_found")
        test = (await admin.call("POST", f"{own}/test")).json()["delivery"]
        await sent(pipeline)
        (attempt,) = (await admin.done("GET", f"teams/{pipeline.team}/deliveries/{test}"))["attempts"]
        assert (attempt["outcome"], attempt["url"]) == ("delivered", receiver.url)
        assert (await admin.done("PATCH", own, {"paused": True}))["status"] == "paused"
        assert_problem(await admin.call("POST", f"{own}/test"), 409, "endpoint_not_active")
        assert (await admin.done("PATCH", own, {"paused": False}))["status"] == "active"
        rotated = (await admin.call("POST", f"{own}/rotate-secret", {"overlap_seconds": 60})).json()
        assert rotated["secret"] != made["secret"]
        assert len(rotated["older_secrets_until"]) == 1
        await admin.done("DELETE", own)
        assert (await api.get("/v1/webhook-endpoints")).json() == {"data": []}
        acts = [line for line in await admin.audit() if line["target"] == made["id"]]
    assert {line["actor"] for line in acts} == {"administrator"}
    assert [line["action"] for line in acts][::-1] == [
        "endpoint.add",
        "endpoint.test",
        "endpoint.change",
        "endpoint.change",
        "endpoint.rotate_secret",
        "endpoint.remove",
    ]


async def test_the_administrator_sends_webhooks_again(pipeline: Pipeline, receiver: Receiver) -> None:
    """One of a job, and all of a range, without prompts; in the audit log, and only at their team's path."""
    async with administrator(pipeline.stack) as admin:
        path = f"teams/{pipeline.team}"
        made = await admin.done("POST", f"{path}/webhook-endpoints", {"url": receiver.url})
        job = await pipeline.ended()
        await sent(pipeline)
        (before,) = (await admin.done("GET", f"jobs/{job.id}"))["deliveries"]
        other = await admin.team("another")
        assert_problem(
            await admin.call("POST", f"teams/{other['id']}/deliveries/{before['id']}/replay"), 404, "not_found"
        )
        reply = await admin.call("POST", f"{path}/deliveries/{before['id']}/replay")
        reply_of_one = reply.json()
        assert (reply.status_code, reply_of_one["replays"][0]["by"]) == (202, "administrator")
        assert await sent(pipeline) == 1
        wanted = {"endpoint": made["id"], "from": "2000-01-01T00:00:00Z"}
        reply = await admin.call("POST", f"{path}/deliveries/replay", wanted)
        assert (reply.json()["replayed"], reply.json()["more"]) == (1, False)
        await sent(pipeline)
        page = await admin.done("GET", f"{path}/deliveries", endpoint=made["id"])
        lines = [line for line in await admin.audit() if line["action"] == "delivery.replay"]
    assert [len(one["attempts"]) for one in page["data"]] == [3]
    for one in (before, reply_of_one, *page["data"]):
        assert (one["model"], one["prompt"]) == (job.model, None)
    assert [line["actor"] for line in lines] == ["administrator", "administrator"]
    assert [line["target"] for line in lines] == [made["id"], before["id"]]
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
