"""A port of its own for /metrics (FILMGATE_METRICS_PORT), of an API or of a worker host."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

import structlog
from pydantic import SecretStr

from app.metrics.text import Page

PATH = "/metrics"
RETRY_S = 10.0
STOP_S = 1.0

log = structlog.get_logger()


def is_token(authorization: str | None, token: SecretStr) -> bool:
    """True for `Bearer` and this token; compared in constant time."""
    scheme, _, given = (authorization or "").partition(" ")
    sent = given.strip().encode("utf-8", "surrogatepass")  # as aiohttp keeps bytes that are no UTF-8
    same = secrets.compare_digest(sent, token.get_secret_value().encode())
    return same and scheme.lower() == "bearer"


async def serve_port(
    host: str, port: int, *, token: SecretStr | None, page: Callable[[str], Awaitable[Page]]
) -> None:
    """Answer /metrics on a port until cancelled: to everybody who reaches it, or with `token` to those who have it.

    `page` makes the page for an Accept header. A port that is taken is tried again and again: metrics must stop
    neither an API nor workers.
    """
    from aiohttp import web  # noqa: PLC0415  2 MB that only this port needs

    async def answer(request: web.Request) -> web.Response:
        if token is not None and not is_token(request.headers.get("Authorization"), token):
            text = "Send FILMGATE_METRICS_TOKEN as `Authorization: Bearer …`.\n"
            wanted = {"WWW-Authenticate": 'Bearer realm="filmgate metrics"'}
            return web.Response(status=401, text=text, headers=wanted)
        made = await page(request.headers.get("Accept", ""))
        return web.Response(
            body=made.body, headers={"Content-Type": made.content_type, "Cache-Control": "no-store"}
        )

    app = web.Application()
    app.router.add_get(PATH, answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_S)
    await runner.setup()
    try:
        await _listen(lambda: web.TCPSite(runner, host, port).start(), port)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


async def _listen(start: Callable[[], Awaitable[None]], port: int) -> None:
    reported = False
    while True:
        try:
            await start()
        except OSError as error:
            if not reported:
                remedy = "free the port, or set FILMGATE_METRICS_PORT to another; it is tried again"
                log.error("metrics.port_taken", port=port, reason=error.strerror, remedy=remedy)  # noqa: TRY400  no trace needed
            reported = True
            await asyncio.sleep(RETRY_S)
        else:
            return
