"""Reading entries of the ledger, which have two forms.

Disputes, corrections, credits and all entries of older versions have a field for each member. The entries that
every job has are short, because they are kept for ever (lua/lib/money.lua): `reserve` has all members in one text,
and `settle` or `release` has the id of that entry.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from app.domain.ledger import Entry
from app.domain.starts import Starts
from app.store import keys
from app.store.client import Client

RESERVE = "reserve"
LedgerRow = tuple[str, Mapping[str, str]]


async def read_entries(redis: Client, pages: Mapping[str, Sequence[LedgerRow]]) -> dict[str, list[Entry]]:
    """The entries of some pages of ledgers, by team; the entries that they refer to are read in one round trip."""
    known = {(team, entry_id): row for team, page in pages.items() for entry_id, row in page}
    referred = {(team, reserve) for team, page in pages.items() for _, row in page if (reserve := _reserve_id(row))}
    missing = sorted(referred - known.keys())
    if missing:
        pipe = redis.together()
        for team, entry_id in missing:
            pipe.xrange(keys.ledger(team), min=entry_id, max=entry_id, count=1)
        found = zip(missing, await pipe.execute(), strict=True)
        known.update({name: rows[0][1] for name, rows in found if rows})
    return {
        team: [_entry(entry_id, row, known.get((team, _reserve_id(row) or ""))) for entry_id, row in page]
        for team, page in pages.items()
    }


def rows_of_job(rows: Mapping[str, Mapping[str, str]], job_id: str) -> list[LedgerRow]:
    """Those of these rows, by their ids, that are about this job, oldest first."""
    own = {entry_id for entry_id, row in rows.items() if job_id in {row.get("job"), _reserved_job(row)}}
    ends = {entry_id for entry_id, row in rows.items() if _reserve_id(row) in own}
    return [(entry_id, rows[entry_id]) for entry_id in sorted(own | ends, key=_order)]


def _reserved_job(row: Mapping[str, str]) -> str | None:
    words = row.get("entry", "").split(" ")
    return words[3] if words[0] == RESERVE else None


def _order(entry_id: str) -> tuple[int, int]:
    at_ms, _, counter = entry_id.partition("-")
    return int(at_ms), int(counter)


def _reserve_id(row: Mapping[str, str]) -> str | None:
    """The id of the `reserve` entry that a short entry ends."""
    words = row.get("entry", RESERVE).split(" ")
    return None if words[0] == RESERVE else words[3]


def _entry(entry_id: str, row: Mapping[str, str], reserved: Mapping[str, str] | None) -> Entry:
    if "entry" not in row:
        return _long(entry_id, row)
    kind, amount, at_ms, *rest = row["entry"].split(" ")
    if kind == RESERVE:
        return _short(entry_id, int(amount), int(at_ms), rest)
    reserve = _UNKNOWN if reserved is None else _entry(entry_id, reserved, None)
    return replace(reserve, id=entry_id, type=kind, amount=int(amount), at_ms=int(at_ms))


def _short(entry_id: str, amount: int, at_ms: int, rest: Sequence[str]) -> Entry:
    job, user, key, token, model, seconds, price_version, *before = ("" if word == "-" else word for word in rest)
    return Entry(
        id=entry_id,
        type=RESERVE,
        job=job,
        user=user,
        key=key,
        token=token,
        model=model,
        seconds=int(seconds),
        amount=amount,
        at_ms=at_ms,
        admitted_ms=at_ms,
        price_version=price_version,
        starts=Starts.read(" ".join(before), lambda text: at_ms - int(text)),
        reason="",
    )


def _long(entry_id: str, row: Mapping[str, str]) -> Entry:
    return Entry(
        id=entry_id,
        type=row["type"],
        job=row["job"],
        user=row["user"],
        key=row["key"],
        token=row["token"],
        model=row["model"],
        seconds=int(row["seconds"]),
        amount=int(row["amount"]),
        at_ms=int(row["at"]),
        admitted_ms=int(row["admitted"]),
        price_version=row["price_version"],
        starts=Starts.read(row["starts"] if "starts" in row else row["periods"]),
        reason=row["reason"],
    )


# The members of a reservation that is missing, which only happens in a store that was tampered with.
_UNKNOWN = Entry("", "", "", "", "", "", "", 0, 0, 0, 0, "", Starts({}, {}), "")
