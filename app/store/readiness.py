"""Waiting for the store at a start, refusing one that cannot be used, and reporting faults of its durability.

A wrong password, right, certificate or protocol does not go away by waiting: it is refused in one sentence. A store
that does not answer, loads its data or has no primary yet is waited for.
"""

import asyncio
import os
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any

import redis.asyncio as aredis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, InvalidResponse, NoPermissionError, RedisError

from app.domain.errors import StoreUnavailable
from app.domain.store_address import TLS_FILES, StoreAddress, read_store_address
from app.domain.store_role import StoreRole
from app.store.client import Client
from app.store.connection import CONNECT_TIMEOUT, sentinel_options
from app.store.replicas import replica_faults
from app.store.rights import forbidden

MIN_VERSION = (7, 0)
POLL_S = 0.25
REFUSED = re.compile(r"Error (-?[0-9]+) connecting to .*?\. (.+)")
REPORT_AFTER_S = 3.0
REPORT_EVERY_S = 5.0
DURABLE = {
    "appendonly": ("yes", "without the append-only file a restart forgets what was bought"),
    "appendfsync": ("always", "with any other value a crash loses writes that were acknowledged"),
    "maxmemory-policy": ("noeviction", "with any other value money and jobs may be evicted"),
}


class StoreRefused(Exception):
    """This store cannot be used as it is addressed or configured; a sentence without secrets."""


async def wait_for_store(
    client: Client, url: str, *, role: StoreRole, patience: float | None, on_wait: Callable[[str], object]
) -> list[str]:
    """Wait until the store answers; the faults of its durability, one sentence each.

    The store's user must have the rights of `role`. Waits `patience` seconds, or for ever (None), and calls
    `on_wait` with the reason every few seconds. Raises StoreRefused for a store that waiting does not help,
    StoreUnavailable when `patience` has passed.
    """
    address = read_store_address(url)
    _refuse_unreadable(address)
    began = time.monotonic()
    report_at = began + REPORT_AFTER_S
    while True:
        try:
            return await _check(client, address, role)
        except StoreUnavailable as away:
            now = time.monotonic()
            if patience is not None and now - began >= patience:
                raise
            if now >= report_at:
                report_at = now + REPORT_EVERY_S
                on_wait(away.message)
        await asyncio.sleep(POLL_S)


