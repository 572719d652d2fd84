"""Forwards a team's events to a URL on the developer's machine, as signed webhooks."""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx

from app import __version__
from app.cli.cells import printable
from app.cli.exits import Failure
from app.cli.generate.client import FIRST_CONTACT_S, ApiClient
from app.cli.generate.events import LiveEvent, live_events
from app.domain.deliveries import ATTEMPT_TIMEOUT_S, MAX_BODY_READ_BYTES
from app.webhooks.signing import headers

STREAM = "/v1/events"
FORWARD_TIMEOUT_S = ATTEMPT_TIMEOUT_S  # as long as a webhook may take
Say = Callable[[str], None]


class Forwarder:
    """Posts events to one URL, signed as webhooks are. Private addresses are allowed."""

    def __init__(self, web: httpx.AsyncClient, url: str, secret: str) -> None:
        self._web = web
        self._url = url
        self._secret = secret

    async def send(self, event: LiveEvent) -> str:
        """One attempt, and its line of output: `12:00:00  job.succeeded  job_…  200  12 ms`."""
        began = time.monotonic()
        status, fault = await self._post(event)
        took = f"{round((time.monotonic() - began) * 1000)} ms"
        parts = (time.strftime("%H:%M:%S"), event.type, _subject(event), status, took, fault)
        return "  ".join(printable(part) for part in parts if part)

    async def _post(self, event: LiveEvent) -> tuple[str, str]:
        """The response's status, or `failed` and why; an event always has the same `webhook-id`.

        As for a webhook, the status decides, whatever the rest of the response is.
        """
        body = event.data.encode()
        message_id = "msg_" + hashlib.sha256(event.id.encode()).hexdigest()[:32]
        now = datetime.fromtimestamp(time.time(), UTC)  # of this machine, where the receiver compares it
        signature = headers([self._secret], message_id, now, body)
        sent = {**signature, "Content-Type": "application/json", "User-Agent": f"Filmgate/{__version__}"}
        status = ""
        try:
            async with asyncio.timeout(FORWARD_TIMEOUT_S):
                async with self._web.stream("POST", self._url, content=body, headers=sent) as response:
                    status = str(response.status_code)
                    await _read_some(response)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            fault = f"nobody answers at {self._url}"
        except (TimeoutError, httpx.TimeoutException):
            fault = f"no answer within {FORWARD_TIMEOUT_S:.0f} s"
        except httpx.HTTPError:
            fault = "the answer cannot be read"
        else:
            fault = ""
        return (status, "") if status else ("failed", fault)


async def forget_location(response: httpx.Response) -> None:
    """Drop where a redirect leads: it is not followed, but httpx reads it, and may raise anything for it."""
    response.headers.pop("Location", None)


async def _read_some(response: httpx.Response) -> None:
    """Read the body as far as a webhook's is read, so that the receiver can send it."""
    size = 0
    async for chunk in response.aiter_raw():
        size += len(chunk)
        if size >= MAX_BODY_READ_BYTES:
            return


async def forward_events(
    client: ApiClient,
    forwarder: Forwarder,
    event_types: frozenset[str],
    say: Say,
    notice: Say,
    ready: Callable[[], None],
) -> None:
    """Forward the team's events of these types, from now on until cancelled, one after the other.

    `say` gets a line for each forward, `notice` what goes wrong with the gateway; `ready` is called when the stream
    is open for the first time. Failure when the gateway refuses the key, or never answers.
    """
    began, connections = time.monotonic(), 0

    def opened() -> None:
        nonlocal connections
        connections += 1
        if connections == 1:
            ready()

    def dropped() -> None:
        if client.contacted is None and time.monotonic() - began > FIRST_CONTACT_S:
            raise Failure(f"No gateway answers at {client.access.url}; is it up, and is this its URL?")
        notice("The connection dropped; reconnecting …" if connections else "No gateway answers; trying again …")

    async for event in live_events(client, STREAM, on_open=opened, on_drop=dropped):
        if event.type == "reset":
            notice("Some events were missed; GET /v1/events and the list of jobs show the current state.")
        if event.type in event_types:
            say(await forwarder.send(event))


def _subject(event: LiveEvent) -> str:
    """The id of the event's job or endpoint."""
    try:
        view: dict[str, Any] = json.loads(event.data)["data"]
    except (ValueError, KeyError, TypeError):
        return "-"
    return str(view.get("id") or view.get("endpoint") or "-")
