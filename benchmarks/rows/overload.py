"""Row "overload": five times the submissions of the peak, and the cost of a status, a list, a refusal."""

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from app.domain.accounts import USER_SCOPES, Scope
from benchmarks.figures import Figure, Options, Target, at_least, at_most, spread_of
from benchmarks.flood import REFUSED, Flood, Report, Stream, StreamResult, flood
from benchmarks.gateway import Served, serving
from benchmarks.load import bodies
from benchmarks.processes import cores, cpu_seconds, keep_to, say

ROW = "overload"
ROUNDS = 3
SECONDS = 18.0  # of flood in all rounds
QUICK_SECONDS = 12.0
TIMES = 5
WARM_UP_S = 3.0
SEARCH_S = 4.0
PEAK_S = 6.0  # of each round
PEAK_CONNECTIONS = (16, 32, 48)  # connections that each send one after the other; the best number gives the peak
FLOOD_CONNECTIONS = 1000  # connections of the flood
GOOD = ("200", "202")
AIMED = ("status", "cancel")
STATUSES, LISTS, CANCELS, ENDPOINTS = 50.0, 5.0, 2.0, 2.0  # a second
FROM_SENT = "from when it was sent"


@dataclass(frozen=True, slots=True)
class Round:
    """A peak and the flood after it.

    Attributes:
        peak: accepted submissions in one second, at most.
        accepted_s: CPU seconds of the API for each of them.
        seconds: of the flood.
        flooded: the flood's report; `probed` that of the other calls.
        api: cores used by the API during the flood; `store` by the store.
    """

    peak: float
    accepted_s: float
    seconds: float
    flooded: Report
    probed: Report
    api: float
    store: float

    @property
    def submitted(self) -> StreamResult:
        """The result of the flood."""
        return self.flooded.streams["submit"]

    @property
    def refusal_s(self) -> float:
        """CPU seconds of the API for one refusal: the rest, when an accepted one costs what it did at the peak."""
        refused = sum(self.submitted.statuses.get(status, 0) for status in REFUSED)
        return (self.api - self.accepted_s * self.submitted.accepted) * self.seconds / max(1, refused)


async def measure(folder: Path, options: Options) -> list[Figure]:
    """The peak, then five times that, at a rate independent of replies; in turns, because machines change.

    1. where CPU affinity can be set, the API process has its own core
    2. of three numbers of connections, the one with which most submissions are accepted
    3. in each round the peak with it, then five times that, with statuses, lists and cancels from another process
    """
    length = options.seconds or (QUICK_SECONDS if options.quick else SECONDS)
    async with serving(folder) as served:
        core = _pin(served)
        probes = await _probes(served, length)
        steady = [probe for probe in probes if probe.name != "cancel"]
        connections = await _connections(served, core, steady)
        rounds = []
        for number in range(ROUNDS):
            peak, accepted_s = await _peak(served, core, steady, connections, PEAK_S)
            rounds.append(
                await _flood(served, core, _part(probes, number), peak, accepted_s, seconds=length / ROUNDS)
            )
    return [*_flooded(rounds), *_probed(rounds), *_machine(core, rounds)]


def _pin(served: Served) -> int | None:
    """Pin the API to one core and the store to the last but one; the core for the generators, or None."""
    found = cores()
    if len(found) < 2:
        return None
    keep_to(served.api.pid, found[0])
    keep_to(served.store.pid, found[1])
    return found[-1]


async def _connections(served: Served, core: int | None, probes: list[Stream]) -> int:
    """With how many connections most submissions are accepted."""
    await _peak(served, core, probes, PEAK_CONNECTIONS[0], WARM_UP_S)
    found = {count: (await _peak(served, core, probes, count, SEARCH_S))[0] for count in PEAK_CONNECTIONS}
    return max(found, key=lambda count: found[count])


async def _peak(
    served: Served, core: int | None, probes: list[Stream], connections: int, seconds: float
) -> tuple[float, float]:
    """Submissions accepted per second next to the other calls; the API's CPU seconds for each."""
    submissions = Stream("submit", [_submission(served)], connections)
    before = cpu_seconds(served.api.pid)
    report, _ = await asyncio.gather(
        flood(Flood(served.port, seconds, [submissions], core)),
        flood(Flood(served.port, seconds, probes, core)),
    )
    result = report.streams["submit"]
    say(f"overload: {result.accepted:.0f}/s over {connections} connections, p99 {result.served[1]:.0f} ms")
    return result.accepted, (cpu_seconds(served.api.pid) - before) / (seconds * result.accepted)


async def _flood(
    served: Served, core: int | None, probes: list[Stream], peak: float, accepted_s: float, *, seconds: float
) -> Round:
    say(f"overload: {TIMES * peak:.0f} a second for {seconds:.0f} s")
    submission = Stream("submit", [_submission(served)], FLOOD_CONNECTIONS, rate=TIMES * peak)
    before, store = cpu_seconds(served.api.pid), cpu_seconds(served.store.pid)
    flooded, probed = await asyncio.gather(
        flood(Flood(served.port, seconds, [submission], core)),
        flood(Flood(served.port, seconds, probes, core)),
    )
    api = (cpu_seconds(served.api.pid) - before) / seconds
    store = (cpu_seconds(served.store.pid) - store) / seconds
    say(json.dumps({name: result.statuses for name, result in {**flooded.streams, **probed.streams}.items()}))
    return Round(peak, accepted_s, seconds, flooded, probed, api, store)