async def _check(client: Client, address: StoreAddress, role: StoreRole) -> list[str]:
    """Check once: StoreRefused, StoreUnavailable, or the faults of its durability."""
    try:
        info = await client.info("server")
        denied = await forbidden(client, role)
        config = await _config(client)
    except (RedisError, OSError, RuntimeError) as error:
        await _refuse_permanent(error, address)
        advice = ""
        if address.tls is not None and "ssl_certfile" not in address.tls and "onnect" in str(error):
            advice = "; one that wants a certificate of ours (ssl_certfile, ssl_keyfile) hangs up like this"
        # Redis-py's text holds its own objects.
        why = "no sentinel names a primary for it" if isinstance(error, MasterNotFoundError) else _why_not(error)
        raise StoreUnavailable(f"The store at {address} is not there yet: {why}{advice}.") from None
    if denied is not None:
        raise StoreRefused(f"the store's user may not call {denied}; docs/store.md lists the rights it needs")
    mode = info.get("redis_mode") or info.get("server_mode", "standalone")  # the second is Valkey's
    if mode != "standalone":
        remedy = "name it with sentinel://" if mode == "sentinel" else "Filmgate needs a single primary"
        raise StoreRefused(f"the server at {address} is a {mode}; {remedy}")
    version = str(info["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_VERSION:
        raise StoreRefused(f"the store is version {version}; Filmgate needs Redis 7.0 or Valkey")
    faults = [] if config is None else setting_faults(config)
    if config is None:
        faults.append("The store does not allow CONFIG GET, so its durability cannot be checked.")
    if address.is_open:
        faults.append(
            f"The store at {address} has no password in FILMGATE_REDIS_URL: whoever reaches it may spend the money."
        )
    return [*faults, *await replica_faults(client)]


def setting_faults(config: Mapping[str, str]) -> list[str]:
    """What these settings of the store put at risk, one sentence each."""
    return [
        f"The store has {name} {config.get(name)!r} and must have {value!r}: {why}."
        for name, (value, why) in DURABLE.items()
        if config.get(name) != value
    ]


async def durability_faults(client: Client) -> list[str]:
    """The same of a store that is running, and whether its last writes to the disk have failed.

    Empty where the store does not allow to ask: the start has said so.
    """
    config = await _config(client)
    persistence = await client.info("persistence")
    faults = [] if config is None else setting_faults(config)
    for name, what in (("aof_last_write_status", "write to"), ("aof_last_bgrewrite_status", "rewrite of")):
        if persistence.get(name, "ok") != "ok":
            faults.append(f"The store's last {what} its append-only file failed: look at its disk and its log.")
    return faults


async def _config(client: Client) -> dict[str, str] | None:
    """The settings of DURABLE; None where the store does not allow CONFIG GET."""
    try:
        return await client.config_get(*DURABLE)
    except RedisError as error:
        if isinstance(error, ConnectionError | AuthenticationError):
            raise
        return None


def _refuse_unreadable(address: StoreAddress) -> None:
    """StoreRefused with the name of the option whose file for TLS cannot be loaded."""
    tls = {name: str(value) for name, value in (address.tls or {}).items()}
    for name in TLS_FILES:
        if name not in tls or name == "ssl_keyfile":
            continue
        try:
            context = ssl.create_default_context()
            if name == "ssl_certfile":
                context.load_cert_chain(tls[name], tls["ssl_keyfile"])
            elif name == "ssl_ca_certs":
                context.load_verify_locations(cafile=tls[name])
            else:
                context.load_verify_locations(capath=tls[name])
        except (OSError, ValueError) as error:
            raise StoreRefused(f"its option {name} names what cannot be used: {_one_line(error)}") from None


async def _refuse_permanent(error: Exception, address: StoreAddress) -> None:
    """StoreRefused for an error that waiting does not remove; sentinels without a primary are asked first."""
    if isinstance(error, MasterNotFoundError):
        await _ask_sentinels(address)
        return
    where = f"the store at {address}"
    sentence = _permanent(error, where, password=address.password)
    if sentence is None and not address.service:
        for host, port in address.hosts:
            if address.tls is None and await _speaks_tls(host, port):
                sentence = f"{where} speaks TLS; write rediss:// instead of redis://"
            elif address.tls is not None and await _speaks_plain(host, port):
                sentence = f"{where} does not speak TLS; write redis:// instead of rediss://"
    if sentence is not None:
        raise StoreRefused(sentence)


async def _ask_sentinels(address: StoreAddress) -> None:
    """StoreRefused when the sentinels know other services and not this one, or when one refuses us."""
    known: set[str] = set()
    refusals: list[str] = []
    async for host, answer in _sentinels(address):
        if isinstance(answer, Exception):
            sentence = _permanent(answer, f"the sentinel {host}", password=address.sentinel_password)
            if sentence is None and address.tls is None and await _speaks_tls(*host.rsplit(":", 1)):
                sentence = f"the sentinel {host} speaks TLS; add tls=1"
            refusals += [sentence] if sentence else []
        else:
            known |= set(answer)
    if address.service in known:
        return  # they know it, and it has no primary at the moment
    if known:
        raise StoreRefused(f"the sentinels know no service {address.service!r}, only {', '.join(sorted(known))}")
    if refusals:
        raise StoreRefused(refusals[0])


async def _sentinels(address: StoreAddress) -> AsyncIterator[tuple[str, Any]]:
    """Each sentinel with its services, or with its error."""
    for host, port in address.hosts:
        options: dict[str, Any] = {
            "socket_timeout": CONNECT_TIMEOUT,
            "socket_connect_timeout": CONNECT_TIMEOUT,
            "retry": Retry(NoBackoff(), 0),
            **sentinel_options(address),
        }
        client: Any = aredis.Redis(host=host, port=port, **options)
        async with aclosing(client):
            try:
                yield f"{host}:{port}", await client.sentinel_masters()
            except (RedisError, OSError, RuntimeError) as error:
                yield f"{host}:{port}", error


def _permanent(error: Exception, where: str, *, password: str | None) -> str | None:
    """The sentence for an error that waiting does not remove; None for one that may pass."""
    text = str(error)
    if isinstance(error, NoPermissionError) or "NOPERM" in text:
        return f"{where} refuses a command ({text}); docs/store.md lists the rights that its user needs"
    if isinstance(error, AuthenticationError):
        if password is None:
            return f"{where} wants a password, and none is given"
        if "without any password" in text:
            return f"{where} has no password, but one is given"
        return f"{where} refuses the user or the password that is given"
    cause = _tls_error(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = cause.verify_message.rstrip(".")
        return f"{where} shows a certificate that is not trusted ({why}); name its authority with ssl_ca_certs"
    if cause is not None and cause.reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_MESSAGE"}:
        return f"{where} does not speak TLS"
    if cause is not None and "CERTIFICATE" in (cause.reason or ""):
        return f"{where} wants a certificate of ours; give ssl_certfile and ssl_keyfile"
    if isinstance(error, InvalidResponse) or "Protocol error" in text or "Protocol Error" in text:
        return f"{where} answers, but is no Redis"
    return None


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """The TLS error that caused an error."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return error
        error = error.__cause__ or error.__context__
    return None


async def _speaks_tls(host: str, port: int | str) -> bool:
    """True when the port accepts a TLS handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(CONNECT_TIMEOUT):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=context)
        writer.close()
        return True
    return False


async def _speaks_plain(host: str, port: int) -> bool:
    """True when the port answers a PING without TLS."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(CONNECT_TIMEOUT):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"PING\r\n")
            answer = await reader.read(1)
        writer.close()
        return answer in {b"+", b"-"}
    return False


def _why_not(error: BaseException) -> str:
    """The error's text; of a connection that the system refused, the system's words instead of redis-py's."""
    refused = REFUSED.fullmatch(_one_line(error))
    if refused is None:
        return _one_line(error)
    number = int(refused[1])
    return os.strerror(number) if number > 0 else refused[2]  # below 0: a name's resolution, said in words


def _one_line(error: BaseException) -> str:
    """The error's text on one line, at most 300 characters."""
    return " ".join(str(error).split()).rstrip(".")[:300] or type(error).__name__
