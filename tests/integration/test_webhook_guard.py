"""A webhook's address: refused with a sentence when it is named, and refused again when the socket is opened."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest

from app.domain.errors import Unprocessable
from app.egress import NOT_ALLOWED, EgressPolicy, check_url
from app.gateway import egress_policy
from app.settings import load_settings
from app.webhooks.sender import Attempt, Sender
from tests.support import island
from tests.support.emulator import Emulator
from tests.support.listener import Listener, listening
from tests.support.receiver import Receiver, Reply
from tests.support.redis_server import RedisServer
from tests.support.resolver import NameServer, asking, name_server
from tests.support.stack import open_stack

pytestmark = pytest.mark.anyio

PUBLIC = "93.184.216.34"
PUBLIC_V6 = "2606:2800:220:1::1"
# One address at least of each network that is denied, and each way to write a v4 address into a v6 one.
_PRIVATE = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.254 100.64.0.1 100.100.100.200 100.127.255.254 127.0.0.1 127.0.0.2
127.255.255.254 169.254.0.1 169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.254 192.0.0.8 192.0.0.192
192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.51.100.1 203.0.113.7 224.0.0.1 240.0.0.1 255.255.255.255
168.63.129.16 :: ::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:7f00:1
64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::7f00:1 100::1 2001:0:7f00:1::1 2001:db8::1 2002:7f00:1:: 3fff::1
4000::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1
"""
PRIVATE = _PRIVATE.split()
# What is no plain address, and reaches the same: read by getaddrinfo, by browsers, or by IDNA.
_SPELLINGS = """
127.1 127.0.1 0x7f000001 0x7f.1 0X7F.0.0.1 2130706433 017700000001 0177.0.0.1 0 127.0.0.1. 0xa9fea9fe 2852039166
0251.0376.0251.0376 169.254.43518 127\u30020\u30020\u30021 \uff11\uff12\uff17.0.0.1 \u2460\u2461\u2466.0.0.1
[::1%25lo] [fe80::1%25eth0] [::ffff:127.0.0.1%25lo] [0:0:0:0:0:ffff:7f00:1] [::ffff:169.254.169.254] localhost
LOCALHOST localhost. api.localhost localhost.localdomain. redis redis. metadata.google.internal
metadata.google.internal. printer.local nas.home.arpa \u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3
"""
SPELLINGS = _SPELLINGS.split()
_ODD = """
https://user@hooks.example.com/ https://127.0.0.1@hooks.example.com/ https://hooks.example.com@127.0.0.1/
https://hooks.example.com:x@127.0.0.1/ https://127.0.0.1\\@hooks.example.com/
https://127.0.0.1%2f@hooks.example.com/ https://hooks.example.com#@127.0.0.1/ https://hooks.example.com:22/
https://hooks.example.com:6379/ https://hooks.example.com:0/ https://hooks.example.com:65536/
https://hooks.example.com:-1/ https://hooks.example.com:99999999999/ https://hooks.example.com./
https://.hooks.example.com/ https://127.0.0.1%00.example.com/ https://%31%32%37.0.0.1/
https://[::1]hooks.example.com/ https://[127.0.0.1]/ https://[::ffff:127.0.0.1/ https://127.0.0.1:443:443/
https:///127.0.0.1/ https:/127.0.0.1/ https://\u2100.example/ gopher://127.0.0.1:6379/_x file:///etc/passwd
dict://127.0.0.1:6379/ ftp://hooks.example.com/ http://hooks.example.com/ //127.0.0.1/ 127.0.0.1
jar:https://127.0.0.1/!/ https:127.0.0.1
"""
ODD = _ODD.split()


def literal(address: str) -> str:
    """As it stands in a URL."""
    return f"[{address}]" if ":" in address else address


async def sent(sender: Sender, url: str) -> Attempt:
    """One attempt."""
    return await sender.send(url, body=b"{}", signature={}, now=datetime.fromtimestamp(time.time(), UTC))


