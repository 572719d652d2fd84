"""Row "overload": five times the submissions of the peak, and the cost of a status, a list, a refusal."""

import asyncio
import json
from pathlib import Path

from app.domain.accounts import USER_SCOPES, Scope
from benchmarks.figures import Figure, Options, Target, at_least, at_most
from benchmarks.flood import REFUSED, Flood, Report, Stream, StreamResult, flood
from benchmarks.gateway import Served, serving
from benchmarks.load import bodies
from benchmarks.processes import cores, cpu_seconds, keep_to, say

ROW = "overload"
SECONDS = 20.0
QUICK_SECONDS = 8.0
TIMES = 5
WARM_UP_S = 3.0
SEARCH_S = 4.0
PEAK_S = 12.0
PEAK_CONNECTIONS = (16, 32, 48)  # connections that each send one after the other; the best number gives the peak
FLOOD_CONNECTIONS = 1000  # connections of the flood
GOOD = ("200", "202")
AIMED = ("status", "cancel")
STATUSES, LISTS, CANCELS, ENDPOINTS = 50.0, 5.0, 2.0, 2.0  # a second
FROM_SENT = "from when it was sent"


async def measure(folder: Path, options: Options) -> list[Figure]:
    """The peak first, then five times that, at a rate independent of replies.

    1. where CPU affinity can be set, the API process has its own core
    2. the peak: accepted submissions in one second, with the best of three numbers of connections
    3. five times that for twenty seconds, with statuses, lists and cancels from another process
    """
    length = options.seconds or (QUICK_SECONDS if options.quick else SECONDS)
    async with serving(folder) as served:
        core = _pin(served)
        probes = await _probes(served, length)
        peak, cpu = await _peak(served, core, [probe for probe in probes if probe.name != "cancel"])
        say(f"overload: {peak:.0f} a second at most; {TIMES * peak:.0f} a second for {length:.0f} s")
        submission = Stream("submit", [_submission(served)], FLOOD_CONNECTIONS, rate=TIMES * peak)
        before, store = cpu_seconds(served.api.pid), cpu_seconds(served.store.pid)
        flooded, probed = await asyncio.gather(
            flood(Flood(served.port, length, [submission], core)),
            flood(Flood(served.port, length, probes, core)),
        )
        api = (cpu_seconds(served.api.pid) - before) / length
        store = (cpu_seconds(served.store.pid) - store) / length
    say(json.dumps({name: result.statuses for name, result in {**flooded.streams, **probed.streams}.items()}))
    return [
        *_flooded(flooded.streams["submit"], peak, length),
        *_costs(flooded.streams["submit"], cpu, api * length, length),
        *_probed(probed.streams),
        *_machine(core, api, store, flooded, probed),
    ]


def _pin(served: Served) -> int | None:
    """Pin the API to one core and the store to the last but one; the core for the generators, or None."""
    found = cores()
    if len(found) < 2:
        return None
    keep_to(served.api.pid, found[0])
    keep_to(served.store.pid, found[1])
    return found[-1]


async def _peak(served: Served, core: int | None, probes: list[Stream]) -> tuple[float, float]:
    """Submissions accepted per second next to the other calls; the API's CPU seconds for each.

    The best number of connections is found first, then measured: the best of short rounds would be a lucky one.
    """
    await _round(served, core, probes, PEAK_CONNECTIONS[0], WARM_UP_S)
    found = {count: (await _round(served, core, probes, count, SEARCH_S))[0] for count in PEAK_CONNECTIONS}
    return await _round(served, core, probes, max(found, key=lambda count: found[count]), PEAK_S)


async def _round(
    served: Served, core: int | None, probes: list[Stream], connections: int, seconds: float
) -> tuple[float, float]:
    submissions = Stream("submit", [_submission(served)], connections)
    before = cpu_seconds(served.api.pid)
    report, _ = await asyncio.gather(
        flood(Flood(served.port, seconds, [submissions], core)),
        flood(Flood(served.port, seconds, probes, core)),
    )
    result = report.streams["submit"]
    say(f"overload: {result.accepted:.0f}/s over {connections} connections, p99 {result.served[1]:.0f} ms")
    return result.accepted, (cpu_seconds(served.api.pid) - before) / (seconds * result.accepted)


async def _probes(served: Served, seconds: float) -> list[Stream]:
    """Other calls: status, lists, cancels; each cancel is of another job."""
    jobs = await served.submit(2 * int(CANCELS * seconds) + 20)
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


def _levels(name: str, due: list[float], sent: list[float], target: Target | None) -> list[Figure]:
    """p50 and p99 since the due time, and since sending."""
    if not due:
        return []
    return [
        Figure(ROW, f"{name}, p50", "ms", due[0], sent[0], FROM_SENT),
        Figure(ROW, f"{name}, p99", "ms", due[1], sent[1], FROM_SENT, target),
    ]


def _flooded(result: StreamResult, peak: float, seconds: float) -> list[Figure]:
    return [
        Figure(ROW, "submissions accepted in one second, at most", "1/s", peak),
        Figure(ROW, f"offered in one second, {TIMES} times that", "1/s", result.due / seconds),
        Figure(ROW, "accepted in one second meanwhile", "1/s", result.accepted),
        Figure(ROW, "accepted, of the most", "%", 100 * result.accepted / peak, target=at_least(80)),
        Figure(ROW, "never sent", "", result.unsent),
        Figure(ROW, "without an answer", "", result.unanswered),
        *_levels("a refusal", result.refused, result.refused_sent, at_most(50)),
        *_levels("an accepted submission", result.served, result.served_sent, None),
    ]


def _costs(result: StreamResult, accepted_s: float, api_s: float, seconds: float) -> list[Figure]:
    """CPU of the API; that of a refusal is the rest, when an accepted one costs what it did at the peak."""
    refused = sum(result.statuses.get(status, 0) for status in REFUSED)
    rest = api_s - accepted_s * result.accepted * seconds
    return [
        Figure(ROW, "CPU of the API for one accepted, at the peak", "us", 1e6 * accepted_s),
        Figure(ROW, "CPU of the API for one refusal, what is left", "us", 1e6 * rest / max(1, refused)),
    ]


def _probed(streams: dict[str, StreamResult]) -> list[Figure]:
    found = []
    for name, result in streams.items():
        target = at_most(300) if name in AIMED else None
        found += _levels(name, result.served, result.served_sent, target)
        lost = result.unsent + result.unanswered + result.due - sum(result.statuses.get(good, 0) for good in GOOD)
        found.append(Figure(ROW, f"{name}, refused or lost, of {result.due:,}", "", lost))
    return found


def _machine(core: int | None, api: float, store: float, flooded: Report, probed: Report) -> list[Figure]:
    where = "cores, shared by all" if core is None else "cores"
    shares = {"the API": api, "the store": store, "the flood": flooded.cores, "the others": probed.cores}
    late = flooded.streams["submit"].late
    return [
        *(Figure(ROW, f"CPU of {name}", where, used) for name, used in shares.items()),
        Figure(ROW, "the flood's own delay, p99, from due to sent", "ms", late[1]),
        Figure(ROW, "the others' own delay, p99, from due to sent", "ms", probed.streams["status"].late[1]),
    ]
