"""Reads that several stores make: hashes in one round trip, streams and lists by pages, a hash from a script."""

from collections.abc import AsyncIterator, Iterable, Sequence

from app.store.client import Client, Row, Rows, Score
from app.store.connection import store_errors

Place = tuple[int, str]  # in a sorted set: a score, such as a time (ms), and a member


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


async def read_scored(
    redis: Client, name: str, *, low: Score, high: Score, after: Place | None, count: int, newest_first: bool
) -> list[Place]:
    """The next `count` entries of a sorted set after a place, between these scores; fewer at its end.

    Equal scores are ordered by member.
    """
    if after is not None:
        low, high = (low, after[0]) if newest_first else (after[0], high)
    found: list[Place] = []
    offset = 0
    while len(found) < count:
        with store_errors():
            rows = await redis.zrange(
                name,
                high if newest_first else low,
                low if newest_first else high,
                desc=newest_first,
                byscore=True,
                offset=offset,
                num=count,
                withscores=True,
            )
        offset += len(rows)
        places = [(int(score), member) for member, score in rows]
        found += [one for one in places if after is None or (one < after if newest_first else one > after)]
        if len(rows) < count:
            break
    return found[:count]


def pairs(flat: Sequence[str]) -> Row:
    """The hash of `field, value, …`, which is how scripts return one."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
