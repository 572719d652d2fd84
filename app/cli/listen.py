"""Forwarding a team's events to a developer's machine, as signed webhooks, while the command runs."""

import asyncio
import hashlib
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from app import __version__
from app.cli.exits import Failure
from app.cli.generate.client import FIRST_CONTACT_S, ApiClient, GatewayAway
from app.cli.generate.events import FIRST_PAUSE_S, MAX_PAUSE_S, EventParser, LiveEvent
from app.cli.generate.screen import printable
from app.webhooks.signing import headers

STREAM = "/v1/events"
FORWARD_TIMEOUT_S = 15.0  # as long as a webhook may take
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What came of one event: the status of the answer, or why there is none."""

    status: int | None
    duration_ms: int
    trouble: str = ""


class Forwarder:
    """Posts events to one address, signed as webhooks are. The address is the developer's own: any will do."""

    def __init__(self, web: httpx.AsyncClient, url: str, secret: str) -> None:
        self._web = web
        self._url = url
        self._secret = secret

    async def send(self, event: LiveEvent) -> Forwarded:
        """One attempt; the `webhook-id` of an event is always the same."""
        body = event.data.encode()
        message_id = "msg_" + hashlib.sha256(event.id.encode()).hexdigest()[:32]
        now = datetime.fromtimestamp(time.time(), UTC)  # this machine signs, and its receiver compares
        signature = headers([self._secret], message_id, now, body)
        sent = {**signature, "Content-Type": "application/json", "User-Agent": f"Filmgate/{__version__}"}
        began = time.monotonic()
        status, trouble = None, ""
        try:
            async with asyncio.timeout(FORWARD_TIMEOUT_S):
                status = (await self._web.post(self._url, content=body, headers=sent)).status_code
        except (httpx.ConnectError, httpx.ConnectTimeout):
            trouble = f"nobody answers at {self._url}"
        except (TimeoutError, httpx.TimeoutException):
            trouble = f"no answer within {FORWARD_TIMEOUT_S:.0f} s"
        except httpx.HTTPError:
            trouble = "the answer cannot be read"
        return Forwarded(status, round((time.monotonic() - began) * 1000), trouble)


class Listener:
    """Follows the team's events and forwards those that are wanted.

    `say` gets a line for each forward, `notice` what goes wrong with the gateway.
    """

    def __init__(
        self, client: ApiClient, forwarder: Forwarder, wanted: frozenset[str], say: Say, notice: Say
    ) -> None:
        self._client = client
        self._forwarder = forwarder
        self._wanted = wanted
        self._say = say
        self._notice = notice

    async def run(self, ready: Callable[[], None]) -> None:
        """Until somebody ends it; `ready` is called when the stream is open for the first time.

        1. follow the stream from now on, later from the last event seen
        2. forward each wanted event before the next one is read
        3. when the connection drops, connect again, after a pause that grows while nothing comes

        Raises:
            Failure: the gateway refuses the key, or never answered.
        """
        parser, failures, began, opened = EventParser(), 0, time.monotonic(), False
        while True:
            before = parser.last_id
            try:
                async with self._client.events(STREAM, after=parser.last_id or None) as chunks:
                    if not opened:
                        ready()
                        opened = True
                    parser = EventParser(parser.last_id, parser.retry_s)
                    async for chunk in chunks:
                        self._client.note_contact()
                        for event in parser.feed(chunk):
                            await self._forward(event)
            except (httpx.TransportError, GatewayAway):
                if self._client.contacted is None and time.monotonic() - began > FIRST_CONTACT_S:
                    url = self._client.access.url
                    raise Failure(f"No gateway answers at {url}; is it up, and is this its URL?") from None
            failures = 0 if parser.last_id != before else failures + 1
            self._notice(
                "The connection dropped; reconnecting …" if opened else "No gateway answers; trying again …"
            )
            pause = min(FIRST_PAUSE_S * 2**failures, MAX_PAUSE_S)
            await asyncio.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311  spreads retries, guards nothing

    async def _forward(self, event: LiveEvent) -> None:
        if event.type == "reset":
            self._notice("Some events are forgotten; GET /v1/events and the list of jobs tell how things are.")
        if event.type in self._wanted:
            self._say(_line(event, await self._forwarder.send(event)))


def _line(event: LiveEvent, forwarded: Forwarded) -> str:
    """`12:00:00  job.succeeded  job_…  200  12 ms`."""
    status = "failed" if forwarded.status is None else str(forwarded.status)
    took = f"{forwarded.duration_ms} ms"
    parts = (time.strftime("%H:%M:%S"), event.type, _subject(event), status, took, forwarded.trouble)
    return "  ".join(printable(part) for part in parts if part)


def _subject(event: LiveEvent) -> str:
    """What the event is about: a job, or an endpoint."""
    try:
        view: dict[str, Any] = json.loads(event.data)["data"]
    except (ValueError, KeyError, TypeError):
        return "-"
    return str(view.get("id") or view.get("endpoint") or "-")
