"""A server on every address of this machine: it sees every connection that is made."""

import socket
from ipaddress import ip_address

from app.domain.addresses import unmapped
from tests.support.tcp_server import Reader, TcpServer, Writer


class CatchAll(TcpServer):
    """Listens on all addresses, v4 and v6, on a free port unless one is given; `reached` has those dialled."""

    def __init__(self, port: int = 0) -> None:
        sock = socket.socket(socket.AF_INET6)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("::", port))
        super().__init__(port=sock.getsockname()[1], listening=sock)
        self.reached: list[str] = []

    async def serve(self, _: Reader, writer: Writer) -> None:
        """Record the dialled address, and close the connection."""
        self.reached.append(str(unmapped(ip_address(writer.get_extra_info("sockname")[0]))))
