"""Connections to the store: how each profile waits, and one border where Redis's errors become ours."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import redis.asyncio as aredis
import structlog
from redis import BlockingConnectionPool, Connection, SSLConnection, UnixDomainSocketConnection
from redis import Redis as SyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.asyncio.sentinel import SentinelManagedConnection as AsyncManagedConnection
from redis.asyncio.sentinel import SentinelManagedSSLConnection as AsyncManagedSSLConnection
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, OutOfMemoryError, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry
from redis.sentinel import Sentinel as SyncSentinel
from redis.sentinel import SentinelConnectionPool as SyncSentinelPool
from redis.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection

from app.domain.errors import StoreUnavailable
from app.domain.store_address import StoreAddress, read_store_address
from app.store.client import Client

REQUEST_TIMEOUT = 1.0  # seconds for one answer; a caller gets its 503 within two
CONNECT_TIMEOUT = 0.8
RQ_TIMEOUT = 2.5  # for RQ's answers: longer than its blocking read, and all that a dead primary costs a worker
MAX_CONNECTIONS = 64  # one for each caller of a burst would take longer to open than to use
TURN_TIMEOUT = 2.0  # seconds that a caller waits for one
AWAY = ("OOM", "LOADING", "READONLY", "MISCONF", "NOREPLICAS", "CLUSTERDOWN", "MASTERDOWN", "BUSY")

log = structlog.get_logger()


class _SentinelPool(SentinelConnectionPool, aredis.BlockingConnectionPool):
    """Where one waits for one's turn at the primary; redis-py's own pool of that kind refuses instead."""


class _Managed(AsyncManagedConnection):
    """A connection that takes the idle ones with it when it gets no answer: they lead to the same primary.

    Without that, each costs its next user the whole wait, and the new primary is looked for when all are used up.
    """

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """As redis-py reads."""
        try:
            return await super().read_response(*args, **options)
        except (RedisConnectionError, RedisTimeoutError):
            await self.connection_pool.disconnect(inuse_connections=False)
            raise


class _ManagedTLS(_Managed, AsyncManagedSSLConnection):
    """The same with TLS."""


class _ForRQ:
    """A connection on which RQ outlives what passes by.

    RQ waits for a store that is away, and ends its worker at any other error; so a store that takes no writes (its
    memory is full, its replicas are missing, it cannot save, it is a replica) counts as away. An interrupted read
    ends the connection: redis-py keeps it where sentinels named the server, and the next command gets the answer to
    the interrupted one; a worker that was told to stop in its blocking read then waited for its answers in vain.
    """

    def send_packed_command(self, *args: Any, **options: Any) -> Any:
        """As redis-py sends; but what was closed stays closed until the pool hands it out again.

        After an answer that did not come, a transaction of redis-py's says twice that it watches nothing any more,
        and opens the connection for it: to the server of before, without a question to the sentinels.
        """
        if self._sock is None:  # type: ignore[attr-defined]  # of the class beside it
            raise RedisConnectionError("The connection was closed.")
        return super().send_packed_command(*args, **options)  # type: ignore[misc]  # likewise

    def read_response(self, *args: Any, **options: Any) -> Any:
        """As redis-py reads, with the default of its other connections."""
        try:
            return super().read_response(*args, **{"disconnect_on_error": True, **options})  # type: ignore[misc]  # of the class beside it
        except ResponseError as error:
            if not _takes_no_writes(error):
                raise
            self.disconnect()  # type: ignore[attr-defined]  # likewise; in a transaction further answers are on their way
            raise RedisConnectionError(f"{type(error).__name__}: {error}") from None


class _RQPlain(_ForRQ, Connection):
    """To a port."""


class _RQSocket(_ForRQ, UnixDomainSocketConnection):
    """To a socket."""


class _RQTLS(_ForRQ, SSLConnection):
    """To a port with TLS."""


class _RQManaged(_ForRQ, SentinelManagedConnection):
    """To the primary that sentinels name."""


class _RQManagedTLS(_ForRQ, SentinelManagedSSLConnection):
    """The same with TLS."""


def server_options(address: StoreAddress) -> dict[str, Any]:
    """What redis-py is told of the server itself."""
    return {"db": address.db, **_greeting(address.username, address.password), **_tls(address)}


def sentinel_options(address: StoreAddress) -> dict[str, Any]:
    """What it is told of the sentinels."""
    return {**_greeting(address.sentinel_username, address.sentinel_password), **_tls(address)}


def _greeting(username: str | None, password: str | None) -> dict[str, Any]:
    """Who we are; the library's own name is not told, because Redis 7.0 has no command for that.

    Nor are notifications of maintenance asked for: with them redis-py hands out connections that the server has
    closed meanwhile, because what can be read there might be a notification (redis-py issue 4128).
    """
    no_notifications = MaintNotificationsConfig(enabled=False)
    return {
        "username": username,
        "password": password,
        "driver_info": None,
        "maint_notifications_config": no_notifications,
    }


def _tls(address: StoreAddress) -> dict[str, Any]:
    return {} if address.tls is None else {"ssl": True, **address.tls}


def connect(
    url: str,
    *,
    patience: float | None = None,
    name: str = "filmgate",
    connections: int = MAX_CONNECTIONS,
    replicas: int = 0,
) -> Client:
    """An asyncio client of the store at `url`, whose callers take turns at so many connections.

    `replicas` is how many of the primary's must confirm what is acknowledged (`app/store/replicas.py`).

    Without `patience` it fails fast, for requests. With it, a read may block for that many seconds. Nothing is
    repeated by the library, which would re-issue commands that are not idempotent (redis-py issue 4125).
    """
    address = read_store_address(url)
    hasty: dict[str, Any] = {
        "socket_timeout": REQUEST_TIMEOUT,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "retry": AsyncRetry(NoBackoff(), 0),
    }
    options: dict[str, Any] = {
        **hasty,
        **server_options(address),
        "socket_timeout": REQUEST_TIMEOUT if patience is None else patience + 5,
        "decode_responses": True,
        "encoding_errors": "surrogateescape",  # what is packed (packing.py) is no text
        "client_name": name,
        "health_check_interval": 0,
        "max_connections": connections,
        "timeout": TURN_TIMEOUT,
    }
    client: Any
    if address.service:
        kwargs = {**hasty, **sentinel_options(address)}
        sentinel: Any = Sentinel(address.hosts, sentinel_kwargs=kwargs)  # type: ignore[no-untyped-call]  # untyped in redis-py
        options["connection_class"] = _ManagedTLS if options.pop("ssl", False) else _Managed
        client = sentinel.master_for(address.service, connection_pool_class=_SentinelPool, **options)
    else:
        tls = options.pop("ssl", False)
        plain = aredis.UnixDomainSocketConnection if address.path else aredis.Connection
        kind = aredis.SSLConnection if tls else plain
        client = aredis.Redis.from_pool(
            aredis.BlockingConnectionPool(connection_class=kind, **_where(address), **options)
        )
    opened: Client = client
    opened.replicas = replicas
    return opened


async def disconnect(client: Client) -> None:
    """Close a client, and the sentinels that it asked for the primary; one that does not answer is left."""
    manager = getattr(client.connection_pool, "sentinel_manager", None)
    for one in (client, *(manager.sentinels if manager is not None else ())):
        with suppress(RedisTimeoutError):
            await one.aclose()


def connect_rq(url: str, *, timeout: float = RQ_TIMEOUT) -> SyncRedis:
    """A blocking client as RQ wants it: bytes in, bytes out. Every wait of it is short, and nothing is repeated."""
    address = read_store_address(url)
    hasty: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "retry": Retry(NoBackoff(), 0),
    }
    options = {**hasty, **server_options(address)}
    tls = options.pop("ssl", False)
    client: SyncRedis
    if address.service:
        kwargs = {**hasty, **sentinel_options(address)}
        sentinel: Any = SyncSentinel(address.hosts, sentinel_kwargs=kwargs)  # type: ignore[no-untyped-call]  # untyped in redis-py
        managed: Any = SyncSentinelPool(  # type: ignore[no-untyped-call]  # untyped in redis-py
            address.service, sentinel, connection_class=_RQManagedTLS if tls else _RQManaged, **options
        )
        client = SyncRedis.from_pool(managed)
    else:
        kind = _RQSocket if address.path else _RQTLS if tls else _RQPlain
        pool: Any = BlockingConnectionPool(connection_class=kind, **_where(address), **options)  # type: ignore[no-untyped-call]  # untyped in redis-py
        client = SyncRedis.from_pool(pool)
    # RQ asks at a worker's birth; redis-py's own reading ends in an error where a socket's path has a space or `=`.
    client.set_response_callback("CLIENT INFO", _client_info)
    return client


def _where(address: StoreAddress) -> dict[str, Any]:
    if address.path:
        return {"path": address.path}
    ((host, port),) = address.hosts
    return {"host": host, "port": port}


def _client_info(reply: bytes | str, **_options: Any) -> dict[str, str]:
    """What the server says of this client; a path with white space is cut off at it."""
    text = reply.decode(errors="replace") if isinstance(reply, bytes) else reply
    return dict(word.split("=", 1) for word in text.split() if "=" in word)


@contextmanager
def store_errors() -> Iterator[None]:
    """Translate Redis's errors at one border: away, too slow, or refusing writes is `StoreUnavailable`."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError, OSError):
        raise StoreUnavailable("The store does not answer; try again in a moment.") from None
    except RuntimeError as error:  # what uvloop says of a connection that the other side has just closed
        if "handler is closed" not in str(error):
            raise
        raise StoreUnavailable("The store does not answer; try again in a moment.") from None
    except NoPermissionError as error:
        log.error("store.no_permission", said=str(error), remedy="docs/store.md lists the rights it needs")  # noqa: TRY400  no traceback: it is the store's set-up
        raise StoreUnavailable("The store refuses us a command; its administrator must allow it.") from None
    except ResponseError as error:
        if not _takes_no_writes(error):
            raise
        full = isinstance(error, OutOfMemoryError) or str(error).lstrip("-").startswith("OOM")
        why = "has no memory left for something new" if full else "takes no writes at the moment"
        raise StoreUnavailable(f"The store {why}; try again shortly.") from error


def _takes_no_writes(error: ResponseError) -> bool:
    """True for what passes by; of two, redis-py makes classes, and cuts their prefix off."""
    return isinstance(error, OutOfMemoryError | ReadOnlyError) or str(error).lstrip("-").startswith(AWAY)
