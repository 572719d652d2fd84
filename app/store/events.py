"""A team's events: read in order, and followed live by one reader for all followers of the process."""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import structlog

from app.domain.errors import StoreUnavailable
from app.domain.events import BUDGET_THRESHOLD, BudgetNotice, EndpointNotice, Event, Notice
from app.domain.ids import join_ref
from app.domain.jobs import Job, Status
from app.domain.limits import Owner, Window
from app.store import keys
from app.store.client import Client
from app.store.connection import store_errors
from app.store.followers import Follower, in_turns
from app.store.packing import unpacked
from app.store.reads import read_hashes
from app.store.records import job_at, read_job
from app.tasks import cancel_and_wait

PAGE = 500
BLOCK_MS = 200  # delay until the live reader reads a newly followed team
RETRY_S = 0.5
EventRow: TypeAlias = tuple[str, Mapping[str, str]]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Some of a team's events in order. `last_id` is the newest one read, or None; `more`: there may be more."""

    events: list[Event | Notice]
    last_id: str | None
    more: bool


def _read_event(event_id: str, row: Mapping[str, str], record: Mapping[str, str]) -> Event:
    """An event with the job as it was then; events of older versions contain a whole record."""
    at_ms = int(row["at"])
    if "record" in row:
        job = read_job(json.loads(row["record"]))
    else:
        status = Status(row["type"].removeprefix("job."))
        own = {"sequence": row["sequence"], "charged_micro": row["charged"], "held_reason": row["held"]}
        job = job_at(record, status, at_ms, {name: text for name, text in own.items() if text})
    return Event(event_id, row["type"], int(row["sequence"]), at_ms, job)


def with_all_fields(rows: Iterable[EventRow]) -> list[EventRow]:
    """The events of a stream with all fields; short ones omit prefixes, and the time, which is in the id."""
    events: list[EventRow] = []
    for event_id, row in rows:
        with _skipping_unreadable(event_id):
            events.append((event_id, row if "at" in row else _long(event_id, row)))
    return events


@contextmanager
def _skipping_unreadable(event_id: str) -> Iterator[None]:
    """One unreadable entry is logged and left out: it must not end its team's feed or the reader of all teams."""
    try:
        yield
    except (KeyError, ValueError):
        log.exception("events.unreadable", event_id=event_id)


def _long(event_id: str, row: Mapping[str, str]) -> Mapping[str, str]:
    return {**row, "type": f"job.{row['type']}", "job": f"job_{row['job']}", "at": event_id.partition("-")[0]}


def read_notice(event_id: str, row: Mapping[str, str]) -> Notice:
    """A notice, from `type`, `at` and `notice` of an event or a delivery."""
    at_ms, notice = int(row["at"]), json.loads(row["notice"])
    if row["type"] != BUDGET_THRESHOLD:
        return EndpointNotice(event_id, row["type"], at_ms, notice["endpoint"], notice["url"], notice.get("reason"))
    return BudgetNotice(
        id=event_id,
        at_ms=at_ms,
        threshold=notice["threshold"],
        owner=Owner(notice["owner"]),
        window=Window(notice["window"]),
        amount=int(notice["amount"]),
        used=int(notice["used"]),
        held=int(notice["held"]),
        resets_ms=int(notice["resets"]) if "resets" in notice else None,
        user=notice.get("user"),
    )


def event_order(event_id: str) -> tuple[int, int]:
    """The id as numbers, by which a team's events are ordered."""
    milliseconds, _, counter = event_id.partition("-")
    return int(milliseconds), int(counter)


async def forget_copies(redis: Client, job: Job) -> None:
    """Delete the job's events of older versions, which contain a copy of its record."""
    start, end = str(job.created_ms), (job.completed_ms or 0) + 1000
    while True:
        with store_errors():
            page = await redis.xrange(keys.events(job.team), min=start, max=end, count=PAGE)
            copies = [(event_id, row["job"]) for event_id, row in page if "record" in row]
            if own := [event_id for event_id, job_id in copies if job_id == job.id]:
                await redis.xdel(keys.events(job.team), *own)
        if len(page) < PAGE or not copies:
            return
        start = f"({page[-1][0]}"


