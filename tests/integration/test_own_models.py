"""A model from the operator's directory (`FILMGATE_MODELS`): quoted, bought, made and billed without a release."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.support.emulator import Emulator
from tests.support.processes import run_command
from tests.support.redis_server import RedisServer
from tests.support.repo import ROOT
from tests.support.stack import environment, open_stack

pytestmark = pytest.mark.anyio

NEW = "kling/v9/pro/image-to-video"
LIKE = "fal-ai/kling-video/v2/master/image-to-video"


async def test_a_new_model_makes_a_clip(store: RedisServer, emulator: Emulator, tmp_path: Path) -> None:
    """A new endpoint at fal, and a file of it: a job at `/v1` and one at fal's door succeed at its price."""
    text = (ROOT / "app" / "registry" / "models" / "v2-master-image-to-video.json").read_text("utf-8")
    entry = json.loads(text) | {"id": NEW, "default": False, "price": {"per_second_usd": "0.30"}}
    await asyncio.to_thread((tmp_path / "new.json").write_text, json.dumps(entry), "utf-8")
    await emulator.drift({NEW: {"like": LIKE}})
    try:
        async with open_stack(store, emulator, FILMGATE_MODELS=str(tmp_path)) as stack:
            listed = (await stack.api.get(f"/fal/api/v1/models?endpoint_id={NEW}&expand=openapi-3.0")).json()
            assert listed["models"][0]["openapi"]["paths"][f"/{NEW}"]
            job = await stack.submit(model=NEW)
            assert job["quoted_usd"] == "1.50"
            at_fals_door = await stack.api.post(f"/fal/queue/{NEW}", json=stack.body("a fox")["input"])
            assert at_fals_door.status_code == 200, at_fals_door.text
            async with stack.workers():
                for job_id in (job["id"], at_fals_door.json()["request_id"]):
                    made = await stack.until(job_id, "succeeded")
                    assert made["output"]["video"]["url"]
                    assert made["charged_usd"] == "1.50"
            status = await stack.api.get(f"/fal/queue/kling/v9/requests/{job['id']}/status")
            assert status.json()["status"] == "COMPLETED"
    finally:
        await emulator.drift({})
    bought = [one["endpoint"] for one in await emulator.requests()]
    assert bought[-2:] == [NEW, NEW]


async def test_workers_do_not_start_with_faults_in_files(
    store: RedisServer, emulator: Emulator, tmp_path: Path
) -> None:
    """Exit code 78, and a sentence for each fault, as every role."""
    await asyncio.to_thread((tmp_path / "a.json").write_text, "{}", "utf-8")
    await asyncio.to_thread((tmp_path / "b.json").write_text, "no", "utf-8")
    ended = await run_command("worker", environment=environment(store, emulator, FILMGATE_MODELS=str(tmp_path)))
    assert ended.returncode == 78
    assert ended.stderr.count("FILMGATE_MODELS: b.json: the file is not JSON.") == 1
    assert "FILMGATE_MODELS: a.json: " in ended.stderr
