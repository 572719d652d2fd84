"""The server is stopped while calls are open: each gets an answer that loses nothing."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.fal_queue import MODEL, given
from tests.support.server import running_server
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio
RUN = f"/fal/run/{MODEL}"
WAIT = {"Prefer": "wait=60"}
DRAIN_SECONDS = 4  # well before the server would cut connections


async def test_held_calls_are_answered_when_the_server_stops(stack: Stack, tmp_path: Path) -> None:
    """On fal's API 429, which clients retry, or 503 where a retry would buy; at /v1 the job as it is."""
    first = await stack.submit("the first")
    new = {"X-Filmgate-New": "1"}
    async with running_server(stack.environment, log=tmp_path / "log") as server:
        headers = dict(stack.api.headers)
        async with httpx.AsyncClient(base_url=server.url, headers=headers, trust_env=False, timeout=60) as web:
            calls = [
                asyncio.create_task(call)
                for call in (
                    web.post(RUN, json=given(stack, "run")),
                    web.post(RUN, json=given(stack, "a new run"), headers=new),
                    web.post("/v1/jobs", json=stack.body("wait"), headers=WAIT),
                    web.get(f"/v1/jobs/{first['id']}", headers=WAIT),
                )
            ]
            jobs: list[Any] = []

            async def admitted() -> bool:
                jobs[:] = (await stack.api.get("/v1/jobs")).json()["data"]
                return len(jobs) == len(calls)

            await wait_until(admitted, "all are admitted")
            began = asyncio.get_running_loop().time()
            assert await asyncio.to_thread(server.stop) <= 0
            run, new_run, submitted, read = await asyncio.gather(*calls)
    assert asyncio.get_running_loop().time() - began < DRAIN_SECONDS
    ids = {job["id"] for job in jobs}
    assert {run.headers["x-fal-request-id"], new_run.headers["x-fal-request-id"]} < ids
    assert (run.status_code, new_run.status_code) == (429, 503)
    for reply in (run, new_run):
        assert int(reply.headers["retry-after"]) >= 1
        assert {"detail", "message"} == reply.json().keys()
    assert (submitted.status_code, submitted.json()["status"]) == (202, "queued")
    assert (read.status_code, read.json()["id"], read.json()["status"]) == (200, first["id"], "queued")
    again = asyncio.create_task(stack.api.post(RUN, json=given(stack, "run")))
    assert (await stack.api.post(f"/v1/jobs/{run.headers['x-fal-request-id']}/cancel")).status_code == 202
    found = await asyncio.wait_for(again, 10)
    assert (found.status_code, found.headers["x-fal-request-id"]) == (499, run.headers["x-fal-request-id"])
    assert len((await stack.api.get("/v1/jobs")).json()["data"]) == len(ids), "nothing was bought again"
