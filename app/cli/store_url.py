"""Which store a command on this machine talks to: the configured one, or that of a running `filmgate up`."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pydantic import SecretStr

from app.cli.exits import Failure
from app.embedded import socket_url
from app.gateway import Gateway, open_gateway
from app.settings import Settings, load_settings, unknown_setting

Answer = TypeVar("Answer")


def with_gateway(ask: Callable[[Gateway], Awaitable[Answer]]) -> Answer:
    """Open a gateway on that store, ask it one thing, close it."""

    async def run() -> Answer:
        async with open_gateway(settings_with_store(), process="cli") as gateway:
            return await ask(gateway)

    return asyncio.run(run())


def settings_with_store() -> Settings:
    """The settings, with the embedded store's address when none is configured; Failure when nothing runs."""
    settings = load_settings(os.environ, keep_unknown=True)
    if settings.redis_url is not None:
        return settings
    url = socket_url(settings.data_dir)
    if url is None and settings.unknown_names:
        raise unknown_setting(settings.unknown_names[0])
    if url is None:
        raise Failure(f"Nothing runs in {settings.data_dir}: start `filmgate up`, or set FILMGATE_REDIS_URL.")
    return settings.model_copy(update={"redis_url": SecretStr(url)})
