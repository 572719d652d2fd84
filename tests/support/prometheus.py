"""A real Prometheus that scrapes an installation with the configuration of deploy/prometheus."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from tests.support.processes import Process, free_port
from tests.support.repo import ROOT
from tests.support.waiting import wait_until

DEPLOYED = ROOT / "deploy" / "prometheus"
UNPACKED = (
    ROOT / ".bootstrap" / "prometheus" / "usr" / "bin"
)  # where .ci/run puts it, without the package's service
NAME = re.compile(r"\bfilmgate_\w+")
RANGES = {"$__rate_interval": "1m", "$__range": "5m"}  # Grafana's own
TARGETS = re.compile(r"- targets:\n(?: +- \S+\n)+")


def dashboard() -> list[tuple[str, str]]:
    """Every query of the dashboard, with its panel's title and its legend."""
    document = json.loads((ROOT / "deploy" / "grafana" / "filmgate.json").read_text("utf-8"))
    found = []
    for panel in document["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"]
            for name, span in RANGES.items():
                query = query.replace(name, span)
            found.append((f"{panel['title']}: {target['legendFormat']}", query))
    return found


def named(query: str) -> set[str]:
    """The metrics that a query names, without what histograms add."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in NAME.findall(query)}


def program(name: str) -> str | None:
    """Where `prometheus` or `promtool` is; None where there is none."""
    return shutil.which(name) or shutil.which(name, path=str(UNPACKED))


async def promtool(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """One check by promtool of a file, or of a page of metrics."""
    command = [program("promtool") or "promtool", *words]
    return await asyncio.to_thread(
        subprocess.run, command, input=given, capture_output=True, text=True, check=False, timeout=30
    )


class Prometheus:
    """A running one; `queries` are its rules' by their names."""

    def __init__(self, web: httpx.AsyncClient) -> None:
        self._web = web

    async def asked(self, path: str, **parameters: str) -> Any:
        """The data of one reply of its API."""
        reply = await self._web.get(f"/api/v1/{path}", params=parameters)
        assert reply.status_code == 200, reply.text
        return reply.json()["data"]

    async def series(self, query: str) -> list[dict[str, Any]]:
        """Every series of a query's result: labels in `metric`, the number in `value`."""
        found: list[dict[str, Any]] = (await self.asked("query", query=query))["result"]
        return found

    async def number(self, query: str) -> float:
        """The one number of a query; -1 without a series."""
        found = await self.series(query)
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else -1.0

    async def until(self, query: str, number: float) -> None:
        """Wait until a query has this number."""

        async def is_so() -> bool:
            return await self.number(query) == number

        await wait_until(is_so, f"{query} is {number}", timeout=30)

    async def of_itself(self) -> str:
        """Its own metrics, which count what it had to reject."""
        return (await self._web.get("/metrics")).text


@asynccontextmanager
async def running_prometheus(folder: Path, targets: Sequence[int]) -> AsyncIterator[Prometheus]:
    """One that scrapes these ports of loopback every second, with the rules of deploy/prometheus."""
    text = (DEPLOYED / "prometheus.yml").read_text("utf-8").replace("15s", "1s")
    hosts = "".join(f"          - 127.0.0.1:{port}\n" for port in targets)
    (folder / "prometheus.yml").write_text(TARGETS.sub(lambda _: f"- targets:\n{hosts}", text), "utf-8")
    shutil.copy(DEPLOYED / "rules.yml", folder)
    address = f"127.0.0.1:{free_port()}"
    options = [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    process = Process(
        [program("prometheus") or "prometheus", *options, f"--web.listen-address={address}"],
        {},
        log=folder / "prometheus.log",
    ).start()
    try:
        async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False, timeout=20) as web:

            async def ready() -> bool:
                with suppress(httpx.TransportError):
                    return (await web.get("/-/ready")).is_success
                return False

            await wait_until(ready, "Prometheus is ready", timeout=30)
            yield Prometheus(web)
    finally:
        await asyncio.to_thread(process.stop)
