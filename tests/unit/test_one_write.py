"""The head of a reply and its body in one write."""

import asyncio

from app.api.one_write import OneWrite


class Written(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """One piece."""
        self.pieces.append(bytes(data))


def test_a_kept_head_leaves_with_the_first_piece_of_the_body() -> None:
    """An empty piece takes it along too; later pieces leave alone."""
    written = Written()
    for body in (b"body", b""):
        reply = OneWrite(written)
        reply.keep_head()
        for piece in (b"head ", body, b"more"):
            reply.write(piece)
    assert written.pieces == [b"head body", b"more", b"head ", b"more"]


def test_a_head_that_is_not_kept_leaves_at_once() -> None:
    """Of a stream, whose body may begin later."""
    written = Written()
    OneWrite(written).write(b"head")
    assert written.pieces == [b"head"]
