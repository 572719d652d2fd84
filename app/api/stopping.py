"""The two moments of an API process's end, which every request can see.

`draining`: balancers are told to send nothing more, and what still arrives is served. `stopped`: the port is
closed; held calls reply themselves, before uvicorn would send a bare 500, and streams end, so that their clients
reconnect to another process. It is in the lifespan's state (ASGI), which the server shares with every request.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from fastapi import Request

STOPPING = "stopping"
AT_ONCE = 8  # streams that are ended in one turn of the loop
RECONNECT_MS = (200, 3000)  # of the streams that end together: their clients come back spread over this time


class Stopping:
    """How far the process's end has come."""

    def __init__(self) -> None:
        self.draining = False
        self.stopped = asyncio.Event()
        self._streams: dict[Callable[[], None], None] = {}  # ordered

    def add_stream(self, end: Callable[[], None]) -> None:
        """An open stream, by what ends it."""
        self._streams[end] = None
        if self.stopped.is_set():
            end()

    def drop_stream(self, end: Callable[[], None]) -> None:
        """It has ended."""
        self._streams.pop(end, None)

    async def stop(self) -> None:
        """Tell held calls and streams, a few streams in each turn of the loop."""
        self.draining = True
        self.stopped.set()
        for number, end in enumerate(list(self._streams), 1):
            end()
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)


def stopping_of(state: dict[str, Any]) -> Stopping | None:
    """The process's end in the state of a request; None where the application runs without our server."""
    found: Stopping | None = state.get(STOPPING)
    return found


def is_draining(state: dict[str, Any]) -> bool:
    """True from the stop signal on."""
    found = stopping_of(state)
    return found is not None and found.draining


def stopping(request: Request) -> asyncio.Event:
    """Set when the port is closed; never set where the application runs without our server."""
    found = stopping_of(request.scope.get("state", {}))
    return asyncio.Event() if found is None else found.stopped


def parting_frame() -> bytes:
    """The last frame of a stream that ends with its server: when to reconnect. Clients see no event in it."""
    return b": the server restarts\nretry: %d\n\n" % random.randint(*RECONNECT_MS)  # noqa: S311  no secret
