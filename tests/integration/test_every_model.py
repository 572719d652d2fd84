"""Each model of the registry through the whole gateway, with real workers, pictures, videos and sounds."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.domain.money import parse_usd
from app.registry.catalog import Catalog, Model
from tests.support.clips import clip
from tests.support.emulator import running_emulator
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, open_stack

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
    """Quote, fal's bill and charge are one, also by the length of an uploaded file; the output is the model's."""
    addresses = {"image-url": stack.emulator.sample_image}
    for kind, name in (("video", "mp4"), ("audio", "wav")):
        stored = await stack.api.post("/v1/files", files={"file": (name, clip(name, seconds=SECONDS))})
        assert stored.status_code == 201, stored.text
        addresses[f"{kind}-url"] = stored.json()["url"]
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
    bills = {charge["endpoint"]: charge["cost_micro"] for charge in (await stack.emulator.ledger())["charges"]}
    wrong = []
    for model, job in zip(models, ended, strict=True):
        money = [parse_usd(job[f"{what}_usd"] or "0") for what in ("quoted", "charged")]
        bill = bills.get(model.id, 0)
        given = {name for name, value in (job["output"] or {}).items() if value is not None}
        shown = given == set(model.entry.output["required"])
        if job["status"] != "succeeded" or money != [bill, bill] or not bill or not shown:
            wrong.append((model.id, job["status"], job["error"], money, bill, given))
    assert wrong == []
    assert len(models) > 60
