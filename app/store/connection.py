"""Connections to the store: their time-outs, and the one place where Redis's errors become ours."""

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import redis.asyncio as aredis
from redis import BlockingConnectionPool, Connection, SSLConnection, UnixDomainSocketConnection
from redis import Redis as SyncRedis
from redis.asyncio.client import Pipeline as AsyncPipeline
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.asyncio.sentinel import SentinelManagedConnection as AsyncManagedConnection
from redis.asyncio.sentinel import SentinelManagedSSLConnection as AsyncManagedSSLConnection
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, NoPermissionError, OutOfMemoryError, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry
from redis.sentinel import Sentinel as SyncSentinel
from redis.sentinel import SentinelConnectionPool as SyncSentinelPool
from redis.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection

from app.domain.errors import StoreDenied, StoreUnavailable
from app.domain.store_address import StoreAddress, read_store_address
from app.metrics.table import STORE_ERRORS
from app.outages import Outage
from app.store.client import Client, Value
from app.store.shared_connection import SharedConnection, TooManyCalls

REQUEST_TIMEOUT = 1.0  # seconds for one reply; a caller gets its 503 within two
CONNECT_TIMEOUT = 0.8
RQ_TIMEOUT = 2.5  # for replies to RQ: longer than its blocking read, and the most a dead primary costs a worker
MAX_CONNECTIONS = 64  # opening one for each caller of a burst would take longer than sharing them
MAX_TOGETHER = 16  # commands of one caller that leave together over the shared connection
TURN_TIMEOUT = 2.0  # seconds to wait for a free connection
TAKES_NO_WRITES = ("OOM", "LOADING", "READONLY", "MISCONF", "NOREPLICAS", "CLUSTERDOWN", "MASTERDOWN", "BUSY")

DENIED = re.compile(r"(?:User (?P<user>\S+)|[Tt]his user) has no permissions to run the '(?P<command>[^']+)'")

OUTAGE = Outage("store")  # of this process: requests, steps and RQ notice the same one


class _SentinelPool(SentinelConnectionPool, aredis.BlockingConnectionPool):
    """A pool of connections to the primary that waits for a free one; redis-py's own raises instead."""


class _Managed(AsyncManagedConnection):
    """A connection that closes the idle ones too when it gets no reply, because they lead to the same primary.

    Otherwise the next user of each would wait for its time-out, and the sentinels would be asked only after the
    last.
    """

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Read as redis-py does."""
        try:
            return await super().read_response(*args, **options)
        except (RedisConnectionError, RedisTimeoutError):
            await self.connection_pool.disconnect(inuse_connections=False)
            raise


class _ManagedTLS(_Managed, AsyncManagedSSLConnection):
    """The same with TLS."""


class StoreClient(aredis.Redis):
    """redis-py's client; with `shared`, single commands and `together` use that connection, pipelines the pool."""

    shared: SharedConnection | None = None

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """The reply to a command, as redis-py returns it."""
        if self.shared is None:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # untyped in redis-py
        if args[0] not in self.response_callbacks and " " not in args[0]:
            return await self.shared.call(*args)
        sent: Any = _Sent(self.shared, args)
        return await self.parse_response(sent, args[0], **options)

    def together(self) -> "_Together":
        """Reads that leave in one write, over the shared connection if there is one."""
        return _Together(self)

    async def renew(self) -> None:
        """Close idle connections, which may lead to a server that is no longer the primary."""
        if self.shared is not None:
            self.shared.renew()
        await self.connection_pool.disconnect(inuse_connections=False)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:  # noqa: FBT001  as redis-py has it
        """Close every connection."""
        if self.shared is not None:
            await self.shared.aclose()
        await super().aclose(close_connection_pool)


class _Sent:
    """What redis-py's parsing of replies expects of a connection, for one command over the shared one."""

    def __init__(self, shared: SharedConnection, command: Sequence[Value]) -> None:
        name, *more = command
        self._shared = shared
        self._call = shared.begin(*str(name).split(), *more)  # redis-py has one name for `CONFIG GET`

    async def read_response(self) -> Any:
        return await self._shared.finish(self._call)


