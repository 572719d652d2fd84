"""The job of a request of fal's."""

from app.domain.ids import join_ref
from app.store import keys
from app.store.client import Client
from app.store.packing import unpacked
from app.store.reads import read_hashes

REMEMBERED_MS = 2 * 86_400_000
PAGE = 1000  # records read at once


async def job_with_request(redis: Client, upstream_request_id: str) -> str | None:
    """Ref of the job of any team, ended ones too, that has this request, or None.

    There is no index of fal's ids: every stored record is read.
    """
    for team in sorted(await redis.smembers(keys.TEAMS)):
        ids = await redis.zrange(keys.team_jobs(team), 0, -1, desc=True)
        refs = [join_ref(team, job_id) for job_id in ids]
        for page in (refs[start : start + PAGE] for start in range(0, len(refs), PAGE)):
            records = await read_hashes(redis, map(keys.job, page))
            for ref, record in zip(page, records, strict=True):
                if unpacked(record).get("upstream_request_id") == upstream_request_id:
                    return ref
    return None


async def remember_request(redis: Client, ref: str, upstream_request_id: str) -> str | None:
    """Remember for two days that this job has this request; the ref of the job that had it before, or None."""
    name = keys.request(upstream_request_id)
    before = await redis.set(name, ref, nx=True, get=True, px=REMEMBERED_MS)
    return None if before == ref else before
