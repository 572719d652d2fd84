"""Usage reports: what is counted, in which period, who may read it, and in which format."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from app.domain.accounts import USER_SCOPES, Scope
from app.domain.errors import Unavailable, Unprocessable
from app.domain.limits import periods
from app.domain.starts import write_starts
from app.services.tokens import TokenRequest
from app.services.usage import MAX_ROWS, Sums
from app.store import keys
from app.store.usage import HOUR_MS, PAGE, UsageStore
from tests.integration.admin import Administrator
from tests.integration.refusals import assert_problem, nothing_changes
from tests.support.callers import second_account
from tests.support.pipeline import Pipeline
from tests.support.stack import ADMIN_KEY, Stack
from workers.lane import sum_usage

pytestmark = pytest.mark.anyio
PRICE = 1_400_000
OTHER = "fal-ai/kling-video/v2.1/master/image-to-video"
USUAL = "fal-ai/kling-video/v2/master/image-to-video"


@asynccontextmanager
async def client(stack: Stack, key: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client with this key or token."""
    headers = {"Authorization": f"Bearer {key}"}
    transport = stack.api._transport  # the same application
    async with httpx.AsyncClient(transport=transport, base_url="http://filmgate.test", headers=headers) as api:
        yield api


@asynccontextmanager
async def reader(stack: Stack, *scopes: Scope) -> AsyncIterator[httpx.AsyncClient]:
    """A client with another key of the account's user."""
    made = await stack.gateway.administration.add_key(
        "test", user=stack.account.user.id, name="reads", scopes=frozenset(scopes)
    )
    async with client(stack, made.key) as api:
        yield api


async def usage(api: httpx.AsyncClient, **query: str) -> dict[str, Any]:
    """The report as JSON."""
    reply = await api.get("/v1/usage", params=query)
    assert reply.status_code == 200, reply.text
    report: dict[str, Any] = reply.json()
    return report


def numbers(jobs: int, seconds: int, spent: str, held: str) -> dict[str, Any]:
    """The four numbers of a row."""
    return {"jobs": jobs, "video_seconds": seconds, "spent_usd": spent, "held_usd": held}


async def test_a_report_adds_up_jobs_seconds_and_dollars(pipeline: Pipeline) -> None:
    """Spent, waiting, disputed and corrected jobs count, released ones do not; all groupings agree in the total."""
    stack, books = pipeline.stack, pipeline.gateway.ledger
    paid = await pipeline.ended()
    await pipeline.admit(model=OTHER)
    await pipeline.ended("[emu:422_content_policy]")  # disputed: kept
    await pipeline.ended("[emu:500_downstream]")  # released
    await stack.api.post(f"/v1/jobs/{await pipeline.admit()}/cancel")  # released
    await books.correct_job("test", pipeline.team, paid.id, actual=700_000, reason="half back")
    await books.correct("test", pipeline.team, micro=50_000, reason="a bill")
    await books.credit("test", pipeline.team, micro=2_000_000, reason="a gift")
    async with second_account(stack, same_team=True) as colleague, second_account(stack) as stranger:
        assert (await colleague.post("/v1/jobs", json=stack.body())).status_code == 202
        total = numbers(4, 20, "0.75", "4.20")
        own = numbers(3, 15, "0.70", "2.80")
        async with reader(stack, Scope.TEAM_READ) as team:
            reports = {by: await usage(team, group_by=by) for by in ("day", "user", "model", "key")}
            assert all(report["total"] == total for report in reports.values())
            assert all(report["credits_usd"] == "2.00" for report in reports.values())
            (day,) = reports["day"]["data"]
            assert day == {"day": reports["day"]["to"][:10], **total}
            assert reports["model"]["data"] == [
                {"model": "", **numbers(0, 0, "0.05", "0.00")},
                {"model": OTHER, **numbers(1, 5, "0.00", "1.40")},
                {"model": USUAL, **numbers(3, 15, "0.70", "2.80")},
            ]
            by_user = {row["name"]: row for row in reports["user"]["data"]}
            assert by_user["tester"] == {"user": stack.account.user.id, "name": "tester", **own}
            assert {**by_user["colleague"], **numbers(1, 5, "0.00", "1.40")} == by_user["colleague"]
            assert by_user[""] == {"user": "", "name": "", **numbers(0, 0, "0.05", "0.00")}
            named = {"team": stack.account.team.id, "team_name": "test"}
            assert (await usage(team, group_by="team"))["data"] == [{**named, **total}]
            daily = await usage(team, group_by="model", daily="true")
            assert (daily["daily"], daily["total"]) == (True, total)
            assert daily["data"] == [{"day": day["day"], **row} for row in reports["model"]["data"]]
            assert len(reports["key"]["data"]) == 3
        mine = await usage(stack.api, group_by="user")
        assert (mine["total"], mine["credits_usd"]) == (own, "0.00")
        assert [row["name"] for row in mine["data"]] == ["tester"]
        nothing = await usage(stranger, group_by="user")
        assert (nothing["data"], nothing["total"]) == ([], numbers(0, 0, "0.00", "0.00"))


