"""A client of the store, as its tests use it."""

from app.domain.errors import StoreUnavailable
from app.store.client import Client
from app.store.connection import store_errors


async def takes_a_write(client: Client) -> bool:
    """Whether the store accepts a write."""
    try:
        with store_errors():
            return bool(await client.set("film", "1", px=60_000))
    except StoreUnavailable:
        return False
