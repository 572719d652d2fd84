"""The history of a job: its states, its attempts at fal, and the movements of its money."""

from dataclasses import dataclass

from app.domain.history import SubmitAttempt, Turn, attempts_of, turns_of
from app.domain.jobs import Job
from app.domain.ledger import Entry
from app.store.accounts import AccountNames, AccountStore
from app.store.ledger import LedgerStore


@dataclass(frozen=True, slots=True)
class JobHistory:
    """What one job went through, and the names of its user and team."""

    job: Job
    turns: list[Turn]
    attempts: list[SubmitAttempt]
    money: list[Entry]
    names: AccountNames


@dataclass(frozen=True, slots=True)
class Histories:
    """Reads histories, in three round trips each."""

    ledger: LedgerStore
    accounts: AccountStore

    async def of(self, job: Job) -> JobHistory:
        """The history of a job that the caller may see."""
        turns = turns_of(job)
        money = await self.ledger.of_job(job)
        names = await self.accounts.names_of({(job.team, job.user)})
        return JobHistory(job, turns, attempts_of(job, turns), money, names)
