"""The page of /metrics: what the processes of a host have counted, and, from one process, the whole installation.

The first process that is asked answers for the installation, and goes on while it is asked; when it ends, the next
one that is asked follows within ten seconds. So a sum over all instances counts nothing twice.
"""

import asyncio
import os
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from pydantic import SecretStr

from app import __version__
from app.domain.alarms import KINDS, Alarm
from app.domain.buying import ALL_TEAMS, EPOCH, Buying
from app.domain.errors import StoreUnavailable
from app.domain.heartbeats import ROLES, STORAGE_ROLES
from app.domain.money import MICRO
from app.metrics.cells import own_totals
from app.metrics.kinds import OTHER
from app.metrics.port import serve_port
from app.metrics.processes import process_use
from app.metrics.table import MOST_TEAMS
from app.metrics.text import Page, render
from app.store.alarms import AlarmStore
from app.store.buying import BuyingStore
from app.store.figures import Figures, FigureStore, TeamFigures
from app.store.leases import LeaseStore
from app.store.line import LineStore
from app.tasks import cancel_and_wait, every_second

LEASE = "metrics"
ELECTED_MS = 10_000
ASKED_S = 120.0  # a process that nobody has asked for so long does not stay elected
RENEW_S = 3.0

Rows = dict[tuple[str, ...], float]


def own_process() -> dict[str, int]:
    """This process alone, an API's."""
    return {"api": os.getpid()}


@dataclass(slots=True, kw_only=True)
class Metrics:
    """Makes the page. `totals` are the numbers of this host's processes, `processes` their ids by name."""

    figures: FigureStore
    leases: LeaseStore
    alarms: AlarmStore
    buying: BuyingStore
    line: LineStore
    totals: Callable[[], Sequence[float]] = own_totals
    processes: Callable[[], Mapping[str, int]] = own_process
    _asked_at: float = field(default=-ASKED_S, init=False)
    _elected_at: float | None = field(default=None, init=False)

    async def page(self, accept: str) -> Page:
        """The page in the form that this Accept header asks for; no installation while the store is away."""
        self._asked_at = time.monotonic()
        readings: dict[str, Rows] = self._host()
        answered, elected = True, False
        try:
            elected = await self._elect()
            if elected:
                readings |= await self._installation()
        except StoreUnavailable:
            answered = elected = False
        readings["filmgate_store_up"] = {(): float(answered)}
        readings["filmgate_answers_for_installation"] = {(): float(elected)}
        return await asyncio.to_thread(render, self.totals(), readings, accept=accept)

    @asynccontextmanager
    async def serving(self, host: str, port: int | None, *, token: SecretStr | None) -> AsyncIterator[None]:
        """While entered: stay elected while somebody asks; listen on a port of its own, if there is one."""
        tasks = [asyncio.create_task(every_second(self.keep_elected))]
        if port is not None:
            tasks.append(asyncio.create_task(serve_port(host, port, token=token, page=self.page)))
        try:
            yield
        finally:
            await cancel_and_wait(*tasks)
            with suppress(StoreUnavailable):
                await self.leave()

    async def keep_elected(self) -> None:
        """Stay the one that answers, while somebody asks; to be called about every second."""
        now = time.monotonic()
        if self._elected_at is not None and now - self._elected_at >= RENEW_S and now - self._asked_at < ASKED_S:
            await self._elect()

    async def leave(self) -> None:
        """Let another process answer from now on."""
        if self._elected_at is not None:
            self._elected_at = None
            await self.leases.leave(LEASE)

    async def _elect(self) -> bool:
        elected = await self.leases.take(LEASE, ms=ELECTED_MS)
        self._elected_at = time.monotonic() if elected else None
        return elected

    def _host(self) -> dict[str, Rows]:
        use = {name: found for name, pid in self.processes().items() if (found := process_use(pid)) is not None}
        return {
            "filmgate_build_info": {(__version__,): 1.0},
            "filmgate_process_resident_memory_bytes": {(name,): float(one.memory) for name, one in use.items()},
            "filmgate_process_cpu_seconds_total": {(name,): one.cpu_s for name, one in use.items()},
            "filmgate_process_open_fds": {(name,): float(one.open_fds) for name, one in use.items()},
        }

    async def _installation(self) -> dict[str, Rows]:
        figures = await self.figures.read()
        held, oldest = await self.line.held()
        teams = shown_teams(figures.teams)
        names = await self.figures.names([team.id for team in teams if team.id != OTHER])
        return {
            **_of_teams(figures.now_ms, teams, names),
            **_of_money(figures),
            **_of_buying(await self.buying.state()),
            "filmgate_held_jobs": {(): float(held)},
            "filmgate_held_oldest_seconds": {(): _age_s(figures.now_ms, oldest[1] if oldest else None)},
            "filmgate_quarantined_steps": {(): float(len(figures.quarantined))},
            "filmgate_quarantined_oldest_seconds": {
                (): _age_s(figures.now_ms, min(figures.quarantined, default=None))
            },
            "filmgate_due": {(step,): float(due.refs) for step, due in figures.due.items()},
            "filmgate_due_late_seconds": {
                (step,): _age_s(figures.now_ms, due.first_ms) for step, due in figures.due.items()
            },
            "filmgate_alarms_active": _of_alarms(await self.alarms.active()),
            **_of_workers(figures),
            **_of_store(figures),
        }


