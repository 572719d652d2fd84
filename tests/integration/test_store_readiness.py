"""Checks of the store at start: a wrong store is named and refused, a store that is not up yet is waited for."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.domain.errors import StoreUnavailable
from app.domain.store_role import StoreRole
from app.store.connection import connect, connect_rq, disconnect
from app.store.readiness import StoreRefused, wait_for_store
from app.store.rights import COMMANDS, KEY, RQ_KEY, TRANSACTIONS, acl
from app.tasks import cancel_and_wait
from tests.integration.sentinel import sentinel
from tests.support.emulator import Emulator
from tests.support.processes import clean_environment, free_port, run_command
from tests.support.redis_server import RedisServer
from tests.support.server import Server
from tests.support.stack import environment, open_stack
from tests.support.tcp_proxy import first_of, pump
from tests.support.tls import Certificates, issue_certificates
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

PASSWORD = "a-password-with-@/#%:-in-it"
ENCODED = "a-password-with-%40%2F%23%25%3A-in-it"


HANDSHAKE = b"\x16"  # the first byte of a TLS client
CHECK_S = 0.005
WAIT_S = 20


def server_context(certificates: Certificates, authority: Path | None) -> ssl.SSLContext:
    """A server's side of TLS. With `authority`, clients need a certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
    context.load_cert_chain(certificates.certificate, certificates.key)
    context.verify_mode = ssl.CERT_NONE if authority is None else ssl.CERT_REQUIRED
    return context


def refuse_one(listener: socket.socket, context: ssl.SSLContext) -> None:
    """Refuse one client's handshake with an alert, as a store does; asyncio's servers hang up without one."""
    caller, _ = listener.accept()
    caller.settimeout(WAIT_S)
    with context.wrap_socket(caller, server_side=True, do_handshake_on_connect=False) as tls:
        with contextlib.suppress(ssl.SSLError):
            tls.do_handshake()
        tls.shutdown(socket.SHUT_WR)
        while tls.recv(4096):
            pass  # unread bytes would reset the connection, and the alert might be lost


@asynccontextmanager
async def with_tls(
    port: int, certificates: Certificates, *, authority: Path | None = None, plain_too: bool = False
) -> AsyncIterator[int]:
    """The port at which the server speaks TLS. With `authority`, clients need a certificate.

    With `plain_too` it also accepts plain text: a Sentinel without TLS watches its primary on the port it names.
    """
    context = server_context(certificates, authority)
    calls: set[asyncio.Task[None]] = set()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        serving = asyncio.create_task(_serve(listener, calls, port, context, plain_too=plain_too))
        try:
            yield listener.getsockname()[1]
        finally:
            await cancel_and_wait(serving, *calls)


async def _serve(
    listener: socket.socket, calls: set[asyncio.Task[None]], port: int, context: ssl.SSLContext, *, plain_too: bool
) -> None:
    while True:
        caller, _ = await asyncio.get_running_loop().sock_accept(listener)
        call = asyncio.create_task(_call(caller, port, context, plain_too=plain_too))
        calls.add(call)
        call.add_done_callback(calls.discard)


async def _call(caller: socket.socket, port: int, context: ssl.SSLContext, *, plain_too: bool) -> None:
    """Serve one connection to its end."""
    loop = asyncio.get_running_loop()
    requests = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(requests)
    with contextlib.suppress(OSError):  # from callers who reject our certificate
        plain = plain_too and await _first_byte(caller) != HANDSHAKE
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, caller, ssl=None if plain else context)
        to_caller = asyncio.StreamWriter(transport, protocol, requests, loop)
        answers, to_server = await asyncio.open_connection("127.0.0.1", port)
        try:
            await first_of(pump(requests, to_server), pump(answers, to_caller))
        finally:
            to_server.close()
            to_caller.close()


async def _first_byte(caller: socket.socket) -> bytes:
    """The first byte, without consuming it."""
    while True:
        with contextlib.suppress(BlockingIOError):
            return caller.recv(1, socket.MSG_PEEK)
        await asyncio.sleep(CHECK_S)


async def check(url: str, *, role: StoreRole = StoreRole.ALL, patience: float = 0) -> list[str]:
    """The result of a start's check."""
    client = connect(url)
    try:
        return await wait_for_store(client, url, role=role, patience=patience, on_wait=lambda _: None)
    finally:
        await disconnect(client)


