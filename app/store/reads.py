"""Reads that several stores make: hashes by name in one round trip, and a hash as a script returns it."""

from collections.abc import Iterable, Sequence

from app.store.client import Client, Row
from app.store.connection import store_errors


async def read_hashes(redis: Client, names: Iterable[str]) -> list[Row]:
    """The hashes with these names, in one round trip; an empty one where there is none. Without names, no call."""
    with store_errors():
        pipe = redis.pipeline(transaction=False)
        for name in names:
            pipe.hgetall(name)
        rows: list[Row] = await pipe.execute()
    return rows


def pairs(flat: Sequence[str]) -> Row:
    """The hash of `field, value, …`, which is how scripts return one."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
