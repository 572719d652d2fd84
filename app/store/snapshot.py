"""A snapshot of the whole store over a connection, as a replica gets it: no file of the store's machine is read.

The store forks, writes a database file of one moment in its directory (`dump.rdb`), and sends it. To who says `capa
eof` it would send it without a file, but then its fork lasts as long as the slowest reader. It is synchronous,
because redis-py's parser must not read what follows the command; callers run it in a thread.
"""

from collections.abc import Callable
from typing import Any

from redis.exceptions import NoPermissionError, RedisError, ResponseError

from app.domain.errors import StoreUnavailable, Unavailable
from app.store.connection import connect_rq, denied_sentence

SILENCE_S = 60.0  # the store sends a line feed every ten seconds until the file is ready
CHUNK = 1 << 18
MAX_HEAD = 128
MARK_BYTES = 40
MAGIC = (b"REDIS", b"VALKEY")


class SnapshotRefused(Unavailable):
    """The store gives no snapshot to this user, or to nobody; the message says why."""


def read_snapshot(url: str, write: Callable[[bytes], object]) -> int:
    """Write the store's snapshot in pieces; its size in bytes.

    Raises:
        SnapshotRefused: the store's user may not ask, or the server has no such command.
        StoreUnavailable: the connection was lost, or nothing came for SILENCE_S; what was written is useless.
        OSError: of `write`.
    """
    client = connect_rq(url, timeout=SILENCE_S)
    try:
        try:
            connection: Any = client.connection_pool.get_connection()
            connection.send_command("REPLCONF", "rdb-only", "1")  # no commands afterwards, and no buffer for them
            connection.read_response()
            connection.send_command("SYNC")
        except NoPermissionError as error:
            raise SnapshotRefused(f"{denied_sentence(error)}, so it gets no snapshot.") from None
        except ResponseError as error:
            raise SnapshotRefused(f"The store gives no snapshot ({error}).") from None
        except (RedisError, OSError):
            raise StoreUnavailable("The store does not answer; try again in a moment.") from None
        return _Reader(connection).copy(write)
    finally:
        client.close()


class _Reader:
    """Reads the reply to SYNC: `$SIZE` or `$EOF:MARK` on a line, then the file, and the mark again."""

    def __init__(self, connection: Any) -> None:
        self._socket = connection._sock  # noqa: SLF001  redis-py has no other way to the bytes
        self._left = b""

    def copy(self, write: Callable[[bytes], object]) -> int:
        """Copy the file; its size."""
        head = self._head()
        if head.startswith(b"-"):
            text = head[1:].decode(errors="replace")
            raise SnapshotRefused(f"The store gives no snapshot ({text}).")
        begin, size = b"", 0
        for piece in self._marked(head[5:]) if head.startswith(b"$EOF:") else self._counted(int(head[1:])):
            begin = (begin + piece)[:MARK_BYTES]
            write(piece)
            size += len(piece)
        if not begin.startswith(MAGIC):
            raise StoreUnavailable("What the store sent is no snapshot.")
        return size

    def _head(self) -> bytes:
        """The first line that is not empty."""
        while True:
            line, found, rest = self._left.partition(b"\n")
            if found:
                self._left = rest
                if line.strip():
                    return line.strip()
            elif len(line) > MAX_HEAD:
                raise StoreUnavailable("The store's answer to SYNC cannot be read.")
            else:
                self._left += self._receive()

    def _counted(self, size: int) -> Any:
        while size:
            piece = (self._left or self._receive())[:size]
            self._left = b""
            size -= len(piece)
            yield piece

    def _marked(self, mark: bytes) -> Any:
        """The pieces before the mark, which are its last bytes."""
        kept = self._left
        while not kept.endswith(mark):
            kept += self._receive()
            ready = len(kept) - MARK_BYTES
            if ready > 0 and not kept.endswith(mark):
                yield kept[:ready]
                kept = kept[ready:]
        if kept[:-MARK_BYTES]:
            yield kept[:-MARK_BYTES]

    def _receive(self) -> bytes:
        try:
            piece: bytes = self._socket.recv(CHUNK)
        except OSError:
            piece = b""
        if not piece:
            raise StoreUnavailable("The store ended the snapshot before its end.")
        return piece
