"""Jobs that no step ends: a quarantined step waits for an operator, and the deadline ends its job."""

from contextlib import suppress
from typing import Literal

import structlog

from app.domain.errors import StoreUnavailable
from app.domain.ids import ref_names, split_ref
from app.domain.jobs import Charge, Job, JobError, Status
from app.gateway import Gateway
from app.store.jobs import GIVE_UP_MS
from app.store.quarantine import Quarantined

log = structlog.get_logger()


async def alarm_quarantined(gateway: Gateway, step: Quarantined) -> None:
    """Raise the alarm of a quarantined step; `filmgate jobs aside` lists it too."""
    _, name = split_ref(step.ref)
    remedy = "it waits for `filmgate jobs release` or `filmgate jobs resolve`, and its deadline ends it"
    if step.step == "deliver":
        remedy = "it is a dead letter until a replay or `filmgate jobs release`"
    if step.step == "keep":
        remedy = "its files stay at fal, for a week, until `filmgate jobs release`"
    sentence = f"The step {step.step} of {name} failed or ended its worker too often; {remedy}."
    log.error("step.set_aside", step=step.step, **ref_names(step.ref), exc_info=step.__cause__)
    with suppress(StoreUnavailable):
        count = len(await gateway.stores.quarantine.steps())
        job = name if step.step != "deliver" else ""
        await gateway.stores.alarms.raise_alarm("quarantined", sentence, job=job, level=count)


def last_moment_ms(job: Job) -> int:
    """When a job at fal is given up: an hour after its deadline and its adoption."""
    return max(job.deadline_ms, job.submitted_ms or 0) + GIVE_UP_MS


async def give_up(gateway: Gateway, job: Job) -> bool:
    """End a job that fal never ended, long after its deadline; False when it has ended meanwhile.

    fal may charge it: its money is disputed until fal's bill or a day decides, and an alarm is raised.
    """
    wanted = job.cancel_requested_ms is not None
    status: Literal[Status.CANCELED, Status.FAILED] = Status.CANCELED if wanted else Status.FAILED
    sentence = "fal never said how the job ended, and its deadline has long passed; fal may still charge it."
    error = JobError("canceled" if wanted else "deadline_exceeded", sentence, retryable=not wanted)
    if not await gateway.stores.jobs.end(
        job, (Status.RUNNING, Status.FINALIZING), status, charge=Charge.DISPUTE, error=error
    ):
        return False
    log.error("job.given_up", **job.names, was=job.status.value)
    with suppress(StoreUnavailable):  # the end is written, and the log has it
        await gateway.stores.alarms.raise_alarm(
            "given_up", sentence, job=job.id, upstream_request_id=job.upstream_request_id or ""
        )
    return True
