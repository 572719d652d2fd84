"""Row "streams": 5,000 event streams on one API process, and submissions meanwhile."""

import asyncio
import json
from pathlib import Path

from app.domain.accounts import USER_SCOPES, Scope
from benchmarks.figures import Figure, Options, at_most, percentile, times_the_peer
from benchmarks.flood import Flood, Stream, flood
from benchmarks.gateway import Served, serving
from benchmarks.load import bodies
from benchmarks.processes import NotMeasured, cpu_seconds, pss_bytes, say
from benchmarks.watchers import Order, Watched, watching
from tests.support.accounts import new_account

ROW = "streams"
STREAMS, QUICK_STREAMS = 5000, 500
WITH_ONE_KEY = 20  # the most that one may have
JOBS = 50
SECONDS = 20.0
SUBMISSIONS, CANCELS = 20.0, 1.0  # a second
LAST_S = 3.0


async def measure(folder: Path, options: Options) -> list[Figure]:
    """Half of the streams follow one team; the others watch one job each, of fifty jobs of this team.

    1. submissions of another team and cancellations of this one, at a steady rate, without a stream
    2. all streams are opened; memory of the API process before and after
    3. the same rate again: each cancellation is an event for half of all streams and for the job's watchers
    """
    count = QUICK_STREAMS if options.quick else STREAMS
    seconds = SECONDS / 2 if options.quick else SECONDS
    async with serving(folder) as served:
        watched, others = await served.submit(JOBS), await served.submit(JOBS)
        before = await _busy(served, others, seconds)
        memory = pss_bytes(served.api.pid)
        async with watching(Order(served.port, await _streams(served, watched, count))) as streams:
            await asyncio.sleep(LAST_S)
            each = (pss_bytes(served.api.pid) - memory) / count
            say(f"streams: {count:,} are open, {each / 1024:.0f} KB each")
            cpu = cpu_seconds(served.api.pid)
            meanwhile = await _busy(served, watched, seconds)
            cpu = (cpu_seconds(served.api.pid) - cpu) / seconds
            await asyncio.sleep(LAST_S)
            seen = await streams.seen(seconds=60)
    if seen.lost or not seen.ms:
        raise NotMeasured(f"{seen.lost} streams ended without an event; {len(seen.ms)} events arrived.")
    peer = "the same without streams"
    return [
        Figure(ROW, f"memory of the API for one of {count:,} streams", "KB", each / 1024, target=at_most(30)),
        Figure(ROW, "event to its arrival at each stream, p50", "ms", percentile(seen.ms, 0.5)),
        Figure(
            ROW, "event to its arrival at each stream, p99", "ms", percentile(seen.ms, 0.99), target=at_most(1000)
        ),
        Figure(ROW, "events that arrived", "", len(seen.ms)),
        Figure(ROW, "submission meanwhile, p50", "ms", meanwhile[0], before[0], peer),
        Figure(ROW, "submission meanwhile, p99", "ms", meanwhile[1], before[1], peer, times_the_peer(2)),
        Figure(ROW, "CPU of the API meanwhile", "cores", cpu),
    ]


async def _busy(served: Served, jobs: list[str], seconds: float) -> list[float]:
    """Submissions of another team, and cancellations of these jobs; p50 and p99 of a submission in ms."""
    (body,) = bodies("streams", 1)
    account = await new_account(served.inside.administration, team_name="another", user_name="submits")
    submission = served.request("POST", "/v1/jobs", json.dumps(body), key=account.key)
    cancels = [served.request("POST", f"/v1/jobs/{job}/cancel") for job in jobs]
    streams = [Stream("submit", [submission], 20, SUBMISSIONS), Stream("cancel", cancels, 10, CANCELS)]
    report = await flood(Flood(served.port, seconds, streams))
    submitted, canceled = report.streams["submit"], report.streams["cancel"]
    if submitted.statuses.keys() != {"202"} or canceled.unanswered or not canceled.served:
        raise NotMeasured(f"Submissions got {submitted.statuses}, cancellations {canceled.statuses}.")
    return submitted.served


async def _streams(served: Served, jobs: list[str], count: int) -> list[Watched]:
    """Followers of the team and watchers of each job; a key has as many as it may."""
    paths = [f"/v1/jobs/{jobs[number % JOBS]}/events" if number % 2 else "/v1/events" for number in range(count)]
    scopes = USER_SCOPES | {Scope.TEAM_READ}
    keys = [
        (await served.inside.administration.add_key("benchmark", user=served.user, scopes=scopes)).key
        for _ in range(0, count, WITH_ONE_KEY)
    ]
    return [Watched(path, keys[number // WITH_ONE_KEY]) for number, path in enumerate(paths)]
