"""The store's content at one moment, read in three round trips, so that many checks cost one reading."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from app.domain.jobs import Job
from app.store import keys
from app.store.records import read_job
from tests.support.entries import whole

RQ_PREFIX = "rq:"
READ: dict[str, tuple[str | int, ...]] = {
    "hash": ("HGETALL",),
    "set": ("SMEMBERS",),
    "list": ("LRANGE", 0, -1),
    "stream": ("XRANGE", "-", "+"),
    "string": ("GET",),
    "zset": ("ZRANGE", 0, -1, "WITHSCORES"),
}


@dataclass(frozen=True)
class Snapshot:
    """Keys and their values, without RQ's own. Nothing may write while it is read.

    Attributes:
        now_ms: the store's time.
        values: a hash is a dict, a set a set, a sorted set a dict of scores, a stream a list of (id, fields);
            a ledger has its entries in full.
        mortal: the keys that have an expiry.
    """

    now_ms: int
    values: dict[str, Any]
    mortal: frozenset[str] = field(default=frozenset(), compare=False)

    @classmethod
    async def read(cls, redis: Any, *prefixes: str) -> "Snapshot":
        """Read every key, or those that begin with one of the prefixes."""
        names = sorted({name async for name in redis.scan_iter(count=1000) if not name.startswith(RQ_PREFIX)})
        names = [name for name in names if name.startswith(prefixes or "")]
        pipe = redis.pipeline(transaction=False)
        for name in names:
            pipe.type(name)
            pipe.ttl(name)
        facts = await pipe.execute()
        there = {name: (facts[2 * i], facts[2 * i + 1]) for i, name in enumerate(names) if facts[2 * i] != "none"}
        for name, (kind, _) in there.items():
            command, *more = READ[kind]
            pipe.execute_command(command, name, *more)
        pipe.time()
        *rows, (seconds, micro) = await pipe.execute()
        values = {}
        for (name, (kind, _)), value in zip(there.items(), rows, strict=True):
            if value:  # an empty one has expired since its type was read
                values[name] = _scores(value) if kind == "zset" else value
                if name.startswith(keys.ledger("")):
                    values[name] = whole(value)
        mortal = frozenset(name for name, (_, ttl) in there.items() if ttl >= 0)
        return cls(int(seconds) * 1000 + int(micro) // 1000, values, mortal)

    def get(self, name: str) -> Any:
        """The value of a key; an empty dict when it is missing."""
        return self.values.get(name, {})

    def named(self, prefix: str) -> Iterator[tuple[str, Any]]:
        """Name after the prefix, and value, of all keys that begin with it."""
        for name, value in self.values.items():
            if name.startswith(prefix):
                yield name.removeprefix(prefix), value

    def jobs(self) -> dict[str, Job]:
        """Every job record, by its ref."""
        return {ref: read_job(record) for ref, record in self.named(keys.JOB_PREFIX)}

    def without(self, *prefixes: str) -> dict[str, Any]:
        """The values of all keys that do not begin with one of the prefixes."""
        return {name: value for name, value in self.values.items() if not name.startswith(prefixes)}


def _scores(rows: Any) -> dict[str, float]:
    """Scores by member, from pairs or from a flat list, depending on the client's version."""
    pairs = rows if rows and not isinstance(rows[0], str) else zip(rows[::2], rows[1::2], strict=True)
    return {member: float(score) for member, score in pairs}
