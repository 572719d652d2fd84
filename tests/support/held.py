"""Jobs whose outcome is unknown, and what fal's history shows of them."""

import io
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import httpx
from PIL import Image

from app.domain.jobs import Job, Status
from app.fal.errors import UnusableAnswer
from app.store import keys
from tests.support.emulator import Emulator, running_emulator
from tests.support.hand import Hand
from tests.support.redis_server import RedisServer
from tests.support.stack import open_stack
from tests.support.waiting import wait_until
from workers.reconcile import resolve

ADMIN_KEY = "admin-key-of-the-tests"
_numbers = count(1)


@asynccontextmanager
async def running_historian() -> AsyncIterator[Emulator]:
    """A quick fal that shows its history to an admin key only."""
    quick = ("--queue-seconds", "0.05", "--run-seconds", "0.05", "--no-clips", "--concurrency", "50")
    async with running_emulator(*quick, "--admin-key", ADMIN_KEY) as emulator:
        yield emulator


@asynccontextmanager
async def hand_on(store: RedisServer, historian: Emulator, **more: str) -> AsyncIterator[Hand]:
    """The pipeline by hand, with a key that may read the history unless `more` has another."""
    settings = {"FAL_ADMIN_KEY": ADMIN_KEY, "FILMGATE_FAL_API_URL": historian.url, **more}
    async with open_stack(store, historian, **settings) as stack:
        yield Hand(stack)
    await historian.trouble_platform()


def listed(*rows: dict[str, Any], **more: Any) -> str:
    """A listing as fal would write it."""
    return json.dumps({"items": rows, "has_more": False, "next_cursor": None, **more})


async def uploaded(api: httpx.AsyncClient) -> str:
    """The address of an image that was stored through the gateway."""
    file = io.BytesIO()
    Image.new("RGB", (640, 480), 7).save(file, "png")
    reply = await api.post("/v1/files", files={"file": ("a.png", file.getvalue(), "image/png")})
    url: str = reply.json()["url"]
    return url


async def bought(hand: Hand, tag: str, *, image: str = "", **more: Any) -> Job:
    """A job with an image that was uploaded here, unless it is given, submitted once; the job afterwards."""
    given = {"prompt": f"{tag} a lake {next(_numbers)}", "image_url": image or await uploaded(hand.stack.api)}
    job = await hand.stack.submit(input=given, **more)
    await hand.gateway.stores.slots.grant()
    return await hand.submit(job["id"])


async def held(hand: Hand, tag: str = "[emu:drop_after_accept:1]", **more: Any) -> Job:
    """The same, with an unknown outcome; fal's history knows it already, if fal took it."""
    job = await bought(hand, tag, **more)
    assert job.status is Status.HELD
    await known_to_fal(hand, job)
    return job


async def known_to_fal(hand: Hand, job: Job) -> None:
    """Every request with this job's prompt has started: fal's history lists no others."""

    async def started() -> bool:
        return all(one["started_at"] is not None for one in await at_fal(hand, job))

    await wait_until(started, f"fal lists {job.id}", interval=0.02)


async def at_fal(hand: Hand, job: Job) -> list[dict[str, Any]]:
    """What fal accepted with this job's prompt, the oldest first."""
    prompt = (job.input or {})["prompt"]
    return [one for one in await hand.stack.emulator.requests() if one["prompt"] == prompt]


async def charges(hand: Hand, job: Job) -> int:
    """How often fal charged this job's prompt."""
    prompt = (job.input or {})["prompt"]
    return len([one for one in (await hand.stack.emulator.ledger())["charges"] if one["prompt"] == prompt])


async def looked(hand: Hand, job: Job, *, after_ms: int | None = None) -> UnusableAnswer | int | None:
    """One look for this job, as if so long after its claim."""
    now_ms = await hand.gateway.stores.clock.now_ms()
    if after_ms is not None:
        now_ms = (job.claimed_ms or 0) + after_ms
    return await resolve(hand.gateway, hand.ref(job.id), now_ms)


async def due_in_ms(hand: Hand, job: Job) -> float | None:
    """How long until the job is looked for; None when it is not."""
    score: float | None = await hand.redis.zscore(keys.due("resolve"), hand.ref(job.id))
    return None if score is None else score - await hand.gateway.stores.clock.now_ms()


async def alarms(hand: Hand) -> list[tuple[str, str, str]]:
    """Kind, job and fal's request of every alarm, the oldest first."""
    return [
        (one.kind, one.job, one.upstream_request_id)
        for one in reversed(await hand.gateway.stores.alarms.newest(50))
    ]


async def succeeds(hand: Hand, job: Job) -> Job:
    """Pushed on to its end, which is a clip, paid once."""
    await hand.completed(job.id)
    ended = await hand.finalized(job.id)
    assert (ended.status, await charges(hand, job)) == (Status.SUCCEEDED, 1)
    assert await hand.entries(job.id) == ["reserve", "settle"]
    return ended


async def canary(hand: Hand, **more: Any) -> Job:
    """Another job of ours that fal's history shows."""
    job = await bought(hand, "", **more)
    await known_to_fal(hand, job)
    return job


async def look_at(hand: Hand, job: Job, after_ms: Sequence[int]) -> None:
    """Look for the job so long after its claim."""
    for moment_ms in after_ms:
        await looked(hand, job, after_ms=moment_ms)
