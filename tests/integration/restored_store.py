"""A store that goes back in time, and a host that remembers."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from app.gateway import Gateway, open_gateway
from app.settings import load_settings
from app.store.witness import Witness
from app.tls import trusted_roots
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, open_stack

ADMIN = "admin-key-of-the-tests"


def witness(stack: Stack) -> Witness:
    """What this host remembers."""
    return Witness(stack.settings.data_dir)


@asynccontextmanager
async def again(stack: Stack) -> AsyncIterator[Gateway]:
    """A gateway in a process that starts anew on the same host, after its first look at the store."""
    await reconnected(stack)
    async with open_gateway(load_settings(stack.environment), process="test") as gateway:
        await gateway.epoch.confirm()
        yield gateway


async def reconnected(stack: Stack) -> None:
    """The store was restarted: connections to the one before are closed."""
    await Pipeline(stack).redis.connection_pool.disconnect()


def copied(server: RedisServer, folder: Path) -> Path:
    """The server's data as it is now; the server is killed for it, and started again."""
    server.kill()
    shutil.copytree(server.dir / "appendonlydir", folder)
    server.start()
    return folder


def put_back(server: RedisServer, folder: Path) -> None:
    """The server comes up with this data."""
    server.kill()
    shutil.rmtree(server.dir / "appendonlydir")
    shutil.copytree(folder, server.dir / "appendonlydir")
    server.start()


@asynccontextmanager
async def forgetful(
    server: RedisServer, tmp_path: Path, *, bought: int, lost: int = 0
) -> AsyncIterator[tuple[Pipeline, list[str], list[str]]]:
    """Jobs in line at the time of a copy, some bought after it, jobs lost with it; the copy is put back.

    The pipeline, the jobs that were bought, and the upstream ids of all purchases.
    """
    fal = await Emulator.start(
        "--queue-seconds", "0", "--run-seconds", "0.2", "--plain-clips", "--admin-key", ADMIN
    )
    extra = {"FAL_ADMIN_KEY": ADMIN, "FILMGATE_FAL_API_URL": fal.url, "FILMGATE_FAL_REST_URL": fal.url}
    try:
        async with open_stack(server, fal, **extra) as stack:
            pipeline = Pipeline(stack)
            await pipeline.ended()  # the store has been in use
            picture = await uploaded(stack)
            jobs = [await pipeline.admit(**with_picture(picture, n)) for n in range(bought)]
            past = copied(server, tmp_path / "past")
            ids = []
            await reconnected(stack)
            jobs += [await pipeline.admit(**with_picture(picture, 100 + n)) for n in range(lost)]
            await pipeline.gateway.stores.slots.grant()
            for job_id in jobs:
                job = await pipeline.submit(job_id)
                assert job.upstream_request_id is not None
                await pipeline.completed(job_id)
                ids.append(job.upstream_request_id)
            put_back(server, past)
            await reconnected(stack)
            yield pipeline, jobs, ids
    finally:
        await fal.stop()


async def uploaded(stack: Stack) -> str:
    """The address of an image that was uploaded here."""
    async with httpx.AsyncClient(trust_env=False, verify=trusted_roots()) as web:
        content = (await web.get(stack.emulator.sample_image)).content
    reply = await stack.api.post("/v1/files", files={"file": ("lake.jpg", content, "image/jpeg")})
    assert reply.status_code == 201, reply.text
    url: str = reply.json()["url"]
    return url


def with_picture(picture: str, number: int) -> dict[str, Any]:
    """The members of a submission with this image."""
    return {"input": {"prompt": f"an uploaded lake {number}", "image_url": picture}}
