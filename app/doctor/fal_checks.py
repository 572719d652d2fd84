"""Checks of fal: reachable, key, admin key, clock, and whether fal's webhooks can reach us. None costs anything."""

import asyncio
import ipaddress
import socket
import time
import uuid
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from app.doctor.results import CheckResult, fault, ok, skipped, warning
from app.doctor.store_checks import compare_clocks
from app.domain.addresses import is_public
from app.fal.errors import unreachable
from app.fal.probe import ProbeAnswer, probe
from app.gateway import route_to_fal
from app.settings import Settings

APP = "fal-ai/kling-video"
UNAUTHORIZED, FORBIDDEN, SERVER_ERROR = 401, 403, 500
BILL = "/v1/models/billing-events?limit=1&request_id="


async def check_fal(settings: Settings) -> AsyncIterator[CheckResult]:
    """Ask for the status of a request that does not exist: the answer shows whether the key is accepted."""
    if settings.fal_key is None:
        yield skipped("fal", "FAL_KEY is not set: `filmgate up` uses its emulator, `worker` buys nothing.")
        return
    url = f"{settings.fal_queue_url}/{APP}/requests/{uuid.uuid4()}/status"
    answer = await probe(url, key=settings.fal_key.get_secret_value(), route=route_to_fal(settings))
    if answer.status is None:
        remedy = "check DNS, firewall, HTTPS_PROXY, SSL_CERT_FILE and FILMGATE_FAL_QUEUE_URL on the workers' hosts."
        yield fault("fal", unreachable(answer.cause), remedy)
        return
    host = urlsplit(url).hostname
    if answer.status == UNAUTHORIZED:
        yield fault(
            "fal", f"{host} refuses FAL_KEY (401).", "make a key in fal's dashboard, and set it on all hosts."
        )
    elif answer.status == FORBIDDEN:
        remedy = "look at the balance and the account in fal's dashboard, then `filmgate resume`."
        yield fault("fal", f"{host} locks the account or the key out (403).", remedy)
    elif answer.status >= SERVER_ERROR:
        yield warning("fal", f"{host} fails at the moment (HTTP {answer.status}).", "see fal's status page.")
    else:
        yield ok("fal", f"{host} answers in {answer.seconds:.1f} s and accepts the key.")
    yield _clock(answer)


async def check_admin_key(settings: Settings) -> AsyncIterator[CheckResult]:
    """Ask for the bill of a request that does not exist."""
    if settings.fal_admin_key is None:
        if settings.real_money:
            yield warning(
                "fal admin key",
                "FAL_ADMIN_KEY is not set: the bill is not compared, and held jobs wait for a webhook or a person.",
                "make a key with the scope ADMIN in fal's dashboard.",
            )
        else:
            yield skipped("fal admin key", "FAL_ADMIN_KEY is not set.")
        return
    key, route = settings.fal_admin_key.get_secret_value(), route_to_fal(settings)
    answer = await probe(f"{settings.fal_api_url}{BILL}{uuid.uuid4()}", key=key, route=route)
    host = urlsplit(settings.fal_api_url).hostname
    if answer.status is None:
        yield fault("fal admin key", f"{host}: {unreachable(answer.cause)}", "as for fal above.")
    elif answer.status in {UNAUTHORIZED, FORBIDDEN}:
        remedy = "make a key with the scope ADMIN in fal's dashboard."
        yield fault("fal admin key", f"{host} refuses FAL_ADMIN_KEY ({answer.status}).", remedy)
    elif answer.status >= SERVER_ERROR:
        yield warning(
            "fal admin key", f"{host} fails at the moment (HTTP {answer.status}).", "see fal's status page."
        )
    else:
        yield ok("fal admin key", f"{host} accepts it: the bill and the history can be read.")


async def check_webhooks(settings: Settings) -> AsyncIterator[CheckResult]:
    """As far as it can be known here: is fal asked for webhooks, and does the public address lead here?"""
    if settings.fal_key is None and not settings.emulated:
        yield skipped("fal webhooks", "FAL_KEY is not set: the emulator of `filmgate up` sends its own.")
        return
    if not settings.receives_fal_webhooks:
        message = "fal is not asked for webhooks; polling finds every end, and held jobs are decided later."
        if settings.real_money:
            remedy = "set FILMGATE_PUBLIC_URL to an https address that fal can reach."
            yield warning("fal webhooks", message, remedy)
        else:
            yield skipped("fal webhooks", message)
        return
    url = urlsplit(settings.base_url)
    if settings.emulated:
        yield skipped("fal webhooks", "fal is the emulator on this machine.")
        return
    private = await _private_addresses(url.hostname or "", url.port or 443)
    if private is None:
        yield fault(
            "fal webhooks", f"{url.hostname} has no address in DNS.", "correct FILMGATE_PUBLIC_URL, or DNS."
        )
        return
    if private:
        yield fault(
            "fal webhooks",
            f"{url.hostname} is {', '.join(private)} from here, where fal cannot reach it.",
            "use a public name, or FILMGATE_FAL_WEBHOOKS=off; where DNS differs inside, ask from outside.",
        )
        return
    answer = await probe(f"{settings.base_url}/livez", key=None, route=route_to_fal(settings))
    if answer.status is None:
        yield warning(
            "fal webhooks",
            f"{settings.base_url}/livez does not answer from here ({answer.cause}); fal may not reach it either.",
            "start `filmgate serve`; check the proxy, its certificate, and the firewall from outside.",
        )
    elif answer.status != 200 or b"alive" not in answer.body:  # noqa: PLR2004  OK
        yield fault(
            "fal webhooks",
            f"{settings.base_url}/livez is not this gateway's (HTTP {answer.status}).",
            "let the proxy lead every path to `filmgate serve`; no login page before /fal/hooks.",
        )
    else:
        yield ok("fal webhooks", f"{settings.base_url} leads here; whether from fal's network, only fal knows.")


def _clock(answer: ProbeAnswer) -> CheckResult:
    """This machine's clock against the date of fal's answer, which has whole seconds."""
    try:
        there = parsedate_to_datetime(answer.date or "").timestamp() + 0.5
    except ValueError:
        return skipped("fal clock", "fal's answer has no date.")
    off = there - (time.time() - answer.seconds / 2)
    return compare_clocks("fal clock", 0.0 if abs(off) < 1 else off, "fal's")


async def _private_addresses(host: str, port: int) -> list[str] | None:
    """The addresses of a host that are not public; None when it has none at all."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return None
    addresses = sorted({str(row[4][0]) for row in found})
    return [one for one in addresses if not is_public(ipaddress.ip_address(one))]
