"""The ASGI application: all routes of the emulated fal on one origin."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.middleware import Middleware

from app.emulator import control, listing, platform, queue, storage
from app.emulator.emulator import Emulator
from app.emulator.pages import OwnPagesOnly
from app.emulator.web import FalHeaders, RefusedRequest, refused_response


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

    status, *others = queue.routes(emulator)  # the most frequent first, a catch-all last
    rooms = (control, storage, listing, platform)
    own = [route for room in rooms for route in room.routes(emulator)]
    pages = Middleware(OwnPagesOnly, public_url=emulator.options.public_url)
    return Starlette(
        routes=[status, *own, *others],
        middleware=[Middleware(FalHeaders), pages],
        exception_handlers={RefusedRequest: refused_response},
        lifespan=lifespan,
    )
