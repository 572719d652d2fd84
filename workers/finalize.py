"""The step `finalize`: fal's result decides how a job ends; status and money are settled together."""

import json
import time
from contextlib import suppress
from typing import Any, Literal, TypeAlias

import structlog

from app import tracing
from app.crash import crash_point
from app.domain.clips import files_of, is_kept, new_secret
from app.domain.errors import StoreUnavailable
from app.domain.fal_addresses import FalHosts
from app.domain.jobs import Charge, Job, JobError, Status
from app.fal.protocol import Result, names_output, read_output
from app.gateway import Gateway
from app.store.buying import FAR_MS
from app.store.jobs import UNTIL
from app.store.records import Made
from app.telemetry import note
from workers.ceilings import charge_of, settle_ceiling
from workers.poll import MISSING_STATUS
from workers.quarantine import last_moment_ms
from workers.runtime import Runtime

READS_AT_ONCE = 8
LEASE_MS = 15_000  # longer than one read of a result
MAX_READS = 3  # of a result that is missing, or fails at fal
RETRY_MS = 2_000
# For the copies of a job's files; it then ends with them at fal. Of a longer wait, the sweep thinks it is a fault.
COPY_WAIT_MS = FAR_MS - 60_000
GIVE_UP_MARGIN_MS = 60_000  # before its last moment, at which it would fail
OK = 200
STILL_RUNNING_CODE = 400
ACCEPTED_CODE = 202  # of fal's queue: it still runs
INCONCLUSIVE_CODES = {401, 403, 408, 429}
MAX_TEXT = 300
MAX_ENTRIES = 5  # of a model's errors
MEDIA_DAYS_MS = 7 * 86_400_000  # fal documents that it keeps clips for at least a week

log = structlog.get_logger()


async def finalize_all(runtime: Runtime, refs: list[str]) -> None:
    """Finalize the jobs of one task, a few at a time."""
    await runtime.run_each(finalize, refs, at_once=READS_AT_ONCE, alone="finalize")


async def finalize(gateway: Gateway, ref: str) -> None:
    """End one job whose generation has completed at fal.

    1. lease the job for one read, unless another task has it
    2. read the result, unless that was done and the job has waited for its files to be copied
    3. without a reply, or with a missing result: try again later
    4. judge the result. With FILMGATE_STORAGE_WAIT, let its files be copied first, for a while
    5. settle: status, money, outbox, event in one script
    """
    async with gateway.stores.quarantine.lease("finalize", ref, hidden_ms=LEASE_MS) as leased_ms:
        if leased_ms:
            await _finalize(gateway, ref)


async def _finalize(gateway: Gateway, ref: str) -> None:
    job = await gateway.stores.jobs.get(ref)
    if job is None or job.status is not Status.FINALIZING or job.upstream_request_id is None:
        await gateway.stores.due.drop("finalize", [ref])
        return
    note(**job.names)
    began_ns = time.time_ns()
    if job.pending_output is not None:
        read = Result(OK, None, None, job.billable_units)
        await _settle(gateway, job, read, (Status.SUCCEEDED, Charge.SPEND, None, job.pending_output))
        return
    result = await gateway.fal.result(job.model, job.upstream_request_id)
    if result is None or _is_inconclusive(result) or _may_recover(result, job):
        outage = result is None or _is_inconclusive(result)  # not the job's fault, however long it lasts
        misses = job.misses + (0 if outage else 1)
        await gateway.stores.jobs.update(
            job, (Status.FINALIZING,), due_step="finalize", delay_ms=RETRY_MS, misses=misses
        )
        return
    crash_point("finalize.read")
    verdict = judge(job, result, hosts=gateway.fal.hosts)
    if not await _waits_for_copies(gateway, job, result, verdict):
        await _settle(gateway, job, result, verdict)
    tracing.record_step(job, "finalize", began_ns=began_ns, attributes={"http.response.status_code": result.status})
    crash_point("finalize.settled")