@asynccontextmanager
async def guarded(
    allow: str = "", *, names: dict[str, list[Sequence[str] | None]] | None = None
) -> AsyncIterator[tuple[Sender, Listener, NameServer]]:
    """A sender that asks a name server of ours, and a listener on the one port that all may use."""
    async with listening() as listener, name_server() as server:
        server.names = names or {}
        policy = EgressPolicy(EgressPolicy.parse(allow).allow, ports=frozenset({listener.port}))
        sender = Sender(policy, total_timeout=5, resolver=asking(server))
        try:
            yield sender, listener, server
        finally:
            await sender.aclose()


REFUSED = (None, "refused", "forbidden_target")


def came(attempt: Attempt) -> tuple[int | None, str, str | None]:
    """What is told of an attempt."""
    return attempt.status, attempt.outcome, attempt.error


async def test_a_job_with_a_private_webhook_is_refused_with_a_sentence(
    store: RedisServer, emulator: Emulator
) -> None:
    """At both doors, for every address and every spelling: nothing is admitted, and the sentence tells nothing."""
    urls = [f"https://{host}/hook" for host in (*map(literal, PRIVATE), *SPELLINGS)]
    async with open_stack(store, emulator, FILMGATE_EGRESS_ALLOW="") as stack:
        for url in urls + ODD:
            reply = await stack.api.post("/v1/jobs", json=stack.body(webhook_url=url))
            assert (reply.status_code, reply.json()["code"]) in {(422, "url_not_allowed"), (422, "url_scheme")}, url
            assert reply.json()["detail"].endswith((".", "port.")), url
        at_fals_door = await stack.api.post(
            "/fal/queue/fal-ai/kling-video/v2/master/image-to-video",
            params={"fal_webhook": "https://169.254.169.254/latest/"},
            json=stack.body()["input"],
        )
        assert at_fals_door.status_code == 422
        assert (await stack.api.get("/v1/jobs")).json()["data"] == []


@pytest.mark.parametrize("host", [*map(literal, PRIVATE), *SPELLINGS])
def test_one_sentence_for_all_private_hosts(host: str) -> None:
    """A different one for each would tell what is there; a host that no URL can hold is told apart."""
    with pytest.raises(Unprocessable) as caught:
        check_url(f"https://{host}/hook", EgressPolicy())
    assert caught.value.code == "url_not_allowed"
    assert caught.value.message in {NOT_ALLOWED, "This is not a URL."}
    if host in map(literal, PRIVATE):
        assert caught.value.message == NOT_ALLOWED


@pytest.mark.parametrize("url", ODD)
async def test_what_got_past_the_registration_is_refused_at_the_socket(url: str) -> None:
    """User names, fragments, ports, half URLs: an attempt never raises, and nobody hears of it."""
    async with guarded(names={"hooks.example.com": [["127.0.0.1"]]}) as (sender, listener, _):
        for port in ("", f":{listener.port}"):
            attempt = await sent(sender, url.replace("127.0.0.1/", f"127.0.0.1{port}/"))
            assert attempt.outcome in {"refused", "retry"}
            assert attempt.status is None
        assert not listener.reached


@pytest.mark.parametrize("address", PRIVATE)
async def test_a_name_that_leads_to_a_private_address_is_refused(address: str) -> None:
    """Alone, before or behind a public address, of the same family or the other, and at the end of a chain."""
    names: dict[str, list[Sequence[str] | None]] = {
        "alone.example.com": [[address]],
        "first.example.com": [[address, PUBLIC, PUBLIC_V6]],
        "last.example.com": [[PUBLIC, PUBLIC_V6, address]],
        "chain.example.com": [["link.example.com"]],
        "link.example.com": [["alone.example.com"]],
    }
    async with guarded(names=names) as (sender, listener, server):
        for name in ("alone", "first", "last", "chain"):
            attempt = await sent(sender, f"https://{name}.example.com:{listener.port}/")
            assert came(attempt) == REFUSED, name
        assert len(server.asked) == 8  # A and AAAA, once for each attempt
        assert not listener.reached


