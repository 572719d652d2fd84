"""The ledger: entries, credits and corrections."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from app.domain.errors import Code, Conflict, NotFound, invalid_at
from app.domain.export_range import ExportRange
from app.domain.ids import join_ref
from app.domain.ledger import Correction, Entry
from app.domain.money import format_usd
from app.domain.verification import VerificationReport
from app.store.accounts import AccountStore
from app.store.audit import AuditStore
from app.store.clock import StoreClock
from app.store.jobs import JobStore
from app.store.ledger import Adjustment, LedgerStore
from app.store.usage import UsageStore
from app.store.verification import Verification

MAX_ENTRIES = 20_000  # of one file: a few megabytes
TOO_MUCH = "This is too much for one file; ask for fewer days, or use `filmgate export ledger`."


@dataclass(frozen=True, slots=True)
class Ledger:
    """Reads, verifies and corrects the ledger. `actor` is the administrator, for the audit log."""

    ledger: LedgerStore
    accounts: AccountStore
    jobs: JobStore
    audit: AuditStore
    clock: StoreClock
    usage: UsageStore

    async def page(
        self, team_id: str, *, before: str | None, count: int, from_ms: int = 0, to_ms: int | None = None
    ) -> list[Entry]:
        """Up to `count` entries of a team, newest first, older than the entry with the id `before`.

        Those from `from_ms` (inclusive) to `to_ms` (exclusive); `before` is an entry of the same span.
        """
        return await self.ledger.page(team_id, before=before, count=count, from_ms=from_ms, to_ms=to_ms)

    async def whole(self, team_id: str, *, from_ms: int, to_ms: int | None) -> list[Entry]:
        """Every entry of a team in that span, oldest first; Unprocessable when there are more than MAX_ENTRIES."""
        found = []
        async for _, entry in self.export(ExportRange(from_ms, to_ms), team=team_id):
            found.append(entry)
            if len(found) > MAX_ENTRIES:
                raise invalid_at("/query/from", "out_of_range", TOO_MUCH)
        return found

    async def names(self, team_id: str) -> dict[str, str]:
        """The names of a team's users and keys by their ids, deleted ones too."""
        users = await self.accounts.users(team_id, deleted=True)
        user_keys = await self.accounts.keys_of([user.id for user in users])
        return {user.id: user.name for user in users} | {key.id: key.name for _, key in user_keys}

    async def export(self, span: ExportRange, *, team: str | None) -> AsyncIterator[tuple[str, Entry]]:
        """Team and entry of every movement in the span, of all teams or one: team by team, oldest first.

        ValueError when `span.after` is no cursor of the ledger, or names a team that is not exported.
        """
        first, entry_id = span.position()
        if entry_id is not None and not first:
            raise ValueError(f"{span.after!r} is a cursor of the audit log, not of the ledger.")
        teams = await self.ledger.teams() if team is None else [team]
        if first and first not in teams:
            why = "there is no such team here" if team is None else f"the export is of {team}"
            raise ValueError(f"{span.after!r} is a cursor of the team {first}, and {why}.")
        for one in teams:
            if one < first:
                continue
            after = entry_id if one == first else None
            async for entry in self.ledger.read(one, from_ms=span.from_ms, after=after):
                if span.ends_before(entry.id):
                    break
                yield one, entry

    async def verify(self) -> VerificationReport:
        """Rebuild every counter from the entries, and every index from the jobs' records; report differences.

        Exact also under traffic. Nothing is repaired: a difference is a bug, or somebody changed the store.
        """
        return await Verification(self.ledger, self.usage).run()

    async def credit(self, actor: str, team_id: str, *, micro: int, reason: str) -> None:
        """Let the team spend so much more (micro-dollars), in total and in the present periods."""
        await self._adjust(actor, "credit", team_id, micro, reason)

    async def correct(self, actor: str, team_id: str, *, micro: int, reason: str) -> None:
        """Add so much (micro-dollars, maybe negative) to the team's total spending, but to no period's.

        Conflict when the total would be below zero.
        """
        await self._adjust(actor, "correction", team_id, micro, reason)

    async def correct_job(self, actor: str, team_id: str, job_id: str, *, actual: int, reason: str) -> Correction:
        """Set an ended job's charge to its actual cost (micro-dollars), in the periods of its admission.

        It is not compared with fal's bill any more.
        """
        job = await self.jobs.get(join_ref(team_id, job_id))
        if job is None:
            raise NotFound("There is no job with this id in this team, or its record has expired.")
        if not job.status.ended:
            raise Conflict("The job has not ended; its charge is not known yet.", code=Code.NOT_ENDED)
        details = {"job": job_id, "actual_usd": format_usd(actual), "reason": reason}
        await self.audit.act(actor=actor, action="ledger.correct", target=team_id, details=details)
        outcome, _ = await self.ledger.correct(job, actual=actual, reason=reason, by="person")
        if outcome is Correction.BELOW:
            raise Conflict(
                "Less than nothing would be spent; a correction removed it before.", code=Code.BELOW_ZERO
            )
        return outcome

    async def _adjust(self, actor: str, kind: Adjustment, team_id: str, micro: int, reason: str) -> None:
        team = await self.accounts.require_team(team_id)
        now_ms = await self.clock.now_ms()
        await self.ledger.adjust(actor, kind, team, micro=micro, reason=reason, now_ms=now_ms)
