"""A quote equals the job's cost, in every case for which the registry has a price."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.domain.jobs import Job, Status
from app.domain.money import format_usd
from app.gateway import open_gateway
from app.registry.catalog import Catalog, Model
from app.settings import load_settings
from app.store import keys
from tests.support.emulator import Emulator, running_emulator
from tests.support.pipeline import Pipeline
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, open_stack
from tests.support.waiting import wait_until
from workers.billing import reconcile
from workers.finalize import finalize
from workers.submit import submit

pytestmark = pytest.mark.anyio
CATALOG = Catalog.load()
STORYBOARD = "multi_prompt"
EVERY_LENGTH = {
    "1.6",
    "2.0",
    "2.1",
    "2.5",
    "2.6",
    "3.0",
}  # versions, with --full; of others the two ends


@dataclass(frozen=True, slots=True)
class Case:
    """One input, and its price by the registry's rate."""

    name: str
    model: str
    variant: int
    given: dict[str, Any]
    seconds: int
    micro: int
    price_version: str


@pytest.fixture(scope="module")
async def quick() -> AsyncIterator[Emulator]:
    """A fal that runs hundreds at once and renders no clips."""
    times = ("--queue-seconds", "0.05", "--run-seconds", "0.05", "--no-clips")
    async with running_emulator(*times, "--concurrency", "1000") as emulator:
        yield emulator


@pytest.fixture
async def stack(store: RedisServer, quick: Emulator) -> AsyncIterator[Stack]:
    """A gateway that buys hundreds at once, and compares them with the bill."""
    more = {"FILMGATE_UPSTREAM_CONCURRENCY": "1000", "FAL_ADMIN_KEY": "admin-of-the-tests"}
    async with open_stack(store, quick, FILMGATE_FAL_API_URL=quick.url, **more) as made:
        yield made


# --- cases from the registry -------------------------------------------------------------------------------------


def fulfilled(model: Model, field: str, condition: Any, picture: str) -> Any:
    """A value of the field that satisfies the condition of a price variant."""
    items = model.entry.input["properties"][field].get("items", {})
    match condition:
        case {"minItems": count}:
            assert items["type"] == "string", f"{model.id}: say here what an item of {field} is"
            return [f"{field} {number}" for number in range(count)]
        case {"contains": member}:
            assert items["type"] == "object", f"{model.id}: say here what an item of {field} is"
            rest = {
                name: picture for name, spec in items["properties"].items() if spec.get("format") == "image-url"
            }
            return [rest, {**rest, member: "chosen"}]
        case _:
            return condition


def bought() -> Iterator[Model]:
    """The models whose price follows from the requested duration alone: they read no video."""
    for model in CATALOG:
        asked = model.entry.seconds.output[-1:] == ("duration",) and model.entry.kind != "video-to-video"
        if model.tariff is not None and asked:
            yield model


def lengths(model: Model, *, full: bool) -> list[Any]:
    """The durations to try, as the model's input has them."""
    field = model.entry.input["properties"]["duration"]
    choices: list[Any] = field.get("enum") or [field["minimum"], field["maximum"]]
    return choices if full and model.entry.version in EVERY_LENGTH else [choices[0], choices[-1]]


def cases(picture: str, *, full: bool) -> Iterator[Case]:
    """Each of these models, each variant of its price, durations; storyboards where supported."""
    for model in bought():
        assert model.tariff is not None
        images = {
            name: [picture] if isinstance(value, list) else picture if name.endswith("url") else value
            for name, value in model.usual_input.items()
            if name != "prompt"
        }
        for number, variant in enumerate(model.tariff.variants):
            if variant.rate is None or variant.rate.of != "output":
                continue
            others = {  # a switch that an earlier variant asks for is the other way here
                name: not condition
                for earlier in model.tariff.variants[:number]
                for name, condition in earlier.when.items()
                if isinstance(condition, bool)
            }
            asked = {name: fulfilled(model, name, condition, picture) for name, condition in variant.when.items()}
            fields = others | asked
            for choice in lengths(model, full=full):
                seconds = int(choice)
                name = f"{model.id} {dict(variant.when)} {choice} s"
                priced: dict[str, Any] = {
                    "model": model.id,
                    "variant": number,
                    "seconds": seconds,
                    "micro": variant.rate.micro(seconds),
                    "price_version": model.tariff.version,
                }
                given = {**images, **fields, "duration": choice}
                asks = "prompt" in model.entry.input["properties"]
                yield Case(name, given={**given, "prompt": name} if asks else given, **priced)
                if STORYBOARD in model.entry.input["properties"]:
                    board = {**given, STORYBOARD: shots(1, seconds - 1, like=choice)}
                    yield Case(f"{name}, in two shots", given=board, **priced)


def shots(*seconds: int, like: Any = "5") -> list[dict[str, Any]]:
    """A storyboard, with lengths of the type that `like` has."""
    return [{"prompt": f"Shot {number}.", "duration": type(like)(long)} for number, long in enumerate(seconds, 1)]


# --- the pipeline, for all of them at once -----------------------------------------------------------------------


