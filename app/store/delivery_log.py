"""Deliveries as people look at them: found by what they are, with every attempt, and let go again."""

from collections.abc import Collection, Sequence

from app.domain.deliveries import (
    EARLIER_ATTEMPTS_KEPT,
    REPLAY_SPACING_MS,
    REPLAYS_KEPT,
    DeliveryStatus,
    Health,
    LogFilter,
    LoggedDelivery,
    Replay,
)
from app.domain.ids import join_ref, split_ref
from app.store import keys, scripts
from app.store.client import Client
from app.store.connection import store_errors
from app.store.deliveries import read_attempt, read_delivery
from app.store.reads import read_hashes

STRETCH = 200  # deliveries looked at in one go
SCAN_LIMIT = 5_000  # looked at by one request at most; its cursor goes on from there
REPLAYS_PER_SCRIPT = 100  # replayed by one script
DEAD: frozenset[DeliveryStatus] = frozenset({"dead"})

LogCursor = tuple[int, str]  # in a list: the time (ms) and the id of the last one looked at


class DeliveryLogStore:
    """Finds deliveries, reads them with their past, and lets them be sent again."""

    def __init__(self, redis: Client, *, retention_ms: int) -> None:
        self._redis = redis
        self._retention_ms = retention_ms

    async def get(self, team: str, delivery_id: str) -> LoggedDelivery | None:
        """The delivery, or None; without when it is due."""
        with store_errors():
            record = await self._redis.hgetall(keys.delivery(join_ref(team, delivery_id)))
        return _listed(team, record) if record else None

    async def read(self, team: str, ids: Sequence[str]) -> list[LoggedDelivery]:
        """These deliveries, in this order; what is forgotten is left out."""
        rows = await read_hashes(self._redis, (keys.delivery(join_ref(team, delivery_id)) for delivery_id in ids))
        records = [row for row in rows if row]
        with store_errors():
            pipe = self._redis.pipeline(transaction=False)
            for record in records:
                pipe.zscore(keys.waiting(record["destination"]), join_ref(team, record["id"]))
            due = await pipe.execute()
        where = sorted({record["destination"] for record in records})
        health = dict(zip(where, await self.health(where), strict=True))
        return [
            _listed(team, record, _not_before(due_ms, health[record["destination"]]))
            for record, due_ms in zip(records, due, strict=True)
        ]

    async def health(self, destinations: Sequence[str]) -> list[Health]:
        """How each of these destinations does."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=False)
            for destination in destinations:
                pipe.hmget(keys.destination(destination), "failures", "since_ms", "open_until")
            rows = await pipe.execute()
        return [
            Health(int(failures or 0), int(since_ms) if since_ms else None, int(until_ms) if until_ms else None)
            for failures, since_ms, until_ms in rows
        ]

    async def ids_of_job(self, team: str, job_id: str) -> list[str]:
        """The ids of a job's deliveries, the oldest first."""
        with store_errors():
            return await self._redis.lrange(keys.deliveries(join_ref(team, job_id)), 0, -1)

    async def find(
        self, team: str, wanted: LogFilter, *, after: LogCursor | None, count: int, newest_first: bool
    ) -> tuple[list[str], LogCursor | None]:
        """Up to `count` ids of wanted deliveries beyond a place in the list; and the place to go on from.

        1. choose the smallest list that holds them all: dead letters, the endpoint's, or the team's
        2. look at a stretch of it; keep what is wanted
        3. stop when one more than `count` was found, the list ends (no place), or enough was looked at
        """
        found: list[LogCursor] = []
        place = after
        for _ in range(0, SCAN_LIMIT, STRETCH):
            rows = await self._stretch(team, wanted, after=place, newest_first=newest_first)
            for row, fits in zip(rows, await self._fit(team, wanted, rows), strict=True):
                if fits and len(found) == count:
                    return [one[1] for one in found], found[-1]
                place = row
                if fits:
                    found.append(row)
            if len(rows) < STRETCH:
                return [one[1] for one in found], None
        return [one[1] for one in found], place

    async def ready(self, team: str, ids: Sequence[str], *, endpoints: Collection[str]) -> list[str]:
        """Those of these deliveries that go to one of these endpoints, or to an address that a job names."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=False)
            for delivery_id in ids:
                pipe.hget(keys.delivery(join_ref(team, delivery_id)), "destination")
            where = [split_ref(destination or "")[1] for destination in await pipe.execute()]
        return [one for one, name in zip(ids, where, strict=True) if name in endpoints or name.startswith("host:")]

    async def replay(self, team: str, ids: Sequence[str], *, by: str, spread: bool) -> list[str]:
        """Send these again, now or spread over time; the ids of those that were there and not on their way."""
        done: list[str] = []
        for start in range(0, len(ids), REPLAYS_PER_SCRIPT):
            with store_errors():
                done += await scripts.replay_deliveries(
                    self._redis,
                    dead=keys.dead(team),
                    team=team,
                    user=by,
                    spacing_ms=REPLAY_SPACING_MS if spread else 0,
                    retention_ms=self._retention_ms,
                    attempts_kept=EARLIER_ATTEMPTS_KEPT,
                    replays_kept=REPLAYS_KEPT,
                    rest=ids[start : start + REPLAYS_PER_SCRIPT],
                )
        return done

    async def consume_rate(self, owner: str, what: str, *, a_minute: int) -> int:
        """Take one of so many turns a minute; 0, or how long to wait for one (ms)."""
        with store_errors():
            return await scripts.consume_rate(
                self._redis, rate=keys.rate(owner, what), step_ms=60_000 // a_minute, burst=a_minute
            )

    async def _stretch(
        self, team: str, wanted: LogFilter, *, after: LogCursor | None, newest_first: bool
    ) -> list[LogCursor]:
        """The next STRETCH entries of the list beyond a place; fewer at its end. Ties are in the order of ids."""
        name, low, high = _list_of(team, wanted)
        if after is not None:
            low, high = (low, str(after[0])) if newest_first else (str(after[0]), high)
        found: list[LogCursor] = []
        offset = 0
        while len(found) < STRETCH:
            with store_errors():
                rows = await self._redis.zrange(
                    name,
                    high if newest_first else low,
                    low if newest_first else high,
                    desc=newest_first,
                    byscore=True,
                    offset=offset,
                    num=STRETCH,
                    withscores=True,
                )
            offset += len(rows)
            places = [(int(score), delivery_id) for delivery_id, score in rows]
            found += [one for one in places if after is None or (one < after if newest_first else one > after)]
            if len(rows) < STRETCH:
                break
        return found[:STRETCH]

    async def _fit(self, team: str, wanted: LogFilter, rows: Sequence[LogCursor]) -> list[bool]:
        """For each of these, whether it is wanted; what is forgotten is not."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=False)
            for _, delivery_id in rows:
                pipe.hmget(
                    keys.delivery(join_ref(team, delivery_id)), "status", "type", "destination", "created_ms"
                )
            facts = await pipe.execute()
        return [_fits(team, wanted, *fact) for fact in facts]


