"""The ASGI application: every route of the emulated fal on one origin."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.middleware import Middleware

from app.emulator import control, platform, queue, storage
from app.emulator.emulator import Emulator
from app.emulator.pages import OwnPagesOnly
from app.emulator.web import FalHeaders


def create_app(emulator: Emulator) -> Starlette:
    """The application; its lifespan starts and stops the emulator."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        emulator.start()
        clockwork = asyncio.create_task(emulator.clock.run())
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
    pages = Middleware(OwnPagesOnly, public_url=emulator.options.public_url)
    return Starlette(routes=routes, middleware=[Middleware(FalHeaders), pages], lifespan=lifespan)
