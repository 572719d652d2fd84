"""What fal's HTTP statuses and the exceptions of a call mean for money: taken, refused, or unknown.

A refusal is definite only where fal cannot have queued the request; everything else is unknown
(docs/decisions/0004). The table is about the submit call; reads are simply repeated.
"""

import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import httpx

from app.fal.protocol import SubmitAccepted, SubmitRefused, SubmitReply, SubmitUnknown, read_request_id

HTTP_OK = range(200, 300)
ACCOUNT = {401: "upstream_unauthorized", 403: "upstream_forbidden"}
REJECTED = {400, 404, 405, 413, 415, 422}
TOO_MANY = 429
# The classes of a call that got nowhere; the words stand in logs, the sentences in the status and in refusals.
CAUSES = {
    "dns": "its name does not resolve (DNS)",
    "refused": "its host refuses the connection",
    "certificate": "its certificate is not trusted (TLS)",
    "tls": "no encryption comes about (TLS)",
    "timeout": "it does not answer in time",
    "proxy": "the proxy of HTTPS_PROXY cannot be reached, or does not let the call through",
    "network": "the network does not lead there",
}
# What says that a call could not even be written down: a key with a line break, a URL that is none.
UNUSABLE = (
    httpx.LocalProtocolError, httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError, ValueError, TypeError
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class UnusableAnswer:
    """fal gave no usable answer about its bill or its history; nothing is concluded from it.

    `reason` is a short word: `http_403`, `no_answer`, `unreadable`, `no_payload`.
    """

    reason: str


class Outgoing:
    """Has any byte of a request been handed to the connection? httpcore tells.

    Goes into a request as `extensions={"trace": outgoing.watch}`. The CONNECT to a proxy is not the request; and
    where the head of the request cannot be written, which httpcore finds out before it sends it, nothing was sent.
    """

    def __init__(self) -> None:
        self.begun = False

    async def watch(self, event: str, details: Mapping[str, Any]) -> None:
        """Called by httpcore with each thing that it does."""
        if event == "http11.send_request_headers.started" and details["request"].method != b"CONNECT":
            self.begun = True


def classify_answer(status: int, body: bytes) -> SubmitReply:
    """What an answer to the submit call means."""
    if status in HTTP_OK:
        request_id = read_request_id(body)
        return SubmitAccepted(request_id) if request_id else SubmitUnknown("unreadable_answer")
    if status in ACCOUNT:
        sentence = "fal refuses the gateway's key or account; the operator must look at it."
        return SubmitRefused(ACCOUNT[status], sentence, retryable=True, account_fault=True, status=status)
    if status == TOO_MANY:
        return SubmitRefused(
            "upstream_busy", "fal takes no more requests at the moment.", retryable=True, status=status
        )
    if status in REJECTED:
        sentence = f"fal refused the request with HTTP {status}."
        return SubmitRefused("upstream_rejected", sentence, retryable=False, status=status)
    return SubmitUnknown(f"http_{status}")


def classify_exception(error: Exception, *, begun: bool) -> SubmitReply:
    """What a failed submit call means. `begun`: its first byte may have left.

    - nothing left: fal cannot have it. The job goes back in line; what the operator has to mend stops all buying
    - else nobody knows, whatever the error
    """
    if isinstance(error, httpx.LocalProtocolError) or (not begun and isinstance(error, UNUSABLE)):
        sentence = "The gateway cannot write a request to fal; the operator must look at FAL_KEY and fal's URLs."
        return SubmitRefused(
            "upstream_unauthorized", sentence, retryable=True, account_fault=True, cause="unusable"
        )
    if not begun:
        cause = cause_of(error)
        return SubmitRefused("upstream_unreachable", unreachable(cause), retryable=True, cause=cause)
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return SubmitUnknown("no_answer_in_time")
    return SubmitUnknown("connection_lost")


def unreachable(cause: str) -> str:
    """A sentence for everybody: neither the proxy nor an address is in it."""
    return f"fal cannot be reached at the moment: {CAUSES.get(cause, CAUSES['network'])}."


def cause_of(error: BaseException) -> str:
    """The class of a call that got nowhere, a key of CAUSES: the most telling error in the chain."""
    if isinstance(error, TimeoutError | httpx.TimeoutException):  # whatever it waited for, a handshake too
        return "timeout"
    chain = list(_chain(error))
    for cause, kinds in (
        ("certificate", (ssl.SSLCertVerificationError, ssl.CertificateError)),
        ("proxy", (httpx.ProxyError, aiohttp.ClientHttpProxyError, aiohttp.ClientProxyConnectionError)),
        ("tls", (ssl.SSLError,)),
        ("dns", (socket.gaierror,)),
        ("refused", (ConnectionRefusedError,)),
        ("timeout", (TimeoutError,)),
    ):
        if any(isinstance(one, kinds) for one in chain):
            return cause
    return "network"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what caused it, and what those were made of."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for inner in error.exceptions:
                yield from _chain(inner)
        error = error.__cause__ or error.__context__