def _is_inconclusive(result: Result) -> bool:
    """True for a reply that is not about the job's end: it still runs, fal is busy, or refuses our key."""
    if result.status == STILL_RUNNING_CODE:
        return bool(_detail(result.body) == "Request is still in progress")
    if result.status == ACCEPTED_CODE:
        return not names_output(result.body)
    return result.status in INCONCLUSIVE_CODES or result.status // 100 in {1, 3}  # not final, or a redirect


def _may_recover(result: Result, job: Job) -> bool:
    """True for the first few reads of a missing or failing result."""
    gone = result.status in {404, 410} or (result.status >= 500 and result.error_type is None)  # noqa: PLR2004  HTTP
    return gone and job.misses < MAX_READS


async def _waits_for_copies(gateway: Gateway, job: Job, result: Result, verdict: "Verdict") -> bool:
    """True when a job with files goes on once they are copied, or its time for that is over; it holds no slot.

    What fal said is kept in the record, so that it is not read again.
    """
    status, _, _, output = verdict
    if not gateway.settings.storage_wait or status is not Status.SUCCEEDED or is_kept(output):
        return False
    left_ms = last_moment_ms(job) - await gateway.stores.clock.now_ms() - GIVE_UP_MARGIN_MS
    if left_ms <= 0:
        return False
    await gateway.stores.due.add("keep", [job.ref])
    return await gateway.stores.jobs.update(
        job,
        (Status.FINALIZING,),
        due_step="finalize",
        delay_ms=min(COPY_WAIT_MS, left_ms),
        pending_output=output,
        billable_units=result.billable_units,
    )


async def _settle(gateway: Gateway, job: Job, result: Result, verdict: "Verdict") -> None:
    status, proven, error, output = verdict
    charge = charge_of(job, proven)
    made = await _made(gateway, job, output, result.billable_units)
    ended = await gateway.stores.jobs.finish(job, status, charge=charge, error=error, made=made)
    if status is Status.SUCCEEDED:
        with suppress(StoreUnavailable):  # the end is written, and its dispute is decided later
            await settle_ceiling(gateway, job, result, output)
    if error is not None and error.code == "bad_upstream_result":
        await _alarm_bad_result(gateway, job, error)
    if ended == "told_failed":
        with suppress(StoreUnavailable):  # the end is written
            await gateway.adoption.alarm_webhook_differs(job)


async def _alarm_bad_result(gateway: Gateway, job: Job, error: JobError) -> None:
    """Alarm for a paid clip that cannot be shown: fal may have changed the shape of its results."""
    log.error("job.bad_result", **job.names)
    with suppress(StoreUnavailable):  # the end is written, and the log has it
        await gateway.stores.alarms.raise_alarm(
            "bad_upstream_result",
            error.message,
            job=job.id,
            upstream_request_id=job.upstream_request_id or "",
        )


async def _made(gateway: Gateway, job: Job, output: dict[str, Any] | None, units: str | None) -> Made:
    """What it gave, with a secret for the addresses of its files where they are copied."""
    if output is None:
        return Made(billable_units=units)
    now_ms = await gateway.stores.clock.now_ms()
    at_fal_ms = (job.upstream_done_ms or now_ms) + MEDIA_DAYS_MS
    if gateway.storage is None or not any(files_of(output)):
        return Made(output, at_fal_ms, units)
    return Made(output, UNTIL if is_kept(output) else at_fal_ms, units, new_secret(), UNTIL)


End = Literal[Status.SUCCEEDED, Status.FAILED, Status.CANCELED]
Verdict: TypeAlias = tuple[End, Charge, JobError | None, dict[str, Any] | None]