def shown_teams(teams: Sequence[TeamFigures]) -> list[TeamFigures]:
    """The teams that are shown, and one that stands for all others; those with nothing at all are left out."""
    used = [team for team in teams if team.queued or team.reserved or team.spent]
    used.sort(key=lambda team: (-team.queued, -team.spent, team.id))
    shown, rest = used[:MOST_TEAMS], used[MOST_TEAMS:]
    if rest:
        oldest = min((team.oldest_ms for team in rest if team.oldest_ms), default=0)
        reserved, spent = sum(team.reserved for team in rest), sum(team.spent for team in rest)
        shown.append(TeamFigures(OTHER, reserved, spent, sum(team.queued for team in rest), oldest))
    return shown


def _of_teams(now_ms: int, teams: Sequence[TeamFigures], names: Mapping[str, str]) -> dict[str, Rows]:
    return {
        "filmgate_queue_jobs": {(team.id,): float(team.queued) for team in teams},
        "filmgate_queue_oldest_seconds": {(team.id,): _age_s(now_ms, team.oldest_ms or None) for team in teams},
        "filmgate_team_reserved_usd": {(team.id,): team.reserved / MICRO for team in teams},
        "filmgate_team_spent_usd": {(team.id,): team.spent / MICRO for team in teams},
        "filmgate_team_info": {(team.id, names.get(team.id, OTHER)): 1.0 for team in teams},
    }


def _of_money(figures: Figures) -> dict[str, Rows]:
    return {
        "filmgate_reserved_usd": {(): figures.reserved / MICRO},
        "filmgate_spent_usd": {(): figures.spent / MICRO},
        "filmgate_ledger_drift_usd": {(): figures.drift / MICRO},
    }


def _of_buying(buying: Buying) -> dict[str, Rows]:
    state = "open" if buying.breaker is not None else "half_open" if buying.half_open else "closed"
    stops = {
        "breaker": buying.breaker is not None,
        "held": buying.breaker is None and buying.stopped is not None,
        "epoch": EPOCH in buying.pauses,
        "paused": ALL_TEAMS in buying.pauses,
        "silent": buying.silent,
    }
    return {
        "filmgate_in_flight_jobs": {(): float(buying.used)},
        "filmgate_slots": {(): float(buying.slots)},
        "filmgate_slots_configured": {(): float(buying.configured)},
        "filmgate_breaker": {(name,): float(name == state) for name in ("closed", "half_open", "open")},
        "filmgate_breaker_failures": {(): float(buying.failures)},
        "filmgate_buying_stopped": {(reason,): float(stopped) for reason, stopped in stops.items()},
        "filmgate_paused_teams": {(): float(len(buying.pauses.keys() - {EPOCH, ALL_TEAMS}))},
        "filmgate_lane_heartbeat_seconds": {} if buying.silent_ms is None else {(): buying.silent_ms / 1000},
    }


def _of_alarms(active: Sequence[Alarm]) -> Rows:
    """By kind and severity; only alarms with a state can be active."""
    counts = Counter(alarm.kind for alarm in active)
    return {(row.kind, row.severity): float(counts[row.kind]) for row in KINDS.values() if row.ends}


def _of_workers(figures: Figures) -> dict[str, Rows]:
    beats: defaultdict[str, Mapping[str, int]] = defaultdict(dict, figures.heartbeats)
    roles = [role for role in STORAGE_ROLES if role in ROLES or beats[role]]  # clips are kept, or they are not
    hosts = {name.rpartition(":")[0] for role in roles for name in beats[role]}
    return {
        "filmgate_workers": {(role,): float(len(beats[role])) for role in roles},
        "filmgate_worker_hosts": {(): float(len(hosts))},
        "filmgate_worker_heartbeat_seconds": {
            (role,): _age_s(figures.now_ms, max(beats[role].values())) for role in roles if beats[role]
        },
    }


def _of_store(figures: Figures) -> dict[str, Rows]:
    store, backup_ms = figures.store, figures.backup_ms
    return {
        "filmgate_kept_bytes": {(): float(figures.kept_bytes)},
        "filmgate_backup_age_seconds": {} if backup_ms is None else {(): _age_s(figures.now_ms, backup_ms)},
        "filmgate_data_format": {(): float(figures.data_format)},
        "filmgate_store_memory_bytes": {(): float(store.memory)},
        "filmgate_store_memory_limit_bytes": {(): float(store.memory_limit)},
        "filmgate_store_clients": {(): float(store.clients)},
        "filmgate_store_replicas": {(): float(store.replicas)},
        "filmgate_store_keys": {(): float(store.keys)},
        "filmgate_store_save_ok": {(): float(store.save_ok)},
        "filmgate_store_commands_total": {(): float(store.commands)},
    }


def _age_s(now_ms: int, since_ms: int | None) -> float:
    """Seconds since then; 0 for the future, and without a time."""
    return 0.0 if since_ms is None else max(0.0, (now_ms - since_ms) / 1000)
