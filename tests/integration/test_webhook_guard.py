"""A webhook's URL: refused with a sentence on submission, and refused again when the socket is opened."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest

from app.domain.errors import Unprocessable
from app.egress import EgressPolicy, check_url
from app.gateway import egress_policy
from app.settings import load_settings
from app.webhooks.sender import Attempt, Sender
from tests.integration import isolated_network
from tests.integration.name_server import NameServer, asking, name_server
from tests.support.catch_all import CatchAll
from tests.support.emulator import Emulator
from tests.support.receiver import Receiver, Reply
from tests.support.redis_server import RedisServer
from tests.support.spellings import HOSTS, ODD, PRIVATE, SPELLINGS
from tests.support.stack import open_stack

pytestmark = pytest.mark.anyio

PUBLIC = "93.184.216.34"
PUBLIC_V6 = "2606:2800:220:1::1"


async def sent(sender: Sender, url: str) -> Attempt:
    """One attempt."""
    return await sender.send(url, body=b"{}", signature={}, now=datetime.fromtimestamp(time.time(), UTC))


@asynccontextmanager
async def guarded(
    allow: str = "", *, names: dict[str, list[Sequence[str] | None]] | None = None
) -> AsyncIterator[tuple[Sender, CatchAll, NameServer]]:
    """A sender with a DNS server of ours, and a listener on the one port that is allowed."""
    async with CatchAll() as catch_all, name_server() as server:
        server.names = names or {}
        policy = EgressPolicy(EgressPolicy.parse(allow).allow, ports=frozenset({catch_all.port}))
        sender = Sender(policy, total_timeout=5, resolver=asking(server))
        try:
            yield sender, catch_all, server
        finally:
            await sender.aclose()


REFUSED = (None, "refused", "forbidden_target")


def came(attempt: Attempt) -> tuple[int | None, str, str | None]:
    """The attempt's status, outcome and error."""
    return attempt.status, attempt.outcome, attempt.error


async def test_a_job_with_a_private_webhook_is_refused_with_a_sentence(
    store: RedisServer, emulator: Emulator
) -> None:
    """On both APIs, for every address and every spelling: nothing is admitted, and the sentence reveals nothing."""
    urls = [f"https://{host}/hook" for host in HOSTS]
    async with open_stack(store, emulator, FILMGATE_EGRESS_ALLOW="") as stack:
        for url in urls + [odd for odd in ODD if "#" not in odd]:  # a fragment is dropped, whatever it holds
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


async def test_a_url_accepted_at_registration_is_refused_at_the_socket() -> None:
    """User names, fragments, ports, half URLs: an attempt never raises, and no server is reached."""
    async with guarded(names={"hooks.example.com": [["127.0.0.1"]]}) as (sender, catch_all, _):
        urls = [
            url.replace("127.0.0.1/", f"127.0.0.1{port}/") for url in ODD for port in ("", f":{catch_all.port}")
        ]
        attempts = {url: await sent(sender, url) for url in urls}
        assert {url: found for url, found in attempts.items() if found.outcome not in {"refused", "retry"}} == {}
        assert {url: found for url, found in attempts.items() if found.status is not None} == {}
        assert not catch_all.reached


async def test_a_name_that_leads_to_a_private_address_is_refused() -> None:
    """Alone, before or after a public address, of the same family or the other, and at the end of a chain."""
    names: dict[str, list[Sequence[str] | None]] = {}
    for number, address in enumerate(PRIVATE):
        names |= {
            f"alone{number}.example.com": [[address]],
            f"first{number}.example.com": [[address, PUBLIC, PUBLIC_V6]],
            f"last{number}.example.com": [[PUBLIC, PUBLIC_V6, address]],
            f"chain{number}.example.com": [[f"link{number}.example.com"]],
            f"link{number}.example.com": [[f"alone{number}.example.com"]],
        }
    asked = [name for name in names if not name.startswith("link")]
    async with guarded(names=names) as (sender, catch_all, server):
        attempts = {name: came(await sent(sender, f"https://{name}:{catch_all.port}/")) for name in asked}
        assert {name: found for name, found in attempts.items() if found != REFUSED} == {}
        assert len(server.asked) == 2 * len(asked)  # A and AAAA, once for each attempt
        assert not catch_all.reached


async def test_a_private_address_in_the_url_is_refused_at_the_socket() -> None:
    """However it is spelled, and even if the port is an allowed one."""
    async with guarded(names={"localhost": [["127.0.0.1"]]}) as (sender, catch_all, _):
        attempts = {host: await sent(sender, f"https://{host}:{catch_all.port}/") for host in HOSTS}
        assert {host: found for host, found in attempts.items() if found.status is not None} == {}
        assert not catch_all.reached


