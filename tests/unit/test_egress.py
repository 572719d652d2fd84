"""No connection leaves for an address that is not public; a listener that gets none shows it."""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address

import httpx
import pytest

from app.domain.errors import Unprocessable
from app.egress import NOT_A_URL, NOT_ALLOWED, Address, EgressPolicy, ForbiddenTarget, check_url
from app.webhooks.transport import GuardedTransport, guarded_client
from tests.support.catch_all import CatchAll
from tests.support.receiver import Receiver, Reply
from tests.support.spellings import HOSTS, PRIVATE, literal

pytestmark = pytest.mark.anyio

PUBLIC = "93.184.216.34"


class Answers:
    """A name server: returns one list of addresses after the other, and repeats the last one."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.asked: list[str] = []
        self._answers = list(answers)

    async def __call__(self, host: str) -> list[Address]:
        """The next list."""
        self.asked.append(host)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [ip_address(text) for text in answer]


async def get(
    url: str, policy: EgressPolicy, resolver: Answers | None = None, *, seconds: float = 5
) -> httpx.Response:
    """One GET through the guard."""
    transport = GuardedTransport(policy, resolver=resolver) if resolver else GuardedTransport(policy)
    async with guarded_client(transport, total=seconds) as client:
        return await client.get(url)


async def test_the_listener_notices_connections() -> None:
    """The same spellings arrive where the operator allows them, so the listener would notice."""
    heard = []
    policy = EgressPolicy.parse("127.0.0.0/8, ::1, ::, 0.0.0.0")
    for host in ("127.0.0.1", "127.1", "0x7f000001", "[::1]", "[::ffff:127.0.0.1]", "localhost", "0"):
        async with CatchAll() as catch_all:
            with pytest.raises(httpx.HTTPError):
                await get(f"https://{host}:{catch_all.port}/", policy)
            heard.append(catch_all.reached)
    assert all(heard), heard


async def test_a_name_that_changes_its_answer_gains_nothing() -> None:
    """DNS rebinding: one lookup for each attempt, and the checked address is the dialled one."""
    async with CatchAll() as catch_all:
        names = Answers(["127.0.0.2"], ["127.0.0.1"])  # the first is allowed, and plays a public one
        transport = GuardedTransport(EgressPolicy.parse("127.0.0.2"), resolver=names)
        async with guarded_client(transport, total=5) as client:
            with pytest.raises(httpx.HTTPError):  # the listener sends nothing
                await client.get(f"http://rebind.example.com:{catch_all.port}/")
            assert names.asked == ["rebind.example.com"]
            assert catch_all.reached == ["127.0.0.2"]
            with pytest.raises(ForbiddenTarget):
                await client.get(f"http://rebind.example.com:{catch_all.port}/")
    assert names.asked == ["rebind.example.com"] * 2
    assert catch_all.reached == ["127.0.0.2"]


async def test_the_next_answer_is_dialled_when_the_first_does_not_listen() -> None:
    """A host with a dead v6 address is still reached; its name is in the Host header."""
    async with Receiver() as receiver:
        names = Answers(["::1", "127.0.0.1"])
        response = await get(
            f"http://hooks.internal:{receiver.port}/x?y=1", EgressPolicy.parse("hooks.internal"), names
        )
    assert response.status_code == 200
    (request,) = receiver.requests
    assert request.headers["host"] == f"hooks.internal:{receiver.port}"
    assert request.target == "/x?y=1"


@pytest.mark.parametrize("allow", ["hooks.internal", "127.0.0.0/8", "127.0.0.1", "10.0.0.0/8, HOOKS.internal"])
async def test_the_operators_list_opens_a_private_target(allow: str) -> None:
    """By name or by network, with http and any port."""
    async with Receiver() as receiver:
        url = f"http://hooks.internal:{receiver.port}/"
        check_url(url, EgressPolicy.parse(allow))
        assert (await get(url, EgressPolicy.parse(allow), Answers(["127.0.0.1"]))).status_code == 200


@pytest.mark.parametrize(
    ("url", "answer"),
    [
        ("http://hooks.example.com:8443/", PUBLIC),
        ("https://hooks.example.com:22/", PUBLIC),
        ("https://hooks.example.com:6379/", PUBLIC),
        ("https://hooks.example.com:0/", "127.0.0.1"),
        ("http://hooks.example.com:99999/", "127.0.0.1"),
        ("ftp://hooks.example.com/", "127.0.0.1"),
    ],
)
async def test_scheme_and_port_are_held_when_the_socket_is_opened(url: str, answer: str) -> None:
    """Outside the operator's list: https, and 443 or 8443; inside: http too, and any port."""
    with pytest.raises(ForbiddenTarget):
        await get(url, EgressPolicy.parse("127.0.0.0/8"), Answers([answer]))