class EventStore:
    """Reads event streams. `blocking` is the client for blocking reads."""

    def __init__(self, redis: Client, *, blocking: Client) -> None:
        self._redis = redis
        self._blocking = blocking
        self._followers: dict[str, dict[str | None, set[Follower]]] = {}  # by team, then by job; None: of all jobs
        self._last_ids: dict[str, str] = {}
        self._reader: asyncio.Task[None] | None = None

    async def after(self, team: str, event_id: str, *, count: int = PAGE, job: str | None = None) -> EventBatch:
        """The next events of the team after `event_id`, of up to `count` read; only those of `job` where given.

        Events whose job's record has expired are left out.
        """
        with store_errors():
            rows = await self._redis.xrange(keys.events(team), min=f"({event_id}", count=count)
        wanted = [row for row in with_all_fields(rows) if job in {None, row[1].get("job")}]
        events = await self._with_records(team, wanted)
        return EventBatch(events, rows[-1][0] if rows else None, more=len(rows) == count)

    async def newest_id(self, team: str) -> str:
        """The id of the team's newest event; `0-0` when there is none."""
        with store_errors():
            rows = await self._redis.xrevrange(keys.events(team), count=1)
        return str(rows[0][0]) if rows else "0-0"

    async def is_complete_after(self, team: str, event_id: str) -> bool:
        """True when no event after `event_id` has been trimmed yet."""
        with store_errors():
            rows = await self._redis.xrange(keys.events(team), count=1)
        return bool(rows) and event_order(rows[0][0]) <= event_order(event_id)

    @contextmanager
    def live(self, team: str, follower: Follower, *, job: str | None = None) -> Iterator[None]:
        """Offer the follower the team's events from now on, within the block; only those of `job` where given.

        One reader serves all followers of this process, and each event is one object for all of them.
        """
        self._followers.setdefault(team, {}).setdefault(job, set()).add(follower)
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(
                self._read(),
                name="event reader",
                context=Context(),  # its log lines are about nobody's request
            )
        try:
            yield
        finally:
            by_job = self._followers[team]
            by_job[job].discard(follower)
            if not by_job[job]:
                del by_job[job]
            if not by_job:
                del self._followers[team]
                self._last_ids.pop(team, None)

    async def close(self) -> None:
        """Stop the reader."""
        if self._reader is not None:
            await cancel_and_wait(self._reader)

    async def _read(self) -> None:
        """Read all followed streams in a loop.

        1. without followers, wait a moment
        2. begin each newly followed stream at its newest event; its followers read the earlier ones themselves
        3. read the new events of every followed stream, waiting at most BLOCK_MS
        4. offer each event to the followers of its team, or of its job
        5. while the store is away, wait, then continue from the last event read
        """
        while True:
            if not self._followers:
                await asyncio.sleep(BLOCK_MS / 1000)
                continue
            try:
                for team in [team for team in self._followers if team not in self._last_ids]:
                    await self._begin(team)
                streams = {keys.events(team): last_id for team, last_id in self._last_ids.items()}
                if not streams:  # the only follower has left meanwhile
                    continue
                with store_errors():
                    answer = await self._blocking.xread(streams, count=PAGE, block=BLOCK_MS)
                rows = answer.items() if isinstance(answer, dict) else answer or []
                for name, found in rows:
                    entries = found[0] if found and isinstance(found[0], list) else found
                    await self._publish(name.removeprefix(keys.events("")), entries)
            except StoreUnavailable:
                await asyncio.sleep(RETRY_S)

    async def _begin(self, team: str) -> None:
        newest = await self.newest_id(team)
        by_job = self._followers.get(team, {})
        if by_job:
            self._last_ids[team] = newest
            await in_turns([follower for some in by_job.values() for follower in some], Follower.miss)

    async def _publish(self, team: str, rows: Sequence[EventRow]) -> None:
        for event in await self._with_records(team, with_all_fields(rows)):
            by_job = self._followers.get(team, {})
            of_job = by_job.get(event.job.id, set()) if isinstance(event, Event) else set()
            await in_turns((*by_job.get(None, ()), *of_job), partial(Follower.offer, events=(event,)))
        if team in self._followers:
            self._last_ids[team] = rows[-1][0]

    async def _with_records(self, team: str, rows: Sequence[EventRow]) -> list[Event | Notice]:
        """The events in these entries, without those whose job's record has expired."""
        jobs = list({row["job"] for _, row in rows if "job" in row and "record" not in row})
        found = await read_hashes(self._redis, (keys.job(join_ref(team, job)) for job in jobs))
        records = {job: unpacked(record) for job, record in zip(jobs, found, strict=True)}
        events: list[Event | Notice] = []
        for event_id, row in rows:
            with _skipping_unreadable(event_id):
                if "notice" in row:
                    events.append(read_notice(event_id, row))
                elif "record" in row or records[row["job"]]:
                    events.append(_read_event(event_id, row, records.get(row["job"], {})))
        return events
