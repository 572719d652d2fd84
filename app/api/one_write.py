"""A reply in one write: uvicorn writes its head, then its body, and each would be a system call and a packet."""

import asyncio

COPIED_BYTES = 64 * 1024  # a larger body leaves behind its head: many callers who read slowly then share one body


class OneWrite:
    """A connection's transport, for one reply; a head that is kept leaves with the first piece of the body."""

    __slots__ = ("_head", "_keeps", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self._keeps = False

    def keep_head(self) -> None:
        """Keep what is written next until the write after it, which follows at once."""
        self._keeps = True

    def write(self, data: bytes) -> None:
        """As the transport's own."""
        if self._keeps:
            self._keeps, self._head = False, data
            return
        if self._head:
            head, self._head = self._head, b""
            if len(data) <= COPIED_BYTES:
                data = head + data
            else:
                self._transport.write(head)
        self._transport.write(data)

    def is_closing(self) -> bool:
        """As the transport's own."""
        return self._transport.is_closing()

    def close(self) -> None:
        """As the transport's own."""
        self._transport.close()