@pytest.mark.parametrize("host", [*map(literal, PRIVATE), *SPELLINGS])
async def test_a_private_address_in_the_url_is_refused_at_the_socket(host: str) -> None:
    """Also where the port is one that all may use."""
    async with guarded(names={"localhost": [["127.0.0.1"]]}) as (sender, listener, _):
        assert (await sent(sender, f"https://{host}:{listener.port}/")).status is None
        assert not listener.reached


async def test_a_name_that_moves_between_two_attempts_gains_nothing() -> None:
    """DNS rebinding: 127.0.0.2, which is allowed, stands for a public address; then the name is 127.0.0.1."""
    names: dict[str, list[Sequence[str] | None]] = {"rebind.example.com": [["127.0.0.2"], ["127.0.0.1"]]}
    async with guarded("127.0.0.2", names=names) as (sender, listener, server):
        url = f"https://rebind.example.com:{listener.port}/"
        check_url(url, EgressPolicy(ports=frozenset({listener.port})))
        assert (await sent(sender, url)).outcome == "retry"  # it was reached, and speaks no TLS
        assert listener.reached == ["127.0.0.2"]
        assert [asked for asked in server.asked if asked[1] == 1] == [("rebind.example.com", 1)]
        for _ in range(3):
            assert came(await sent(sender, url)) == REFUSED
        assert listener.reached == ["127.0.0.2"]


@pytest.mark.parametrize(
    ("allow", "host", "answer", "reached"),
    [
        ("127.0.0.2/31", "127.0.0.2", None, True),
        ("127.0.0.2/31", "127.0.0.3", None, True),
        ("127.0.0.2/31", "127.0.0.1", None, False),
        ("127.0.0.2/31", "127.0.0.4", None, False),
        ("127.0.0.2/31", "[::ffff:127.0.0.3]", None, True),
        ("127.0.0.2/31", "[::1]", None, False),
        ("127.0.0.2/31", "moves.example.com", ["127.0.0.3"], True),
        ("127.0.0.2/31", "moves.example.com", ["127.0.0.3", "127.0.0.4"], False),
        ("127.0.0.2/31", "moves.example.com", ["127.0.0.3", "::1"], False),
        ("::1", "[::1]", None, True),
        ("::1", "127.0.0.1", None, False),
        ("hooks.internal", "hooks.internal", ["127.0.0.1"], True),
        ("hooks.internal", "HOOKS.Internal", ["127.0.0.1"], True),
        ("hooks.internal", "a.hooks.internal", ["127.0.0.1"], False),
        ("hooks.internal", "hooks.internal.example.com", ["127.0.0.1"], False),
        ("hooks.internal", "other.internal", ["127.0.0.1"], False),
        ("hooks.internal", "127.0.0.1", None, False),
        ("hooks.internal", "alias.example.com", ["hooks.internal"], False),
    ],
)
async def test_the_operators_list_opens_what_it_names_and_nothing_more(
    allow: str, host: str, answer: list[str] | None, *, reached: bool
) -> None:
    """Networks to their edges, also for names that lead there; names as they are written, and no others."""
    names: dict[str, list[Sequence[str] | None]] = {"hooks.internal": [["127.0.0.1"]], host.lower(): [answer or ()]}
    async with guarded(allow, names=names) as (sender, listener, _):
        attempt = await sent(sender, f"http://{host}:{listener.port}/")
        assert bool(listener.reached) == reached
        assert (attempt.outcome == "refused") != reached


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_and_leads_nowhere(status: int) -> None:
    """Neither to the metadata service nor to an address that would be allowed."""
    async with Receiver() as receiver, Receiver() as elsewhere:
        sender = Sender(EgressPolicy.parse("127.0.0.1"), total_timeout=5)
        for target in (elsewhere.url, "http://169.254.169.254/latest/meta-data/", "//127.0.0.1:1/", "file:///etc"):
            receiver.answers([Reply(status, {"Location": target})])
            assert came(await sent(sender, receiver.url)) == (status, "retry", "redirect")
        await sender.aclose()
        assert (receiver.connections, elsewhere.connections) == (4, 0)


