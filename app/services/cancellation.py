"""Cancelling a job, whoever asks for it: one of its team's keys, or an administrator."""

from app.domain.errors import Code, Conflict
from app.domain.jobs import LIVE, Job, Status
from app.store.admission import AdmissionStore
from app.store.jobs import NOW, JobStore


def already_ended() -> Conflict:
    """The refusal to cancel a job that has ended."""
    return Conflict("The job has already ended.", code=Code.ALREADY_ENDED)


async def cancel_job(job: Job, *, jobs: JobStore, admission: AdmissionStore) -> Job:
    """Cancel a job; Conflict when it has ended. The caller has checked who asks.

    1. queued: it ends at once and costs nothing
    2. otherwise record the request: the next step cancels at fal, and fal's answer decides how the job ends; a held
       job has no next step, so it stays held, and the request counts once its submission's outcome is known
    3. the state changed meanwhile: try again
    """
    while not job.status.ended:
        if job.status is Status.QUEUED:
            await jobs.cancel_queued(job)
            await admission.confirm()
        elif job.cancel_requested_ms is not None:
            return job
        else:
            await jobs.update(job, LIVE, due_step="poll", delay_ms=0, cancel_requested_ms=NOW)
        now = await jobs.get(job.ref)
        if now is None:
            break
        was_queued, job = job.status is Status.QUEUED, now
        if job.status is Status.CANCELED and was_queued:
            return job
    raise already_ended()
