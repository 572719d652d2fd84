"""Why an attempt got no answer: a stable code, and where it is known a sentence for whoever runs the receiver."""

import os
import socket
import ssl
from collections.abc import Iterator

import httpx

from app.egress import ForbiddenTarget
from app.webhooks.transport import CONNECT_SECONDS, AnswerTooLarge

_HEADERS_TOO_LARGE = 431  # how h11 marks a header block beyond its 100 KB


def code_of(exception: Exception) -> str:
    """The stable code of a failure, for the customer's list of attempts."""
    if isinstance(exception, ForbiddenTarget):
        return "forbidden_target"
    if isinstance(exception, AnswerTooLarge):
        return "too_large"
    if isinstance(exception, TimeoutError | httpx.TimeoutException):
        return "timeout"
    for cause in _causes(exception):  # httpx distinguishes these only by their causes
        if isinstance(cause, ssl.SSLError):
            return "tls"
        if getattr(cause, "error_status_hint", None) == _HEADERS_TOO_LARGE:
            return "too_large"
    return "connect" if isinstance(exception, httpx.NetworkError | OSError) else "protocol"


def reason_of(exception: Exception) -> str:
    """What the code does not tell, as a sentence: what is wrong with the certificate, or the name; else empty."""
    if isinstance(exception, ForbiddenTarget):
        return str(exception)
    if isinstance(exception, httpx.ConnectTimeout):
        return str(exception) or f"No connection within {CONNECT_SECONDS:.0f} s."
    if isinstance(exception, TimeoutError | httpx.TimeoutException):
        return ""  # whatever it came from, such as a TLS stream that wants to read
    for cause in _causes(exception):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"The certificate does not verify: {cause.verify_message.rstrip('.')}."
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed: {(cause.reason or 'no reason given').replace('_', ' ').lower()}."
        if isinstance(cause, socket.gaierror):
            return "The name does not resolve."
        if isinstance(cause, OSError) and cause.errno:
            return f"{os.strerror(cause.errno)}."
    return ""


def _causes(exception: Exception) -> Iterator[BaseException]:
    """The exception, and what it came from."""
    cause: BaseException | None = exception
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
