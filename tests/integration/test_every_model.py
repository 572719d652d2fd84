"""Each model of the registry through the whole gateway, with real workers, pictures, videos and sounds."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.domain.money import parse_usd
from app.registry.catalog import Catalog, Model
from tests.support.emulator import Emulator, FalCaller, running_emulator
from tests.support.media import sound, video
from tests.support.redis_server import RedisServer
from tests.support.stack import EMULATOR_KEY, Stack, open_stack

pytestmark = pytest.mark.anyio
SECONDS = 6  # within the limits of every model


@pytest.fixture
async def stack(store: RedisServer) -> AsyncIterator[Stack]:
    """A gateway that buys many jobs at once, of a fal that is quick and renders no clips."""
    times = ("--queue-seconds", "0.05", "--run-seconds", "0.05", "--no-clips", "--concurrency", "100")
    async with running_emulator(*times) as fal, open_stack(store, fal, FILMGATE_UPSTREAM_CONCURRENCY="100") as made:
        yield made


def offered() -> list[Model]:
    """What fal lists and has a price for."""
    return [model for model in Catalog.load() if model.tariff is not None and model.entry.status != "unlisted"]


def real(model: Model, addresses: dict[str, str]) -> dict[str, Any]:
    """The usual input with addresses of real files."""

    def filled(name: str, value: Any) -> Any:
        spec = model.entry.input["properties"][name]
        if isinstance(value, list):
            return [addresses.get(spec["items"].get("format", ""), one) for one in value]
        return addresses.get(spec.get("format", ""), value)

    return {name: filled(name, value) for name, value in model.usual_input.items()}


async def test_every_model_is_quoted_bought_billed_and_shown(stack: Stack) -> None:
    """The quote is fal's bill, or at least that where a file's length is not known; the output is the model's."""
    fal: Emulator = stack.emulator
    async with FalCaller(fal.url, EMULATOR_KEY) as caller:
        addresses = {"image-url": fal.sample_image}
        for kind, content in (("video", video(SECONDS)), ("audio", sound(SECONDS))):
            stored = await caller.web.post("/files/upload", content=content, headers={"X-Fal-File-Name": kind})
            addresses[f"{kind}-url"] = stored.json()["access_url"]
    models = offered()
    jobs = {}
    for model in models:
        reply = await stack.api.post("/v1/jobs", json={"model": model.id, "input": real(model, addresses)})
        assert reply.status_code == 202, (model.id, reply.text)
        jobs[model.id] = reply.json()
    async with stack.workers():
        ended = await asyncio.gather(
            *(stack.until(job["id"], "succeeded", "failed", timeout=60) for job in jobs.values())
        )
    bills = {charge["endpoint"]: charge["cost_micro"] for charge in (await fal.ledger())["charges"]}
    wrong = []
    for model, job in zip(models, ended, strict=True):
        quoted, bill = parse_usd(job["quoted_usd"]), bills.get(model.id, 0)
        fits = quoted >= bill if model.entry.seconds.media else quoted == bill
        shown = set(job["output"] or {}) == set(model.entry.output["required"])
        if job["status"] != "succeeded" or not fits or not bill or not shown:
            wrong.append((model.id, job["status"], job["error"], quoted, bill, job["output"]))
    assert wrong == []
    assert len(models) > 60
