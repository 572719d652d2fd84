"""Held calls end when the server stops: each replies itself, before uvicorn would send a bare 500.

The event is in the lifespan's state (ASGI), which the server shares with the application and with every request.
"""

import asyncio

from fastapi import Request

STOPPING = "stopping"


def stopping(request: Request) -> asyncio.Event:
    """Set when the server begins to stop; never set where the application runs without our server."""
    event: asyncio.Event = getattr(request.state, STOPPING, None) or asyncio.Event()
    return event
