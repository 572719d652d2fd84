"""A small DNS server for the tests, and a resolver that asks it: real packets, answers that change."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import cast

from dnslib import AAAA, CNAME, QTYPE, RCODE, RR, A, DNSRecord  # type: ignore[import-untyped]  # it has none

from app.egress import Address
from app.webhooks.transport import Resolver


@dataclass
class NameServer(asyncio.DatagramProtocol):
    """Answers A and AAAA questions from `names`; no answer may be cached (TTL 0).

    `names` holds the answers for each name, one for each lookup; the last one repeats. An answer is a
    list of addresses and names (a CNAME; its target is looked up here). None: no answer at all.
    `asked` records the questions.
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
        question = DNSRecord.parse(packet)
        name, kind = str(question.q.qname).rstrip(".").lower(), question.q.qtype
        turns = sum(asked == (name, kind) for asked in self.asked)
        self.asked.append((name, kind))
        answers = self.names.get(name, [()])
        answer = answers[min(turns, len(answers) - 1)]
        if answer is None:
            return
        reply = question.reply()
        reply.header.rcode = RCODE.NOERROR if name in self.names else RCODE.NXDOMAIN
        reply.add_answer(*self._records(name, answer, kind))
        self._socket.sendto(reply.pack(), sender)

    def _records(self, owner: str, answer: Sequence[str], kind: int) -> list[RR]:
        """The records of an answer: addresses of the requested type, and a CNAME with the records of its target."""
        records = []
        for text in answer:
            if text[-1].isalpha() and ":" not in text:
                records.append(RR(owner, QTYPE.CNAME, ttl=0, rdata=CNAME(text)))
                records += self._records(text, self.names[text][0] or (), kind)
            elif kind == (QTYPE.AAAA if ":" in text else QTYPE.A):
                data = AAAA(ip_address(text).exploded) if ":" in text else A(text)
                records.append(RR(owner, kind, ttl=0, rdata=data))
        return records


@asynccontextmanager
async def name_server(*, port: int = 0) -> AsyncIterator[NameServer]:
    """A name server on 127.0.0.1, without names yet."""
    loop = asyncio.get_running_loop()
    socket, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", port))
    try:
        yield server
    finally:
        socket.close()


def asking(server: NameServer) -> Resolver:
    """A resolver that asks this server over UDP: A, then AAAA, in the order received."""

    async def resolve(host: str) -> list[Address]:
        found: list[Address] = []
        for kind in ("A", "AAAA"):
            question = DNSRecord.question(host, kind)
            packet = await asyncio.to_thread(question.send, "127.0.0.1", server.port, timeout=5)
            records = DNSRecord.parse(packet).rr
            found += [ip_address(str(record.rdata)) for record in records if QTYPE[record.rtype] == kind]
        if not found:
            raise OSError("no such name")
        return found

    return resolve
