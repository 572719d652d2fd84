"""A real Prometheus scrapes two APIs and a worker host; every query of deploy/ is asked of it."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.gateway import open_gateway
from app.settings import load_settings
from tests.support.accounts import new_account
from tests.support.emulator import running_emulator
from tests.support.processes import free_port
from tests.support.prometheus import DEPLOYED, Prometheus, dashboard, program, promtool, running_prometheus
from tests.support.receiver import Receiver
from tests.support.redis_server import RedisServer
from tests.support.server import Server
from tests.support.stack import environment
from tests.support.waiting import wait_until
from tests.support.workers import Workers

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(program("prometheus") is None, reason="there is no Prometheus; .ci/run brings one"),
]
REJECTED = re.compile(
    r"^prometheus_target_(?:scrapes_\w*(?:duplicate|out_of|exceeded)\w*|sync_failed)_total(?:\{[^}]*\})? (\S+)",
    re.MULTILINE,
)


async def test_promtool_finds_no_fault(tmp_path: Path) -> None:
    """In the rules, and in the example of a configuration."""
    for words in (("check", "rules", "rules.yml"), ("check", "config", "prometheus.yml")):
        checked = await promtool(*words[:2], str(DEPLOYED / words[2]))
        assert checked.returncode == 0, checked.stdout + checked.stderr


async def test_what_is_scraped_is_right_over_hosts_and_restarts(tmp_path: Path) -> None:
    """No sample is rejected, nothing counts twice, no counter falls with a worker, every query has an answer."""
    ports = [free_port() for _ in range(3)]
    with RedisServer() as redis:
        async with running_emulator("--plain-clips", "--run-seconds", "0.2") as emulator, Receiver() as receiver:
            env = environment(redis, emulator)
            async with open_gateway(load_settings(env), process="test") as gateway:
                account = await new_account(gateway.administration, team_name='A "team"', user_name="tester")
            apis = [Server({**env, "FILMGATE_METRICS_PORT": str(port)}) for port in ports[:2]]
            workers = Workers({**env, "FILMGATE_METRICS_PORT": str(ports[2])})
            processes = [*apis, workers]
            for process in processes:
                process.start()
            try:
                for api in apis:
                    await api.ready()
                headers = {"Authorization": f"Bearer {account.key}"}
                async with (
                    httpx.AsyncClient(headers=headers, trust_env=False, timeout=20) as web,
                    running_prometheus(tmp_path, ports) as prometheus,
                ):
                    image = emulator.sample_image

                    async def submit(number: int, prompt: str) -> None:
                        body = {"input": {"prompt": prompt, "image_url": image}, "webhook_url": receiver.url}
                        reply = await web.post(f"{apis[number % 2].url}/v1/jobs", json=body)
                        assert reply.status_code == 202, reply.text

                    await prometheus.until('count(up{job="filmgate"} == 1)', 3)
                    for number in range(4):
                        await submit(number, f"a lake, number {number}")
                    await submit(0, "[emu:submit_502_accepted] a lake")
                    await prometheus.until('sum(filmgate_jobs_ended_total{status="succeeded"})', 4)
                    assert workers.kill_children("work") > 0
                    await prometheus.until('sum(filmgate_process_starts_total{role="work"})', 2)
                    await submit(1, "after the kill")
                    await prometheus.until('sum(filmgate_jobs_ended_total{status="succeeded"})', 5)
                    await check_sums(prometheus)
                    await check_queries(prometheus)
                    page = (await web.get(f"http://127.0.0.1:{ports[0]}/metrics")).text
                    checked = await promtool("check", "metrics", given=page)
                    assert checked.returncode == 0, checked.stdout + checked.stderr
            finally:
                for process in processes:
                    process.stop()


async def check_sums(prometheus: Prometheus) -> None:
    """Plain sums over all hosts are right, and nothing was rejected."""
    await prometheus.until('sum(filmgate_webhook_attempts_total{outcome="delivered"})', 6)  # five ends, one hold
    for query, number in {
        "sum(filmgate_held_jobs)": 1,
        "sum(filmgate_answers_for_installation)": 1,
        'sum(filmgate_submissions_total{outcome="admitted"})': 6,
        "count(filmgate_submissions_total{outcome='admitted',surface='v1'} > 0)": 2,
        "sum(filmgate_queue_wait_seconds_count)": 6,
        "sum(filmgate_generation_seconds_count)": 5,
        "sum(filmgate_detection_lag_seconds_count)": 5,
        "sum(filmgate_ledger_drift_usd)": 0,
        "round(100 * sum(filmgate_spent_usd))": 700,
        "round(100 * sum(filmgate_reserved_usd))": 140,
        "sum(resets(filmgate_jobs_ended_total[5m])) + sum(resets(filmgate_submission_seconds_count[5m]))": 0,
    }.items():
        await prometheus.until(query, number)  # each page is scraped at a time of its own
    rejected = REJECTED.findall(await prometheus.of_itself())
    assert len(rejected) >= 4
    assert {float(count) for count in rejected} == {0.0}


async def check_queries(prometheus: Prometheus) -> None:
    """Every rule is evaluated without an error, and every query of the dashboard has a series."""

    async def rules() -> list[dict[str, Any]]:
        found = (await prometheus.asked("rules"))["groups"][0]["rules"]
        return [rule for rule in found if rule["health"] == "unknown"]

    async def evaluated() -> bool:
        return not await rules()

    await wait_until(evaluated, "all rules were evaluated", timeout=20)
    for rule in (await prometheus.asked("rules"))["groups"][0]["rules"]:
        assert rule["health"] == "ok", rule
    firing = {alert["labels"]["alertname"] for alert in (await prometheus.asked("alerts"))["alerts"]}
    assert not firing & {"FilmgateDown", "FilmgateUnseen", "FilmgateStoreAway", "FilmgateLedgerDrift"}, firing
    assert [title for title, query in dashboard() if not await prometheus.series(query)] == []
