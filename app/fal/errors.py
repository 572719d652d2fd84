"""What fal's HTTP statuses and httpx's exceptions mean for money: taken, refused, or unknown.

A refusal is definite only where fal cannot have queued the request; everything else is unknown
(docs/decisions/0004). The table is about the submit call; reads are simply repeated.
"""

from dataclasses import dataclass

import httpx

from app.fal.protocol import Accepted, Refused, Submission, Unknown, read_request_id

HTTP_OK = range(200, 300)
ACCOUNT = {401: "upstream_unauthorized", 403: "upstream_forbidden"}
REJECTED = {400, 404, 405, 413, 415, 422}
TOO_MANY = 429


@dataclass(frozen=True, slots=True)
class NotShown:
    """fal gave no usable answer about its bill or its history; nothing is concluded from it.

    `reason` is a short word: `http_403`, `no_answer`, `unreadable`, `no_payload`.
    """

    reason: str


def classify_answer(status: int, body: bytes) -> Submission:
    """What an answer to the submit call means."""
    if status in HTTP_OK:
        request_id = read_request_id(body)
        return Accepted(request_id) if request_id else Unknown("unreadable_answer")
    if status in ACCOUNT:
        sentence = "fal refuses the gateway's key or account; the operator must look at it."
        return Refused(ACCOUNT[status], sentence, again=True, account=True, status=status)
    if status == TOO_MANY:
        return Refused("upstream_busy", "fal takes no more requests at the moment.", again=True, status=status)
    if status in REJECTED:
        sentence = f"fal refused the request with HTTP {status}."
        return Refused("upstream_rejected", sentence, again=False, status=status)
    return Unknown(f"http_{status}")


def classify_exception(error: Exception) -> Submission:
    """What a failed submit call means: before the connection stood, nothing was sent."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.UnsupportedProtocol):
        return Refused("upstream_unreachable", "fal cannot be reached at the moment.", again=True)
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return Unknown("no_answer_in_time")
    return Unknown("connection_lost")