async def refusal(url: str, *, role: StoreRole = StoreRole.ALL) -> str:
    """The sentence that refuses the store; it has no secret."""
    with pytest.raises(StoreRefused) as refused:
        await check(url, role=role)
    assert PASSWORD not in str(refused.value)
    assert ENCODED not in str(refused.value)
    return str(refused.value)


async def watching(port: int) -> None:
    """The Sentinel answers."""

    async def answers() -> bool:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return True
        return False

    await wait_until(answers, "the sentinel answers")


@pytest.fixture(scope="module")
def locked() -> Iterator[RedisServer]:
    """A store that requires a password."""
    with RedisServer() as server:
        assert server.command("CONFIG", "SET", "requirepass", PASSWORD) == b"+OK\r\n"
        yield server


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A private authority and its certificate for 127.0.0.1."""
    return issue_certificates(tmp_path_factory.mktemp("tls"))


async def test_passwords_are_named_when_they_are_wrong(locked: RedisServer) -> None:
    """A missing one, a wrong one, a wrong user; the right one, percent-encoded, is accepted."""
    where = f"127.0.0.1:{locked.port}"
    assert await refusal(f"redis://{where}") == f"the store at {where} wants a password, and none is given"
    assert "refuses the user or the password" in await refusal(f"redis://:wrong@{where}")
    assert "refuses the user or the password" in await refusal(f"redis://nobody:{ENCODED}@{where}")
    assert await check(f"redis://:{ENCODED}@{where}/3") == []
    with connect_rq(f"redis://:{ENCODED}@{where}/3") as client:
        assert client.ping()


async def test_each_missing_right_is_named(redis_server: RedisServer) -> None:
    """The documented rule is enough; without any of its commands a start names the missing one, and calls none."""
    url = f"redis://limited:{ENCODED}@127.0.0.1:{redis_server.port}"
    rule = acl("limited").split()[1:]
    assert redis_server.command("ACL", "SETUSER", *rule, f">{PASSWORD}") == b"+OK\r\n"
    try:
        assert await check(url) == []
        for name in [*TRANSACTIONS, *COMMANDS]:
            assert redis_server.command("ACL", "SETUSER", "limited", f"-{name}") == b"+OK\r\n"
            sentence = await refusal(url)
            assert name.replace("|", " ") in sentence.lower().replace("|", " "), name
            assert redis_server.command("ACL", "SETUSER", "limited", f"+{name}") == b"+OK\r\n"
        assert redis_server.command("EXISTS", KEY, RQ_KEY) == b":0\r\n"
        assert redis_server.command("ACL", "SETUSER", "limited", "resetkeys", "~fg:*") == b"+OK\r\n"
        assert "BLMOVE" in await refusal(url)
    finally:
        redis_server.command("ACL", "DELUSER", "limited")


async def test_a_start_checks_the_rights_of_its_own_role(redis_server: RedisServer) -> None:
    """Each role's rule is enough for it; the API's is not enough for workers."""
    url = f"redis://limited:{ENCODED}@127.0.0.1:{redis_server.port}"
    try:
        for role in StoreRole:
            rule = acl("limited", role).split()[1:]
            assert redis_server.command("ACL", "SETUSER", rule[0], "reset", *rule[1:], f">{PASSWORD}") == b"+OK\r\n"
            assert await check(url, role=role) == []
            if role is StoreRole.API:
                assert "BLMOVE" in await refusal(url, role=StoreRole.WORKER)
    finally:
        redis_server.command("ACL", "DELUSER", "limited")


async def test_a_job_ends_with_the_least_rights_over_tls(emulator: Emulator, certificates: Certificates) -> None:
    """The documented user, a certificate of a private authority: API, lanes and RQ's workers complete a job."""
    with RedisServer() as redis:
        assert redis.command("ACL", "SETUSER", *acl("filmgate").split()[1:], f">{PASSWORD}") == b"+OK\r\n"
        async with with_tls(redis.port, certificates) as port:
            url = f"rediss://filmgate:{ENCODED}@127.0.0.1:{port}/0?ssl_ca_certs={certificates.authority}"
            async with open_stack(redis, emulator, FILMGATE_REDIS_URL=url) as stack, stack.workers():
                job = await stack.submit()
                await stack.until(job["id"], "succeeded", timeout=60)
        sentence = redis.command("ACL", "LOG")
        assert sentence == b"*0\r\n", "nothing was refused"