OWN = {
    "FILMGATE_PUBLIC_URL": "https://films.example.com",
    "FILMGATE_REDIS_URL": "redis://:secret@127.0.0.1:{port}/3",
    "FILMGATE_EGRESS_ALLOW": "127.0.0.0/8, ::1, films.example.com",
    "FILMGATE_FAL_API_URL": "http://127.0.0.7:1234",
}


async def test_the_gateway_its_store_and_fal_are_no_receivers() -> None:
    """Also where the operator's list covers them: by any spelling, and by any name that leads there."""
    async with listening() as listener, name_server() as server:
        server.names = {name: [[PUBLIC]] for name in ("films.example.com", "queue.fal.run", "rest.fal.ai")}
        server.names["store.example.com"] = [["127.0.0.1"]]
        settings = load_settings({name: text.format(port=listener.port) for name, text in OWN.items()})
        policy = egress_policy(settings)
        sender = Sender(policy, total_timeout=5, resolver=asking(server))
        own = [
            "https://films.example.com/v1/jobs",
            "https://FILMS.example.com:443/fal/hooks/x",
            "https://queue.fal.run/fal-ai/x",
            "https://rest.fal.ai/",
            "http://127.0.0.7:1234/",
            f"http://127.0.0.1:{listener.port}/",
            f"http://0x7f.1:{listener.port}/",
            f"http://[::ffff:127.0.0.1]:{listener.port}/",
        ]
        for url in own:
            with pytest.raises(Unprocessable, match="not a public internet address"):
                check_url(url, policy)
            assert came(await sent(sender, url)) == REFUSED, url
        assert came(await sent(sender, f"http://store.example.com:{listener.port}/")) == REFUSED
        assert not listener.reached
        assert (await sent(sender, f"http://127.0.0.2:{listener.port}/")).outcome == "retry"
        assert listener.reached == ["127.0.0.2"]
        await sender.aclose()


def _public(address: str) -> bool:
    return address in {PUBLIC, PUBLIC_V6}


async def test_where_every_address_can_be_reached_only_public_ones_are_dialled(tmp_path: Path) -> None:
    """As in production, with the system's resolver: rebinding is part of it, and name servers that say nothing."""
    if not island.may_be_made():
        pytest.skip("needs namespaces for users and networks, and iproute2")
    names: dict[str, list[Sequence[str] | None]] = {
        "moves.example.com": [[PUBLIC], ["127.0.0.1"], ["169.254.169.254"], [PUBLIC]],
        "public.example.com": [[PUBLIC_V6]],
        "chain.example.com": [["inside.example.com"]],
        "inside.example.com": [["10.0.0.1"]],
    }
    names |= {f"n{number}.example.com": [[address]] for number, address in enumerate(PRIVATE)}
    names |= {f"m{number}.example.com": [[PUBLIC, address]] for number, address in enumerate(PRIVATE)}
    hosts = [*map(literal, PRIVATE), *SPELLINGS, *sorted(names), *["moves.example.com"] * 3, "hung", PUBLIC]
    hosts += ["chain.example.com", f"[{PUBLIC_V6}]", "public.example.com"]
    lines = await island.visit(tmp_path, hosts, names)
    assert len(lines) == len(hosts) - 1
    heard = [address for line in lines for address in line["heard"]]
    assert all(map(_public, heard)), heard
    assert [line["heard"] for line in lines if line["host"] == "moves.example.com"] == [[PUBLIC], [], [], [PUBLIC]]
    for line in lines:
        if line["heard"]:
            assert line["outcome"] == "retry", line  # the listener speaks no TLS
        else:
            assert line["outcome"] == "refused" or line["host"] in SPELLINGS, line
    after_the_hung = lines[-4:]
    assert [bool(line["heard"]) for line in after_the_hung] == [True, False, True, True]
    assert max(line["duration_ms"] for line in after_the_hung) < 2_000
    assert {ip_address(address).version for address in heard} == {4, 6}
