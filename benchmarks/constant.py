"""A fal that answers every request at once with the same reply: `python -m benchmarks.constant PORT`.

It is behind the peers of the row "peers", and uses as little CPU as it can.
"""

import asyncio
import json
import sys
from typing import cast

import uvloop

URL = "https://queue.fal.run/fal-ai/kling-video/requests/764cabcf-b745-4b3e-ae38-1200304cf45b"
BODY = json.dumps(
    {
        "status": "IN_QUEUE",
        "request_id": "764cabcf-b745-4b3e-ae38-1200304cf45b",
        "response_url": URL,
        "status_url": f"{URL}/status",
        "cancel_url": f"{URL}/cancel",
        "queue_position": 0,
    }
).encode()
REPLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY
LENGTH = b"content-length: "
END = b"\r\n\r\n"


class Constant(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer each complete request."""
        self._rest += data
        while (head := self._rest.find(END)) >= 0:
            fields = self._rest[:head].lower()
            at = fields.find(LENGTH)
            body = 0 if at < 0 else int(fields[at + len(LENGTH) :].partition(b"\r\n")[0])
            if len(self._rest) < head + len(END) + body:
                return
            self._rest = self._rest[head + len(END) + body :]
            self._transport.write(REPLY)


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Constant, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(int(sys.argv[1])))
