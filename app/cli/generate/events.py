"""Follows a job: an event stream that reconnects, and polls between the events."""

import asyncio
import json
import random
import re
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeAlias

import httpx

from app.cli.exits import Failure
from app.cli.generate.client import ApiClient, GatewayAway, JobReply
from app.tasks import cancel_and_wait

STOPPED_STATUSES = frozenset({"succeeded", "failed", "canceled", "held"})  # a held job waits for an operator
POLL_S = 2.0  # positions in line and log lines of fal change without an event
POLLED_STATUSES = frozenset({"queued", "running"})
FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 15.0
GIVE_UP_S = 600.0
LINE_END = re.compile(rb"\r\n|\n|\r")
BOM = b"\xef\xbb\xbf"
Show: TypeAlias = Callable[[JobReply], None]
Notify: TypeAlias = Callable[[str | None], None]


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """One event of a stream: its type, its data, and the id to resume after."""

    type: str
    data: str
    id: str


class EventParser:
    """Parses server-sent events as the HTML standard does (section 9.2.6).

    `last_id` and `retry_s` outlive a connection: pass them to the next parser.
    """

    def __init__(self, last_id: str = "", retry_s: float = 3.0) -> None:
        self.last_id = last_id
        self.retry_s = retry_s
        self._id = last_id
        self._type = ""
        self._lines: list[str] = []
        self._rest = b""
        self._after_cr = False
        self._at_start = True

    def feed(self, chunk: bytes) -> list[LiveEvent]:
        """The events that these bytes complete; an event needs its blank line."""
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if not chunk:
            return []
        self._after_cr = chunk.endswith(b"\r")
        *lines, self._rest = LINE_END.split(self._rest + chunk)
        found = [self._line(line) for line in lines]
        return [event for event in found if event is not None]

    def _line(self, raw: bytes) -> LiveEvent | None:
        if self._at_start:
            self._at_start = False
            raw = raw.removeprefix(BOM)
        line = raw.decode("utf-8", "replace")
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._type = value
            case "data":
                self._lines.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry_s = int(value) / 1000
        return None

    def _dispatch(self) -> LiveEvent | None:
        self.last_id = self._id
        event = LiveEvent(self._type or "message", "\n".join(self._lines), self.last_id)
        empty = not self._lines
        self._type, self._lines = "", []
        return None if empty else event


async def live_events(
    client: ApiClient, path: str, *, on_open: Callable[[], None], on_drop: Callable[[], None]
) -> AsyncGenerator[LiveEvent, None]:
    """The events of a stream for ever: after a drop it reconnects, with growing pauses, after the last event.

    `on_open` and `on_drop` are called at each connection and each drop; `on_drop` may raise to give up.
    """
    parser, failures = EventParser(), 0
    while True:
        before = parser.last_id
        try:
            async with client.events(path, after=parser.last_id or None) as chunks:
                on_open()
                parser = EventParser(parser.last_id, parser.retry_s)
                async for chunk in chunks:
                    client.note_contact()
                    for event in parser.feed(chunk):
                        yield event
        except (httpx.TransportError, GatewayAway):
            pass
        failures = 0 if parser.last_id != before else failures + 1
        on_drop()
        longer = parser.retry_s * 1.5 ** min(failures - 1, 20)
        pause = FIRST_PAUSE_S if failures == 0 else min(longer, MAX_PAUSE_S)
        await asyncio.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311  spreads retries, guards nothing


async def follow(client: ApiClient, job: JobReply, show: Show, notice: Notify) -> JobReply:
    """The job at its end, or held; `show` gets each view of it, `notice` what is retried.

    1. read its events, and poll it between them, until one of both says that it has stopped
    2. read it again: an event has no input, and a held job may have been released since
    """
    job_id = job["id"]
    show(job)
    while job["status"] not in STOPPED_STATUSES:
        follower = _JobFollower(client, job, show, notice)
        tasks = {asyncio.create_task(follower.listen()), asyncio.create_task(follower.poll())}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await cancel_and_wait(*tasks)
        job = await client.job(job_id)
        show(job)
    return job


class _JobFollower:
    """Updates one job from its events and from polls."""

    def __init__(self, client: ApiClient, job: JobReply, show: Show, notice: Notify) -> None:
        self._client = client
        self._job = job
        self._show = show
        self._notice = notice

    async def listen(self) -> None:
        """Read events until one says that the job has stopped."""
        path = f"/v1/jobs/{self._job['id']}/events"
        stream = live_events(self._client, path, on_open=lambda: self._notice(None), on_drop=self._dropped)
        async with aclosing(stream) as events:
            async for event in events:
                if self._update(_view(event)):
                    return

    async def poll(self) -> None:
        """Read the job every two seconds until it has stopped, for its position in line and fal's log."""
        while True:
            await asyncio.sleep(POLL_S)
            if self._job["status"] in POLLED_STATUSES and self._update(await self._client.job_now(self._job["id"])):
                return

    def _update(self, view: JobReply | None) -> bool:
        """Show a view of the job; True when it has stopped."""
        if view is None:
            return False
        self._job = view
        self._show(view)
        return view["status"] in STOPPED_STATUSES

    def _dropped(self) -> None:
        contacted = self._client.contacted
        if contacted is not None and time.monotonic() - contacted > GIVE_UP_S:
            minutes = GIVE_UP_S / 60
            raise Failure(f"The gateway has not answered for {minutes:.0f} minutes; job {self._job['id']} goes on.")
        self._notice("The connection dropped; reconnecting …")


def _view(event: LiveEvent) -> JobReply | None:
    """The job in an event's data; None for an event without one, such as `reset`."""
    try:
        view = json.loads(event.data)["data"]
        return view if isinstance(view["status"], str) else None
    except (ValueError, KeyError, TypeError):
        return None
