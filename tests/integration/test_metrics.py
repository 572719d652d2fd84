"""/metrics: who may read it, what it shows, and that an installation's hosts add up."""

from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from app.domain.errors import TooManyBadKeys
from app.gateway import metrics_service
from app.metrics.port import is_token
from app.metrics.table import INSTALLATION, METRICS, MOST_TEAMS
from app.services.metrics import ELECTED_MS, LEASE, Metrics, shown_teams
from app.settings import load_settings
from app.store import keys
from app.store.figures import TeamFigures
from app.store.leases import LeaseStore
from tests.integration.admin import Administrator
from tests.integration.refusals import assert_problem
from tests.support.callers import calling
from tests.support.pipeline import Pipeline
from tests.support.processes import free_port
from tests.support.stack import ADMIN_KEY, Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

TOKEN = "a-token-for-prometheus-4711"
Samples = dict[str, dict[frozenset[tuple[str, str]], float]]


def read(page: str) -> Samples:
    """Every sample by its name and labels; as Prometheus, it refuses a page with a series twice."""
    found: Samples = defaultdict(dict)
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            labels = frozenset(sample.labels.items())
            assert labels not in found[sample.name], f"{sample.name} {labels} twice"
            found[sample.name][labels] = sample.value
    return found


def value(samples: Samples, name: str, /, **labels: str) -> float:
    """One sample."""
    return samples[name][frozenset(labels.items())]


def without_series(names: Iterable[str]) -> list[str]:
    """The names without a series in this list of samples."""
    suffixes = ("", "_count")
    return [metric.name for metric in METRICS if not any(metric.name + suffix in names for suffix in suffixes)]


async def page(stack: Stack) -> Samples:
    """What the API shows."""
    reply = await stack.api.get("/metrics", headers={"Authorization": f"Bearer {ADMIN_KEY}"})
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    return read(reply.text)


async def test_without_a_token_the_page_is_the_administrators(stack: Stack) -> None:
    """A team's key may not read what all teams do; a query and a wrong method are refused as everywhere."""
    assert_problem(await stack.api.get("/metrics", headers={"Authorization": ""}), 401, "unauthenticated")
    assert_problem(await stack.api.get("/metrics"), 403, "forbidden")
    assert_problem(
        await stack.api.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}), 401, "unauthenticated"
    )
    admin = {"Authorization": f"Bearer {ADMIN_KEY}"}
    assert_problem(await stack.api.get("/metrics?team=x", headers=admin), 422, "invalid_input")
    assert (await stack.api.post("/metrics", headers=admin)).status_code == 405
    reply = await stack.api.get(
        "/metrics", headers={**admin, "Accept": "application/openmetrics-text;version=1.0.0"}
    )
    assert reply.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert reply.text.endswith("# EOF\n")


async def test_a_token_opens_this_page_and_nothing_else(stack: Stack) -> None:
    """With FILMGATE_METRICS_TOKEN it takes no administrator's key, which could also move money."""
    settings = load_settings({**stack.environment, "FILMGATE_METRICS_TOKEN": TOKEN})
    app = stack.api._transport.app  # type: ignore[attr-defined]  # httpx's own
    app.state.gateway = replace(stack.gateway, settings=settings)
    async with calling(stack, TOKEN) as scraper:
        assert (await scraper.get("/metrics")).status_code == 200
        for path in ("/v1/admin/status", "/v1/jobs", "/v1/me"):
            assert_problem(await scraper.get(path), 401, "unauthenticated")
    assert not is_token("Bearer \udcff", SecretStr(TOKEN)), "as the port of its own reads a byte of 255"
    async with calling(stack, TOKEN + "x") as other:
        assert_problem(await other.get("/metrics"), 401, "unauthenticated")
    with suppress(TooManyBadKeys):
        while True:
            stack.gateway.accounts.bad_keys.note("127.0.0.1")
    async with calling(stack, TOKEN) as scraper:
        assert_problem(await scraper.get("/metrics"), 429, "too_many_bad_keys")  # nothing is compared any more


