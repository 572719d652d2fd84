"""A reply in one write: uvicorn writes its head, then its body, and each would be a system call and a packet."""

import asyncio

from starlette.types import Message, Scope, Send

COPIED_BYTES = 64 * 1024  # a larger body leaves behind its head: many callers who read slowly then share one body


def has_body(scope: Scope, start: Message) -> bool:
    """True for a reply whose body follows at once: it has a length, and a stream has none."""
    return scope["method"] != "HEAD" and b"content-length" in [name for name, _ in start.get("headers", ())]


async def send_in_pieces(send: Send, message: Message) -> None:
    """A piece of a reply's body, cut so that the next part is written when its caller has taken most of the last.

    For TLS, which would encrypt all of it at once, and keep twice its size for each caller who reads nothing.
    Without TLS callers share the body, and one who has half-closed gets all of it.
    """
    body, more = message.get("body", b""), message.get("more_body", False)
    last = max(0, len(body) - 1) // COPIED_BYTES * COPIED_BYTES
    for start in range(0, last, COPIED_BYTES):
        await send({"type": message["type"], "body": body[start : start + COPIED_BYTES], "more_body": True})
    await send({"type": message["type"], "body": body[last:], "more_body": more})


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
