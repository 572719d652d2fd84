"""A model in plain Python: what limits, sums and jobs must be after each operation.

No sum is kept: each is computed from the bills and adjustments when it is compared, so a mistake in the
store's counters cannot be repeated here.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from app.domain.jobs import TERMINAL_STATES, Money, Status
from app.domain.limits import CALENDAR, GATEWAY, Limit, LimitState, Owner, Unit, Window, periods
from app.domain.limits import Periods as Calendar
from app.domain.starts import Starts
from app.store import keys
from app.store.limits import read_limits
from tests.support.checks import sums_in
from tests.support.snapshot import Snapshot

RATE_US = {Window.MINUTE: 60_000_000, Window.HOUR: 3_600_000_000}
PLACES = (Window.CONCURRENT, Window.QUEUED)
CLOCK_US = 5_000  # the store's time is in ms, and a script may read its clock twice


@dataclass(frozen=True)
class Quote:
    """What a submission costs, in each unit."""

    team: str
    user: str
    token: str | None
    micro: int
    seconds: int

    def need(self, unit: Unit) -> int:
        """Its amount of a unit."""
        return {Unit.USD: self.micro, Unit.VIDEO_SECONDS: self.seconds}.get(unit, 1)

    def owners(self) -> list[tuple[Owner, str]]:
        """The owners whose limits apply, in the order of the reply."""
        owners = [(Owner.GATEWAY, GATEWAY), (Owner.TEAM, self.team), (Owner.USER, self.user)]
        return owners + ([(Owner.TOKEN, self.token)] if self.token else [])


@dataclass
class Bill:
    """One job: its status and its money. `starts` are the periods' beginnings, fixed at admission."""

    quote: Quote
    starts: Starts
    status: Status = Status.QUEUED
    nonce: str | None = None
    money: Money = Money.RESERVED
    entries: list[tuple[str, int]] = field(default_factory=list)

    @property
    def open(self) -> bool:
        """True while the reservation is kept."""
        return self.money in {Money.RESERVED, Money.DISPUTED}

    @property
    def charged(self) -> int | None:
        """Micro-dollars; None while unknown."""
        if self.open:
            return None
        return sum(amount for kind, amount in self.entries if kind in {"settle", "correction"})

    def close(self, *, spend: bool) -> None:
        """End the reservation."""
        self.money = Money.SPENT if spend else Money.RELEASED
        self.entries.append(("settle" if spend else "release", self.quote.micro))

    def dispute(self) -> None:
        """Keep the reservation, because the cost is unknown."""
        self.money = Money.DISPUTED
        self.entries.append(("dispute", self.quote.micro))

    def correct(self, actual: int) -> None:
        """Correct the charge to the real cost."""
        if self.money is Money.DISPUTED:
            self.close(spend=actual > 0)
        if difference := actual - (self.charged or 0):
            self.entries.append(("correction", difference))
            self.money = Money.SPENT if actual else Money.RELEASED

    def counted(self) -> Counter[str]:
        """What it adds to each of its sums."""
        amounts = {"jobs": 1, "usd": self.quote.micro, "video_seconds": self.quote.seconds}
        if self.open:
            return Counter({f"held:{unit}": count for unit, count in amounts.items()})
        settled = any(kind == "settle" for kind, _ in self.entries)
        counted = Counter({f"used:{unit}": count for unit, count in amounts.items() if settled})
        counted["used:usd"] = self.charged or 0
        return counted


@dataclass(frozen=True)
class Adjustment:
    """A credit or a correction that belongs to no job."""

    team: str
    kind: str
    micro: int
    starts: Starts


NEVER = Starts({}, {})


def starts_at(now_ms: int, zone: str) -> Starts:
    """The beginnings of the periods at this time: the team's, and the gateway's."""
    here, gateway = (
        {window: period.start_ms for window, period in periods(now_ms, place).items()} for place in (zone, "UTC")
    )
    return Starts(here, gateway)


def names_of(owner: str, starts: Starts) -> list[str]:
    """The keys of an owner's sums: total and each period; for a token, only total."""
    if owner.startswith("tok_"):
        return [keys.total(owner)]
    own = starts.gateway if owner == GATEWAY else starts.team
    return [keys.total(owner), *(keys.period(window, start, owner) for window, start in own.items())]


