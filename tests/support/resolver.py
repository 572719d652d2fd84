"""A small DNS server for the tests, and a resolver that asks it: real packets, answers that change."""

import asyncio
import itertools
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import cast

from app.egress import Address, Resolver

A, CNAME, AAAA = 1, 5, 28
INTERNET = 1
ANSWER = 0x8180  # a reply, recursion wanted and had
NOT_FOUND = 0x8183
QUESTION_NAME = b"\xc0\x0c"  # "the name of the question", in two bytes
HEADER = struct.Struct("!6H")
RECORD = struct.Struct("!HHIH")  # type, class, lifetime in seconds, length

_numbers = itertools.count(1)


@dataclass
class NameServer(asyncio.DatagramProtocol):
    """Answers A and AAAA questions from `names`; nothing it says may be kept (lifetime 0).

    `names` holds, for each name, the answers to come, one for each time the name is looked up, the last one again
    and again; an answer is a list of addresses and of names (a CNAME; what it leads to is looked up here). None: no
    answer at all. `asked` notes the questions.
    """

    names: dict[str, list[Sequence[str] | None]] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)
    port: int = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket."""
        self._socket = cast("asyncio.DatagramTransport", transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, packet: bytes, sender: tuple[str, int]) -> None:
        """Answer one question."""
        name, after = read_name(packet, HEADER.size)
        (kind,) = struct.unpack_from("!H", packet, after)
        turns = sum(asked == (name, kind) for asked in self.asked)
        self.asked.append((name, kind))
        answers = self.names.get(name, [()])
        answer = answers[min(turns, len(answers) - 1)]
        if answer is None:
            return
        records = list(self._records(QUESTION_NAME, answer, kind))
        flags = ANSWER if name in self.names else NOT_FOUND
        head = packet[:2] + struct.pack("!5H", flags, 1, len(records), 0, 0)
        self._socket.sendto(head + packet[HEADER.size : after + 4] + b"".join(records), sender)

    def _records(self, owner: bytes, answer: Sequence[str], kind: int) -> list[bytes]:
        """The records of an answer: addresses of the kind asked for, and for a CNAME what it leads to."""
        records = []
        for text in answer:
            if text[-1].isalpha() and ":" not in text:
                alias = write_name(text)
                records.append(owner + RECORD.pack(CNAME, INTERNET, 0, len(alias)) + alias)
                records += self._records(alias, self.names[text][0] or (), kind)
                continue
            raw = ip_address(text).packed
            if kind == (A if len(raw) == 4 else AAAA):
                records.append(owner + RECORD.pack(kind, INTERNET, 0, len(raw)) + raw)
        return records


@asynccontextmanager
async def name_server(*, port: int = 0) -> AsyncIterator[NameServer]:
    """A name server on 127.0.0.1 that knows no name yet."""
    loop = asyncio.get_running_loop()
    socket, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", port))
    try:
        yield server
    finally:
        socket.close()


def asking(server: NameServer) -> Resolver:
    """A resolver as `app.egress` wants one, that asks this server over UDP: A, then AAAA, in the order received."""

    async def resolve(host: str) -> list[Address]:
        found = [*await _ask(server.port, host, A), *await _ask(server.port, host, AAAA)]
        if not found:
            raise OSError("no such name")
        return found

    return resolve


class _Reply(asyncio.DatagramProtocol):
    """Waits for one packet."""

    def __init__(self) -> None:
        self.packet: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, packet: bytes, _: tuple[str, int]) -> None:
        """The first one counts."""
        if not self.packet.done():
            self.packet.set_result(packet)


async def _ask(port: int, host: str, kind: int) -> list[Address]:
    loop = asyncio.get_running_loop()
    socket, reply = await loop.create_datagram_endpoint(_Reply, remote_addr=("127.0.0.1", port))
    try:
        question = write_name(host) + struct.pack("!HH", kind, INTERNET)
        socket.sendto(HEADER.pack(next(_numbers) % 65_536, 0x0100, 1, 0, 0, 0) + question)
        packet = await reply.packet
    finally:
        socket.close()
    (count,) = struct.unpack_from("!H", packet, 6)
    at, found = HEADER.size + len(question), []
    for _ in range(count):
        _, at = read_name(packet, at)
        record_kind, _, _, length = RECORD.unpack_from(packet, at)
        at += RECORD.size + length
        if record_kind == kind:
            found.append(ip_address(packet[at - length : at]))
    return found


def write_name(name: str) -> bytes:
    """A name as packets hold it: each label behind its length."""
    labels = name.rstrip(".").lower().split(".")
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def read_name(packet: bytes, at: int) -> tuple[str, int]:
    """The name at a place of a packet, and the place behind it."""
    labels: list[str] = []
    while size := packet[at]:
        if size >= 0xC0:  # the rest stands elsewhere
            rest, _ = read_name(packet, struct.unpack_from("!H", packet, at)[0] & 0x3FFF)
            return ".".join([*labels, rest]), at + 2
        labels.append(packet[at + 1 : at + 1 + size].decode().lower())
        at += 1 + size
    return ".".join(labels), at + 1
