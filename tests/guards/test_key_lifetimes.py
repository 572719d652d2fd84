"""Every key has a declared lifetime, and no key lives for ever by accident."""

import inspect
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from app.store import keys
from app.store.keys import LIFETIMES, PREFIX, Lifetime
from tests.support.checks import immortal_keys, lifetime_of
from tests.support.redis_server import RedisServer

STORE = Path(inspect.getfile(keys)).parent
ARGUMENTS: dict[str, Any] = {"number": 1}


def names() -> dict[str, str]:
    """An example of every key: each constant, and each function called with words."""
    found = {}
    for name, value in vars(keys).items():
        if inspect.isfunction(value):
            arguments = {word: ARGUMENTS.get(word, f"a-{word}") for word in inspect.signature(value).parameters}
            found[name] = value(**arguments)
        elif name.isupper() and isinstance(value, str) and name not in {"PREFIX", "JOB_PREFIX", "GATEWAY"}:
            found[name] = value
    return found


@pytest.mark.parametrize(("name", "example"), names().items())
def test_every_key_has_a_lifetime(name: str, example: str) -> None:
    """A new key is placed in a class on purpose."""
    assert example.startswith(PREFIX)
    assert lifetime_of(example) is not None


def test_what_a_browser_token_leaves_behind_expires() -> None:
    """Its limits and sums share their names with those of teams and users, which stay."""
    assert lifetime_of(keys.total("tok_1")) is lifetime_of(keys.limits("tok_1")) is Lifetime.EXPIRING
    assert lifetime_of(keys.total("team_1")) is lifetime_of(keys.limits("user_1")) is Lifetime.PERMANENT


def test_every_declared_lifetime_has_a_key() -> None:
    """The table names nothing that is gone."""
    used = set()
    of_a_token = [keys.limits("tok_1"), keys.total("tok_1")]
    for example in [*names().values(), *of_a_token]:
        rest = example.removeprefix(PREFIX)
        used |= {
            prefix
            for prefix in LIFETIMES
            if rest == prefix or (prefix.endswith((":", "_")) and rest.startswith(prefix))
        }
    assert used == set(LIFETIMES)


def test_no_two_kinds_of_key_share_a_name() -> None:
    """Different functions never make the same key, whatever they are given."""
    examples = list(names().values())
    assert len(set(examples)) == len(examples)


def test_keys_are_made_in_one_place() -> None:
    """Nobody else writes the prefix: not in Python, not in Lua."""
    for path in [*STORE.rglob("*.py"), *STORE.rglob("*.lua")]:
        if path.name != "keys.py":
            assert not re.search(rf"""["'`]{PREFIX}""", path.read_text("utf-8")), path.name


@pytest.fixture
async def redis() -> AsyncIterator[Any]:
    """A store of its own."""
    with RedisServer() as server:
        async with Redis.from_url(server.url, decode_responses=True, encoding_errors="surrogateescape") as client:
            yield client


@pytest.mark.anyio
async def test_the_check_after_every_test_sees_what_it_should(redis: Any) -> None:
    """An undeclared key, an expiring one without expiry, an ended job without one: all are found."""
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


def test_accounts_and_money_never_expire() -> None:
    """The books outlive every job."""
    permanent = {prefix for prefix, lifetime in LIFETIMES.items() if lifetime is Lifetime.PERMANENT}
    assert permanent >= {"total:", "reservations:", "ledger:", "team:", "user:", "key:"}