async def test_the_operator_sees_all_teams_together(stack: Stack, admin: Administrator) -> None:
    """One report with a row for each team, also over HTTP; a deleted team stays in it."""
    await stack.submit()
    async with second_account(stack) as other:
        job = (await other.post("/v1/jobs", json=stack.body())).json()
        teams = {team.name: team.id for team in await stack.gateway.administration.teams()}
        now_ms = await stack.gateway.stores.clock.now_ms() + 1
        report = await stack.gateway.usage.report(None, from_ms=0, to_ms=now_ms, group_by="model")
        assert sorted(row.team or "" for row in report.rows) == sorted(teams.values())
        assert report.total == Sums(jobs=2, video_seconds=10, held=2 * PRICE)
        one = await stack.gateway.usage.report(teams["other"], from_ms=0, to_ms=now_ms, group_by="model")
        assert [(row.team, row.sums.jobs) for row in one.rows] == [(None, 1)]
        held = numbers(1, 5, "0.00", "1.40")
        whose = [{"team": team, "team_name": name} for name, team in sorted(teams.items(), key=lambda one: one[1])]
        by_team = await admin.done("GET", "usage", group_by="team", daily="true")
        (day,) = {row["day"] for row in by_team["data"]}
        assert by_team["data"] == [{**team, "day": day, **held} for team in whose]
        assert (by_team["time_zone"], by_team["total"]) == (None, numbers(2, 10, "0.00", "2.80"))
        of_one = await admin.done("GET", "usage", group_by="model", team=teams["other"])
        assert of_one["data"] == [{"model": USUAL, **held}]
        async with client(stack, ADMIN_KEY) as api:
            path, as_csv = "/v1/admin/usage?group_by=user&daily=true", {"Accept": "text/csv"}
            header = (await api.get(path, headers=as_csv)).text.splitlines()[0]
            assert header == "team,team_name,day,user,name,jobs,video_seconds,spent_usd,held_usd"
            assert_problem(await api.get("/v1/admin/usage?team=team_none"), 404, "not_found")
        assert_problem(await other.get("/v1/admin/usage"), 403, "forbidden")
        await other.post(f"/v1/jobs/{job['id']}/cancel")
    await stack.gateway.ledger.correct("test", teams["other"], micro=5, reason="x")
    await stack.gateway.administration.remove_team("test", teams["other"])
    report = await stack.gateway.usage.report(None, from_ms=0, to_ms=now_ms + 60_000, group_by="user")
    assert [row.sums.spent for row in report.rows if row.team == teams["other"]] == [5]


@pytest.fixture
async def made_up(pipeline: Pipeline) -> AsyncIterator[Pipeline]:
    """A team whose ledger the test writes, and deletes before the ledger is checked."""
    yield pipeline
    await pipeline.redis.delete(keys.ledger(pipeline.team))


async def entered(pipeline: Pipeline, kind: str, admitted_ms: int, *, zone: str = "UTC", **more: str | int) -> None:
    """Write an entry about a job admitted at this time, as the scripts would."""
    starts = write_starts(periods(admitted_ms, zone), periods(admitted_ms, "UTC"))
    blank = {"key": "key_1", "token": "", "price_version": "", "reason": "", "starts": starts}
    facts = {"job": "job_1", "user": "user_1", "model": "m", "seconds": 5, "amount": PRICE}
    times = {"type": kind, "at": admitted_ms + 10**9, "admitted": admitted_ms}
    await pipeline.redis.xadd(keys.ledger(pipeline.team), {**blank, **facts, **times, **more})


def at(moment: str) -> int:
    """Milliseconds of a time in UTC."""
    return int(datetime.fromisoformat(moment + "+00:00").timestamp() * 1000)


