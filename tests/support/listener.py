"""An ear on every address of this machine: what it did not hear was not sent."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address

from app.domain.addresses import unmapped


class Listener:
    """Notes the connections that reach any address of this machine on one port."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reached: list[str] = []

    def accept(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Notes the address that was dialled, and says nothing."""
        host = ip_address(writer.get_extra_info("sockname")[0])
        self.reached.append(str(unmapped(host)))
        writer.close()


@asynccontextmanager
async def listening(port: int = 0) -> AsyncIterator[Listener]:
    """A listener on every address of this machine, v4 and v6; on a free port, unless one is named."""
    both = socket.socket(socket.AF_INET6)
    both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    both.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    both.bind(("::", port))
    listener = Listener(both.getsockname()[1])
    server = await asyncio.start_server(listener.accept, sock=both)
    async with server:
        yield listener