async def test_tls_is_named_when_it_is_wrong(redis_server: RedisServer, certificates: Certificates) -> None:
    """An unknown authority, plain against TLS and TLS against plain, a missing certificate, invalid files."""
    trusted = f"ssl_ca_certs={certificates.authority}"
    plain = f"127.0.0.1:{redis_server.port}"
    async with with_tls(redis_server.port, certificates) as port:
        assert "certificate that is not trusted" in await refusal(f"rediss://127.0.0.1:{port}")
        assert "speaks TLS; write rediss://" in await refusal(f"redis://127.0.0.1:{port}")
        assert "does not speak TLS" in await refusal(f"rediss://{plain}?{trusted}")
        assert await check(f"rediss://localhost:{port}/0?{trusted}") == []
        with connect_rq(f"rediss://localhost:{port}/0?{trusted}") as client:
            assert await asyncio.to_thread(client.ping)
    async with with_tls(redis_server.port, certificates, authority=certificates.authority) as port:
        with pytest.raises(StoreUnavailable, match="hangs up like this"):
            await check(f"rediss://127.0.0.1:{port}?{trusted}")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(WAIT_S)
        context = server_context(certificates, certificates.authority)
        refusing = asyncio.create_task(asyncio.to_thread(refuse_one, listener, context))
        port = listener.getsockname()[1]
        assert "wants a certificate of ours" in await refusal(f"rediss://127.0.0.1:{port}?{trusted}")
        await refusing
    assert "ssl_ca_certs" in await refusal(f"rediss://{plain}?ssl_ca_certs=/nowhere.pem")
    assert "ssl_certfile" in await refusal(f"rediss://{plain}?ssl_certfile=/nowhere.pem&ssl_keyfile=/nowhere.pem")


async def test_what_is_no_store_is_named(redis_server: RedisServer, emulator: Emulator, tmp_path: Path) -> None:
    """A web server, and a Sentinel that is configured as the store."""
    assert "is no Redis" in await refusal(emulator.url.replace("http://", "redis://"))
    with sentinel(tmp_path, f"sentinel monitor films 127.0.0.1 {redis_server.port} 1") as port:
        await watching(port)
        assert "sentinel://" in await refusal(f"redis://127.0.0.1:{port}")


async def test_sentinels_are_named_when_they_are_wrong(
    locked: RedisServer, tmp_path: Path, certificates: Certificates
) -> None:
    """Their password, their service, the primary's password; with all of them right, both clients work."""
    lines = [
        f"sentinel monitor films 127.0.0.1 {locked.port} 1",
        f"sentinel auth-pass films {PASSWORD}",
        "requirepass of-the-sentinels",
    ]
    with sentinel(tmp_path, *lines) as port:
        await watching(port)
        own = "sentinel_password=of-the-sentinels"
        host = f"127.0.0.1:{port}"
        assert f"the sentinel {host} wants a password" in await refusal(f"sentinel://:{ENCODED}@{host}/films")
        assert "refuses the user or the password" in await refusal(
            f"sentinel://:{ENCODED}@{host}/films?sentinel_password=x"
        )
        assert "know no service 'clips', only films" in await refusal(f"sentinel://:{ENCODED}@{host}/clips?{own}")
        assert "wants a password" in await refusal(f"sentinel://{host}/films?{own}")
        nobody = f"127.0.0.1:{free_port()}"
        good = f"sentinel://:{ENCODED}@{nobody},{host}/films?db=2&{own}"
        assert await check(good) == []
        with connect_rq(good) as client:
            assert client.ping()
        async with with_tls(port, certificates) as tls_port:
            assert "tls=1" in await refusal(f"sentinel://:{ENCODED}@127.0.0.1:{tls_port}/films?{own}")


async def test_a_service_without_a_primary_is_waited_for(tmp_path: Path) -> None:
    """Sentinels that are down, or have no primary for the service yet: waited for, and not refused."""
    why = "not there yet: no sentinel names a primary for it"
    with pytest.raises(StoreUnavailable, match=why):
        await check(f"sentinel://127.0.0.1:{free_port()}/films")
    with sentinel(tmp_path) as port:
        await watching(port)
        with pytest.raises(StoreUnavailable, match=why):
            await check(f"sentinel://127.0.0.1:{port}/films")


