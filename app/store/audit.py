"""The audit log: who did what, append-only, each line chained to the previous one by its hash."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from app.domain.audit import AuditLine, chain
from app.domain.errors import Unavailable
from app.store import keys, scripts
from app.store.client import Client
from app.store.clock import milliseconds
from app.store.commands import Command, Require
from app.store.connection import store_errors
from app.store.reads import read_stream
from app.store.replicas import unconfirmed

MAX_TRIES = 50  # while acts of other administrators come first
PAGE = 500


class AuditStore:
    """Commits administrative acts, each with its line in the log, and reads the log."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def act(
        self,
        actor: str,
        action: str,
        target: str,
        details: dict[str, Any],
        *,
        writes: Sequence[Command] = (),
        require: Sequence[Require] = (),
        notice: str = "",
    ) -> None:
        """Do the writes if every condition holds, write the event `notice` and the line, all or nothing.

        Raises:
            FilmgateError: that of the first condition that does not hold; nothing has changed.
        """
        for _ in range(MAX_TRIES):
            with store_errors():
                previous, last = await self._redis.hmget(keys.AUDIT_HEAD, "hash", "number")
                now_ms = milliseconds(*await self._redis.time())
            number = int(last or 0) + 1
            line = {
                "number": number,
                "at_ms": now_ms,
                "actor": actor,
                "action": action,
                "target": target,
                "details": details,
            }
            text = json.dumps(line, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
            with store_errors():
                answer, confirmed = await scripts.commit_admin(
                    self._redis,
                    previous=previous or "",
                    number=number,
                    hash=chain(previous or "", text),
                    entry=text,
                    conditions=json.dumps([required.condition for required in require]),
                    notice=notice,
                    writes=json.dumps([[str(part) for part in command] for command in writes]),
                )
            if answer[0] == "unmet":
                raise require[answer[1]].error
            if answer[0] == "done" and not confirmed:
                raise unconfirmed()
            if answer[0] == "done":
                return
        raise Unavailable("Many administrators act at once; try again in a moment.")

    async def page(self, *, before: str | None, count: int) -> list[AuditLine]:
        """Up to `count` lines, newest first, older than the line with the id `before`."""
        highest = "+" if before is None else f"({before}"
        with store_errors():
            rows = await self._redis.xrevrange(keys.AUDIT, max=highest, count=count)
        return [_line(line_id, row) for line_id, row in rows]

    async def lines(self, *, from_ms: int = 0, after: str | None = None) -> AsyncIterator[AuditLine]:
        """Every line from this time on, or after the line with this id, oldest first."""
        start = str(from_ms) if after is None else f"({after}"
        async for page in read_stream(self._redis, keys.AUDIT, start=start, count=PAGE):
            for line_id, row in page:
                yield _line(line_id, row)

    async def head(self) -> tuple[int, str]:
        """The number and the hash that the last line must have."""
        with store_errors():
            number, newest = await self._redis.hmget(keys.AUDIT_HEAD, "number", "hash")
        return int(number or 0), newest or ""


def _line(line_id: str, row: dict[str, str]) -> AuditLine:
    return AuditLine(line_id, int(row["number"]), row["hash"], row["entry"])