async def test_what_happens_to_jobs_is_on_the_page(stack: Stack, pipeline: Pipeline, admin: Administrator) -> None:
    """Submissions by outcome, money, the queue and what is held, beside what every process counts."""
    before = await page(stack)
    limits = [{"unit": "jobs", "window": "total", "amount": 3}]
    await admin.done("PUT", f"teams/{stack.account.team.id}/limits", limits)
    held = await pipeline.grant("[emu:submit_502_accepted] a lake")
    await pipeline.submit(held)
    await stack.submit("a second lake", priority="low")
    for prompt, status in (("a third", 202), ("a third", 202), (7, 422)):
        body = {"input": {"prompt": prompt, "image_url": stack.emulator.sample_image}}
        assert (await stack.api.post("/v1/jobs", json=body, headers={"Idempotency-Key": "3"})).status_code == status
    assert (await stack.api.post("/v1/jobs", json=stack.body("one too many"))).status_code == 429
    assert (await stack.api.post("/v1/jobs", json=stack.body(), headers={"Authorization": ""})).status_code == 401
    image = stack.emulator.sample_image
    model = "/fal/queue/fal-ai/kling-video/v2/master/image-to-video"
    assert not (await stack.api.post(model, json={"prompt": "fal", "image_url": image})).is_success
    samples = await page(stack)

    def grown(name: str, **labels: str) -> float:
        return value(samples, name, **labels) - value(before, name, **labels)

    outcomes = {"admitted": 3, "repeated": 1, "invalid": 1, "over_limit": 1, "forbidden": 1, "error": 0}
    for outcome, count in outcomes.items():
        assert grown("filmgate_submissions_total", surface="v1", outcome=outcome) == count, outcome
    assert grown("filmgate_submissions_total", surface="queue", outcome="over_limit") == 1
    assert grown("filmgate_limit_refusals_total", owner="team", limit="jobs/total") == 2
    assert grown("filmgate_admission_seconds_count") == 4
    assert grown("filmgate_admitted_usd_total") == pytest.approx(4.2)
    assert grown("filmgate_upstream_submissions_total", outcome="unknown") == 1
    assert grown("filmgate_upstream_errors_total", call="submit", kind="http_5xx") == 1
    assert grown("filmgate_http_responses_total", status="4xx") == 4
    team = {"team": stack.account.team.id}
    assert value(samples, "filmgate_queue_jobs", **team) == 2
    assert 0 < value(samples, "filmgate_queue_oldest_seconds", **team) < 60
    assert value(samples, "filmgate_team_info", **team, name="test") == 1
    assert value(samples, "filmgate_team_reserved_usd", **team) == pytest.approx(4.2)
    assert value(samples, "filmgate_reserved_usd") == pytest.approx(4.2)
    assert value(samples, "filmgate_ledger_drift_usd") == 0
    assert value(samples, "filmgate_held_jobs") == value(samples, "filmgate_in_flight_jobs") == 1
    assert value(samples, "filmgate_breaker", state="closed") == 1
    assert value(samples, "filmgate_answers_for_installation") == 1
    never = {"filmgate_lane_heartbeat_seconds", "filmgate_worker_heartbeat_seconds", "filmgate_generation_seconds"}
    assert set(without_series(samples)) <= {*never, "filmgate_backup_age_seconds"}, "no lane ran here"
    assert "a second lake" not in str(samples), "no label is what a caller sent"


async def test_a_difference_in_the_sums_is_shown(stack: Stack) -> None:
    """The gateway's sums and those of its teams change in one script; a cent between them is a fault."""
    await stack.submit()
    async with stack.redis.client() as redis:
        await redis.hincrby(keys.total("gateway"), "used:usd", 10_000)
        try:
            assert value(await page(stack), "filmgate_ledger_drift_usd") == pytest.approx(0.01)
        finally:
            await redis.hincrby(keys.total("gateway"), "used:usd", -10_000)


