"""What administrators see of the whole installation, and what they do: pause, resume, cancel, resolve, release."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.domain.accounts import Team
from app.domain.alarms import Alarm
from app.domain.buying import Buying
from app.domain.errors import Code, Conflict, NotFound, Unprocessable
from app.domain.ids import split_ref
from app.domain.jobs import Charge, Job, JobError, Status
from app.domain.line import TeamLoad
from app.fal.client import FalClient
from app.fal.protocol import REQUEST_ID
from app.services.alerts import Alerts, AlertStatus
from app.services.cancellation import already_ended, cancel_job
from app.store.accounts import AccountStore
from app.store.admission import AdmissionStore
from app.store.alarms import AlarmStore
from app.store.audit import AuditStore
from app.store.buying import BuyingStore
from app.store.heartbeats import HeartbeatStore
from app.store.jobs import JobStore
from app.store.line import LineStore
from app.store.quarantine import QuarantineStore

ALARMS_SHOWN = 20
AUDIT_SEARCHED = 200  # newest lines, for who paused: an older pause is shown without

HeldAction = Literal["adopt", "resubmit", "fail"]


@dataclass(frozen=True, slots=True)
class Overview:
    """Snapshot for operators: buying, queue by team, workers, held jobs, quarantine, active alarms and past ones.

    `paused` is since when (ms) and by whom the pauses of `buying` are, as far as the newest audit lines say it.
    `shares` are the teams with jobs in line or at fal, `workers` the live processes by role, `oldest_held` the ref
    and the time (ms) of the job held longest, `oldest_quarantined_ms` when the first step was quarantined.
    """

    buying: Buying
    paused: dict[str, tuple[int, str]]
    names: dict[str, str]
    shares: list[tuple[Team, TeamLoad]]
    workers: dict[str, int]
    held: int
    oldest_held: tuple[str, int] | None
    quarantined: int
    oldest_quarantined_ms: int | None
    active_alarms: list[Alarm]
    alarms: list[Alarm]
    alerts: AlertStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """Operators' actions and what they see. `actor` is the administrator, for the audit log."""

    accounts: AccountStore
    jobs: JobStore
    quarantine: QuarantineStore
    heartbeats: HeartbeatStore
    buying: BuyingStore
    line: LineStore
    alarms: AlarmStore
    alerts: Alerts
    audit: AuditStore
    fal: FalClient
    admission: AdmissionStore

    # --- reading -------------------------------------------------------------------------------------------------

    async def paused(self, team: str) -> str | None:
        """Why nothing is bought for this team, or None; up to half a second old."""
        return await self.buying.reason_for(team)

    async def overview(self) -> Overview:
        """The installation as it is now."""
        teams = await self.accounts.teams()
        shares = await self.line.shares([team.id for team in teams])
        held, oldest = await self.line.held()
        workers = await self.heartbeats.workers()
        quarantined = await self.quarantine.steps()
        buying = await self.buying.state()
        return Overview(
            buying=buying,
            paused=await self._paused_by(buying) if buying.pauses else {},
            names={team.id: team.name for team in teams},
            shares=[(team, shares[team.id]) for team in teams if shares[team.id] != TeamLoad(0, 0, 0)],
            workers=dict(sorted(Counter(workers.values()).items())),
            held=held,
            oldest_held=oldest,
            quarantined=len(quarantined),
            oldest_quarantined_ms=quarantined[0][2] if quarantined else None,
            active_alarms=await self.alarms.active(),
            alarms=await self.alarms.newest(ALARMS_SHOWN),
            alerts=await self.alerts.status(),
        )

    async def _paused_by(self, buying: Buying) -> dict[str, tuple[int, str]]:
        """Since when (ms) and by whom each pause is, from its newest audit line."""
        found: dict[str, tuple[int, str]] = {}
        for line in await self.audit.page(before=None, count=AUDIT_SEARCHED):
            entry = line.entry
            if entry["action"] == "buying.pause" and entry["target"] in buying.pauses:
                found.setdefault(entry["target"], (entry["at_ms"], entry["actor"]))
        return found

    async def job(self, job_id: str) -> Job:
        """The job with this id in any team; NotFound when there is none."""
        job = await self.jobs.find(job_id)
        if job is None:
            raise NotFound("There is no job with this id.")
        return job

    async def held_since(self, jobs: Sequence[Job]) -> dict[str, int]:
        """Since when (ms) those of these jobs that are held are so, by job id."""
        since = await self.jobs.held_since([job.ref for job in jobs if job.status is Status.HELD])
        return {split_ref(ref)[1]: at_ms for ref, at_ms in since.items()}

    async def quarantined(self) -> list[tuple[str, str, int]]:
        """Step, ref and time (ms) of every quarantined step, the oldest first."""
        return await self.quarantine.steps()

    # --- acting --------------------------------------------------------------------------------------------------

    async def pause(self, actor: str, *, team: str | None, reason: str) -> str | None:
        """Stop buying for a team, or for all; the reason that callers see now. Bought jobs continue."""
        await self.buying.pause(actor, team, reason)
        return (await self.buying.state()).reason_for(team or "")

    async def resume(self, actor: str, *, team: str | None, reason: str | None = None) -> str | None:
        """Resume buying for a team, or for all, which also closes the breaker but ends no pause of a single team.

        Returns the reason that callers see now: buying may be stopped for another reason as well.
        """
        await self.buying.resume(actor, team, reason)
        if team is None:
            await self.alarms.resolve_alarm("breaker_opened", "An administrator resumed buying.")
        return (await self.buying.state()).reason_for(team or "")

    async def cancel(self, actor: str, job_id: str) -> Job:
        """Cancel a job of any team, as its team's keys can. The audit line is written first, as in `resolve`.

        Unlike its caller's own cancel it leaves equal submissions repeats of this job: none is bought instead.

        Raises:
            NotFound: there is no such job.
            Conflict: it has ended, maybe in this moment.
        """
        job = await self.job(job_id)
        if job.status.ended:
            raise already_ended()
        details = {"team": job.team, "user": job.user, "status": job.status.value}
        await self.audit.act(actor=actor, action="job.cancel", target=job_id, details=details)
        return await cancel_job(job, jobs=self.jobs, admission=self.admission)

    async def resolve(
        self,
        actor: str,
        job_id: str,
        action: HeldAction,
        *,
        upstream_request_id: str | None = None,
        charged: bool | None = None,
    ) -> Job:
        """Decide a held or quarantined job by hand.

        `adopt` names fal's request id; `resubmit` means that fal has no request; `fail` says whether fal charged.
        A quarantined job can only be failed: fal's id of it is known, or it was never sent.
        The audit line is written first, so that there is one for every action.

        Raises:
            NotFound: there is no such job.
            Conflict: it is neither held nor quarantined, it changed meanwhile, or the request is another job's.
            Unprocessable: the action has other arguments, or the request id has another form.
        """
        job = await self.job(job_id)
        steps = [step for step, ref, _ in await self.quarantined() if ref == job.ref]
        if job.status is not Status.HELD and (action != "fail" or not steps):
            remedy = "it is set aside: fail it here, or release it" if steps else "there is nothing to decide"
            raise Conflict(f"The job is {job.status.value}, not held; {remedy}.", code=Code.NOT_HELD)
        needed = {"adopt": (True, False), "resubmit": (False, False), "fail": (False, True)}[action]
        if needed != (upstream_request_id is not None, charged is not None):
            raise Unprocessable("adopt needs fal's request id; fail needs to know whether fal charged.")
        if upstream_request_id is not None:
            await self._require_unused(upstream_request_id)
        given = {"upstream_request_id": upstream_request_id, "charged": charged}
        details: dict[str, Any] = {
            "action": action,
            "team": job.team,
            "held_reason": job.held_reason,
            **({"set_aside": steps} if steps else {}),
            **{name: value for name, value in given.items() if value is not None},
        }
        await self.audit.act(actor=actor, action="job.resolve", target=job_id, details=details)
        if not await self._decide(job, job.nonce or "", upstream_request_id, charged=charged):
            raise Conflict("The job changed in this moment; look at it again.", code=Code.NOT_HELD)
        if steps:  # fal may still be working on it
            await self.fal.cancel_abandoned([(job.model, job.upstream_request_id)])
        return await self.job(job_id)

    async def _decide(self, job: Job, nonce: str, request_id: str | None, *, charged: bool | None) -> bool:
        """Adopt the request, submit the job again, or fail it; False when the job has changed."""
        if request_id is not None:
            return await self.jobs.adopt(job, nonce=nonce, upstream_request_id=request_id, poll_ms=0)
        if charged is None:
            return await self.jobs.requeue(job, nonce=nonce, wait_ms=0, reason="resubmitted")
        charge = Charge.SPEND if charged else Charge.RELEASE
        unknown = "submission's outcome" if job.status is Status.HELD else "job's end"
        error = JobError("unknown_outcome", f"The {unknown} stayed unknown; an operator ended it.")
        return await self.jobs.end(job, (job.status,), Status.FAILED, charge=charge, nonce=nonce, error=error)

    async def release(self, actor: str, name: str) -> list[tuple[str, str]]:
        """Release the quarantined steps of this id; each step with its ref. NotFound when there is none.

        The audit line is written first, as in `resolve`.
        """
        found = [(step, ref) for step, ref, _ in await self.quarantine.steps() if split_ref(ref)[1] == name]
        if not found:
            raise NotFound("Nothing with this id is set aside.")
        details = {"team": split_ref(found[0][1])[0], "steps": [step for step, _ in found]}
        await self.audit.act(actor=actor, action="step.release", target=name, details=details)
        for step, ref in found:
            await self.quarantine.release(step, ref)
        return found

    async def _require_unused(self, request_id: str) -> None:
        """Conflict when another job has this request: one clip would be lost, and the other charged twice."""
        if not REQUEST_ID.fullmatch(request_id):
            raise Unprocessable("That is not a request id of fal's.")
        ref = (await self.jobs.find_by_requests([request_id])).get(request_id)
        other = None if ref is None else await self.jobs.get(ref)
        if other is not None:
            raise Conflict(
                f"The {other.status.value} job {other.id} of {other.team} has this request of fal's; "
                "one request belongs to one job."
            )