@dataclass
class Model:
    """Everything that is known. `zones` are the teams' time zones; `bills` are by job id, in admission order.

    Attributes:
        limits: by owner, then by `unit/window`.
        repeats: by team, user or browser token, and idempotency key: the job and the fingerprint.
        tokens: the users of the browser tokens.
        rates: by owner and window, the earliest and latest time (µs) that the next submission may be due.
    """

    zones: dict[str, str] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)  # teams whose zone has changed: their old windows still apply
    limits: dict[str, dict[str, Limit]] = field(default_factory=dict)
    bills: dict[str, Bill] = field(default_factory=dict)
    adjustments: list[Adjustment] = field(default_factory=list)
    repeats: dict[tuple[str, str, str], tuple[str, str]] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    rates: dict[tuple[str, Window], tuple[int, int]] = field(default_factory=dict)

    # --- what must be stored -----------------------------------------------------------------------------------

    def sums(self) -> dict[str, Counter[str]]:
        """Every non-zero sum, by key."""
        found: dict[str, Counter[str]] = {}
        for bill in self.bills.values():
            for _, owner in bill.quote.owners():
                for name in names_of(owner, bill.starts):
                    found.setdefault(name, Counter()).update(bill.counted())
        for one in self.adjustments:
            field_name = "credit:usd" if one.kind == "credit" else "used:usd"
            for owner in [one.team] if one.kind == "credit" else [one.team, GATEWAY]:
                for name in names_of(owner, one.starts):
                    found.setdefault(name, Counter())[field_name] += one.micro
        return found

    def faults(self, snapshot: Snapshot) -> list[str]:
        """The keys at which the store holds something else."""
        pairs = dict(self._pairs(snapshot))
        return [
            f"{what}: stored {stored}, expected {own}" for what, (stored, own) in pairs.items() if stored != own
        ]

    def _pairs(self, snapshot: Snapshot) -> Iterator[tuple[str, tuple[object, object]]]:
        stored, own = sums_in(snapshot), self.sums()
        for name in stored.keys() | own.keys():
            yield name, (_whole(stored.get(name)), _whole(own.get(name)))
        jobs = {job.id: job for job in snapshot.jobs().values()}
        yield "jobs", (set(jobs), set(self.bills))
        for job_id, bill in self.bills.items():
            job = jobs.get(job_id)
            yield job_id, (job and (job.status, job.nonce, job.money, job.charged_micro), _facts(bill))
            yield f"{job_id} periods", (job and Starts.read(job.starts), bill.starts)
        for team, zone in self.zones.items():
            mine = {job_id: bill for job_id, bill in self.bills.items() if bill.quote.team == team}
            yield f"{team} zone", (snapshot.get(keys.team(team)).get("time_zone"), zone)
            kept = {job_id: str(bill.quote.micro) for job_id, bill in mine.items() if bill.open}
            yield f"{team} reservations", (snapshot.get(keys.reservations(team)), kept)
            rows = [
                (row["job"], row["type"], int(row["amount"])) for _, row in snapshot.get(keys.ledger(team)) or ()
            ]
            for job_id, bill in mine.items():
                yield f"{job_id} entries", ([row[1:] for row in rows if row[0] == job_id], bill.entries)
            about_none = [(one.kind, one.micro) for one in self.adjustments if one.team == team]
            yield f"{team} entries about no job", ([row[1:] for row in rows if not row[0]], about_none)
        for owner, limits in self.limits.items():
            rules = {limit.name: limit for limit in read_limits(snapshot.get(keys.limits(owner)))}
            yield f"{owner} limits", (rules, limits)
        remembered = {"job_" + text[12:] for _, text in snapshot.named(keys.PREFIX + "idem:")}
        yield "idempotency keys", (remembered, {job_id for job_id, _ in self.repeats.values()})
        tokens = {row["id"]: row["user"] for _, row in snapshot.named(keys.token(""))}
        yield "browser tokens", (tokens, self.tokens)

    # --- what admission must say -------------------------------------------------------------------------------

    def states(self, quote: Quote, now_ms: int) -> list[LimitState]:
        """Every limit on jobs, money or slots, with the state that admission must compute; rates are left out."""
        here, gateway = periods(now_ms, self.zones[quote.team]), periods(now_ms, "UTC")
        sums = self.sums()
        return [
            self._state(sums, quote, (kind, owner), limit, gateway if kind is Owner.GATEWAY else here, now_ms)
            for kind, owner in quote.owners()
            for _, limit in sorted(self.limits.get(owner, {}).items())
            if limit.unit is not Unit.SUBMITS
        ]

    def _state(
        self,
        sums: dict[str, Counter[str]],
        quote: Quote,
        whose: tuple[Owner, str],
        limit: Limit,
        calendar: Calendar,
        now_ms: int,
    ) -> LimitState:
        kind, owner = whose
        used, credit, resets = 0, 0, None
        if limit.window in PLACES:
            held = self._places(owner, queued=limit.window is Window.QUEUED)
        else:
            name = keys.total(owner)
            if limit.window in CALENDAR:
                period = calendar[limit.window]
                name, resets = keys.period(limit.window, period.start_ms, owner), period.end_ms
            found = sums.get(name, Counter())
            used, held, credit = (found[f"{verb}:{limit.unit}"] for verb in ("used", "held", "credit"))
        amount = in_force(limit, now_ms) + credit
        over = used + held + quote.need(limit.unit) > amount
        return LimitState(kind, limit.unit, limit.window, amount, used, held, resets, now_ms, over)

    def _places(self, owner: str, *, queued: bool) -> int:
        """How many jobs of an owner exist, or wait in line."""
        return sum(
            bill.status is Status.QUEUED if queued else bill.status not in TERMINAL_STATES
            for bill in self.bills.values()
            if owner in {GATEWAY, bill.quote.team, bill.quote.user}
        )

    # --- rates -------------------------------------------------------------------------------------------------

    def rates_of(self, quote: Quote) -> Iterator[tuple[Owner, str, Limit]]:
        """The rates that apply to a submission."""
        for kind, owner in quote.owners():
            for _, limit in sorted(self.limits.get(owner, {}).items()):
                if limit.unit is Unit.SUBMITS:
                    yield kind, owner, limit

    def rate_is_over(self, owner: str, limit: Limit, now_ms: int) -> bool | None:
        """Whether GCRA refuses now; None where a few milliseconds decide."""
        amount = in_force(limit, now_ms)
        if amount == 0:
            return True
        step = -(-RATE_US[limit.window] // amount)
        earliest, latest = self.rates.get((owner, limit.window), (0, 0))
        answers = {
            amount * step - max(0, due_us - now_us) < step
            for due_us, now_us in ((earliest, now_ms * 1000 + CLOCK_US), (latest, now_ms * 1000))
        }
        return answers.pop() if len(answers) == 1 else None

    def take_rates(self, quote: Quote, now_ms: int, *, surely: bool = True) -> None:
        """Charge one submission to each rate; not `surely` when its answer was lost."""
        for _, owner, limit in self.rates_of(quote):
            amount = in_force(limit, now_ms)
            if amount == 0:
                continue
            step = -(-RATE_US[limit.window] // amount)
            earliest, latest = self.rates.get((owner, limit.window), (0, 0))
            first = max(now_ms * 1000, earliest) + step if surely else earliest
            self.rates[owner, limit.window] = (first, max(now_ms * 1000 + CLOCK_US, latest) + step)


def in_force(limit: Limit, now_ms: int) -> int:
    """The amount in force: the raised one while the raise lasts."""
    if limit.raised_to is not None and limit.raised_until_ms is not None and limit.raised_until_ms > now_ms:
        return limit.raised_to
    return limit.amount


def _whole(sums: Counter[str] | None) -> dict[str, int]:
    """Without zero values."""
    return {name: value for name, value in (sums or {}).items() if value}


def _facts(bill: Bill) -> tuple[object, ...]:
    return bill.status, bill.nonce, bill.money, bill.charged