async def test_a_store_on_the_network_without_a_password_is_a_fault() -> None:
    """It is reported next to other faults, each of which ends a start with real money."""
    with RedisServer(bind="0.0.0.0", protected_mode="no") as server:
        url = f"redis://{_own_address()}:{server.port}"
        if _own_address().startswith("127."):
            pytest.skip("this machine has no address but its own loopback")
        assert ["no password" in fault for fault in await check(url)] == [True]


def _own_address() -> str:
    """This machine's address on the network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
    return "127.0.0.1"


async def test_a_wrong_password_ends_a_start_with_one_sentence(locked: RedisServer, emulator: Emulator) -> None:
    """`serve`, `worker` and `up`: exit code 78, the setting's name, no traceback, no password."""
    url = f"redis://:not-{ENCODED}@127.0.0.1:{locked.port}"
    given = environment(locked, emulator, FILMGATE_REDIS_URL=url, FILMGATE_PORT=str(free_port()))
    settings = clean_environment(**given)
    ended = await asyncio.gather(*(run_command(role, environment=settings) for role in ("serve", "worker", "up")))
    for one in ended:
        assert one.returncode == 78
        assert one.stderr.startswith("filmgate: FILMGATE_REDIS_URL: the store at")
        assert len(one.stderr.splitlines()) == 1
        assert ENCODED not in one.stderr
        assert PASSWORD not in one.stderr


async def test_a_store_that_comes_late_is_waited_for(emulator: Emulator, tmp_path: Path) -> None:
    """`serve` says what it waits for, and serves once the store is up; nothing was refused."""
    log = tmp_path / "said"
    with RedisServer() as redis:
        server = Server(environment(redis, emulator), log=log)
        redis.kill()
        starting = asyncio.create_task(server.start().ready())
        await wait_until(
            lambda: "store.waiting" in log.read_text() if log.exists() else False,
            "it says what it waits for",
            timeout=20,
        )
        assert f"127.0.0.1:{redis.port} is not there yet" in log.read_text()
        redis.start()
        try:
            await starting
        finally:
            await asyncio.to_thread(server.stop)


async def test_sentinels_and_their_primary_may_speak_tls(
    locked: RedisServer, emulator: Emulator, certificates: Certificates, tmp_path: Path
) -> None:
    """With the authority and both passwords a job is completed; without one of them, the sentence names it."""
    own, elsewhere = "of-the-sentinels", tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = issue_certificates(elsewhere).authority
    async with with_tls(locked.port, certificates, plain_too=True) as primary:
        lines = (
            f"sentinel monitor films 127.0.0.1 {primary} 1",
            f"sentinel auth-pass films {PASSWORD}",
            f"requirepass {own}",
        )
        with sentinel(tmp_path, *lines) as plain:
            await watching(plain)
            async with with_tls(plain, certificates) as port:
                where = f"sentinel://:{ENCODED}@127.0.0.1:{port}/films?tls=1"
                trusted = f"ssl_ca_certs={certificates.authority}"
                for ca in ("", f"&ssl_ca_certs={other}"):
                    sentence = await refusal(f"{where}&sentinel_password={own}{ca}")
                    assert f"the sentinel 127.0.0.1:{port} shows a certificate that is not trusted" in sentence
                for password in ("", "&sentinel_password=wrong"):
                    sentence = await refusal(f"{where}&{trusted}{password}")
                    assert f"the sentinel 127.0.0.1:{port}" in sentence
                    assert "password" in sentence
                wrong = where.replace(ENCODED, "wrong")
                assert "refuses the user or the password" in await refusal(
                    f"{wrong}&{trusted}&sentinel_password={own}"
                )
                more = {
                    "FILMGATE_REDIS_URL": f"{where}&{trusted}&sentinel_password={own}",
                    "FILMGATE_STORE_REPLICAS": "0",
                }
                async with open_stack(locked, emulator, **more) as stack, stack.workers():
                    job = await stack.submit()
                    await stack.until(job["id"], "succeeded", timeout=60)
