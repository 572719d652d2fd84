"""Held calls end with the server: when it is told to stop, each answers in time, and not uvicorn with a bare 500.

The event is in the lifespan's state (ASGI), which the server shares with the application and with every request.
"""

import asyncio

from fastapi import Request

STOPPING = "stopping"


def stopping(request: Request) -> asyncio.Event:
    """Set when the server is told to stop; never, where the application runs without a server of ours."""
    event: asyncio.Event = getattr(request.state, STOPPING, None) or asyncio.Event()
    return event
