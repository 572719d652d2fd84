"""The delivery log: deliveries by filter, with every attempt, and their replay."""

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
from app.store.reads import Place, read_hashes, read_scored

PAGE = 200  # deliveries read at once
SCAN_LIMIT = 5_000  # deliveries read by one request; its cursor continues there
REPLAYS_PER_SCRIPT = 100
DEAD: frozenset[DeliveryStatus] = frozenset({"dead"})

LogCursor = Place  # the time (ms) and the id of the last delivery read


class DeliveryLogStore:
    """Finds deliveries, reads them with their history, and replays them."""

    def __init__(self, redis: Client, *, retention_ms: int) -> None:
        self._redis = redis
        self._retention_ms = retention_ms

    async def get(self, team: str, delivery_id: str) -> LoggedDelivery | None:
        """The delivery, or None; `next_ms` is not filled in."""
        with store_errors():
            record = await self._redis.hgetall(keys.delivery(join_ref(team, delivery_id)))
        return _listed(team, record) if record else None

    async def read(self, team: str, ids: Sequence[str]) -> list[LoggedDelivery]:
        """These deliveries, in this order; those that have expired are left out."""
        rows = await read_hashes(self._redis, (keys.delivery(join_ref(team, delivery_id)) for delivery_id in ids))
        records = [row for row in rows if row]
        with store_errors():
            pipe = self._redis.together()
            for record in records:
                pipe.zscore(keys.waiting(record["destination"]), join_ref(team, record["id"]))
            due = await pipe.execute()
        destinations = sorted({record["destination"] for record in records})
        health = dict(zip(destinations, await self.health(destinations), strict=True))
        return [
            _listed(team, record, _not_before(due_ms, health[record["destination"]]))
            for record, due_ms in zip(records, due, strict=True)
        ]

    async def health(self, destinations: Sequence[str]) -> list[Health]:
        """The health of each of these destinations."""
        with store_errors():
            pipe = self._redis.together()
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
        """Up to `count` ids of wanted deliveries after a cursor, and the cursor to continue from (None: the end).

        1. choose the smallest list that contains them all: dead letters, the endpoint's, or the team's
        2. read a page of it; keep the wanted ones
        3. stop when one more than `count` was found, the list ends, or SCAN_LIMIT were read
        """
        found: list[LogCursor] = []
        cursor = after
        name, low, high = _list_of(team, wanted)
        for _ in range(0, SCAN_LIMIT, PAGE):
            rows = await read_scored(
                self._redis, name, low=low, high=high, after=cursor, count=PAGE, newest_first=newest_first
            )
            for row, matches in zip(rows, await self._matches(team, wanted, rows), strict=True):
                if matches and len(found) == count:
                    return [delivery_id for _, delivery_id in found], found[-1]
                cursor = row
                if matches:
                    found.append(row)
            if len(rows) < PAGE:
                cursor = None
                break
        return [delivery_id for _, delivery_id in found], cursor

    async def replayable(self, team: str, ids: Sequence[str], *, endpoints: Collection[str]) -> list[str]:
        """Those of these deliveries that go to one of these endpoints, or to a job's own address."""
        with store_errors():
            pipe = self._redis.together()
            for delivery_id in ids:
                pipe.hget(keys.delivery(join_ref(team, delivery_id)), "destination")
            names = [split_ref(destination or "")[1] for destination in await pipe.execute()]
        return [
            delivery_id
            for delivery_id, name in zip(ids, names, strict=True)
            if name in endpoints or name.startswith("host:")
        ]

    async def replay(self, team: str, ids: Sequence[str], *, by: str, spread: bool) -> list[str]:
        """Replay these, now or spread over time; the ids of those that exist and were not in flight."""
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
        """Count one use of a rate of `a_minute`; 0, or the time (ms) to wait where the rate is exceeded."""
        with store_errors():
            return await scripts.consume_rate(
                self._redis, rate=keys.rate(owner, what), step_ms=60_000 // a_minute, burst=a_minute
            )

    async def _matches(self, team: str, wanted: LogFilter, rows: Sequence[LogCursor]) -> list[bool]:
        """For each of these, whether it is wanted; expired ones are not."""
        with store_errors():
            pipe = self._redis.together()
            for _, delivery_id in rows:
                pipe.hmget(
                    keys.delivery(join_ref(team, delivery_id)), "status", "type", "destination", "created_ms"
                )
            fields = await pipe.execute()
        return [_is_wanted(team, wanted, *values) for values in fields]


def _list_of(team: str, wanted: LogFilter) -> tuple[str, str, str]:
    """The list to read, and its lowest and highest time; a delivery dies after it was written."""
    low = "-inf" if wanted.from_ms is None else str(wanted.from_ms)
    if wanted.statuses == DEAD:
        return keys.dead(team), low, "+inf"
    owner = team if wanted.endpoint is None else join_ref(team, wanted.endpoint)
    return keys.outbox(owner), low, "+inf" if wanted.to_ms is None else f"({wanted.to_ms}"


def _is_wanted(
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
    """The time (ms) of the next attempt: not while the breaker of the destination is open."""
    return due_ms if due_ms is None or health.probe_ms is None else max(due_ms, health.probe_ms)


def _numbered(record: dict[str, str], name: str, count: str | None) -> list[str]:
    """The fields `name:1` … of a record that are still stored."""
    names = (f"{name}:{number}" for number in range(1, int(count or 0) + 1))
    return [record[name] for name in names if name in record]


def _read_replay(text: str) -> Replay:
    at_ms, by, word = text.split(" ")
    status: DeliveryStatus = "due" if word == "due" else "dead" if word == "dead" else "delivered"
    return Replay(int(at_ms), by, status)
