"""The checks that run after every test of this folder find what they look for."""

import pytest

from tests.support.checks import immortal_keys
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.anyio


async def test_the_check_after_every_test_sees_what_it_should(store: RedisServer) -> None:
    """An undeclared key, a key without its expiry, an ended job without one: all are found."""
    async with store.client() as redis:
        await redis.set("fg:surprise", 1)
        await redis.set("unknown", 1)
        await redis.set("fg:wake", 1)
        await redis.hset("fg:job:team/ended", "status", "failed")
        await redis.hset("fg:job:team/live", "status", "held")
        await redis.set("fg:lane:1", 1, px=60_000)
        await redis.zadd("fg:line", {"x": 1})
        await redis.set("rq:job:1", 1)
        found = await immortal_keys(redis)
        assert sorted(found) == ["fg:job:team/ended", "fg:surprise", "fg:wake", "unknown"]
        await redis.flushall()
