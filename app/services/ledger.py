"""The books: entries, credits and corrections."""

from app.domain.accounts import NO_TEAM
from app.domain.errors import Code, Conflict, NotFound, Unprocessable
from app.domain.ids import join_ref
from app.domain.ledger import Correction, Entry
from app.domain.limits import ADJUSTED_KEPT_MS, periods
from app.domain.money import LIMIT_MICRO, format_usd
from app.domain.starts import write_starts
from app.services.verification import Verification, Verified
from app.store import keys
from app.store.accounts import AccountStore
from app.store.audit import AuditStore, Command, Require, flat, is_there
from app.store.clock import StoreClock
from app.store.jobs import JobStore
from app.store.ledger import LedgerStore
from app.store.usage import UsageStore


class Ledger:
    """Reads the books, and corrects them. `actor` is who does it, for the audit log."""

    def __init__(
        self,
        ledger: LedgerStore,
        accounts: AccountStore,
        jobs: JobStore,
        audit: AuditStore,
        clock: StoreClock,
        usage: UsageStore,
    ) -> None:
        self._ledger = ledger
        self._accounts = accounts
        self._jobs = jobs
        self._audit = audit
        self._clock = clock
        self._usage = usage

    async def page(self, team_id: str, *, before: str | None, count: int) -> list[Entry]:
        """Up to `count` movements of a team's money, newest first, older than the entry with the id `before`."""
        return await self._ledger.page(team_id, before=before, count=count)

    async def verify(self) -> Verified:
        """Rebuild every counter from the entries, and every place from the jobs' records; what differs.

        Exact also while jobs come and go. Nothing is repaired: a difference is a bug or a changed store.
        """
        return await Verification(self._ledger, self._usage).run()

    async def credit(self, actor: str, team_id: str, *, micro: int, reason: str) -> None:
        """Let the team spend so much more (micro-dollars): in total, and in the periods of today."""
        await self._adjust(actor, "credit", team_id, "credit:usd", micro, reason)

    async def correct(self, actor: str, team_id: str, *, micro: int, reason: str) -> None:
        """Count so much more (or less, when negative) as spent by the team: in total, and in no period.

        What it corrects was spent some other day: today's limits have no part in it.

        Conflict when less than nothing would be left: a correction of the past names its job.
        """
        await self._adjust(actor, "correction", team_id, "used:usd", micro, reason)

    async def correct_job(self, actor: str, team_id: str, job_id: str, *, actual: int, reason: str) -> Correction:
        """Make an ended job's charge what it really cost (micro-dollars), in the periods it was admitted in."""
        job = await self._jobs.get(join_ref(team_id, job_id))
        if job is None:
            raise NotFound("There is no job with this id in this team, or its record has expired.")
        if not job.status.ended:
            raise Conflict("The job has not ended; its charge is not known yet.", code=Code.NOT_ENDED)
        details = {"job": job_id, "actual_usd": format_usd(actual), "reason": reason}
        await self._audit.act(actor=actor, action="ledger.correct", target=team_id, details=details)
        outcome, _ = await self._ledger.correct(job, actual=actual, reason=reason)
        if outcome is Correction.BELOW:
            raise Conflict(
                "Less than nothing would be spent; a correction took it away before.", code=Code.BELOW_ZERO
            )
        return outcome

    async def _adjust(self, actor: str, kind: str, team_id: str, field: str, micro: int, reason: str) -> None:
        """An entry about no job: a credit in the team's sums, a correction in its total and the gateway's."""
        team = await self._accounts.team(team_id)
        if team is None or team.deleted_ms is not None:
            raise NotFound(NO_TEAM)
        now_ms = await self._clock.now_ms()
        here, gateway = periods(now_ms, team.time_zone), periods(now_ms, "UTC")
        owners = [team_id] + ([keys.GATEWAY] if kind == "correction" else [])
        over = Conflict("The hour turned in this moment; send it again.", code=Code.CONFLICT)
        below = Conflict("Less than nothing would be spent; name the job that is corrected.", code=Code.BELOW_ZERO)
        require = [is_there(keys.team(team_id), NO_TEAM)]
        if kind == "credit":
            require.append(Require(("before", min(period.end_ms for period in here.values())), over))
        # Sums are counted in doubles, exact up to 2^53 micro-dollars: nothing may carry one beyond.
        above = Unprocessable("The sum would be more than 9 billion dollars.")
        most = LIMIT_MICRO - max(0, micro)
        require += [Require(("at_most", keys.total(owner), field, most), above) for owner in owners]
        sums: list[tuple[str, int | None]] = [(keys.total(owner), None) for owner in owners]
        if kind == "credit":
            sums += [
                (keys.period(window, period.start_ms, team_id), period.end_ms) for window, period in here.items()
            ]
        writes: list[Command] = []
        for name, end in sums:
            writes.append(("HINCRBY", name, field, micro))
            require.append(Require(("at_least", name, field, max(0, -micro)), below))
            if end is not None:
                writes.append(("PEXPIREAT", name, end + ADJUSTED_KEPT_MS, "NX"))
        entry = {"type": kind, "amount": micro, "at": now_ms, "admitted": now_ms, "seconds": 0, "reason": reason}
        blank = dict.fromkeys(("job", "user", "key", "token", "model", "price_version"), "")
        starts = write_starts(here, gateway) if kind == "credit" else ""
        writes.append(("XADD", keys.ledger(team_id), "*", *flat({**entry, **blank, "starts": starts})))
        details = {"amount_usd": format_usd(micro), "reason": reason}
        await self._audit.act(
            actor=actor, action=f"ledger.{kind}", target=team_id, details=details, writes=writes, require=require
        )
