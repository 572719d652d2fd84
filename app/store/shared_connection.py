"""One connection to the store, which all callers of a process share for short commands and scripts.

redis-py takes 60 to 155 µs of CPU for a call, nine tenths of them in Python around hiredis; this takes a tenth of
that (docs/decisions/0033-one-shared-connection.md). redis-py still makes the connection, and does everything else.

What is asked in one turn of the event loop leaves in one write. Replies come in the order of the calls. A call that
blocks at the store would stop all others, so none may come here: no blocking read, no `WAIT`, no transaction.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Final

import hiredis
from redis.asyncio.connection import DefaultParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, InvalidResponse, ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.metrics.table import STORE_CALL
from app.store.client import Value
from app.tasks import cancel_and_wait

MAX_SENT = 128  # further calls wait here: when the connection is lost, of these it is certain that they did not run
MAX_WAITING = 4096  # calls
MAX_WAIT_S = 0.9  # for its turn to be sent; with a second for the reply, a caller knows within two
MAX_WAITING_BYTES = 32 << 20
PAUSE_S, MAX_PAUSE_S = 0.01, 0.2  # before the second attempt to connect, and before later ones
NOTHING: Final = object()


class TooManyCalls(RedisConnectionError):
    """As many calls wait for the store as may wait; this one was not sent."""


@dataclass(slots=True, eq=False)
class _Call:
    """A call that waits for its reply, or for its turn to be sent."""

    packed: bytes
    reply: "asyncio.Future[Any]"
    deadline: float
    began: float

    def end(self, reply: object) -> None:
        """Give the caller this reply or error, unless it has left."""
        STORE_CALL.observe(time.perf_counter() - self.began)
        if not self.reply.done():
            self.reply.set_result(reply)


class SharedConnection:
    """Sends calls and returns their replies; connects at the first call, and again after a loss.

    `make` returns a new connection of redis-py's, which knows address, names, passwords, TLS and sentinels.
    `timeout` (seconds) is for a reply, once its call was sent. When one is overdue the connection is closed, as
    redis-py closes it, and all calls that were sent end as unknown: RedisConnectionError or RedisTimeoutError.
    """

    def __init__(self, make: Callable[[], Any], *, timeout: float) -> None:
        self._make = make
        self._timeout = timeout
        self._wire: _Wire | None = None
        self._waiting: deque[_Call] = deque()
        self._waiting_bytes = 0
        self._opening: asyncio.Task[None] | None = None
        self._pause_s = 0.0
        self._sending = False
        self._timer: asyncio.TimerHandle | None = None

    async def call(self, *command: Value) -> Any:
        """The reply, as text or a number or a list of these.

        Raises redis-py's errors: ResponseError and its kind for the store's, RedisConnectionError and
        RedisTimeoutError where there is no reply, TooManyCalls, DataError for what cannot be sent.
        """
        return await self.finish(self.begin(*command))

    def begin(self, *command: Value) -> _Call:
        """Let a call wait for its turn; `finish` has its reply. What is begun together leaves in one write.

        Raises TooManyCalls, and DataError for what cannot be sent.
        """
        if len(self._waiting) >= MAX_WAITING or self._waiting_bytes >= MAX_WAITING_BYTES:
            raise TooManyCalls("Too many calls wait for the store.")
        try:
            packed = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub has a tuple of one
        except TypeError as error:
            raise DataError(str(error)) from None
        loop = asyncio.get_running_loop()
        call = _Call(packed, loop.create_future(), loop.time() + MAX_WAIT_S, time.perf_counter())
        self._waiting.append(call)
        self._waiting_bytes += len(packed)
        if not self._sending:
            self._sending = True
            loop.call_soon(self._send)
        return call

    async def finish(self, call: _Call) -> Any:
        """The reply to a call that was begun, or its error."""
        reply = await call.reply
        if isinstance(reply, Exception):
            if isinstance(reply, ReadOnlyError):
                self.renew()  # the server is a replica now; the address may lead to another one
            raise reply.with_traceback(None)
        return reply

    def renew(self) -> None:
        """Let the next call open a new connection; the calls that were sent still get their replies."""
        if self._wire is not None:
            self._wire.retire(self._timeout)
            self._wire = None

    async def aclose(self) -> None:
        """Close the connection; calls without a reply fail."""
        closed = RedisConnectionError("The connection was closed.")
        if self._opening is not None:
            await cancel_and_wait(self._opening)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._wire is not None:
            self._wire.abort(closed)
        self._fail_waiting(closed)

    def _send(self) -> None:
        """Write what waits and may be sent, without the calls whose callers have left; nothing of them has run."""
        self._sending = False
        if self._timer is None:
            self._watch()
        wire, waiting = self._wire, self._waiting
        if wire is None or wire.transport.is_closing():
            if self._opening is None and waiting:
                self._wire = None
                self._opening = asyncio.create_task(self._open(), name="store connection", context=Context())
            return
        calls: list[_Call] = []
        room = 0 if wire.full else MAX_SENT - len(wire.sent)
        deadline = asyncio.get_running_loop().time() + self._timeout
        while waiting and len(calls) < room:
            call = self._next()
            if not call.reply.done():
                call.deadline = deadline
                calls.append(call)
        if calls:
            wire.send(calls)

    async def _open(self) -> None:
        """Connect, after a pause if the last attempt failed; without success all calls that wait fail."""
        try:
            await asyncio.sleep(self._pause_s)
            self._wire = _Wire(await self._connected(), self._send)
        except Exception as error:  # noqa: BLE001  whatever it is, each caller gets it
            self._pause_s = min(2 * self._pause_s or PAUSE_S, MAX_PAUSE_S)
            self._fail_waiting(error)
        else:
            self._pause_s = 0.0
        finally:
            self._opening = None
        self._send()

    async def _connected(self) -> Any:
        connection = self._make()
        try:
            await connection.connect()
            surplus = await connection.can_read()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        if surplus:
            await connection.disconnect(nowait=True)
            raise RedisConnectionError("The store closes the connection, or sends something that nobody asked for.")
        return connection

    def _next(self) -> _Call:
        call = self._waiting.popleft()
        self._waiting_bytes -= len(call.packed)
        return call

    def _fail_waiting(self, error: Exception) -> None:
        while self._waiting:
            self._next().end(error)

    def _watch(self) -> None:
        """Wait for the next deadline, and end what is overdue; what was sent fails together."""
        self._timer = None
        sent = self._wire.sent if self._wire is not None else ()
        deadlines = [calls[0].deadline for calls in (sent, self._waiting) if calls]
        if not deadlines:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        if min(deadlines) > now:
            self._timer = loop.call_at(min(deadlines), self._watch)
            return
        if self._wire is not None and sent and sent[0].deadline <= now:
            self._wire.abort(RedisTimeoutError("The store did not reply in time."))
            self._wire = None
        while self._waiting and self._waiting[0].deadline <= now:
            self._next().end(RedisTimeoutError("The store took no more calls in time."))
        self._send()


class _Wire(asyncio.Protocol):
    """An open connection, taken over from redis-py after its greeting.

    `sent` are the calls without a reply, the oldest first, also when their callers have left. While it is `full`
    the store reads more slowly than we write. `on_change` is called when more may be sent, or no more.
    """

    def __init__(self, connection: Any, on_change: Callable[[], None]) -> None:
        self._writer = connection._writer  # noqa: SLF001  redis-py has no other way to hand it over
        connection._reader = connection._writer = None  # noqa: SLF001  likewise
        self.transport: asyncio.Transport = self._writer.transport
        self._on_change = on_change
        self.sent: deque[_Call] = deque()
        self.full = False
        self._retired = False
        self._why: Exception = RedisConnectionError("The connection to the store was lost.")
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse,
            replyError=DefaultParser.parse_error,
            encoding=connection.encoder.encoding,
            errors=connection.encoder.encoding_errors,
            notEnoughData=NOTHING,
        )
        self.transport.set_protocol(self)

    def send(self, calls: list[_Call]) -> None:
        """Send all in one write."""
        self.sent.extend(calls)
        self.transport.write(b"".join([call.packed for call in calls]))

    def retire(self, timeout: float) -> None:
        """Close after the last reply, or after `timeout` seconds."""
        self._retired = True
        if self.sent:
            asyncio.get_running_loop().call_later(timeout, self.abort, RedisTimeoutError("No reply in time."))
        else:
            self.transport.abort()

    def abort(self, why: Exception) -> None:
        """Close at once; every call without a reply gets this error."""
        self._why = why
        self.transport.abort()
        self._fail()

    def data_received(self, data: bytes) -> None:
        """Give each caller its reply; what is no reply closes the connection."""
        reader, sent = self._reader, self.sent
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not NOTHING:
                sent.popleft().end(reply)
        except (InvalidResponse, IndexError):
            self.abort(RedisConnectionError("The store sent something that is no reply."))
            return
        if self._retired and not sent:
            self.transport.abort()
        elif not self._retired:
            self._on_change()

    def pause_writing(self) -> None:
        """Send nothing more for now."""
        self.full = True

    def resume_writing(self) -> None:
        """The store has caught up."""
        self.full = False
        self._on_change()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's
        """No reply will come; whether the calls without one have run is not known."""
        self._fail()
        self._on_change()

    def _fail(self) -> None:
        while self.sent:
            self.sent.popleft().end(self._why)