async def _probes(served: Served, seconds: float) -> list[Stream]:
    """Other calls: status, lists, cancels; each cancel is of another job."""
    jobs = await served.submit(2 * int(CANCELS * seconds) + 20 * ROUNDS)
    administration = served.inside.administration
    user = (await administration.users())[0]
    admin = await administration.add_key("benchmark", user=user.id, scopes=USER_SCOPES | {Scope.TEAM_ADMIN})
    return [
        Stream("status", [served.request("GET", f"/v1/jobs/{job}") for job in jobs], 30, STATUSES),
        Stream("cancel", [served.request("POST", f"/v1/jobs/{job}/cancel") for job in jobs], 10, CANCELS),
        Stream("list", [served.request("GET", "/v1/jobs?limit=20")], 10, LISTS),
        Stream("endpoints", [served.request("GET", "/v1/webhook-endpoints", key=admin.key)], 10, ENDPOINTS),
    ]


def _submission(served: Served) -> str:
    (body,) = bodies("flood", 1)
    return served.request("POST", "/v1/jobs", json.dumps(body))


def _part(probes: list[Stream], number: int) -> list[Stream]:
    """The other calls of one round: a job is cancelled once."""
    return [
        replace(probe, requests=probe.requests[number::ROUNDS]) if probe.name == "cancel" else probe
        for probe in probes
    ]


def _levels(name: str, due: list[list[float]], sent: list[list[float]], target: Target | None) -> list[Figure]:
    """p50 and p99 since the due time, and since sending; of each the middle one of the rounds that have some."""
    due, sent = [one for one in due if one], [one for one in sent if one]
    if not due:
        return []
    return [
        Figure(
            ROW,
            f"{name}, {title}",
            "ms",
            median(one[level] for one in due),
            median(one[level] for one in sent),
            FROM_SENT,
            judged,
            spread_of(one[level] for one in due),
        )
        for level, title, judged in ((0, "p50", None), (1, "p99", target))
    ]


def _middle(
    name: str, unit: str, rounds: Iterable[Round], of: Callable[[Round], float], target: Target | None = None
) -> Figure:
    """The middle one of the rounds, with the lowest and the highest."""
    values = [of(one) for one in rounds]
    return Figure(ROW, name, unit, median(values), target=target, spread=spread_of(values))


def _flooded(rounds: list[Round]) -> list[Figure]:
    found = [one.submitted for one in rounds]
    offered = f"offered in one second, {TIMES} times that"
    return [
        _middle("submissions accepted in one second, at most", "1/s", rounds, lambda one: one.peak),
        _middle(offered, "1/s", rounds, lambda one: one.submitted.due / one.seconds),
        _middle("accepted in one second meanwhile", "1/s", rounds, lambda one: one.submitted.accepted),
        _middle(
            "accepted, of the most", "%", rounds, lambda one: 100 * one.submitted.accepted / one.peak, at_least(80)
        ),
        Figure(ROW, "never sent", "", sum(one.unsent for one in found)),
        Figure(ROW, "without an answer", "", sum(one.unanswered for one in found)),
        *_levels("a refusal", [one.refused for one in found], [one.refused_sent for one in found], at_most(50)),
        *_levels("an accepted submission", [one.served for one in found], [one.served_sent for one in found], None),
        _middle("CPU of the API for one accepted, at the peak", "us", rounds, lambda one: 1e6 * one.accepted_s),
        _middle("CPU of the API for one refusal, what is left", "us", rounds, lambda one: 1e6 * one.refusal_s),
    ]


def _probed(rounds: list[Round]) -> list[Figure]:
    figures = []
    for name in rounds[0].probed.streams:
        found = [one.probed.streams[name] for one in rounds]
        target = at_most(300) if name in AIMED else None
        figures += _levels(name, [one.served for one in found], [one.served_sent for one in found], target)
        due, lost = sum(one.due for one in found), sum(map(_lost, found))
        figures.append(Figure(ROW, f"{name}, refused or lost, of {due:,}", "", lost))
    return figures


def _lost(result: StreamResult) -> int:
    return result.due - sum(result.statuses.get(status, 0) for status in GOOD)


def _machine(core: int | None, rounds: list[Round]) -> list[Figure]:
    where = "cores, shared by all" if core is None else "cores"
    return [
        _middle("CPU of the API", where, rounds, lambda one: one.api),
        _middle("CPU of the store", where, rounds, lambda one: one.store),
        _middle("CPU of the flood", where, rounds, lambda one: one.flooded.cores),
        _middle("CPU of the others", where, rounds, lambda one: one.probed.cores),
        _middle("the flood's own delay, p99, from due to sent", "ms", rounds, lambda one: one.submitted.late[1]),
        _middle(
            "the others' own delay, p99, from due to sent",
            "ms",
            rounds,
            lambda one: one.probed.streams["status"].late[1],
        ),
    ]
