"""Connections to the store: two profiles, one border where Redis's errors become ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import redis.asyncio as aredis
from redis import Redis as SyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.domain.errors import StoreUnavailable

# redis-py cannot say in its types that replies are decoded text, so a client is Any here and each method of this
# room says what it returns.
Client = Any

REQUEST_TIMEOUT = 1.0  # seconds for one answer; a caller gets its 503 within two
CONNECT_TIMEOUT = 0.8
MAX_CONNECTIONS = 64  # one for each caller of a burst would take longer to open than to use
TURN_TIMEOUT = 2.0  # seconds that a caller waits for one
AWAY = ("OOM", "LOADING", "READONLY", "MISCONF", "NOREPLICAS", "CLUSTERDOWN", "MASTERDOWN", "BUSY")


class _SentinelPool(SentinelConnectionPool, aredis.BlockingConnectionPool):
    """Where one waits for one's turn at the primary; redis-py's own pool of that kind refuses instead."""


def connect(
    url: str, *, patience: float | None = None, name: str = "filmgate", connections: int = MAX_CONNECTIONS
) -> Client:
    """An asyncio client of the store at `url`, whose callers take turns at so many connections.

    Without `patience` it fails fast, for requests. With it, a read may block for that many seconds. Nothing is
    repeated by the library, which would re-issue commands that are not idempotent (redis-py issue 4125).
    """
    hasty: dict[str, Any] = {
        "socket_timeout": REQUEST_TIMEOUT,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "retry": AsyncRetry(NoBackoff(), 0),
    }
    options: dict[str, Any] = {
        **hasty,
        "socket_timeout": REQUEST_TIMEOUT if patience is None else patience + 5,
        "decode_responses": True,
        "client_name": name,
        "health_check_interval": 0,
        "max_connections": connections,
        "timeout": TURN_TIMEOUT,
    }
    address = urlsplit(url)
    if address.scheme == "sentinel":
        hosts = [(host, int(port or 26379)) for host, _, port in _hosts(address.netloc)]
        sentinel: Any = Sentinel(hosts, sentinel_kwargs=hasty)  # type: ignore[no-untyped-call]  # untyped in redis-py
        return sentinel.master_for(address.path.strip("/"), connection_pool_class=_SentinelPool, **options)
    return aredis.Redis.from_pool(aredis.BlockingConnectionPool.from_url(url, **options))


async def disconnect(client: Client) -> None:
    """Close a client, and the sentinels that it asked for the primary."""
    manager = getattr(client.connection_pool, "sentinel_manager", None)
    await client.aclose()
    for sentinel in manager.sentinels if manager is not None else ():
        await sentinel.aclose()


def connect_rq(url: str) -> SyncRedis:
    """A plain blocking client as RQ wants it: bytes in, bytes out, RQ's own timeouts."""
    address = urlsplit(url)
    if address.scheme == "sentinel":
        from redis.sentinel import Sentinel as SyncSentinel  # noqa: PLC0415  few installations need it

        hosts = [(host, int(port or 26379)) for host, _, port in _hosts(address.netloc)]
        sentinel: Any = SyncSentinel(hosts)  # type: ignore[no-untyped-call]  # untyped in redis-py
        found: SyncRedis = sentinel.master_for(address.path.strip("/"))
        return found
    return SyncRedis.from_url(url)


def _hosts(netloc: str) -> Iterator[tuple[str, str, str]]:
    for part in netloc.split(","):
        yield part.rpartition(":") if ":" in part else (part, "", "")


@contextmanager
def store_errors() -> Iterator[None]:
    """Translate Redis's errors at one border: away, too slow, or refusing writes is `StoreUnavailable`."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError, OSError):
        raise StoreUnavailable("The store does not answer; try again in a moment.") from None
    except (OutOfMemoryError, ReadOnlyError) as error:  # redis-py gives these classes, and cuts their prefix off
        raise StoreUnavailable("The store takes no writes at the moment; try again shortly.") from error
    except ResponseError as error:
        if str(error).lstrip("-").startswith(AWAY):
            raise StoreUnavailable("The store takes no writes at the moment; try again shortly.") from None
        raise


async def check_store(client: Client) -> list[str]:
    """What is wrong with the store's set-up for holding money, one sentence each; empty when it is right."""
    faults = []
    try:
        with store_errors():
            info = await client.info("server")
    except StoreUnavailable:
        return ["The store does not answer; check FILMGATE_REDIS_URL and that it runs."]
    version = tuple(int(part) for part in str(info["redis_version"]).split(".")[:2])
    if version < (7, 0):
        faults.append(f"The store is version {info['redis_version']}; Filmgate needs Redis 7.0 or Valkey.")
    try:
        config = await client.config_get("appendonly", "appendfsync", "maxmemory-policy")
    except RedisError:
        return [*faults, "The store does not allow CONFIG GET, so its durability cannot be checked."]
    wanted = {
        "appendonly": ("yes", "without the append-only file a restart forgets what was bought"),
        "appendfsync": ("always", "with any other value a crash loses writes that were acknowledged"),
        "maxmemory-policy": ("noeviction", "with any other value money and jobs may be evicted"),
    }
    faults += [
        f"The store has {name} {config.get(name)!r} and must have {value!r}: {why}."
        for name, (value, why) in wanted.items()
        if config.get(name) != value
    ]
    return faults
