"""A proxy for https that leads chosen host names to one port of this machine, as a private name server would."""

from collections.abc import Iterable

from tests.support.tcp_proxy import TcpProxy
from tests.support.tcp_server import Reader, Writer


class NameProxy(TcpProxy):
    """Serves CONNECT for `names`, whatever the port; other names are refused, so that nothing leaves the machine.

    `asked` has the names of all attempts.
    """

    def __init__(self, target: int, names: Iterable[str]) -> None:
        super().__init__(target)
        self.asked: set[str] = set()
        self._names = frozenset(names)

    @property
    def url(self) -> str:
        """For `HTTPS_PROXY`."""
        return f"http://{self.host}:{self.port}"

    async def serve(self, reader: Reader, writer: Writer) -> None:
        """One tunnel."""
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
        name = target.rpartition(":")[0]
        self.asked.add(name)
        if method != "CONNECT" or name not in self._names:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await super().serve(reader, writer)
