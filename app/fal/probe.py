"""One call to see whether a host answers: it buys nothing and changes nothing."""

import asyncio
import time
from dataclasses import dataclass

import httpx

from app.fal.errors import cause_of
from app.fal.web import FalAnswerTooLarge, OutboundRoute, plain_transport, read_answer

SECONDS = 8.0
LIMIT = 64_000  # bytes of the answer


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """The answer: HTTP status, its `Date`, its body, how long it took; without one, status None and the cause."""

    status: int | None
    seconds: float
    cause: str = ""
    date: str | None = None
    body: bytes = b""


async def probe(url: str, *, key: str | None, route: OutboundRoute) -> ProbeAnswer:
    """GET the URL once, with fal's key unless it is None."""
    headers = {"Accept": "application/json", **({} if key is None else {"Authorization": f"Key {key}"})}
    began = time.monotonic()
    client = httpx.AsyncClient(transport=plain_transport(route), follow_redirects=False, trust_env=False)
    async with client:
        try:
            async with asyncio.timeout(SECONDS):
                status, body, got = await read_answer(client, "GET", url, headers=headers, limit=LIMIT)
        except FalAnswerTooLarge as error:
            return ProbeAnswer(error.status, time.monotonic() - began)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError, UnicodeError) as error:
            return ProbeAnswer(None, time.monotonic() - began, cause_of(error))
    return ProbeAnswer(status, time.monotonic() - began, date=got.get("date"), body=body)