async def test_a_name_that_moves_between_two_attempts_gains_nothing() -> None:
    """DNS rebinding: the allowed 127.0.0.2 plays the public address; then the name is 127.0.0.1."""
    names: dict[str, list[Sequence[str] | None]] = {"rebind.example.com": [["127.0.0.2"], ["127.0.0.1"]]}
    async with guarded("127.0.0.2", names=names) as (sender, catch_all, server):
        url = f"https://rebind.example.com:{catch_all.port}/"
        check_url(url, EgressPolicy(ports=frozenset({catch_all.port})))
        assert (await sent(sender, url)).outcome == "retry"  # it was reached, and does not speak TLS
        assert catch_all.reached == ["127.0.0.2"]
        assert [asked for asked in server.asked if asked[1] == 1] == [("rebind.example.com", 1)]
        for _ in range(3):
            assert came(await sent(sender, url)) == REFUSED
        assert catch_all.reached == ["127.0.0.2"]


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
    """Networks up to their edges, also for names that resolve to them; exact names, and no others."""
    names: dict[str, list[Sequence[str] | None]] = {"hooks.internal": [["127.0.0.1"]], host.lower(): [answer or ()]}
    async with guarded(allow, names=names) as (sender, catch_all, _):
        attempt = await sent(sender, f"http://{host}:{catch_all.port}/")
        assert bool(catch_all.reached) == reached
        assert (attempt.outcome == "refused") != reached


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_and_leads_nowhere(status: int) -> None:
    """Neither to the metadata service nor to an allowed address."""
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
    """Even if the operator's list allows them: by any spelling, and by any name that resolves to them."""
    async with CatchAll() as catch_all, name_server() as server:
        server.names = {name: [[PUBLIC]] for name in ("films.example.com", "queue.fal.run", "rest.fal.ai")}
        server.names["store.example.com"] = [["127.0.0.1"]]
        settings = load_settings({name: text.format(port=catch_all.port) for name, text in OWN.items()})
        policy = egress_policy(settings)
        sender = Sender(policy, total_timeout=5, resolver=asking(server))
        own = [
            "https://films.example.com/v1/jobs",
            "https://FILMS.example.com:443/fal/hooks/x",
            "https://queue.fal.run/fal-ai/x",
            "https://rest.fal.ai/",
            "http://127.0.0.7:1234/",
            f"http://127.0.0.1:{catch_all.port}/",
            f"http://0x7f.1:{catch_all.port}/",
            f"http://[::ffff:127.0.0.1]:{catch_all.port}/",
        ]
        for url in own:
            with pytest.raises(Unprocessable, match="not a public internet address"):
                check_url(url, policy)
            assert came(await sent(sender, url)) == REFUSED, url
        assert came(await sent(sender, f"http://store.example.com:{catch_all.port}/")) == REFUSED
        assert not catch_all.reached
        assert (await sent(sender, f"http://127.0.0.2:{catch_all.port}/")).outcome == "retry"
        assert catch_all.reached == ["127.0.0.2"]
        await sender.aclose()


def _public(address: str) -> bool:
    return address in {PUBLIC, PUBLIC_V6}


async def test_where_every_address_can_be_reached_only_public_ones_are_dialled(tmp_path: Path) -> None:
    """As in production, with the system's resolver: with rebinding, and name servers that do not answer."""
    if not isolated_network.is_supported():
        pytest.skip("needs namespaces for users and networks, and iproute2")
    names: dict[str, list[Sequence[str] | None]] = {
        "moves.example.com": [[PUBLIC], ["127.0.0.1"], ["169.254.169.254"], [PUBLIC]],
        "public.example.com": [[PUBLIC_V6]],
        "chain.example.com": [["inside.example.com"]],
        "inside.example.com": [["10.0.0.1"]],
    }
    names |= {f"n{number}.example.com": [[address]] for number, address in enumerate(PRIVATE)}
    names |= {f"m{number}.example.com": [[PUBLIC, address]] for number, address in enumerate(PRIVATE)}
    hosts = [*HOSTS, *sorted(names), *["moves.example.com"] * 3, "hung", PUBLIC]
    hosts += ["chain.example.com", f"[{PUBLIC_V6}]", "public.example.com"]
    lines = await isolated_network.attempts(tmp_path, hosts, names)
    assert len(lines) == len(hosts) - 1
    heard = [address for line in lines for address in line["heard"]]
    assert all(map(_public, heard)), heard
    assert [line["heard"] for line in lines if line["host"] == "moves.example.com"] == [[PUBLIC], [], [], [PUBLIC]]
    for line in lines:
        if line["heard"]:
            assert line["outcome"] == "retry", line  # the listener does not speak TLS
        else:
            assert line["outcome"] == "refused" or line["host"] in SPELLINGS, line
    after_the_hung = lines[-4:]
    assert [bool(line["heard"]) for line in after_the_hung] == [True, False, True, True]
    assert max(line["duration_ms"] for line in after_the_hung) < 2_000
    assert {ip_address(address).version for address in heard} == {4, 6}
