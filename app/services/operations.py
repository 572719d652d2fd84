"""What administrators see of everything at once, and how they steer it: pause, resume, resolve."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.domain.accounts import NO_TEAM, Team
from app.domain.alarms import Alarm
from app.domain.buying import Buying
from app.domain.cursors import read_cursor, write_cursor
from app.domain.errors import Code, Conflict, NotFound, Unprocessable
from app.domain.ids import join_ref, split_ref
from app.domain.jobs import Charge, Job, JobError, Status
from app.domain.line import TeamLoad
from app.fal.client import FalClient
from app.fal.protocol import REQUEST_ID
from app.services.listing import SCAN_LIMIT, JobList
from app.store.accounts import AccountStore
from app.store.alarms import AlarmStore
from app.store.audit import AuditStore
from app.store.buying import BuyingStore
from app.store.heartbeats import HeartbeatStore
from app.store.jobs import JobStore
from app.store.line import LineStore
from app.store.quarantine import QuarantineStore

ALARMS_SHOWN = 20
STRETCH = 100  # records of each team read at once, where only some of them are wanted

HeldAction = Literal["adopt", "resubmit", "fail"]
JobRow = tuple[int, str, str]  # admission time (ms), job id, team


@dataclass(frozen=True, slots=True)
class Overview:
    """Snapshot for operators: buying, queue by team, workers, held jobs, quarantine and alarms.

    `shares` are the teams with jobs in line or at fal, `workers` the live processes by role, `oldest_held` the ref
    and the time (ms) of the job held longest, `oldest_quarantined_ms` when the first step was quarantined.
    """

    buying: Buying
    names: dict[str, str]
    shares: list[tuple[Team, TeamLoad]]
    workers: dict[str, int]
    held: int
    oldest_held: tuple[str, int] | None
    quarantined: int
    oldest_quarantined_ms: int | None
    alarms: list[Alarm]


class Operations:
    """What administrators do while it runs. `actor` is who does it, for the audit log."""

    def __init__(
        self,
        *,
        accounts: AccountStore,
        jobs: JobStore,
        quarantine: QuarantineStore,
        heartbeats: HeartbeatStore,
        buying: BuyingStore,
        line: LineStore,
        alarms: AlarmStore,
        audit: AuditStore,
        fal: FalClient,
    ) -> None:
        self._fal = fal
        self._accounts = accounts
        self._jobs = jobs
        self._quarantine = quarantine
        self._heartbeats = heartbeats
        self._buying = buying
        self._line = line
        self._alarms = alarms
        self._audit = audit

    # --- seeing --------------------------------------------------------------------------------------------------

    async def paused(self, team: str) -> str | None:
        """Why nothing is bought for this team just now, or None; up to half a second old."""
        return await self._buying.reason_for(team)

    async def overview(self) -> Overview:
        """How everything stands now."""
        teams = await self._accounts.teams()
        shares = await self._line.shares([team.id for team in teams])
        held, oldest = await self._line.held()
        workers = await self._heartbeats.workers()
        quarantined = await self._quarantine.steps()
        return Overview(
            buying=await self._buying.state(),
            names={team.id: team.name for team in teams},
            shares=[(team, shares[team.id]) for team in teams if shares[team.id] != TeamLoad(0, 0, 0)],
            workers=dict(sorted(Counter(workers.values()).items())),
            held=held,
            oldest_held=oldest,
            quarantined=len(quarantined),
            oldest_quarantined_ms=quarantined[0][2] if quarantined else None,
            alarms=await self._alarms.newest(ALARMS_SHOWN),
        )

    async def jobs(self, *, status: Status | None, team: str | None, limit: int, cursor: str | None) -> JobList:
        """Up to `limit` jobs of every team or of one, newest first, older than the cursor.

        1. held ones are few and known by name; all others are found through the teams' indexes
        2. read a stretch of each team's, put them in one order, keep what matches
        3. stop when one more than the page was found, the indexes end, or enough was read
        """
        before = None if cursor is None else read_cursor(cursor, kind="job")
        if team is not None and await self._accounts.team(team) is None:
            raise NotFound(NO_TEAM)
        found: list[Job] = []
        stretch = limit + 1 if status is None else max(limit + 1, STRETCH)
        for _ in range(0, SCAN_LIMIT, stretch):
            rows = await (self._held(team) if status is Status.HELD else self._newest(team, before, stretch))
            if before is not None:
                rows = [row for row in rows if row[:2] < before]
            rows = sorted(rows, reverse=True)[:stretch]
            refs = [join_ref(whose, job_id) for _, job_id, whose in rows]
            records = await self._jobs.get_matching(refs, {} if status is None else {"status": status.value})
            for (at_ms, job_id, _), (job, _) in zip(rows, records, strict=True):
                if job is not None:
                    if len(found) == limit:
                        last = found[-1]
                        return JobList(found, write_cursor((last.created_ms, last.id)))
                    found.append(job)
                before = (at_ms, job_id)
            if len(rows) < stretch:
                return JobList(found, None)
        return JobList(found, None if before is None else write_cursor(before))

    async def job(self, job_id: str) -> Job:
        """The job with this id in any team; NotFound when there is none."""
        job = await self._jobs.find(job_id)
        if job is None:
            raise NotFound("There is no job with this id.")
        return job

    async def held_since(self, jobs: Sequence[Job]) -> dict[str, int]:
        """Since when (ms) each held one of these jobs is held, by its id."""
        refs = [join_ref(job.team, job.id) for job in jobs if job.status is Status.HELD]
        found = await self._jobs.held_since(refs)
        return {split_ref(ref)[1]: at_ms for ref, at_ms in found.items()}

    async def quarantined(self) -> list[tuple[str, str, int]]:
        """Step, ref and time (ms) of everything that was set aside, the oldest first."""
        return await self._quarantine.steps()

    async def _newest(self, team: str | None, before: tuple[int, str] | None, count: int) -> list[JobRow]:
        """At least the `count` newest of all; deleted teams have had jobs too."""
        teams = [team] if team is not None else [one.id for one in await self._accounts.teams(deleted=True)]
        rows: list[JobRow] = []
        for one in teams:
            index = self._jobs.index(one, user=None, metadata=None)
            page = await self._jobs.page(index, before=before, count=count)
            rows += [(at_ms, job_id, one) for job_id, at_ms in page]
        return rows

    async def _held(self, team: str | None) -> list[JobRow]:
        refs: Sequence[str] = await self._jobs.held()
        jobs = await self._jobs.get_many([ref for ref in refs if team in {None, split_ref(ref)[0]}])
        return [(job.created_ms, job.id, job.team) for job in jobs if job is not None]

    # --- steering ------------------------------------------------------------------------------------------------

    async def pause(self, actor: str, *, team: str | None, reason: str) -> str | None:
        """Stop buying for a team, or for everybody; what callers are told now. What is bought already goes on."""
        await self._buying.pause(actor, team, reason)
        return (await self._buying.state()).reason_for(team or "")

    async def resume(self, actor: str, *, team: str | None, reason: str | None = None) -> str | None:
        """Let buying go on for a team, or for everybody; then the breaker closes too.

        What callers are told now: somebody else may have stopped it as well. Teams paused by name stay paused.
        """
        await self._buying.resume(actor, team, reason)
        return (await self._buying.state()).reason_for(team or "")

    async def resolve(
        self,
        actor: str,
        job_id: str,
        action: HeldAction,
        *,
        upstream_request_id: str | None = None,
        charged: bool | None = None,
    ) -> Job:
        """End the uncertainty of a job that is held or set aside, on an operator's word.

        `adopt` names fal's request id; `resubmit` says that fal has nothing; `fail` says whether fal charged.
        What was set aside can only fail here: fal's id of it is known, or it was never sent.
        The audit line is written first, so that no act is without one.
        """
        job = await self.job(job_id)
        steps = [step for step, ref, _ in await self.quarantined() if ref == join_ref(job.team, job.id)]
        if job.status is not Status.HELD and (action != "fail" or not steps):
            remedy = "it is set aside: fail it here, or release it" if steps else "there is nothing to decide"
            raise Conflict(f"The job is {job.status.value}, not held; {remedy}.", code=Code.NOT_HELD)
        needed = {"adopt": (True, False), "resubmit": (False, False), "fail": (False, True)}[action]
        if needed != (upstream_request_id is not None, charged is not None):
            raise Unprocessable("adopt needs fal's request id; fail needs to know whether fal charged.")
        if upstream_request_id is not None:
            await self._refuse_foreign(upstream_request_id)
        given = {"upstream_request_id": upstream_request_id, "charged": charged}
        details: dict[str, Any] = {
            "action": action,
            "team": job.team,
            "held_reason": job.held_reason,
            **({"set_aside": steps} if steps else {}),
            **{name: value for name, value in given.items() if value is not None},
        }
        await self._audit.act(actor=actor, action="job.resolve", target=job_id, details=details)
        if not await self._decide(job, job.nonce or "", upstream_request_id, charged=charged):
            raise Conflict("The job changed in this moment; look at it again.", code=Code.NOT_HELD)
        if steps:  # nobody looked at it, and fal may be at work on it still
            await self._fal.cancel_abandoned([(job.model, job.upstream_request_id)])
        return await self.job(job_id)

    async def _decide(self, job: Job, nonce: str, request_id: str | None, *, charged: bool | None) -> bool:
        """Adopt fal's request, send the job again, or fail it; False when the job has changed."""
        if request_id is not None:
            return await self._jobs.adopt(job, nonce=nonce, upstream_request_id=request_id, poll_ms=0)
        if charged is None:
            return await self._jobs.requeue(job, nonce=nonce, wait_ms=0)
        charge = Charge.SPEND if charged else Charge.RELEASE
        what = "submission's outcome" if job.status is Status.HELD else "job's end"
        error = JobError("unknown_outcome", f"The {what} stayed unknown; an operator ended it.")
        return await self._jobs.end(job, (job.status,), Status.FAILED, charge=charge, nonce=nonce, error=error)

    async def release(self, actor: str, name: str) -> list[tuple[str, str]]:
        """Let the steps on this id that were set aside go on; each step with its ref. NotFound when there is none.

        The audit line is written first, as in `resolve`.
        """
        found = [(step, ref) for step, ref, _ in await self._quarantine.steps() if split_ref(ref)[1] == name]
        if not found:
            raise NotFound("Nothing with this id is set aside.")
        details = {"team": split_ref(found[0][1])[0], "steps": [step for step, _ in found]}
        await self._audit.act(actor=actor, action="step.release", target=name, details=details)
        for step, ref in found:
            await self._quarantine.release(step, ref)
        return found

    async def _refuse_foreign(self, request_id: str) -> None:
        """One request belongs to one job: with two, the clip of one is lost, and its money counts twice."""
        if not REQUEST_ID.fullmatch(request_id):
            raise Unprocessable("That is not a request id of fal's.")
        ref = await self._jobs.find_by_request(request_id)
        other = None if ref is None else await self._jobs.get(ref)
        if other is not None:
            raise Conflict(
                f"The {other.status.value} job {other.id} of {other.team} has this request of fal's; "
                "one request belongs to one job."
            )