@pytest.mark.parametrize(
    ("zone", "days"),
    [
        ("Europe/Berlin", ["03-28", "03-29", "03-29", "03-31", "10-26", "10-26", "10-27"]),
        ("America/Los_Angeles", ["03-28", "03-28", "03-29", "03-30", "10-25", "10-26", "10-26"]),
    ],
)
async def test_a_day_is_one_of_the_teams_time_zone(made_up: Pipeline, zone: str, days: list[str]) -> None:
    """From midnight in Berlin and in Los Angeles, on days of 23 and 25 hours too, whenever the job was settled."""
    await made_up.gateway.administration.change_team("test", made_up.team, time_zone=zone)
    for moment in (
        "2025-03-28T22:59:59.999",
        "2025-03-28T23:00:00",
        "2025-03-29T22:59:59.999",
        "2025-03-30T22:00:00",
        "2025-10-25T22:00:00",
        "2025-10-26T22:59:59.999",
        "2025-10-26T23:00:00",
    ):
        for kind in ("reserve", "settle"):
            await entered(made_up, kind, at(moment), zone=zone)
    report = await made_up.gateway.usage.report(made_up.team, from_ms=0, to_ms=at("2026-01-01"), group_by="day")
    expected = {f"2025-{day}": days.count(day) for day in days}
    assert {row.group: row.sums.jobs for row in report.rows} == expected
    assert {row.group: row.sums.spent // PRICE for row in report.rows} == expected


async def test_a_span_counts_by_admission_and_ends_before_its_end(made_up: Pipeline) -> None:
    """A job admitted at `from` counts; one admitted at `to` does not, nor does its settlement."""
    first = await made_up.gateway.stores.clock.now_ms() // HOUR_MS * HOUR_MS - 30 * HOUR_MS
    second = first + 3 * HOUR_MS
    report = made_up.gateway.usage.report
    for moment in (first, second, first - 1):
        for kind in ("reserve", "dispute", "settle"):
            await entered(made_up, kind, moment)
    await entered(made_up, "correction", first, amount=-400_000)
    for moment in (first, second):
        await entered(made_up, "credit", moment, amount=9, user="", key="", model="", job="")
    found = await report(made_up.team, from_ms=first, to_ms=second, group_by="model")
    assert [(row.group, row.sums) for row in found.rows] == [("m", Sums(1, 5, 1_000_000))]
    assert found.credits == 9
    within = await report(made_up.team, from_ms=first + 60_000, to_ms=first + 120_000, group_by="key")
    assert within.total == Sums(1, 5, 1_000_000)  # the whole hour


async def test_a_report_that_would_be_too_long_is_refused(made_up: Pipeline) -> None:
    """More rows than a page can show are a sentence that says what to do."""
    day, end, team = at("2026-06-10"), at("2026-06-12"), made_up.team
    days, sums = keys.usage_days(team), keys.usage_day(team, day)
    await made_up.redis.zadd(days, {str(day): day})
    await made_up.redis.hset(sums, mapping={f"user_1 key_{number} m": "1 5 0 0" for number in range(MAX_ROWS + 1)})
    report = made_up.gateway.usage.report
    with pytest.raises(Unprocessable, match="ask for fewer days"):
        await report(team, from_ms=day, to_ms=end, group_by="key")
    assert (await report(team, from_ms=day, to_ms=end, group_by="user")).total.jobs == MAX_ROWS + 1
    await made_up.redis.delete(days, sums)


async def test_old_days_count_as_a_whole(made_up: Pipeline) -> None:
    """Hours are deleted after some weeks: a day then belongs to the span that has its noon."""
    day = at("2025-06-10")
    for hour in (1, 13):
        await entered(made_up, "reserve", day + hour * HOUR_MS)
    report = made_up.gateway.usage.report
    for hours, jobs in {(0, 24): 2, (11, 13): 2, (13, 24): 0, (1, 12): 0}.items():
        begin, end = (day + hour * HOUR_MS for hour in hours)
        assert (await report(made_up.team, from_ms=begin, to_ms=end, group_by="day")).total.jobs == jobs, hours
    assert not await made_up.redis.exists(keys.usage_hours(made_up.team, day))


async def test_days_keep_their_dates_when_the_time_zone_changes(made_up: Pipeline) -> None:
    """What was used on the 10th in Tokyo stays there, in one row, when the team moves to California."""
    for moment in ("2025-06-09T15:00:00", "2025-06-10T14:59:59"):
        await entered(made_up, "reserve", at(moment), zone="Asia/Tokyo")
    for zone in ("Asia/Tokyo", "UTC", "America/Los_Angeles"):
        await made_up.gateway.administration.change_team("test", made_up.team, time_zone=zone)
        report = await made_up.gateway.usage.report(made_up.team, from_ms=0, to_ms=at("2026-01-01"), group_by="day")
        assert [(row.group, row.sums.jobs) for row in report.rows] == [("2025-06-10", 2)]


async def test_sums_follow_the_ledger_for_every_reader(pipeline: Pipeline) -> None:
    """Concurrent updates count each entry once; a store without the sums is added up at the first report."""
    await pipeline.ended()
    for _ in range(3 * PAGE // 2):
        await pipeline.gateway.ledger.correct("test", pipeline.team, micro=1, reason="x")
    sums = UsageStore(pipeline.redis)
    assert await sums.behind() == [pipeline.team]
    await asyncio.gather(*(sums.catch_up(pipeline.team) for _ in range(8)))
    assert await sums.behind() == []
    now_ms = await pipeline.gateway.stores.clock.now_ms() + 1
    report = await pipeline.gateway.usage.report(pipeline.team, from_ms=0, to_ms=now_ms, group_by="day")
    assert report.total == Sums(jobs=1, video_seconds=5, spent=PRICE + 3 * PAGE // 2)
    await pipeline.redis.delete(*await pipeline.redis.keys(f"{keys.USAGE_COUNTED}*"))
    assert await pipeline.gateway.usage.report(pipeline.team, from_ms=0, to_ms=now_ms, group_by="day") == report


async def test_a_report_that_comes_too_early_says_so(made_up: Pipeline) -> None:
    """There are more entries than one request adds up: refused for a minute, with progress each time."""
    for number in range(PAGE + 1):
        await entered(made_up, "correction", number * 1000, amount=1)
    sums = UsageStore(made_up.redis)
    with pytest.raises(Unavailable, match="for the first time"):
        await sums.catch_up(made_up.team, pages=1)
    await sums.catch_up(made_up.team, pages=1)


async def test_the_background_keeps_sums_up_with_the_ledger(pipeline: Pipeline) -> None:
    """A lane adds new ledger entries, so that a report has little to do."""
    await pipeline.ended()
    await sum_usage(pipeline.gateway)
    assert await UsageStore(pipeline.redis).behind() == []


async def test_spans_are_dates_of_the_team_or_times(stack: Stack) -> None:
    """A date begins at the team's midnight; a time has its offset, even if the plus arrives as a space."""
    await stack.gateway.administration.change_team("test", stack.account.team.id, time_zone="Asia/Tokyo")
    async with reader(stack, Scope.JOBS_READ) as api:
        for given, meant in {
            ("2026-11-01", "2026-12-01"): ("2026-10-31T15:00:00.000Z", "2026-11-30T15:00:00.000Z"),
            ("2026-11-01T00:00:00Z", "2026-11-02"): ("2026-11-01T00:00:00.000Z", "2026-11-01T15:00:00.000Z"),
            ("2026-11-01T00:00+02:00", "2026-11-01T01:00 02:00"): (
                "2026-10-31T22:00:00.000Z",
                "2026-10-31T23:00:00.000Z",
            ),
            (None, "2026-11-01"): ("2026-09-30T15:00:00.000Z", "2026-10-31T15:00:00.000Z"),
            ("2024-01-01", "2025-01-01"): ("2023-12-31T15:00:00.000Z", "2024-12-31T15:00:00.000Z"),
        }.items():
            named = zip(("from", "to"), given, strict=True)
            report = await usage(api, **{name: value for name, value in named if value is not None})
            assert (report["from"], report["to"], report["time_zone"]) == (*meant, "Asia/Tokyo")
        as_csv = await api.get("/v1/usage?from=2026-11-01&to=2026-11-02", headers={"Accept": "text/csv"})
        assert 'filename="usage-2026-11-01-by-day.csv"' in as_csv.headers["content-disposition"]
        this_month = await usage(api)
        local = datetime.fromisoformat(this_month["from"]).astimezone(ZoneInfo("Asia/Tokyo"))
        assert (local.day, local.hour, local.minute) == (1, 0, 0)


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"from": "yesterday"}, "/query/from"),
        ({"from": "2026-02-30"}, "/query/from"),
        ({"from": "2026-11-01T00:00:00"}, "/query/from"),
        ({"to": "9999-12-31"}, "/query/to"),
        ({"to": "0001-01-01"}, "/query/to"),
        ({"to": ""}, "/query/to"),
        ({"to": "٢٠٢٦-11-01"}, "/query/to"),
        ({"to": "2026-11-01" * 10}, "/query/to"),
        ({"from": "2026-11-02", "to": "2026-11-02"}, "/query/from"),
        ({"from": "2999-01-01"}, "/query/from"),
        ({"from": "2024-01-01", "to": "2025-01-02"}, "/query/from"),
        ({"group_by": "month"}, "/query/group_by"),
    ],
)
async def test_a_wrong_span_is_refused_with_its_place(stack: Stack, query: dict[str, str], pointer: str) -> None:
    """No such date, no offset, reversed, too long, an unknown group."""
    problem = assert_problem(await stack.api.get("/v1/usage", params=query), 422, "invalid_input")
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("method", "path", "pointer"),
    [
        ("GET", "/v1/jobs?from=2026-11-02T00:00:00Z&to=2026-11-01T00:00:00Z", "/query/from"),
        ("GET", "/v1/jobs?metadata.a=1&metadata.b=2", "/query/metadata.b"),
        ("GET", "/v1/deliveries?from=2026-11-02T00:00:00Z&to=2026-11-01T00:00:00Z", "/query/from"),
        ("POST", "/v1/deliveries/replay", "/from"),
        ("POST", "/v1/shares", "/from"),
        ("GET", "/v1/admin/ledger?from=2026-11-02&to=2026-11-01&team=", "/query/from"),
    ],
)
async def test_a_wrong_filter_is_named_in_every_list(stack: Stack, method: str, path: str, pointer: str) -> None:
    """Where usage refuses a reversed span, jobs, webhooks, walls and the ledger do too, and say where."""
    span = {"from": "2026-11-02T00:00:00Z", "to": "2026-11-01T00:00:00Z"}
    address = path + stack.account.team.id if path.endswith("=") else path
    async with client(stack, ADMIN_KEY) if "/admin/" in path else reader(stack, Scope.TEAM_ADMIN) as api:
        reply = await api.request(method, address, json=span if method == "POST" else None)
    problem = assert_problem(reply, 422, "invalid_input")
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