class _Together(AsyncPipeline):
    """redis-py's pipeline without a transaction, over the shared connection.

    Many commands take a connection of the pool: their replies would delay those of all other callers.
    """

    def __init__(self, client: StoreClient) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, False, None)
        self._shared = client.shared

    async def execute(self, raise_on_error: bool = True) -> list[Any]:  # noqa: FBT001, FBT002  as redis-py has it
        """The replies, in the order of the commands; raises the first error among them."""
        if self._shared is None or len(self.command_stack) > MAX_TOGETHER:
            return await super().execute(raise_on_error)
        stack, self.command_stack = self.command_stack, []
        sent: list[Any] = [_Sent(self._shared, command) for command, _ in stack]
        replies: list[Any] = []
        for one, (command, options) in zip(sent, stack, strict=True):
            try:
                replies.append(await self.parse_response(one, command[0], **options))
            except ResponseError as error:
                replies.append(error)
        if raise_on_error:
            self.raise_first_error(stack, replies)
        return replies


class _ForRQ:
    """A connection on which RQ survives passing faults of the store.

    RQ waits for a store that does not answer, and ends its worker at any other error; so a store that takes no
    writes (full memory, missing replicas, it cannot save, it is a replica) counts as one that does not answer. An
    interrupted read closes the connection: redis-py keeps it where sentinels named the server, and the next command
    then gets the reply to the interrupted one, which a worker that is stopped in its blocking read never recovers
    from.
    """

    def send_packed_command(self, *args: Any, **options: Any) -> Any:
        """Send as redis-py does, but never reopen a closed connection; only the pool does that.

        After a missing reply, redis-py ends a transaction with UNWATCH, and would reopen the connection for it: to
        the previous primary, without asking the sentinels.
        """
        if self._sock is None:  # type: ignore[attr-defined]  # of the other base class
            raise RedisConnectionError("The connection was closed.")
        return super().send_packed_command(*args, **options)  # type: ignore[misc]  # likewise

    def read_response(self, *args: Any, **options: Any) -> Any:
        """Read as redis-py does, with the default of its other connections."""
        try:
            return super().read_response(*args, **{"disconnect_on_error": True, **options})  # type: ignore[misc]  # likewise
        except ResponseError as error:
            if not _takes_no_writes(error):
                raise
            self.disconnect()  # type: ignore[attr-defined]  # likewise; in a transaction further replies would follow
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
    """Redis-py's options of the server itself."""
    return {"db": address.db, **_greeting(address.username, address.password), **_tls(address)}


def sentinel_options(address: StoreAddress) -> dict[str, Any]:
    """Redis-py's options of the sentinels."""
    return {**_greeting(address.sentinel_username, address.sentinel_password), **_tls(address)}


