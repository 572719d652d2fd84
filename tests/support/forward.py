"""Hands bytes on from one socket to another place, untouched."""

import asyncio
import contextlib
import socket


async def forward(listening: socket.socket, port: int) -> asyncio.Server:
    """Whoever connects here speaks with this process's own loopback at `port`."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answers, requests = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        ways = {asyncio.create_task(_hand_on(reader, requests)), asyncio.create_task(_hand_on(answers, writer))}
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            requests.close()
            writer.close()

    return await asyncio.start_server(accept, sock=listening)


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