async def test_what_is_kept_the_newest_backup_and_the_data_format_are_shown(stack: Stack) -> None:
    """Bytes of all teams together, because there may be many teams."""
    stores = stack.gateway.stores
    now_ms = await stores.clock.now_ms()
    for field, size in {"team_1 used": 700, "team_1 held": 20, "team_2 used": 3}.items():
        await stores.redis.hset(keys.KEPT_BYTES, field, size)
    await stores.backup.note_success(now_ms - 60_000, "filmgate-1", 5)
    samples = await page(stack)
    assert value(samples, "filmgate_kept_bytes") == 723
    assert 60 <= value(samples, "filmgate_backup_age_seconds") < 90
    assert value(samples, "filmgate_data_format") == (await stores.data_format.state()).number
    await stores.redis.delete(keys.KEPT_BYTES)


async def test_one_process_answers_for_the_installation(stack: Stack) -> None:
    """Of two that are scraped only one shows the queue; when it leaves, the other follows."""
    await stack.submit()
    first = stack.gateway.metrics
    second = replace(metrics_service(stack.gateway.stores), leases=LeaseStore(stack.gateway.stores.redis))

    async def shows(metrics: Metrics) -> bool:
        samples = read((await metrics.page("")).body.decode())
        assert value(samples, "filmgate_store_up") == 1
        assert ("filmgate_queue_jobs" in samples) == bool(value(samples, "filmgate_answers_for_installation"))
        return "filmgate_queue_jobs" in samples

    assert [await shows(metrics) for metrics in (first, second, first, second)] == [True, False, True, False]
    await first.leave()
    assert [await shows(metrics) for metrics in (second, first)] == [True, False]
    async with stack.redis.client() as redis:
        assert 0 < await redis.pttl(keys.lease(LEASE)) <= ELECTED_MS, "after a kill another one follows"


async def test_without_the_store_the_page_has_what_the_process_knows(fragile: Stack) -> None:
    """It says that the store is away, and has no figure of the installation that may be wrong."""
    fragile.redis.kill()
    admitted = {"surface": "v1", "outcome": "admitted"}
    before = value(await page(fragile), "filmgate_submissions_total", **admitted)
    samples = await page(fragile)
    assert value(samples, "filmgate_store_up") == value(samples, "filmgate_answers_for_installation") == 0
    assert value(samples, "filmgate_submissions_total", **admitted) == before
    assert not {metric.name for metric in INSTALLATION} & samples.keys()


async def test_a_port_of_its_own_answers_whoever_has_the_token(stack: Stack) -> None:
    """One that is taken is tried again; without a token the port alone protects the page."""
    port = free_port()
    for token in (TOKEN, ""):
        async with (
            stack.gateway.metrics.serving("127.0.0.1", port, token=SecretStr(token) if token else None),
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as web,
        ):

            async def answers(web: httpx.AsyncClient = web) -> bool:
                with suppress(httpx.TransportError):
                    return bool((await web.get("/metrics")).status_code)
                return False

            await wait_until(answers, "the port answers")
            given = {"Authorization": f"Bearer {TOKEN}"}
            assert (await web.get("/metrics")).status_code == (401 if token else 200)
            assert (await web.get("/metrics", headers={"Authorization": "Bearer guess"})).is_success != bool(token)
            assert value(read((await web.get("/metrics", headers=given)).text), "filmgate_store_up") == 1
            assert (await web.get("/v1/admin/status", headers=given)).status_code == 404


def team(number: int, queued: int, spent: int) -> TeamFigures:
    """Figures of one team."""
    return TeamFigures(f"team_{number}", reserved=1, spent=spent, queued=queued, oldest_ms=1000 - number)


def test_many_teams_have_a_bounded_number_of_series() -> None:
    """Those with the longest queues and the highest spending are shown, the others added up; the sums stay."""
    teams = [team(number, queued=number % 3, spent=number) for number in range(200)]
    shown = shown_teams(teams)
    assert len(shown) == MOST_TEAMS + 1
    assert shown[-1].id == "other"
    assert all(one.queued == 2 for one in shown[:-1])
    for name in ("reserved", "spent", "queued"):
        assert sum(getattr(one, name) for one in shown) == sum(getattr(one, name) for one in teams)
    assert shown[-1].oldest_ms == min(one.oldest_ms for one in teams if one not in shown)
    assert shown_teams([replace(team(1, 0, 0), reserved=0)]) == [], "a team that never did anything has no series"
