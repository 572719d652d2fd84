"""Reads that several stores make: hashes in one round trip, streams by pages, and a hash that a script returns."""

from collections.abc import AsyncIterator, Iterable, Sequence

from app.store.client import Client, Row, Rows
from app.store.connection import store_errors


async def read_hashes(redis: Client, names: Iterable[str]) -> list[Row]:
    """The hashes with these names, in one round trip; an empty one where there is none. Without names, no call."""
    with store_errors():
        pipe = redis.together()
        for name in names:
            pipe.hgetall(name)
        rows: list[Row] = await pipe.execute()
    return rows


async def read_stream(redis: Client, name: str, *, start: str = "-", count: int) -> AsyncIterator[Rows]:
    """The entries of a stream from an id on, oldest first, in pages of `count`."""
    while True:
        with store_errors():
            page = await redis.xrange(name, min=start, count=count)
        yield page
        if len(page) < count:
            return
        start = f"({page[-1][0]}"


def pairs(flat: Sequence[str]) -> Row:
    """The hash of `field, value, …`, which is how scripts return one."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
