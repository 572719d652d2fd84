"""Compares the charges of ended jobs with fal's billing events, and corrects differences."""

from contextlib import suppress

import structlog

from app.domain.errors import StoreUnavailable
from app.domain.jobs import Job, Money
from app.domain.ledger import Correction
from app.domain.limits import DAY_MS
from app.domain.money import format_usd
from app.fal.billing import MAX_IDS_PER_BILL, Bill
from app.fal.errors import UnusableAnswer
from app.gateway import Gateway
from workers.periodic import PeriodicTask

VISIBILITY_MS = 30_000  # longer than one call and its corrections take
GIVE_UP_AFTER_MS = DAY_MS  # after the end; a dispute is decided then too
PAUSES_MS = tuple(1000 * seconds for seconds in (60, 300, 1800, 7200, 21_600))
CLOCK_SKEW_MS = 3_600_000  # the greatest difference between fal's clock and ours

log = structlog.get_logger()


def billing_task(gateway: Gateway) -> PeriodicTask:
    """The periodic comparison with fal's bill in one process."""
    remedy = "FAL_ADMIN_KEY must be an admin key of fal's"
    return PeriodicTask(gateway, reconcile, step="billing", topic="billing", remedy=remedy)


async def reconcile(gateway: Gateway) -> Bill | UnusableAnswer | None:
    """Compare the due jobs with fal's bill; returns fal's reply, or None when no job was due.

    1. take up to 50 due jobs; other lanes do not see them meanwhile
    2. drop those without a record, or without a request at fal
    3. get the bill of the others in one call; without a usable reply they become due again
    4. billed: set the charge to fal's, which also ends a dispute; an error is logged for a difference
    5. not billed yet: check again later; give up a day after the end, with a warning where money was spent
    """
    now_ms, refs = await gateway.stores.due.take("billing", limit=MAX_IDS_PER_BILL, visibility_ms=VISIBILITY_MS)
    found = dict(zip(refs, await gateway.stores.jobs.get_many(refs), strict=True))
    jobs = {ref: job for ref, job in found.items() if job is not None and job.upstream_request_id is not None}
    await gateway.stores.due.drop("billing", [ref for ref in refs if ref not in jobs])
    if not jobs:
        return None
    bill = await gateway.fal.bill(
        [job.upstream_request_id or "" for job in jobs.values()],
        start_ms=min(job.submitted_ms or job.created_ms for job in jobs.values()) - CLOCK_SKEW_MS,
        end_ms=now_ms + CLOCK_SKEW_MS,
    )
    if isinstance(bill, UnusableAnswer):
        return bill
    done: list[str] = []
    later: dict[str, int] = {}
    for ref, job in jobs.items():
        actual = bill.micro.get(job.upstream_request_id or "")
        ready = _is_given_up(job, now_ms) if actual is None else await _settled(gateway, job, actual)
        if ready:
            done.append(ref)
        else:
            later[ref] = next_check_ms(job, now_ms)
    await gateway.stores.due.drop("billing", done)
    await gateway.stores.due.reschedule("billing", later)
    return bill


async def _settled(gateway: Gateway, job: Job, actual: int) -> bool:
    """Set the charge to what fal billed (micro-dollars); False when that must be tried again."""
    reason = f"fal billed {format_usd(actual)}"
    try:
        outcome, difference = await gateway.stores.ledger.correct(job, actual=actual, reason=reason, by="bill")
    except StoreUnavailable:
        raise
    except Exception:
        log.exception("billing.failed", **job.names)  # a failing job must not delay the others
        return False
    if outcome is Correction.CORRECTED:
        log.error(
            "billing.differs",
            **job.names,
            quoted=format_usd(job.quoted_micro),
            billed=format_usd(actual),
            corrected=format_usd(difference),
            billable_units=job.billable_units,
        )
        await _alarm_bill_differs(gateway, job, actual)
    elif outcome is Correction.BELOW:
        log.error("billing.below_zero", **job.names, billed=format_usd(actual))
    elif outcome is Correction.DECIDED:
        log.info("dispute.decided", **job.names, money="spent" if actual else "released", by="fal's bill")
    return outcome is not Correction.OPEN


async def _alarm_bill_differs(gateway: Gateway, job: Job, actual: int) -> None:
    """Raise an alarm, for each model once a day: fal's prices may have changed."""
    prices = f"${format_usd(actual)} for a job of {job.model} that was quoted ${format_usd(job.quoted_micro)}"
    sentence = f"fal billed {prices}; its charge was corrected."
    with suppress(StoreUnavailable):  # the charge is corrected
        await gateway.stores.alarms.raise_alarm(
            "bill_differs",
            sentence,
            job=job.id,
            upstream_request_id=job.upstream_request_id or "",
            once=f"bill_differs:{job.model}",
            quiet_ms=DAY_MS,
        )


def _is_given_up(job: Job, now_ms: int) -> bool:
    if now_ms < (job.completed_ms or now_ms) + GIVE_UP_AFTER_MS:
        return False
    if job.money is Money.SPENT:
        charged = format_usd(job.charged_micro or 0)
        log.warning("billing.missing", **job.names, charged=charged, billable_units=job.billable_units)
    return True


def next_check_ms(job: Job, now_ms: int) -> int:
    """The time of the next check: pauses grow from a minute to six hours; the last check is a day after the end."""
    end_ms = job.completed_ms or now_ms
    age_ms = now_ms - end_ms
    pause_ms = next((pause for pause in PAUSES_MS if pause > age_ms / 2), PAUSES_MS[-1])
    last_ms = end_ms + GIVE_UP_AFTER_MS
    return min(now_ms + pause_ms, last_ms) if now_ms < last_ms else now_ms + PAUSES_MS[-1]
