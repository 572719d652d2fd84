"""Callers that read, and callers that follow events; both count whatever they should not get."""

import asyncio
import contextlib
import json
from collections import Counter

import httpx

from tests.crash.demand import code_of

PATHS = ("/v1/me", "/v1/jobs?limit=1", "/v1/events?limit=1")
PAUSE_S = 0.05
EACH = 3  # readers with kept connections, and as many that connect anew for each call
KEPT = httpx.Limits(keepalive_expiry=2)
ENDS = {"job.succeeded", "job.failed", "job.canceled"}
FIRST_RETRY_S = 3.0


class Readers:
    """Six callers, about a hundred reads a second."""

    def __init__(self, url: str, account: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {account}"}
        self.count = 0
        self.refused: Counter[str] = Counter()

    async def run(self) -> None:
        """Read until it is cancelled."""
        await asyncio.gather(*(self._read(kept=number < EACH) for number in range(2 * EACH)))

    async def _read(self, *, kept: bool) -> None:
        headers = self._headers if kept else {**self._headers, "Connection": "close"}
        async with httpx.AsyncClient(
            base_url=self._url, headers=headers, trust_env=False, timeout=20, limits=KEPT
        ) as web:
            while True:
                for path in PATHS:
                    await self._call(web, path)
                    await asyncio.sleep(PAUSE_S)

    async def _call(self, web: httpx.AsyncClient, path: str) -> None:
        try:
            reply = await web.get(path)
        except httpx.TransportError as error:
            self.refused[f"read: {type(error).__name__}"] += 1
            return
        self.count += 1
        if not reply.is_success:
            self.refused[f"read: {reply.status_code} {code_of(reply)}"] += 1


class EventWatcher:
    """One caller who follows the team's events, and comes back when and where the stream says.

    `ended` counts the ends that it saw, by job; `reconnected` how often its stream ended with a time to come back.
    """

    def __init__(self, url: str, account: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {account}", "Accept": "text/event-stream"}
        self._last: str | None = None
        self._retry_s = FIRST_RETRY_S
        self.is_open = False
        self.reconnected = 0
        self.ended: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    async def run(self) -> None:
        """Follow until it is cancelled."""
        async with httpx.AsyncClient(base_url=self._url, headers=self._headers, trust_env=False, timeout=20) as web:
            while True:
                try:
                    await self._follow(web)
                except httpx.TransportError as error:
                    self.refused[f"stream: {type(error).__name__}"] += 1
                await asyncio.sleep(self._retry_s)

    async def _follow(self, web: httpx.AsyncClient) -> None:
        resumed = {} if self._last is None else {"Last-Event-ID": self._last}
        async with web.stream("GET", "/v1/events", headers=resumed) as reply:
            if not reply.is_success:
                await reply.aread()
                self.refused[f"stream: {reply.status_code} {code_of(reply)}"] += 1
                return
            self.is_open = True
            async for line in reply.aiter_lines():
                self._take(*line.partition(":")[::2])
        self.reconnected += 1

    def _take(self, name: str, value: str) -> None:
        """One line of a frame."""
        value = value.strip()
        if name == "id":
            self._last = value
        elif name == "retry":
            self._retry_s = int(value) / 1000
        elif name == "data":
            with contextlib.suppress(KeyError):
                event = json.loads(value)
                if event["type"] in ENDS:
                    self.ended[event["data"]["id"]] += 1
