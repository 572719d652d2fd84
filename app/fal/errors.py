"""What the HTTP status or the exception of a submission means for money: accepted, refused, or unknown.

A refusal is definite only where fal cannot have queued the request; everything else is unknown
(docs/decisions/0004). Failed reads are simply repeated.
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
# Why a call failed: the words are for logs, the sentences for the status and for refusals.
CAUSES = {
    "dns": "its name does not resolve (DNS)",
    "refused": "its host refuses the connection",
    "certificate": "its certificate is not trusted (TLS)",
    "tls": "no encryption comes about (TLS)",
    "timeout": "it does not answer in time",
    "proxy": "the proxy of HTTPS_PROXY cannot be reached, or does not let the call through",
    "network": "the network does not lead there",
}
# Raised when a request cannot be encoded: a key with a line break, a malformed URL.
UNUSABLE = (
    httpx.LocalProtocolError, httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError, ValueError, TypeError
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class UnusableAnswer:
    """fal gave no usable answer about its bill or its history, so nothing follows from it.

    `reason` is a short word: `http_403`, `no_answer`, `unreadable`, `no_payload`.
    """

    reason: str


class Outgoing:
    """Whether any byte of a request may have been sent, as traced by httpcore.

    Pass it as `extensions={"trace": outgoing.watch}`. The CONNECT to a proxy does not count. httpcore encodes the
    head before it sends any of it, so a head that cannot be encoded was not sent.
    """

    def __init__(self) -> None:
        self.begun = False

    async def watch(self, event: str, details: Mapping[str, Any]) -> None:
        """Called by httpcore for each event."""
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
    """What a failed submit call means. `begun`: its first byte may have been sent.

    - nothing was sent: refused. The job returns to the line; what the operator must fix stops all buying
    - else unknown, whatever the error
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
    """A sentence for callers: it names neither the proxy nor an address."""
    return f"fal cannot be reached at the moment: {CAUSES.get(cause, CAUSES['network'])}."


def cause_of(error: BaseException) -> str:
    """Why a call failed, a key of CAUSES: from the most specific error in the chain."""
    if isinstance(error, TimeoutError | httpx.TimeoutException):  # whatever it waited for, a handshake too
        return "timeout"
    chain = list(error_chain(error))
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


def error_chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, its causes, and the members of exception groups."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for inner in error.exceptions:
                yield from error_chain(inner)
        error = error.__cause__ or error.__context__
