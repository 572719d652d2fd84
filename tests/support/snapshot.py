"""The store's content at one moment, read in one round trip, so that many checks cost one reading."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from app.domain.jobs import Job
from app.store import keys
from app.store.records import read_job
from tests.support.entries import whole

RQ_PREFIX = "rq:"
ALL = """
-- The store's time; then name, type, lifetime and value of every key, without those that begin with ARGV[1].
-- When ARGV has more, only of those that begin with one of them.
local read = {
    hash = {'HGETALL'}, set = {'SMEMBERS'}, list = {'LRANGE', 0, -1}, stream = {'XRANGE', '-', '+'},
    string = {'GET'}, zset = {'ZRANGE', 0, -1, 'WITHSCORES'},
}
local found = redis.call('TIME')
for _, name in ipairs(redis.call('KEYS', '*')) do
    local wanted = #ARGV == 1
    for i = 2, #ARGV do wanted = wanted or name:sub(1, #ARGV[i]) == ARGV[i] end
    if wanted and name:sub(1, #ARGV[1]) ~= ARGV[1] then
        local kind = redis.call('TYPE', name).ok
        local command = read[kind]
        local value = redis.call(command[1], name, unpack(command, 2))
        for _, fact in ipairs({name, kind, redis.call('TTL', name), value}) do found[#found + 1] = fact end
    end
end
return found
"""


@dataclass(frozen=True)
class Snapshot:
    """Keys and their values, without RQ's own, as they were at one moment.

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
        seconds, micro, *facts = await redis.eval(ALL, 0, RQ_PREFIX, *prefixes)
        values, mortal = {}, set()
        for name, kind, ttl, value in sorted(zip(*[iter(facts)] * 4, strict=True), key=lambda fact: str(fact[0])):
            values[name] = MADE[kind](value)
            if name.startswith(keys.ledger("")):
                values[name] = whole(values[name])
            if ttl >= 0:
                mortal.add(name)
        return cls(int(seconds) * 1000 + int(micro) // 1000, values, frozenset(mortal))

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
        return self._jobs

    @cached_property
    def _jobs(self) -> dict[str, Job]:
        return {ref: read_job(record) for ref, record in self.named(keys.JOB_PREFIX)}

    def without(self, *prefixes: str) -> dict[str, Any]:
        """The values of all keys that do not begin with one of the prefixes."""
        return {name: value for name, value in self.values.items() if not name.startswith(prefixes)}


def _pairs(flat: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Names and values, which alternate in a script's answer."""
    return zip(*[iter(flat)] * 2, strict=True)


MADE: dict[str, Any] = {
    "string": str,
    "set": set,
    "list": list,
    "hash": lambda flat: dict(_pairs(flat)),
    "zset": lambda flat: {member: float(score) for member, score in _pairs(flat)},
    "stream": lambda rows: [(entry_id, dict(_pairs(flat))) for entry_id, flat in rows],
}