def judge(job: Job, result: Result, *, hosts: FalHosts) -> Verdict:
    """The status, charge, error and output that a result gives the job.

    - 2xx with a clip, sound or voice: succeeded, spent. 2xx without a usable one: failed, spent: fal delivered
    - 404, 410, or an error page that is not fal's: failed, spent, because fal had completed it; disputed where
      fal never reported completion and only lost the request
    - 499 after our cancel: canceled (failed after the deadline), disputed; after another cancel: failed, disputed
    - fal's 5xx: failed, released, because fal never charges it
    - other refusals (a runner's 422) and unknown codes: failed, disputed until fal's bill or a day decides
    """
    detail = _detail(result.body)
    upstream: dict[str, Any] = {"status": result.status, "detail": _short(detail), "error_type": result.error_type}
    if isinstance(detail, list):
        upstream["entries"] = [_entry(entry) for entry in detail[:MAX_ENTRIES] if isinstance(entry, dict)]
    code = result.status
    if code // 100 == 2:  # noqa: PLR2004  HTTP
        output = read_output(result.body, hosts=hosts)
        if output is not None:
            return Status.SUCCEEDED, Charge.SPEND, None, output
        sentence = "fal completed the job, and its result names no clip that can be used."
        return Status.FAILED, Charge.SPEND, JobError("bad_upstream_result", sentence, upstream=upstream), None
    if code in {404, 410} or (code // 100 == 5 and result.body is None):  # noqa: PLR2004  a proxy's page, not fal's JSON
        sentence = "fal completed the job, and its result can no longer be read."
        charge = Charge.DISPUTE if job.upstream_status == MISSING_STATUS else Charge.SPEND
        return Status.FAILED, charge, JobError("result_unavailable", sentence, upstream=upstream), None
    if code == 499 or result.error_type == "client_cancelled":  # noqa: PLR2004  fal's word for cancelled
        return _cancelled(job, upstream)
    if code // 100 == 5:  # noqa: PLR2004  HTTP
        timed_out = result.error_type in {"request_timeout", "startup_timeout"}
        name = "start_timeout" if timed_out and job.start_deadline_ms is not None else "upstream_error"
        sentence = "fal failed to make the clip; nothing is charged."
        return Status.FAILED, Charge.RELEASE, JobError(name, sentence, retryable=True, upstream=upstream), None
    sentence = "fal's model refused the input."
    return Status.FAILED, Charge.DISPUTE, JobError("upstream_rejected_input", sentence, upstream=upstream), None


def _cancelled(job: Job, upstream: dict[str, Any]) -> Verdict:
    if job.cancel_requested_ms is not None:
        sentence = "The job was cancelled while it ran; fal may still charge it."
        return Status.CANCELED, Charge.DISPUTE, JobError("canceled", sentence, upstream=upstream), None
    # Ours, if one was sent; the record of that may be missing where fal ended it after the deadline.
    late = job.cancel_sent_ms is not None or (job.upstream_done_ms or 0) >= job.deadline_ms
    code = "deadline_exceeded" if late else "upstream_error"
    sentence = "The job was not done by its deadline, and was cancelled at fal."
    if not late:
        sentence = "fal cancelled the request, and nobody here asked for it; fal may still charge it."
    return Status.FAILED, Charge.DISPUTE, JobError(code, sentence, retryable=True, upstream=upstream), None


def _detail(body: Any) -> Any:
    return body.get("detail") if isinstance(body, dict) else None


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    """One error of a model, shortened, without the input: the members that fal's clients read."""
    kept: dict[str, Any] = {"loc": _loc(entry)}
    kept |= {name: _text(entry.get(name)) for name in ("msg", "type", "url") if name in entry}
    ctx = entry.get("ctx")
    return {**kept, "ctx": ctx} if isinstance(ctx, dict) and len(json.dumps(ctx)) <= MAX_TEXT else kept


def _short(detail: Any) -> str | None:
    """The detail as one short text, without the input that its entries repeat."""
    if isinstance(detail, str):
        return detail[:MAX_TEXT]
    if isinstance(detail, list):
        entries = [entry for entry in detail[:MAX_ENTRIES] if isinstance(entry, dict)]
        texts = [f"{'.'.join(_loc(entry))}: {_text(entry.get('msg'))}" for entry in entries]
        return "; ".join(texts)[:MAX_TEXT]
    return None


def _loc(entry: dict[str, Any]) -> list[str]:
    """The place of an error in the input."""
    loc = entry.get("loc")
    return [_text(part) for part in loc[:10]] if isinstance(loc, list) else []


def _text(value: Any) -> str:
    """A scalar as short text; empty for a structure."""
    return str(value)[:MAX_TEXT] if isinstance(value, str | int | float) else ""
