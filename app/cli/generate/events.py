"""Following a job live: an event stream that is resumed when it drops, and a poll at the job between events."""

import asyncio
import json
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import httpx

from app.cli.exits import Failure
from app.cli.generate.client import ApiClient, GatewayAway, JobReply

STOPPED_STATUSES = frozenset({"succeeded", "failed", "canceled", "held"})  # a held job waits for a person
POLL_S = 2.0  # places in line and fal's log lines change without an event
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
    """Server-sent events out of bytes, as the HTML standard reads them (section 9.2.6).

    `last_id` and `retry_s` outlive a connection: give them to the next parser.
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
        """The events that these bytes complete. An event without its blank line is never given out."""
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


async def follow(client: ApiClient, job: JobReply, show: Show, notice: Notify) -> JobReply:
    """The job at its end, or held; `show` gets each view of it on the way, `notice` what goes wrong.

    1. listen to its events, and poll at it between them
    2. whichever says first that it has stopped is right
    3. read it once more: an event holds no input, and a held job may have been released since
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
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        job = await client.job(job_id)
        show(job)
    return job


class _JobFollower:
    """One job, seen through its events and through looks."""

    def __init__(self, client: ApiClient, job: JobReply, show: Show, notice: Notify) -> None:
        self._client = client
        self._job = job
        self._path = f"/v1/jobs/{job['id']}/events"
        self._show = show
        self._notice = notice

    async def listen(self) -> None:
        """Read events until one says that the job has stopped; resume after the last one when the stream ends."""
        parser, failures = EventParser(), 0
        while True:
            before = parser.last_id
            try:
                async with self._client.events(self._path, after=parser.last_id or None) as chunks:
                    parser = EventParser(parser.last_id, parser.retry_s)
                    async for chunk in chunks:
                        self._client.note_contact()
                        self._notice(None)
                        if any([self._update(_view(event)) for event in parser.feed(chunk)]):  # noqa: C419  see all
                            return
            except (httpx.TransportError, GatewayAway):
                pass
            failures = 0 if parser.last_id != before else failures + 1
            self._give_up_if_silent()
            self._notice("The connection dropped; reconnecting …")
            longer = parser.retry_s * 1.5 ** min(failures - 1, 20)
            pause = FIRST_PAUSE_S if failures == 0 else min(longer, MAX_PAUSE_S)
            await asyncio.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311  spreads retries, guards nothing

    async def poll(self) -> None:
        """Ask for the job now and then, until it has stopped; for its place in line and fal's log."""
        while True:
            await asyncio.sleep(POLL_S)
            if self._job["status"] in POLLED_STATUSES and self._update(await self._client.job_now(self._job["id"])):
                return

    def _update(self, view: JobReply | None) -> bool:
        """Take a view of the job; True when it has stopped."""
        if view is None:
            return False
        self._job = view
        self._show(view)
        return view["status"] in STOPPED_STATUSES

    def _give_up_if_silent(self) -> None:
        contacted = self._client.contacted
        if contacted is not None and time.monotonic() - contacted > GIVE_UP_S:
            minutes = GIVE_UP_S / 60
            raise Failure(f"The gateway has not answered for {minutes:.0f} minutes; job {self._job['id']} goes on.")


def _view(event: LiveEvent) -> JobReply | None:
    """The job in an event's data; None for an event that holds none, such as `reset`."""
    try:
        view = json.loads(event.data)["data"]
        return view if isinstance(view["status"], str) else None
    except (ValueError, KeyError, TypeError):
        return None
