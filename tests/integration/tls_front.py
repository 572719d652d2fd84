"""TLS in front of a server that has none, as a proxy ends it."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from app.tasks import cancel_and_wait
from tests.support.tls import Certificates

HANDSHAKE = b"\x16"  # the first byte of what a client of TLS says
LOOK_S = 0.005


@asynccontextmanager
async def with_tls(
    port: int, certificates: Certificates, *, authority: Path | None = None, plain_too: bool = False
) -> AsyncIterator[int]:
    """The port at which the server speaks TLS. With `authority`, clients need a certificate.

    With `plain_too` it does not insist: a sentinel without TLS watches its primary there, and names that port.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.certificate, certificates.key)
    if authority is not None:
        context.load_verify_locations(authority)
        context.verify_mode = ssl.CERT_REQUIRED
    calls: set[asyncio.Task[None]] = set()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        serving = asyncio.create_task(_serve(listener, calls, port, context, plain_too=plain_too))
        try:
            yield listener.getsockname()[1]
        finally:
            await cancel_and_wait(serving, *calls)


async def _serve(
    listener: socket.socket, calls: set[asyncio.Task[None]], port: int, context: ssl.SSLContext, *, plain_too: bool
) -> None:
    while True:
        caller, _ = await asyncio.get_running_loop().sock_accept(listener)
        call = asyncio.create_task(_call(caller, port, context, plain_too=plain_too))
        calls.add(call)
        call.add_done_callback(calls.discard)


async def _call(caller: socket.socket, port: int, context: ssl.SSLContext, *, plain_too: bool) -> None:
    """One connection, to its end."""
    loop = asyncio.get_running_loop()
    requests = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(requests)
    with contextlib.suppress(OSError):  # what callers do who dislike our certificate
        plain = plain_too and await _first_byte(caller) != HANDSHAKE
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, caller, ssl=None if plain else context)
        to_caller = asyncio.StreamWriter(transport, protocol, requests, loop)
        answers, to_server = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(_hand_on(requests, to_server), _hand_on(answers, to_caller))
        finally:
            to_server.close()
            to_caller.close()


async def _first_byte(caller: socket.socket) -> bytes:
    """What it says first, left where it is."""
    while True:
        with contextlib.suppress(BlockingIOError):
            return caller.recv(1, socket.MSG_PEEK)
        await asyncio.sleep(LOOK_S)


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
    writer.close()
