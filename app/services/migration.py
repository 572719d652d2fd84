"""Migrations: bring the store's data to this version's format, online, in steps of a few milliseconds.

A step reads a page, rewrites what is in an older form, and writes down how far it came. Each record is compared
when it is replaced, and a step that runs twice changes nothing more, so a migration may be killed at any point and
several hosts may run it: an election only keeps them from doing the work twice.
"""

import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import structlog

from app import __version__
from app.domain.data_format import FORMAT, refusal, unreadable_for
from app.machine import process_name
from app.store.data_format import DataFormatStore, FormatState, Program
from app.store.job_indexes import Position
from app.store.leases import LeaseStore

LEASE = "migration"
LEASE_MS = 2_000  # a step takes milliseconds, and may run twice
PAGE = 100  # jobs a step; the store is busy for a few milliseconds

OTHER_PROCESS = "Another process migrates the store."
NOTE_EVERY_S = 10.0  # a process that was not noted for a minute counts as gone

log = structlog.get_logger()

# One page of a team's jobs, older than a position: how far it came (None: the team's end), how many it wrote.
PageStep = Callable[[DataFormatStore, str, Position | None], Awaitable[tuple[Position | None, int]]]


async def pack_records(store: DataFormatStore, team: str, before: Position | None) -> tuple[Position | None, int]:
    """To format 2: records of ended jobs are packed."""
    return await store.repack_page(team, before, rows=PAGE)


STEPS: Mapping[int, PageStep] = {2: pack_records}


@dataclass(frozen=True, slots=True)
class Progress:
    """The result of a step. `waits_for` is the sentence about what it waits for, or None."""

    number: int
    changed: int
    done: bool
    waits_for: str | None = None


@dataclass(slots=True)
class Migrator:
    """Migrates a store to the format `to`. `steps` are by the format that they make."""

    store: DataFormatStore
    leases: LeaseStore
    to: int = FORMAT
    steps: Mapping[int, PageStep] = field(default_factory=lambda: STEPS)
    _noted: float | None = None
    _warned: str = ""

    async def state(self) -> FormatState:
        """The store's format, and how far a migration has come."""
        return await self.store.state()

    async def note(self, role: str) -> None:
        """Record every ten seconds that this process uses the store, and log when it cannot read the store."""
        now = time.monotonic()
        if self._noted is not None and now - self._noted < NOTE_EVERY_S:
            return
        number = await self.store.note_program(Program(self.to, __version__, role, process_name(os.getpid())))
        self._noted = now
        self._warn(refusal(number, version=__version__, own=self.to) or "")

    async def programs(self) -> list[Program]:
        """The processes that use the store."""
        return await self.store.programs()

    async def advance(self, seconds: float) -> bool:
        """Take steps for so long; True when the store has the format. What it waits for is logged once."""
        end = time.monotonic() + seconds
        while True:
            progress = await self.step()
            self._warn(progress.waits_for or "")
            if progress.done or progress.waits_for is not None or time.monotonic() > end:
                return progress.done

    def _warn(self, sentence: str) -> None:
        if sentence not in {"", self._warned, OTHER_PROCESS}:
            log.warning("format.waits", why=sentence)
        self._warned = sentence

    async def step(self) -> Progress:
        """Take one step.

        1. done when the number is reached
        2. wait while a process is alive that could not read the new format, or while another process migrates
        3. begin with the format before: a version that does not make this one's form may have written since
        4. rewrite one page, and write down how far it came; after the last team raise the number

        StoreUnavailable: take it again.
        """
        state = await self.store.state()
        if state.number >= self.to:
            return Progress(state.number, state.changed, done=True)
        refused = refusal(state.number, version=__version__, own=self.to)
        if refused is not None:
            return Progress(state.number, 0, done=False, waits_for=refused)
        target = state.number + 1
        waits_for = await self._obstacle(target)
        if waits_for is not None:
            return Progress(state.number, state.changed, done=False, waits_for=waits_for)
        resumed = state.to == target
        team, before, changed = (state.team, state.before, state.changed) if resumed else ("", None, 0)
        teams = [one for one in await self.store.teams() if one >= team]
        if teams:
            team, before = teams[0], before if teams[0] == team else None
            before, written = await self._page(target, team, before)
            changed += written
        following = [team] if before else teams[1:2]
        if following:
            await self.store.keep_position(target, following[0], before, changed=changed)
            return Progress(state.number, changed, done=False)
        if await self.store.raise_number(before=state.number, to=target, version=__version__):
            log.warning("format.raised", number=target, changed=changed)
        await self.leases.leave(LEASE)
        return Progress(target, changed, done=target >= self.to)

    async def _page(self, target: int, team: str, before: Position | None) -> tuple[Position | None, int]:
        """Rewrite one page of a team; how far it came (None: the team's end), and how many records were written."""
        reached, changed = None, 0
        for number in (target - 1, target):
            if number in self.steps:
                reached, written = await self.steps[number](self.store, team, before)
                changed += written
        return reached, changed

    async def _obstacle(self, target: int) -> str | None:
        """Why the migration cannot go on at the moment; None when this process may migrate."""
        for program in await self.store.programs():
            if target >= unreadable_for(program.format):
                return (
                    f"{program.role} {program.name} runs filmgate {program.version}, which cannot read data format "
                    f"{target}; stop it, or upgrade it."
                )
        return None if await self.leases.take(LEASE, ms=LEASE_MS) else OTHER_PROCESS
