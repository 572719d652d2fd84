"""The number of the store's data format, the programs that use it, and the migration of its records."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.domain.data_format import UNNUMBERED
from app.domain.ids import join_ref
from app.domain.jobs import TERMINAL_STATES, Money
from app.store import keys, scripts
from app.store.client import Client
from app.store.clock import milliseconds
from app.store.commands import flatten
from app.store.connection import store_errors
from app.store.job_indexes import Position
from app.store.packing import is_old_form, repacked
from app.store.reads import pairs
from app.store.records import read_job

PROGRAM_ALIVE_MS = 60_000  # a process notes itself every ten seconds
MAX_TRIES = 5  # for a record that callers change meanwhile


@dataclass(frozen=True, slots=True)
class FormatState:
    """The number of the store's format, since when (ms) and by which version; None for what is not known.

    During a migration: `to`, its number; `team` and `before`, how far it has come (teams in the order of their ids,
    each team's jobs from the newest); `changed`, how many records it has written.
    """

    number: int
    raised_ms: int | None
    version: str | None
    to: int | None
    team: str
    before: Position | None
    changed: int


@dataclass(frozen=True, slots=True)
class Program:
    """A process that uses the store: its data format, its version, its role, and `host:pid`."""

    format: int
    version: str
    role: str
    name: str


class DataFormatStore:
    """Reads and raises the number, and rewrites records page by page."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def state(self) -> FormatState:
        """The present state."""
        names = ("number", "raised_ms", "version", "to", "team", "before_ms", "before_id", "changed")
        with store_errors():
            number, raised, version, to, team, at, job, changed = await self._redis.hmget(keys.DATA_FORMAT, names)
        return FormatState(
            number=int(number or UNNUMBERED),
            raised_ms=int(raised) if raised else None,
            version=version,
            to=int(to) if to else None,
            team=team or "",
            before=(int(at), job or "") if at else None,
            changed=int(changed or 0),
        )

    async def note_program(self, program: Program) -> int:
        """Record that this process is alive; the number of the store's format."""
        text = f"{program.format} {program.version} {program.role} {program.name}"
        with store_errors():
            number = await scripts.note_program(self._redis, program=text, alive_ms=PROGRAM_ALIVE_MS)
        return int(number or UNNUMBERED)

    async def programs(self) -> list[Program]:
        """The processes that are alive, of versions that note themselves."""
        with store_errors():
            oldest = milliseconds(*await self._redis.time()) - PROGRAM_ALIVE_MS
            found = await self._redis.zrangebyscore(keys.PROGRAMS, oldest, "+inf")
        words = [member.split(" ", 3) for member in sorted(found)]
        return [Program(int(number), version, role, name) for number, version, role, name in words]

    async def teams(self) -> list[str]:
        """The ids of all teams, deleted ones too, in order."""
        with store_errors():
            return sorted(await self._redis.smembers(keys.TEAMS))

    async def keep_position(self, to: int, team: str, before: Position | None, *, changed: int) -> None:
        """Write how far the migration to the format `to` has come; the next process continues there."""
        at_ms, job = before or ("", "")
        fields = {"to": to, "team": team, "before_ms": at_ms, "before_id": job, "changed": changed}
        with store_errors():
            await self._redis.execute_command("HSET", keys.DATA_FORMAT, *flatten(fields))

    async def raise_number(self, *, before: int, to: int, version: str) -> bool:
        """Raise the number at the end of a migration; False when another process has done it."""
        with store_errors():
            return await scripts.raise_format(
                self._redis, unnumbered=UNNUMBERED, before=before, to=to, version=version
            )

    async def repack_page(self, team: str, before: Position | None, *, rows: int) -> tuple[Position | None, int]:
        """Pack the ended jobs of one page of a team that are in an older form; from the newest.

        Returns how far it came, None for the end of the team's jobs, and how many records it wrote.
        """
        with store_errors():
            _, reached, _, found = await scripts.scan_jobs(
                self._redis,
                index=keys.team_jobs(team),
                team=team,
                before_ms=None if before is None else before[0],
                before_id="" if before is None else before[1],
                limit=rows,
                rows=rows,
                from_ms=None,
                rest=(),
            )
            written = 0
            for job_id, _, *flat in found:
                written += await self._repack(keys.job(join_ref(team, job_id)), flat)
        return (int(reached[1]), reached[0]) if reached else None, written

    async def _repack(self, name: str, flat: Sequence[str]) -> bool:
        """Pack the record that was read as `flat`; read it again when it has changed."""
        for _ in range(MAX_TRIES):
            new = _packed_anew(flat)
            if new is None:
                return False
            if await scripts.repack_record(self._redis, job=name, digest=_digest(flat), packed=new[0], rest=new[1]):
                return True
            flat = [part for pair in (await self._redis.hgetall(name)).items() for part in pair]
        return False


def _packed_anew(flat: Sequence[str]) -> tuple[bytes, list[str]] | None:
    """The record's packed part and its other fields; None where it is to stay as it is.

    A record that would read otherwise afterwards, or that cannot be read, stays.
    """
    record = pairs(flat)
    decided = record.get("status") in TERMINAL_STATES and record.get("money") in {Money.SPENT, Money.RELEASED}
    if not decided or not is_old_form(record):
        return None
    try:
        made = repacked(record)
        if made is None:
            return None
        before, after = read_job(record), read_job({**pairs(made[1]), "z0": _as_text(made[0])})
    except (ValueError, TypeError, KeyError):
        return None
    before = replace(  # as without what only live jobs have
        before,
        start_timeout_ms=None,
        cancel_sent_ms=None,
        misses=0,
        polled_ms=None,
        pending_output=None,
        copy_failures=0,
    )
    same = before == after and (before.starts or before.periods) == (after.starts or after.periods)
    return made if same else None


def _as_text(packed: bytes) -> str:
    return packed.decode("utf-8", "surrogateescape")


def _digest(flat: Sequence[str]) -> str:
    whole = b"".join(text.encode("utf-8", "surrogateescape") + b"\0" for text in flat)
    return hashlib.sha1(whole, usedforsecurity=False).hexdigest()
