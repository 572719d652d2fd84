"""The gateway, its store and fal get no connection, even if the operator's list allows their addresses."""

from collections.abc import Sequence
from ipaddress import ip_address

import httpx
import pytest

from app.domain.errors import Unprocessable
from app.egress import Address, EgressPolicy, ForbiddenTarget, check_url
from app.gateway import egress_policy
from app.settings import load_settings
from app.webhooks.transport import GuardedTransport, guarded_client
from tests.support.catch_all import CatchAll

pytestmark = pytest.mark.anyio

ALL = "0.0.0.0/0, ::/0, hooks.internal"
ELSEWHERE = {"FILMGATE_PUBLIC_URL": "https://videos.example.com", "FILMGATE_REDIS_URL": "unix:///run/store.sock"}


class Names:
    """A name server that records its lookups; `None` is a name that does not resolve."""

    def __init__(self, **names: Sequence[str] | None) -> None:
        self.names = names
        self.asked: list[str] = []

    async def __call__(self, host: str) -> list[Address]:
        """The addresses of the name before its first dot."""
        self.asked.append(host)
        found = self.names.get(host.split(".", maxsplit=1)[0])
        if found is None:
            raise OSError("no such name")
        return [ip_address(text) for text in found]


def policy_of(allow: str = ALL, **settings: str) -> EgressPolicy:
    """The policy of a gateway that is reached under another name, with its store behind a file."""
    return egress_policy(load_settings(ELSEWHERE | settings | {"FILMGATE_EGRESS_ALLOW": allow}))


async def refused(transport: GuardedTransport, url: str) -> bool:
    """True when the guard refuses it; False when it was dialled and the listener hung up."""
    async with guarded_client(transport, total=5) as client:
        try:
            await client.get(url)
        except ForbiddenTarget:
            return True
        except httpx.TransportError:
            return False
    raise AssertionError("the listener answers nothing")


@pytest.mark.parametrize(
    ("host", "closed", "open_"),
    [
        ("127.0.0.1", ["127.0.0.1", "[::ffff:127.0.0.1]", "0"], ["127.0.0.2", "[::1]"]),
        ("0.0.0.0", ["127.0.0.1", "127.0.0.2", "0", "[::1]", "[::]", "[::ffff:127.0.0.1]"], []),
        ("::", ["127.0.0.1", "127.9.9.9", "[::1]"], []),
    ],
)
async def test_the_gateways_own_port_is_closed(host: str, closed: list[str], open_: list[str]) -> None:
    """The one it listens on, whatever its public URL; a wildcard means every address of this machine."""
    async with CatchAll() as catch_all:
        policy = policy_of(FILMGATE_HOST=host, FILMGATE_PORT=str(catch_all.port))
        for spelling in closed:
            url = f"http://{spelling}:{catch_all.port}/livez"
            with pytest.raises(Unprocessable, match="not a public internet address"):
                check_url(url, policy)
            assert await refused(GuardedTransport(policy), url), url
        assert not catch_all.reached
        for spelling in open_:
            assert not await refused(GuardedTransport(policy), f"http://{spelling}:{catch_all.port}/"), spelling
        assert len(catch_all.reached) == len(open_)


async def test_a_wildcard_closes_no_other_machine() -> None:
    """The same port elsewhere stays open: only an address of this machine can be bound."""
    policy = policy_of(FILMGATE_HOST="0.0.0.0", FILMGATE_PORT="8320")
    for url in ("http://10.255.255.1:8320/", "http://[fd00::1]:8320/", "http://127.0.0.1:8321/"):
        check_url(url, policy)


@pytest.mark.parametrize("url", ["redis://localhost:{port}", "rediss://:secret@localhost:{port}/3"])
@pytest.mark.parametrize("host", ["127.0.0.1", "0", "localhost", "hooks.internal"])
async def test_a_store_that_is_named_is_closed_by_its_address(url: str, host: str) -> None:
    """By the addresses that its name has at that time, with any scheme."""
    async with CatchAll() as catch_all:
        policy = policy_of(FILMGATE_REDIS_URL=url.format(port=catch_all.port))
        names = Names(localhost=["127.0.0.1"], hooks=["127.0.0.1"])
        assert await refused(GuardedTransport(policy, resolver=names), f"http://{host}:{catch_all.port}/")
        assert not catch_all.reached
        assert not await refused(GuardedTransport(policy, resolver=names), f"http://127.0.0.2:{catch_all.port}/")


async def test_where_closed_names_lead_is_asked_once_and_not_for_others() -> None:
    """Names are cached for a while, and only those with the dialled port are resolved."""
    async with CatchAll() as catch_all:
        policy = policy_of(FILMGATE_REDIS_URL=f"redis://store.internal:{catch_all.port}")
        names = Names(store=["127.0.0.1"])
        transport = GuardedTransport(policy, resolver=names)
        for _ in range(3):
            assert not await refused(transport, f"http://127.0.0.2:{catch_all.port}/")
            assert await refused(transport, f"http://127.0.0.1:{catch_all.port}/")
        await refused(transport, "http://127.0.0.2:1/")
        assert names.asked == ["store.internal"]


async def test_a_closed_name_that_does_not_resolve_closes_nothing_else() -> None:
    """Such as fal's names where there is no internet: other deliveries to the port work."""
    async with CatchAll() as catch_all:
        policy = policy_of(FILMGATE_REDIS_URL=f"redis://store.internal:{catch_all.port}")
        assert not await refused(GuardedTransport(policy, resolver=Names()), f"http://127.0.0.2:{catch_all.port}/")


@pytest.mark.parametrize("allow", ["", "10.0.0.0/8, hooks.internal"])
async def test_what_the_list_does_not_cover_costs_no_lookup(allow: str) -> None:
    """A delivery to another address resolves only its own name."""
    names = Names(hooks=[])  # accepted like a public one, and nothing is dialled
    assert not await refused(GuardedTransport(policy_of(allow), resolver=names), "https://hooks.example.com/")
    assert names.asked == ["hooks.example.com"]
