"""Whether a reply has reached its connection: a client repeats a submission when its answer did not.

Handed over means that the machine has every byte of it, and that the caller had not disconnected before. When the
connection then ends by a reset, or had ended at the other side before the reply, it was not read after all.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Protocol

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problems import FAILED

HANDOVER = "handover"  # of the scope, by our own server (app/api/connections.py)
PAUSE_S = 0.02  # between two looks at a buffer that the caller empties slowly


class RepliedConnection(Protocol):
    """What is asked of a connection."""

    transport: Any
    cycle: Any
    was_reset: bool
    on_reset: Callable[[], None] | None


class ServedReply:
    """One reply of our own server."""

    __slots__ = ("_connection", "_cycle", "has_left")

    def __init__(self, connection: RepliedConnection, cycle: Any) -> None:
        self._connection = connection
        self._cycle = cycle
        self.has_left = False  # the caller had disconnected before the reply was written

    async def make(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, without the errors that uvicorn need not log.

        An error that was logged and answered; and a call that is cut off by a server that stops and has waited.
        """
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            self._cycle.disconnected = True
            self._connection.transport.close()
        except Exception as error:
            if scope.pop(FAILED, None) is not error:
                raise

    def cut(self) -> None:
        """End the connection in the middle of the reply: its caller sees that it is not whole."""
        self._cycle.disconnected = True  # what is still written goes nowhere, and is no error
        self._connection.transport.abort()

    def lose(self) -> None:
        """The connection has ended: what is still written goes nowhere, and is no error."""
        if not self.complete:
            self._cycle.disconnected = True
            self._cycle.message_event.set()

    @property
    def alive(self) -> bool:
        """False once the connection has ended without the reply, or has shown that it was not read."""
        return not (self.has_left or self._cycle.disconnected or self._connection.was_reset)

    @property
    def complete(self) -> bool:
        """True once a whole reply was written."""
        return bool(self._cycle.response_complete)

    async def is_whole(self) -> bool:
        """True when the machine has every byte; waits while the caller is still taking them."""
        transport = self._connection.transport
        while self.alive and transport.get_write_buffer_size():  # noqa: ASYNC110  nothing tells of its end
            await asyncio.sleep(PAUSE_S)
        return self.alive and self.complete

    def watch(self, withdraw: Callable[[], None]) -> None:
        """Call `withdraw` if the connection shows, before the next request, that the reply was not read."""
        connection = self._connection
        if connection.was_reset:
            withdraw()
        elif connection.cycle is self._cycle:
            connection.on_reset = withdraw


class PlainReply:
    """A reply without our server, which tells less: only before it can the caller be known to have left."""

    __slots__ = ("complete", "has_left")

    def __init__(self) -> None:
        self.has_left = False
        self.complete = False

    @property
    def alive(self) -> bool:
        """False when the caller had left before the reply."""
        return not self.has_left

    async def is_whole(self) -> bool:
        """True when the caller had not left before the reply."""
        self.complete = True
        return self.alive

    def watch(self, withdraw: Callable[[], None]) -> None:
        """Nothing is known of the connection."""


def handover_of(request: Request) -> ServedReply | PlainReply:
    """The reply to this request on its way to its connection."""
    return request.scope.get(HANDOVER) or PlainReply()


def is_reset(transport: asyncio.BaseTransport) -> bool:
    """True when the other side answered what was written to it with a reset: it had closed before it read that."""
    try:
        return bool(transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    except (AttributeError, OSError):
        return False
