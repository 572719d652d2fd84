"""A proxy as companies have one: CONNECT to the places that it knows, for those who know its password."""

import asyncio
from base64 import b64encode
from collections.abc import Mapping

from tests.support.tcp_proxy import first_of, pump
from tests.support.tcp_server import Reader, TcpServer, Writer


class ConnectProxy(TcpServer):
    """`async with ConnectProxy({"queue.fal.example:443": 40123}) as proxy`: the way to ports of this machine.

    `asked` holds what was to be reached, `refused` counts callers without the right password; to what it does not
    know the answer is 502.
    """

    def __init__(self, leads: Mapping[str, int], *, user: str = "", password: str = "") -> None:
        super().__init__()
        self._leads = leads
        self._login = f"{user}:{password}" if user else ""
        self.asked: list[str] = []
        self.refused = 0

    @property
    def url(self) -> str:
        """Its URL, with user and password where it has them."""
        return f"http://{f'{self._login}@' if self._login else ''}127.0.0.1:{self.port}"

    async def serve(self, reader: Reader, writer: Writer) -> None:
        """One call, and where it leads."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, _ = head.split(" ", 2)
        login = f"proxy-authorization: basic {b64encode(self._login.encode()).decode()}\r\n".lower()
        if self._login and login not in head.lower():
            self.refused += 1
            writer.write(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
            return
        self.asked.append(target)
        if method != "CONNECT" or target not in self._leads:
            writer.write(b"HTTP/1.1 502 Not here\r\nContent-Length: 0\r\n\r\n")
            return
        answers, requests = await asyncio.open_connection("127.0.0.1", self._leads[target])
        writer.write(b"HTTP/1.1 200 Go ahead\r\n\r\n")
        try:
            await first_of(pump(reader, requests), pump(answers, writer))
        finally:
            requests.transport.abort()
