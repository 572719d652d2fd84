"""What the storage keeps, by team: every file with its size, and when it is deleted.

A file is counted before its first byte is written, and forgotten after its object is deleted. So whatever process
dies in between, no object stays that nobody knows.
"""

from collections.abc import Sequence

from app.domain.errors import Code, Forbidden
from app.domain.kept_files import StorageUse, team_of
from app.store import keys, scripts
from app.store.client import Client
from app.store.connection import store_errors

ARRIVAL_MS = 2 * 3_600_000  # for a file to arrive; parts and copies may take an hour
LONGER_MS = 3_600_000  # than a job of the same age, so that its clip outlives its record
HIDDEN_MS = 120_000  # a deletion that was not confirmed is tried again
LIVE_MS = 86_400_000


class KeptFileStore:
    """Counts the files in the storage. Their names are those of `app/domain/kept_files.py`."""

    def __init__(self, redis: Client, *, retention_ms: int) -> None:
        self._redis = redis
        self._retention_ms = retention_ms

    async def hold(self, name: str, size: int, *, lifetime_ms: int = ARRIVAL_MS) -> None:
        """Count a file of this size (bytes) that is about to be written; a name that is there is replaced.

        Unless it is kept by then, it is deleted after `lifetime_ms`.

        Raises:
            Forbidden: `over_storage`, the team's storage limit is reached.
        """
        await self._hold(name, size, lifetime_ms, only_ask=False)

    async def require_room(self, name: str, size: int) -> None:
        """Forbidden, as `hold` would raise it for a file of this size; nothing is counted."""
        await self._hold(name, size, ARRIVAL_MS, only_ask=True)

    async def _hold(self, name: str, size: int, lifetime_ms: int, *, only_ask: bool) -> None:
        team = team_of(name)
        with store_errors():
            outcome, used, held, limit = await scripts.hold_file(
                self._redis,
                team=keys.team(team),
                file=name,
                team_id=team,
                size=size,
                lifetime_ms=lifetime_ms,
                only_ask=only_ask,
            )
        if outcome == "over":
            use = StorageUse(int(used), int(held), None if limit is None else int(limit))
            raise Forbidden(use.sentence(size), code=Code.OVER_STORAGE)

    async def keep(self, name: str, size: int) -> int:
        """Record that a held file was written, and keep it for its team's retention.

        How long (ms) it stays; 0 when it was dropped meanwhile, or came too late: it is deleted.
        """
        with store_errors():
            return await scripts.keep_file(
                self._redis,
                file=name,
                team_id=team_of(name),
                size=size,
                retention_ms=self._retention_ms,
                longer_ms=LONGER_MS,
            )

    async def discount(self, names: Sequence[str]) -> None:
        """Count held files with no bytes: what they are joined to is counted. They stay until their time."""
        if names:
            with store_errors():
                await scripts.discount_files(self._redis, rest=names)

    async def drop(self, names: Sequence[str]) -> None:
        """Have files deleted soon, whether or not the storage answers now; also those that are not counted."""
        if names:
            with store_errors():
                await scripts.drop_files(self._redis, rest=names)

    async def take_due(self, limit: int) -> list[str]:
        """Up to `limit` files whose time is over; taken again in two minutes unless `forget` says they are gone."""
        with store_errors():
            return await scripts.take_files(self._redis, limit=limit, hidden_ms=HIDDEN_MS, live_ms=LIVE_MS)

    async def forget(self, names: Sequence[str]) -> None:
        """Forget files whose objects are deleted."""
        if names:
            with store_errors():
                await scripts.forget_files(self._redis, rest=names)

    async def kept_of(self, names: Sequence[str]) -> frozenset[str]:
        """Those of these files that are in the storage."""
        if not names:
            return frozenset()
        with store_errors():
            states = await self._redis.hmget(keys.KEPT_SIZES, names)
        return frozenset(
            name for name, state in zip(names, states, strict=True) if (state or "").startswith("used ")
        )

    async def use(self, team: str) -> StorageUse:
        """The team's bytes and its limit."""
        return (await self.use_of([team]))[0]

    async def use_of(self, teams: Sequence[str]) -> list[StorageUse]:
        """The same of each of these teams, at once."""
        if not teams:
            return []
        with store_errors():
            pipe = self._redis.together()
            pipe.hmget(keys.KEPT_BYTES, [f"{team} {what}" for team in teams for what in ("used", "held")])
            for team in teams:
                pipe.hmget(keys.team(team), ["storage_bytes"])
            numbers, *limits = await pipe.execute()
        found = [int(number or 0) for number in numbers]
        of_teams = [int(limit or -1) for (limit,) in limits]
        return [
            StorageUse(used, held, None if limit < 0 else limit)
            for used, held, limit in zip(found[::2], found[1::2], of_teams, strict=True)
        ]