async def test_a_table_is_csv_and_runs_nothing(stack: Stack) -> None:
    """A header line, RFC 4180 line ends, and no cell that a spreadsheet would run as a formula."""
    administration = stack.gateway.administration
    names = ['=HYPERLINK("http://x";"y")', "+1", "-1", "@SUM(A1)", "\tx", "\rx", 'Ann "A", B', "plain"]
    for name in names:
        user = await administration.add_user("test", team=stack.account.team.id, name=name)
        async with client(stack, (await administration.add_key("test", user=user.id)).key) as api:
            assert (await api.post("/v1/jobs", json=stack.body())).status_code == 202
    await stack.gateway.ledger.correct("test", stack.account.team.id, micro=5, reason="x")
    async with reader(stack, Scope.TEAM_ADMIN) as team:
        reply = await team.get("/v1/usage?group_by=user", headers={"Accept": "text/csv"})
        days = await team.get("/v1/usage", headers={"Accept": "text/csv;q=0.9, application/json;q=0.1"})
        for accept in ("*/*", "application/json", "text/csv;q=0", "text/csv;q=0.1, application/json"):
            same = await team.get("/v1/usage", headers={"Accept": accept})
            assert same.headers["content-type"] == "application/json"
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    assert reply.headers["content-disposition"].startswith('attachment; filename="usage-')
    assert reply.headers["content-disposition"].endswith('.csv"')
    assert reply.text.startswith("user,name,jobs,video_seconds,spent_usd,held_usd\r\n")
    rows = list(csv.reader(io.StringIO(reply.text, newline="")))
    shown = {row[1]: row[2:] for row in rows[1:]}
    assert shown.keys() == {*(f"'{name}" for name in names[:6]), *names[6:], ""}
    assert shown["plain"] == ["1", "5", "0.00", "1.40"]
    assert shown[""] == ["0", "0", "0.000005", "0.00"]
    assert days.text.splitlines()[0] == "day,jobs,video_seconds,spent_usd,held_usd"


async def test_a_report_needs_a_key_that_reads_and_changes_nothing(stack: Stack) -> None:
    """A browser token and a key that only writes are refused."""
    caller = await stack.gateway.accounts.authenticate(stack.account.key)
    minted = await stack.gateway.tokens.mint(caller, TokenRequest())
    await stack.submit()
    async with client(stack, minted.token) as api:
        assert_problem(await api.get("/v1/usage"), 403, "forbidden")
    async with reader(stack, *(USER_SCOPES - {Scope.JOBS_READ})) as api:
        assert_problem(await api.get("/v1/usage"), 403, "forbidden")
    async with nothing_changes(stack):
        assert (await usage(stack.api))["total"]["jobs"] == 1