def _greeting(username: str | None, password: str | None) -> dict[str, Any]:
    """Options of the first commands. The library's name is not sent: Redis 7.0 has no command for it.

    Maintenance notifications are off: with them redis-py hands out connections that the server has closed, because
    the readable data might be a notification (redis-py issue 4128).
    """
    return {
        "username": username,
        "password": password,
        "driver_info": None,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
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
    """An asyncio client of the store at `url`, whose callers share at most `connections` connections.

    Without `patience` it fails fast, for requests, and single commands share one further connection: none of them
    may block. With it, a read may block for that many seconds. The library retries nothing, because it would repeat
    commands that are not idempotent (redis-py issue 4125). `replicas` is how many replicas must confirm an
    acknowledged write (`app/store/replicas.py`).
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
        "encoding_errors": "surrogateescape",  # packed fields (packing.py) are bytes
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
        client = sentinel.master_for(address.service, StoreClient, _SentinelPool, **options)
    else:
        tls = options.pop("ssl", False)
        plain = aredis.UnixDomainSocketConnection if address.path else aredis.Connection
        kind = aredis.SSLConnection if tls else plain
        pool: Any = aredis.BlockingConnectionPool(connection_class=kind, **_where(address), **options)
        client = StoreClient.from_pool(pool)
    if patience is None:
        client.shared = SharedConnection(client.connection_pool.make_connection, timeout=REQUEST_TIMEOUT)
    typed: Client = client
    typed.replicas = replicas
    return typed


async def disconnect(client: Client) -> None:
    """Close a client and its connections to sentinels; those that do not answer are skipped."""
    manager = getattr(client.connection_pool, "sentinel_manager", None)
    for connected in (client, *(manager.sentinels if manager is not None else ())):
        with suppress(RedisTimeoutError):
            await connected.aclose()


def connect_rq(url: str, *, timeout: float = RQ_TIMEOUT) -> SyncRedis:
    """A blocking client for RQ, which exchanges bytes. All its time-outs are short, and it retries nothing."""
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
    # RQ asks when a worker starts; redis-py's own parser fails where a socket's path has a space or `=`.
    client.set_response_callback("CLIENT INFO", _client_info)
    return client


def _where(address: StoreAddress) -> dict[str, Any]:
    if address.path:
        return {"path": address.path}
    ((host, port),) = address.hosts
    return {"host": host, "port": port}


def _client_info(reply: bytes | str, **_options: Any) -> dict[str, str]:
    """The reply of CLIENT INFO; a path ends at its first white space."""
    text = reply.decode(errors="replace") if isinstance(reply, bytes) else reply
    return dict(word.split("=", 1) for word in text.split() if "=" in word)


class store_errors:  # noqa: N801  read as contextlib's are; a generator would cost five times as much in each call
    """Translate Redis's errors: no reply, a late one, or no writes is `StoreUnavailable`."""

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        """Raise StoreUnavailable instead of an error that it stands for."""
        if error is None:
            if OUTAGE.on:
                OUTAGE.worked()
            return
        if isinstance(error, NoPermissionError):
            OUTAGE.failed("no_permission", said=str(error), remedy="docs/store.md lists the rights it needs")
            STORE_ERRORS.add()
            raise StoreDenied(denied_sentence(error)) from error
        sentence = _sentence(error)
        if sentence is not None:
            STORE_ERRORS.add()
            raise StoreUnavailable(sentence) from (error if isinstance(error, ResponseError) else None)


def denied_sentence(error: NoPermissionError) -> str:
    """Which user of the store may not do what, without a full stop; from the server's error."""
    found = DENIED.search(str(error))
    if found is None:
        return f"The store's user may not do this ({error})"
    user, command = found["user"], found["command"]
    return f"The store's user{f' {user!r}' if user else ''} may not call {command.replace('|', ' ').upper()}"


def _sentence(error: BaseException) -> str | None:
    """What callers read about this error; None for one that is no fault of the store."""
    if isinstance(error, TooManyCalls):
        return "Too many calls wait for the store; try again in a moment."
    closed = isinstance(error, RuntimeError) and "handler is closed" in str(error)  # uvloop's: by the other side
    if closed or isinstance(error, RedisConnectionError | RedisTimeoutError | InvalidResponse | OSError):
        OUTAGE.failed("no_answer", error=type(error).__name__)
        return "The store does not answer; try again in a moment."
    if isinstance(error, ResponseError) and _takes_no_writes(error):
        full = isinstance(error, OutOfMemoryError) or str(error).lstrip("-").startswith("OOM")
        OUTAGE.failed("no_memory" if full else "no_writes", said=str(error))
        why = "has no memory left for something new" if full else "takes no writes at the moment"
        return f"The store {why}; try again shortly."
    return None


def _takes_no_writes(error: ResponseError) -> bool:
    """True for a state that passes; two such errors are classes of redis-py's without their prefix."""
    return isinstance(error, OutOfMemoryError | ReadOnlyError) or str(error).lstrip("-").startswith(TAKES_NO_WRITES)
