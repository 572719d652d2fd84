"""Every key in Redis, and how long it lives.

Scripts derive some of these names by joining a prefix with a ref; that is allowed because Filmgate runs on a
single primary, never on a cluster. RQ keeps its own keys under `rq:`.
"""

from enum import Enum

PREFIX = "fg:"
STEPS = ("submit", "poll", "finalize", "deliver", "expire", "dispute")


class Lifetime(Enum):
    """Why a key may stay, or when it goes."""

    PERMANENT = "accounts and money: never expires"
    STANDING = "one of a fixed number of sets; its members leave by themselves"
    LIVE = "a job that has not ended has no expiry; it gets one when it ends"
    EXPIRING = "always has an expiry"


LIFETIMES: dict[str, Lifetime] = {
    "team:": Lifetime.PERMANENT,
    "teams": Lifetime.PERMANENT,
    "user:": Lifetime.PERMANENT,
    "key:": Lifetime.PERMANENT,
    "balance:": Lifetime.PERMANENT,
    "reservations:": Lifetime.PERMANENT,
    "ledger:": Lifetime.PERMANENT,
    "line": Lifetime.STANDING,
    "later": Lifetime.STANDING,
    "slots": Lifetime.STANDING,
    "held": Lifetime.STANDING,
    "due:": Lifetime.STANDING,
    "jobs:": Lifetime.STANDING,
    "job:": Lifetime.LIVE,
    "idem:": Lifetime.EXPIRING,
    "events:": Lifetime.EXPIRING,
    "delivery:": Lifetime.EXPIRING,
    "deliveries:": Lifetime.EXPIRING,
    "file:": Lifetime.EXPIRING,
    "durations:": Lifetime.EXPIRING,
    "pause": Lifetime.EXPIRING,
    "wake": Lifetime.EXPIRING,
    "lane:": Lifetime.EXPIRING,
    "worker:": Lifetime.EXPIRING,
}

LINE = PREFIX + "line"
LATER = PREFIX + "later"
SLOTS = PREFIX + "slots"
HELD = PREFIX + "held"
PAUSE = PREFIX + "pause"
WAKE = PREFIX + "wake"
TEAMS = PREFIX + "teams"
JOB_PREFIX = PREFIX + "job:"


def due(step: str) -> str:
    """Sorted set: refs by the time (ms) they must be looked at."""
    return f"{PREFIX}due:{step}"


def job(ref: str) -> str:
    """Hash: the job's record. The team is in the ref, so another team's id is simply not there."""
    return JOB_PREFIX + ref


def team_jobs(team: str) -> str:
    """Sorted set: the team's job ids by admission time (ms)."""
    return f"{PREFIX}jobs:{team}"


def user_jobs(team: str, user: str) -> str:
    """Sorted set: one user's job ids by admission time (ms)."""
    return f"{PREFIX}jobs:{team}:user:{user}"


def metadata_jobs(team: str, name: str, value: str) -> str:
    """Sorted set: job ids that carry one metadata pair, by admission time (ms)."""
    return f"{PREFIX}jobs:{team}:meta:{name}={value}"


def idempotency(team: str, user: str, key_digest: str) -> str:
    """Hash: the job and the fingerprint of a submission made with an idempotency key."""
    return f"{PREFIX}idem:{team}:{user}:{key_digest}"


def reservations(team: str) -> str:
    """Hash used as a set: job id to micro-dollars put aside; taking an entry out twice is impossible."""
    return f"{PREFIX}reservations:{team}"


def balance(team: str) -> str:
    """Hash: `reserved` and `spent`, in micro-dollars; both can be rebuilt from the entries."""
    return f"{PREFIX}balance:{team}"


def ledger(team: str) -> str:
    """Stream: every movement of money, for ever."""
    return f"{PREFIX}ledger:{team}"


def events(team: str) -> str:
    """Stream: the team's events in order."""
    return f"{PREFIX}events:{team}"


def delivery(ref: str) -> str:
    """Hash: one event for one webhook."""
    return f"{PREFIX}delivery:{ref}"


def deliveries(ref: str) -> str:
    """List: the ids of a job's deliveries."""
    return f"{PREFIX}deliveries:{ref}"


def team(team_id: str) -> str:
    """Hash: a team."""
    return f"{PREFIX}team:{team_id}"


def user(team_id: str, user_id: str) -> str:
    """Hash: a user of a team."""
    return f"{PREFIX}user:{team_id}:{user_id}"


def key(key_digest: str) -> str:
    """Hash: an API key, found by its SHA-256."""
    return f"{PREFIX}key:{key_digest}"


def file(team_id: str, url_digest: str) -> str:
    """Hash: what was uploaded at a URL, so that a job can show it."""
    return f"{PREFIX}file:{team_id}:{url_digest}"


def durations(model: str) -> str:
    """List: how long the last generations of a model took, in milliseconds."""
    return f"{PREFIX}durations:{model}"


def lane(number: int) -> str:
    """String: who runs this lane now: a slice's token, or `rung`."""
    return f"{PREFIX}lane:{number}"


def worker(name: str) -> str:
    """Hash: a worker process's heartbeat."""
    return f"{PREFIX}worker:{name}"
