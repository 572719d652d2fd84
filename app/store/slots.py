"""Slots at fal: granting them to jobs in line."""

from dataclasses import dataclass

from app.domain.ids import split_ref
from app.domain.traces import TraceParent, span_of, standard_id
from app.store import scripts
from app.store.client import Client
from app.store.connection import store_errors

GRANT_MS = 90_000  # a grant that is not claimed expires
GRANTS_AT_ONCE = 100
QUIET_MS = 15_000  # without a 429 of fal's, until the number of slots is raised by one


@dataclass(frozen=True, slots=True)
class Granted:
    """A job that has a slot now, and how long (ms) after its admission.

    `names` is what a log line names of it, `trace` where its spans belong; None for a job of an older version.
    """

    names: dict[str, str]
    trace: TraceParent | None
    waited_ms: int


class SlotStore:
    """Grants slots, up to `concurrency` or the lowest setting of all hosts."""

    def __init__(self, redis: Client, *, concurrency: int) -> None:
        self._redis = redis
        self._concurrency = concurrency

    async def grant(self) -> list[Granted]:
        """Grant free slots to the first in line, and tell to which."""
        with store_errors():
            rows = await scripts.grant_slots(
                self._redis,
                own_concurrency=self._concurrency,
                grant_ms=GRANT_MS,
                quiet_ms=QUIET_MS,
                limit=GRANTS_AT_ONCE,
            )
        return [_granted(*row) for row in rows]


def _granted(
    ref: str | None,
    user: str | None,
    key: str | None,
    trace_id: str | None,
    sampled: str | None,
    waited_ms: str | None,
) -> Granted:
    team, job = split_ref(ref or "")
    named = {"job": job, "team": team, "user": user, "key": key, "trace_id": trace_id}
    trace = None if trace_id is None else TraceParent(standard_id(trace_id), span_of(job), sampled == "1")
    return Granted({name: value for name, value in named.items() if value}, trace, int(waited_ms or 0))