async def test_a_name_that_does_not_resolve_is_a_failed_connection() -> None:
    """Neither a crash nor a refusal; the same for an invalid name and for an empty answer."""
    for host in ("no-such-name.invalid", "a" * 70 + ".invalid"):
        with pytest.raises(httpx.ConnectError):
            await get(f"https://{host}/", EgressPolicy())
    with pytest.raises(httpx.ConnectError):
        await get("https://hooks.example.com/", EgressPolicy.parse("127.0.0.1"), Answers([]))


async def test_a_name_server_that_does_not_answer_is_given_up() -> None:
    """After three seconds, whatever the client's own timeout."""

    async def silent(host: str) -> list[Address]:
        await asyncio.Event().wait()
        raise AssertionError(host)

    began = asyncio.get_running_loop().time()
    async with guarded_client(GuardedTransport(EgressPolicy(), resolver=silent), total=30) as client:
        with pytest.raises(httpx.ConnectTimeout):
            await client.get("https://hooks.example.com/")
    assert 2.5 < asyncio.get_running_loop().time() - began < 5


async def test_only_the_first_ten_answers_are_dialled() -> None:
    """Further ones are neither checked nor dialled."""
    async with Receiver() as receiver:
        names = Answers([f"127.0.1.{n}" for n in range(1, 11)] + ["127.0.0.1"])
        with pytest.raises(httpx.ConnectError):
            await get(f"http://hooks.internal:{receiver.port}/", EgressPolicy.parse("127.0.0.0/8"), names)
        assert receiver.connections == 0


async def test_redirects_cookies_and_proxies_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client follows no redirect, keeps no cookie, and reads no proxy from the environment."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with Receiver() as receiver:
        receiver.answers([Reply(302, {"Location": "http://169.254.169.254/latest/", "Set-Cookie": "a=b; Path=/"})])
        transport = GuardedTransport(EgressPolicy.parse("127.0.0.1"))
        async with guarded_client(transport, total=5) as client:
            assert (await client.get(receiver.url)).status_code == 302
            assert (await client.get(receiver.url)).status_code == 200
        assert "cookie" not in receiver.requests[1].headers
        assert receiver.connections == 2


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://hooks.example.com/x?y=1", None),
        ("https://hooks.example.com:8443/", None),
        ("HTTPS://HOOKS.EXAMPLE.COM/", None),
        ("https://b\u00fccher.example/", None),
        ("https://93.184.216.34/", None),
        ("https://[2606:2800:220:1::1]/", None),
        ("http://hooks.example.com/", "url_scheme"),
        ("ftp://hooks.example.com/", "url_scheme"),
        ("file:///etc/passwd", "url_scheme"),
        ("javascript:alert(1)", "url_scheme"),
        ("gopher://hooks.example.com/", "url_scheme"),
        ("data:text/html,x", "url_scheme"),
        ("hooks.example.com/x", "url_scheme"),
        ("//hooks.example.com/", "url_scheme"),
        ("", "url_scheme"),
        ("https://", "url_not_allowed"),
        ("https:///x", "url_not_allowed"),
        ("https://xn--a.example.com/", "url_not_allowed"),
        ("http://xn--.localhost:8324/m/200", "url_not_allowed"),
        ("https://xn--ls8h.la/", "url_not_allowed"),
        ("https://xn--bcher-kva.example/", None),
        ("https://user@hooks.example.com/", "url_not_allowed"),
        ("https://user:secret@hooks.example.com/", "url_not_allowed"),
        ("https://127.0.0.1\\@hooks.example.com/", "url_not_allowed"),
        ("https://hooks.example.com\\.evil.com/", "url_not_allowed"),
        ("https://hooks.example.com/#part", "url_not_allowed"),
        ("https://hooks.example.com:22/", "url_not_allowed"),
        ("https://hooks.example.com:0/", "url_not_allowed"),
        ("https://hooks.example.com:99999/", "url_not_allowed"),
        ("https://hooks.example.com:x/", "url_not_allowed"),
        ("https://hooks.example.com./", "url_not_allowed"),
        ("https://hooks..example.com/", "url_not_allowed"),
        ("https://hooks.example.com/a b", "url_not_allowed"),
        (" https://hooks.example.com/", "url_scheme"),
        ("https://hooks.example.com/\t", "url_not_allowed"),
        ("https://hooks.example.com/\r\nX: y", "url_not_allowed"),
        ("https://hooks.ex ample.com/", "url_not_allowed"),
        ("https://127.0.0.1%00.example.com/", "url_not_allowed"),
        ("https://%31%32%37.0.0.1/", "url_not_allowed"),
        ("https://hooks.example.com/\ud800", "url_not_allowed"),
        ("https://" + "a." * 130 + "com/", "url_not_allowed"),
        ("https://" + "a" * 64 + ".com/", "url_not_allowed"),
        ("https://hooks.example.com/" + "a" * 8166, None),
        ("https://hooks.example.com/" + "a" * 8167, "url_not_allowed"),
        ("https://redis:6379/", "url_not_allowed"),
        ("https://api.localhost/", "url_not_allowed"),
        ("https://metadata.google.internal/", "url_not_allowed"),
    ],
)
async def test_a_url_is_judged_at_registration(url: str, code: str | None) -> None:
    """Without asking DNS, and without repeating the URL."""
    if code is None:
        check_url(url, EgressPolicy())
        return
    with pytest.raises(Unprocessable) as caught:
        check_url(url, EgressPolicy())
    assert (caught.value.code, caught.value.status) == (code, 422)
    assert "example" not in caught.value.message


