"""A store that is restored from an older copy, and the host's witness."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from app.gateway import Gateway, open_gateway
from app.settings import load_settings
from app.store.witness import Witness
from tests.integration.uploads import uploaded
from tests.support.emulator import running_emulator
from tests.support.pipeline import Pipeline
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, open_stack

ADMIN = "admin-key-of-the-tests"
FAL = ("--queue-seconds", "0", "--run-seconds", "0.2", "--plain-clips", "--admin-key", ADMIN)


def witness(stack: Stack) -> Witness:
    """This host's witness."""
    return Witness(stack.settings.data_dir)


@asynccontextmanager
async def restarted(stack: Stack) -> AsyncIterator[Gateway]:
    """A gateway in a new process on the same host, after its first check of the store."""
    await reconnect(stack)
    async with open_gateway(load_settings(stack.environment), process="test") as gateway:
        await gateway.epoch.confirm()
        yield gateway


async def reconnect(stack: Stack) -> None:
    """Close the connections that were opened before the store's restart."""
    await Pipeline(stack).redis.renew()


def copy_data(server: RedisServer, folder: Path) -> Path:
    """The server's current data; the server is killed for it and restarted."""
    server.kill()
    shutil.copytree(server.dir / "appendonlydir", folder)
    server.start()
    return folder


def restore_data(server: RedisServer, folder: Path) -> None:
    """Restart the server with this data."""
    server.kill()
    shutil.rmtree(server.dir / "appendonlydir")
    shutil.copytree(folder, server.dir / "appendonlydir")
    server.start()


@asynccontextmanager
async def restored_store(
    server: RedisServer, tmp_path: Path, *, bought: int, lost: int = 0, elsewhere: int = 0
) -> AsyncIterator[tuple[Pipeline, list[str], list[str]]]:
    """Jobs in line when a copy is made, some bought after it, jobs lost with it; the copy is restored.

    Of the lost ones `elsewhere` more have pictures that are not uploaded here, so that fal's history has no marker.

    Returns the pipeline, the jobs that were bought, and the upstream ids of all purchases.
    """
    async with running_emulator(*FAL) as fal:
        extra = {"FAL_ADMIN_KEY": ADMIN, "FILMGATE_FAL_API_URL": fal.url, "FILMGATE_FAL_REST_URL": fal.url}
        async with open_stack(server, fal, **extra) as stack:
            pipeline = Pipeline(stack)
            await pipeline.ended()  # the store has been in use
            image = await uploaded(stack.api)
            jobs = [await pipeline.admit(**with_image(image, n)) for n in range(bought)]
            past = copy_data(server, tmp_path / "past")
            ids = []
            await reconnect(stack)
            jobs += [await pipeline.admit(**with_image(image, 100 + n)) for n in range(lost)]
            jobs += [await pipeline.admit() for _ in range(elsewhere)]
            await pipeline.gateway.stores.slots.grant()
            for job_id in jobs:
                job = await pipeline.submit(job_id)
                assert job.upstream_request_id is not None
                await pipeline.completed(job_id)
                ids.append(job.upstream_request_id)
            restore_data(server, past)
            await reconnect(stack)
            yield pipeline, jobs, ids


def with_image(image: str, number: int) -> dict[str, Any]:
    """The members of a submission with this image."""
    return {"input": {"prompt": f"an uploaded lake {number}", "image_url": image}}
