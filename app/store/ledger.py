"""Money in the store: entries, sums, disputes."""

from dataclasses import dataclass

from app.domain.ids import split_ref
from app.store import keys
from app.store.connection import Client, store_errors
from app.store.scripts import script


@dataclass(frozen=True, slots=True)
class Balance:
    """A team's sums, in micro-dollars."""

    reserved: int
    spent: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One movement of money: reserve, settle, release or dispute."""

    id: str
    type: str
    job: str
    user: str
    key: str
    model: str
    seconds: int
    amount: int
    at_ms: int
    price_version: str


class LedgerStore:
    """Reads the ledger, and ends disputes; every other movement is part of a job's own script."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def balance(self, team: str) -> Balance:
        """The team's sums."""
        with store_errors():
            reserved, spent = await self._redis.hmget(keys.balance(team), "reserved", "spent")
        return Balance(int(reserved or 0), int(spent or 0))

    async def reservations(self, team: str) -> dict[str, int]:
        """What is put aside, by job id."""
        with store_errors():
            rows = await self._redis.hgetall(keys.reservations(team))
        return {job: int(amount) for job, amount in rows.items()}

    async def entries(self, team: str) -> list[Entry]:
        """Every movement, oldest first."""
        found: list[Entry] = []
        start = "-"
        while True:
            with store_errors():
                page = await self._redis.xrange(keys.ledger(team), min=start, count=1000)
            for entry_id, row in page:
                found.append(
                    Entry(
                        id=entry_id,
                        type=row["type"],
                        job=row["job"],
                        user=row["user"],
                        key=row["key"],
                        model=row["model"],
                        seconds=int(row["seconds"]),
                        amount=int(row["amount"]),
                        at_ms=int(row["at"]),
                        price_version=row["price_version"],
                    )
                )
            if len(page) < 1000:  # noqa: PLR2004  the page size above
                return found
            start = f"({page[-1][0]}"

    async def decide_dispute(self, ref: str, *, spend: bool) -> bool:
        """Spend or release what was kept for a job whose charge could not be proven."""
        team, _ = split_ref(ref)
        with store_errors():
            decided = await script("decide_dispute").run(
                self._redis,
                keys={
                    "job": keys.job(ref),
                    "due_dispute": keys.due("dispute"),
                    "reservations": keys.reservations(team),
                    "balance": keys.balance(team),
                    "ledger": keys.ledger(team),
                },
                args={"ref": ref, "verb": "spend" if spend else "release"},
            )
        return bool(decided)