async def pushed_through(pipeline: Pipeline, job_ids: list[str]) -> list[Job]:
    """Bought, polled and finalized together; the ended jobs."""
    gateway = pipeline.gateway
    while await gateway.stores.slots.grant():
        pass
    at_once = asyncio.Semaphore(8)

    async def to_the_end(job_id: str) -> Job:
        async with at_once:
            await submit(gateway, pipeline.ref(job_id))

            async def completed() -> bool:
                return await pipeline.poll(job_id) is None

            await wait_until(completed, f"{job_id} is completed at fal", interval=0.1)
            await pipeline.make_due("finalize", pipeline.ref(job_id))
            await finalize(gateway, pipeline.ref(job_id))
            return await pipeline.job(job_id)

    return list(await asyncio.gather(*map(to_the_end, job_ids)))


async def charged_by_fal(emulator: Emulator) -> dict[str, dict[str, Any]]:
    """Fal's charges, by request id."""
    return {one["request_id"]: one for one in (await emulator.ledger())["charges"]}


async def test_a_quote_is_what_is_settled_and_what_fal_charges(stack: Stack, *, full: bool) -> None:
    """To the micro-dollar, for each model and price variant: its shortest and longest clip; --full: each length."""
    pipeline = Pipeline(stack)
    tried = list(cases(stack.emulator.sample_image, full=full))
    rates = [variant.rate for model in bought() if model.tariff is not None for variant in model.tariff.variants]
    wanted = [rate for rate in rates if rate is not None and rate.of == "output"]
    assert len({(case.model, case.variant) for case in tried}) == len(wanted)
    ids = []
    for case in tried:
        body = {"model": case.model, "input": case.given}
        quoted = await stack.api.post("/v1/quotes", json=body)
        assert quoted.status_code == 200, f"{case.name}: {quoted.text}"
        quote = (quoted.json()["quoted_usd"], quoted.json()["price_version"])
        assert quote == (format_usd(case.micro), case.price_version), case.name
        submitted = await stack.api.post("/v1/jobs", json=body)
        assert submitted.status_code == 202, f"{case.name}: {submitted.text}"
        assert submitted.json()["quoted_usd"] == quote[0]
        ids.append(submitted.json()["id"])
    jobs = await pushed_through(pipeline, ids)
    charges = await charged_by_fal(stack.emulator)
    entries = await stack.gateway.stores.ledger.entries(pipeline.team)
    settled = {entry.job: entry for entry in entries if entry.type == "settle"}
    wrong = []
    for case, job in zip(tried, jobs, strict=True):
        charge, entry = charges[job.upstream_request_id or ""], settled[job.id]
        figures = [job.quoted_micro, job.charged_micro, entry.amount, charge["cost_micro"]]
        lengths = [job.seconds, entry.seconds, charge["seconds"]]
        versions = {job.price_version, entry.price_version}
        fine = (set(figures), set(lengths), versions) == ({case.micro}, {case.seconds}, {case.price_version})
        if job.status is not Status.SUCCEEDED or not fine:
            wrong.append(f"{case.name}: {job.status} {case.micro} {figures} {case.seconds} {lengths}")
    assert wrong == []
    assert await pipeline.money() == (0, sum(case.micro for case in tried))


async def test_a_storyboard_is_quoted_by_the_longer_reading_and_corrected_by_the_bill(stack: Stack) -> None:
    """Ten seconds are requested and shots of three: ten are reserved, and fal's bill corrects it."""
    pipeline = Pipeline(stack)
    asked = {STORYBOARD: shots(3), "duration": "10"}
    job_id = await pipeline.grant(model="fal-ai/kling-video/v3/turbo/pro/text-to-video", input=asked)
    (job,) = await pushed_through(pipeline, [job_id])
    assert (job.quoted_micro, job.charged_micro, job.seconds) == (1_400_000, 1_400_000, 10)
    await pipeline.make_due("billing", pipeline.ref(job_id))
    await reconcile(stack.gateway)
    assert (await pipeline.job(job_id)).charged_micro == 420_000
    assert await pipeline.entries(job_id) == ["reserve", "settle", "correction"]


async def test_a_price_that_changes_meanwhile_changes_no_settlement(stack: Stack, tmp_path: Path) -> None:
    """The operator changes the price while a job runs: it costs what it was quoted, and fal's bill agrees."""
    pipeline = Pipeline(stack)
    job = await pipeline.bought()
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({CATALOG.default.id: {"per_second_usd": "0.5"}}), encoding="utf-8-sig")
    settings = load_settings({**stack.environment, "FILMGATE_PRICES": str(prices)})
    async with open_gateway(settings, process="repriced") as repriced:
        other = repriced.catalog.default.tariff
        assert other is not None
        await pipeline.completed(job.id)
        await pipeline.make_due("finalize", pipeline.ref(job.id))
        await finalize(repriced, pipeline.ref(job.id))
        ended = await pipeline.job(job.id)
        assert (ended.quoted_micro, ended.charged_micro) == (1_400_000, 1_400_000)
        assert ended.price_version != other.version
        entries = [one for one in await repriced.stores.ledger.entries(pipeline.team) if one.job == job.id]
        assert {(one.amount, one.price_version) for one in entries} == {(1_400_000, ended.price_version)}
        await pipeline.make_due("billing", pipeline.ref(job.id))
        await reconcile(repriced)
        assert await pipeline.entries(job.id) == ["reserve", "settle"]
    assert await pipeline.redis.zcard(keys.due("billing")) == 0
