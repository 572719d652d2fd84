"""A client of the store, as its tests use it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.domain.errors import StoreUnavailable
from app.store import connection, shared_connection
from app.store.client import Client
from app.store.connection import connect, disconnect, store_errors

PLENTY_S = 60.0


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[Client]:
    """A client, closed at the end; its connections have the name `shared` at the store."""
    client = connect(url, name="shared", **options)
    try:
        yield client
    finally:
        await disconnect(client)


def take_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients made from now on wait a minute: the test is not about time, and the machine may be busy."""
    monkeypatch.setattr(connection, "REQUEST_TIMEOUT", PLENTY_S)
    monkeypatch.setattr(shared_connection, "MAX_WAIT_S", PLENTY_S)


async def echo(client: Client, text: str) -> str:
    """The text, as the store returns it."""
    with store_errors():
        return str(await client.execute_command("ECHO", text))


async def connections(client: Client) -> list[str]:
    """The ids of this client's connections at the store."""
    return [one["id"] for one in await client.execute_command("CLIENT LIST") if one["name"] == "shared"]


async def takes_a_write(client: Client) -> bool:
    """Whether the store accepts a write."""
    try:
        with store_errors():
            return bool(await client.set("film", "1", px=60_000))
    except StoreUnavailable:
        return False