def _list_of(team: str, wanted: LogFilter) -> tuple[str, str, str]:
    """The list to look through, and the lowest and highest time in it; who died did so after it was written."""
    low = "-inf" if wanted.from_ms is None else str(wanted.from_ms)
    if wanted.statuses == DEAD:
        return keys.dead(team), low, "+inf"
    owner = team if wanted.endpoint is None else join_ref(team, wanted.endpoint)
    return keys.outbox(owner), low, "+inf" if wanted.to_ms is None else f"({wanted.to_ms}"


def _fits(
    team: str,
    wanted: LogFilter,
    status: DeliveryStatus | None,
    kind: str | None,
    destination: str | None,
    created_ms: str | None,
) -> bool:
    if status is None or created_ms is None:
        return False
    return (
        (wanted.statuses is None or status in wanted.statuses)
        and (wanted.events is None or kind in wanted.events)
        and (wanted.endpoint is None or destination == join_ref(team, wanted.endpoint))
        and (wanted.from_ms is None or int(created_ms) >= wanted.from_ms)
        and (wanted.to_ms is None or int(created_ms) < wanted.to_ms)
    )


def _listed(team: str, record: dict[str, str], next_ms: float | None = None) -> LoggedDelivery:
    return LoggedDelivery(
        delivery=read_delivery(team, record),
        earlier=tuple(map(read_attempt, _numbered(record, "earlier", record.get("earlier")))),
        replays=tuple(map(_read_replay, _numbered(record, "replay", record.get("replays")))),
        died_ms=int(record["died_ms"]) if "died_ms" in record else None,
        next_ms=None if next_ms is None else int(next_ms),
    )


def _not_before(due_ms: float | None, health: Health) -> float | None:
    """When a delivery is tried: not while the breaker of its destination is open."""
    return due_ms if due_ms is None or health.probe_ms is None else max(due_ms, health.probe_ms)


def _numbered(record: dict[str, str], name: str, count: str | None) -> list[str]:
    """The entries `name:1` … of a record that are still kept."""
    names = (f"{name}:{number}" for number in range(1, int(count or 0) + 1))
    return [record[name] for name in names if name in record]


def _read_replay(text: str) -> Replay:
    at_ms, by, status = text.split(" ")
    known: DeliveryStatus = "due" if status == "due" else "dead" if status == "dead" else "delivered"
    return Replay(int(at_ms), by, known)