def refusal(url: str) -> tuple[str, str]:
    """Code and sentence that refuse a URL at registration."""
    with pytest.raises(Unprocessable) as caught:
        check_url(url, EgressPolicy())
    return caught.value.code, caught.value.message


async def test_registration_refuses_private_hosts_with_one_text() -> None:
    """Different texts would reveal what exists; only what no URL can contain gets its own, whatever the port."""
    urls = {f"{at}/" for host in HOSTS for at in (f"https://{host}", f"http://{host}:6379")}
    may = {("url_not_allowed", NOT_ALLOWED), ("url_not_allowed", NOT_A_URL)}
    assert {url: found for url in sorted(urls) if (found := refusal(url)) not in may} == {}
    plain = {f"https://{literal(address)}/" for address in PRIVATE}
    assert {url: found for url in sorted(plain) if (found := refusal(url))[1] != NOT_ALLOWED} == {}


async def test_registration_says_how_long_a_url_may_be() -> None:
    """A presigned URL that is too long is not called wrong."""
    assert refusal("https://hooks.example.com/" + "a" * 8192)[1] == "The URL must have at most 8192 characters."


async def test_registration_leaves_to_dns_what_only_dns_can_tell() -> None:
    """With a listed network a private-looking name may be in it; a public-looking one must be listed itself."""
    policy = EgressPolicy.parse("10.0.5.0/24")
    check_url("http://receiver:9000/", policy)
    check_url("http://10.0.5.9:9000/", policy)
    for url, code in [("http://10.0.6.9/", "url_not_allowed"), ("http://hooks.example.com/", "url_scheme")]:
        with pytest.raises(Unprocessable) as caught:
            check_url(url, policy)
        assert caught.value.code == code


@pytest.mark.parametrize("url", ["http://hooks.example.com:8080/", "https://hooks.example.com:9443/"])
async def test_a_refusal_that_a_listed_name_would_lift_says_so(url: str) -> None:
    """Only where networks are listed; for an address, or without networks, listing a name would not help."""
    listed = EgressPolicy.parse("10.0.5.0/24")
    with pytest.raises(Unprocessable, match=r", unless the operator lists the name in FILMGATE_EGRESS_ALLOW\.$"):
        check_url(url, listed)
    for other, policy in (
        (url.replace("hooks.example.com", PUBLIC), listed),
        (url, EgressPolicy.parse("a.internal")),
    ):
        with pytest.raises(Unprocessable) as caught:
            check_url(other, policy)
        assert "unless" not in caught.value.message
    check_url(url, EgressPolicy.parse("10.0.5.0/24, hooks.example.com"))


async def test_the_operators_list_is_read_strictly() -> None:
    """Networks, single addresses and names; anything else is refused with a sentence that names it."""
    assert EgressPolicy.parse(" ") == EgressPolicy()
    policy = EgressPolicy.parse("10.0.5.0/24,Hooks.Internal, ::1 ,fd00::/8,")
    assert policy.allows_host("hooks.INTERNAL")
    assert policy.allows_address(ip_address("10.0.5.7"))
    assert policy.allows_address(ip_address("::ffff:10.0.5.7"))
    assert not policy.allows_address(ip_address("10.0.6.7"))
    for entry in ("10.0.5.1/24", "10.0.5", "0x7f.1", "*.internal", "http://x/", "a b", "hooks.internal:80", "x/8"):
        with pytest.raises(ValueError, match="neither a network"):
            EgressPolicy.parse(f"10.0.5.0/24,{entry}")
