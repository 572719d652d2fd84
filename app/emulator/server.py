"""The ASGI application: every route of the emulated fal on one origin."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from app.emulator import control, platform, queue, storage
from app.emulator.emulator import Emulator
from app.emulator.web import FalHeaders

EXPOSED = ["x-fal-request-id", "x-fal-request-timeout-type", "x-fal-error-type", "x-fal-billable-units", "etag"]


def create_app(emulator: Emulator) -> Starlette:
    """The application; its lifespan starts and stops the emulator."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        emulator.start()
        clockwork = asyncio.create_task(emulator.agenda.run())
        try:
            yield
        finally:
            clockwork.cancel()
            await emulator.stop()

    watch, *rest = queue.routes(emulator)
    routes = [
        watch,
        *control.routes(emulator),
        *storage.routes(emulator),
        *platform.routes(emulator),
        *rest,
    ]
    cors = Middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["GET", "POST", "PUT", "OPTIONS"],
        allow_headers=["*"],
        expose_headers=EXPOSED,
    )
    return Starlette(routes=routes, middleware=[Middleware(FalHeaders), cors], lifespan=lifespan)
