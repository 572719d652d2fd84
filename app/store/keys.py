"""Every key in Redis, and how long it lives.

Scripts derive some of these names by joining a prefix with a ref; that is allowed because Filmgate runs on a
single primary, never on a cluster. RQ keeps its own keys under `rq:`.
"""

import base64
import hashlib
from enum import Enum

PREFIX = "fg:"
STEPS = ("submit", "poll", "finalize", "deliver", "expire", "dispute", "billing", "resolve")


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
    "users": Lifetime.PERMANENT,
    "users:": Lifetime.PERMANENT,
    "keys": Lifetime.PERMANENT,
    "keys:": Lifetime.PERMANENT,
    "last_used": Lifetime.STANDING,
    "limits:": Lifetime.PERMANENT,
    "limits:tok_": Lifetime.EXPIRING,
    "total:": Lifetime.PERMANENT,
    "total:tok_": Lifetime.EXPIRING,
    "period:": Lifetime.EXPIRING,
    "rate:": Lifetime.EXPIRING,
    "live:": Lifetime.STANDING,
    "queued:": Lifetime.STANDING,
    "token:": Lifetime.EXPIRING,
    "audit": Lifetime.PERMANENT,
    "hook_secret": Lifetime.PERMANENT,
    "webhook_key": Lifetime.PERMANENT,
    "setting_names": Lifetime.PERMANENT,
    "alarms": Lifetime.STANDING,
    "audit:head": Lifetime.PERMANENT,
    "reservations:": Lifetime.PERMANENT,
    "ledger:": Lifetime.PERMANENT,
    "usage": Lifetime.PERMANENT,
    "usage:days:": Lifetime.PERMANENT,
    "usage:day:": Lifetime.PERMANENT,
    "usage:hours:": Lifetime.EXPIRING,
    "line": Lifetime.STANDING,
    "line:": Lifetime.STANDING,
    "marks": Lifetime.STANDING,
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
    "endpoints:": Lifetime.PERMANENT,
    "waiting:": Lifetime.EXPIRING,
    "flying:": Lifetime.EXPIRING,
    "destination:": Lifetime.EXPIRING,
    "outbox:": Lifetime.EXPIRING,
    "dead:": Lifetime.EXPIRING,
    "file:": Lifetime.EXPIRING,
    "upload:": Lifetime.EXPIRING,
    "parts": Lifetime.EXPIRING,
    "parts:": Lifetime.EXPIRING,
    "outstanding:": Lifetime.EXPIRING,
    "durations:": Lifetime.EXPIRING,
    "absences:": Lifetime.EXPIRING,
    "request:": Lifetime.EXPIRING,
    "suspect:": Lifetime.EXPIRING,
    "aside": Lifetime.STANDING,
    "pauses": Lifetime.STANDING,
    "breaker": Lifetime.STANDING,
    "confirm": Lifetime.STANDING,
    "admissions": Lifetime.STANDING,
    "epoch": Lifetime.PERMANENT,
    "claims": Lifetime.STANDING,
    "wake": Lifetime.EXPIRING,
    "lane:": Lifetime.EXPIRING,
    "workers": Lifetime.EXPIRING,
    "lanes_seen": Lifetime.EXPIRING,
    "silent": Lifetime.EXPIRING,
    "concurrency": Lifetime.EXPIRING,
    "alarm_said:": Lifetime.EXPIRING,
}

LINE = PREFIX + "line"
LATER = PREFIX + "later"
SLOTS = PREFIX + "slots"
HELD = PREFIX + "held"
ASIDE = PREFIX + "aside"  # hash: `step team/job` to when (ms) it was set aside, because its workers died
PAUSES = PREFIX + "pauses"  # hash: team, or `all`, to the sentence of the administrator who paused it
BREAKER = PREFIX + "breaker"  # hash: what fal's last answers mean for buying on
EPOCH = PREFIX + "epoch"  # hash: which store this is, how many claims it knows, and the last time it went back
CLAIMS = PREFIX + "claims"  # hash: the newest claims, `number nonce`, by their number modulo 1000
ADMISSIONS = PREFIX + "admissions"  # hash: the newest admissions, `number job`, in the same way
CONFIRM = PREFIX + "confirm"  # string: written to ask whether replicas have what was written before
VIRTUAL_TIMES = PREFIX + "marks"  # hash: what each team and user was granted so far, for its weight
LINE_TEAMS = PREFIX + "line:teams"  # sorted set: teams with jobs in line, by their mark
PARTS = PREFIX + "parts"  # sorted set: everybody's unfinished uploads with parts, by when (ms) they end
WAKE = PREFIX + "wake"
WORKERS = PREFIX + "workers"  # sorted set: `role host:pid` of each worker process by its last heartbeat (ms)
LANES_SEEN = PREFIX + "lanes_seen"  # string: when (ms) a lane last looked at the line
SILENT = PREFIX + "silent"  # string: since when (ms) a kind of worker is not heard
CONCURRENCY = PREFIX + "concurrency"  # hash: how many jobs each host lets be at fal, and `all`, the least of them
TEAMS = PREFIX + "teams"
USERS = PREFIX + "users"
KEYS = PREFIX + "keys"
LAST_USED = PREFIX + "last_used"
AUDIT = PREFIX + "audit"
HOOK_SECRET = PREFIX + "hook_secret"  # string: makes the markers of submissions, where no setting does
WEBHOOK_KEY = PREFIX + "webhook_key"  # string: the private half of the key that signs messages to customers
SETTING_NAMES = PREFIX + "setting_names"  # hash: version to the names of the settings it knows, with spaces between
USAGE_COUNTED = PREFIX + "usage"  # hash: team to the id of the last entry of its ledger that is in its usage sums
ALARMS = PREFIX + "alarms"  # stream: what administrators must know
AUDIT_HEAD = PREFIX + "audit:head"
JOB_PREFIX = PREFIX + "job:"


def user_line(user: str) -> str:
    """Sorted set: refs of one user's jobs in line, by the place that priority and age give them."""
    return f"{PREFIX}line:user:{user}"


def due(step: str) -> str:
    """Sorted set: refs by the time (ms) they must be looked at; in `deliver` they are destinations."""
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


def idempotency(team: str, owner: str, key_digest: str) -> str:
    """String: the job and a mark of the request, of an idempotency key of a user or a browser token.

    The name is 132 bits of a hash, because there is one for each job.
    """
    digest = hashlib.sha256(f"{team}:{owner}:{key_digest}".encode()).digest()
    return f"{PREFIX}idem:{base64.urlsafe_b64encode(digest)[:22].decode()}"


def idempotency_before(team: str, owner: str, key_digest: str) -> str:
    """Hash: the same with the whole fingerprint, as older versions wrote it; forgotten with the last of them."""
    return f"{PREFIX}idem:{team}:{owner}:{key_digest}"


def reservations(team: str) -> str:
    """Hash used as a set: job id to micro-dollars put aside; taking an entry out twice is impossible."""
    return f"{PREFIX}reservations:{team}"


def limits(owner: str) -> str:
    """Hash: an owner's limits, `usd/day` to amount; `raise:usd/day` to a higher one and until when (ms).

    An owner is `gateway`, or the id of a team, a user or a browser token.
    """
    return f"{PREFIX}limits:{owner}"


def total(owner: str) -> str:
    """Hash: what an owner has used and holds since the beginning: `used:usd`, `held:jobs`, and so on."""
    return f"{PREFIX}total:{owner}"


def period(window: str, start_ms: int | str, owner: str) -> str:
    """Hash: the same within one calendar period; forgotten some time after its end.

    After a change of time zone, `fixed:usd` and its like, and `also` (JSON), say what else counts in it.
    """
    return f"{PREFIX}period:{window}:{start_ms}:{owner}"


def rate(owner: str, window: str) -> str:
    """String: when the owner's next submission is due at an even pace, in microseconds (GCRA)."""
    return f"{PREFIX}rate:{owner}:{window}"


def live(owner: str) -> str:
    """Set: the owner's jobs that have not ended."""
    return f"{PREFIX}live:{owner}"


def queued(owner: str) -> str:
    """Set: the owner's jobs that wait in line."""
    return f"{PREFIX}queued:{owner}"


def ledger(team: str) -> str:
    """Stream: every movement of money, for ever."""
    return f"{PREFIX}ledger:{team}"


def usage_days(team: str) -> str:
    """Sorted set: beginnings (ms) of the days on which the team used anything, by themselves."""
    return f"{PREFIX}usage:days:{team}"


def usage_day(team: str, start_ms: int | str) -> str:
    """Hash: one day's `user key model` to `jobs seconds spent held`; `credit` in the same form."""
    return f"{PREFIX}usage:day:{team}:{start_ms}"


def usage_hours(team: str, start_ms: int | str) -> str:
    """Hash: the same by hour, `hour user key model`; forgotten some weeks after the day."""
    return f"{PREFIX}usage:hours:{team}:{start_ms}"


def events(team: str) -> str:
    """Stream: the team's events in order."""
    return f"{PREFIX}events:{team}"


def delivery(ref: str) -> str:
    """Hash: one event for one webhook."""
    return f"{PREFIX}delivery:{ref}"


def deliveries(ref: str) -> str:
    """List: the ids of a job's deliveries."""
    return f"{PREFIX}deliveries:{ref}"


def endpoints(team: str) -> str:
    """Hash: the team's webhook endpoints, id to record (JSON)."""
    return f"{PREFIX}endpoints:{team}"


def waiting(destination: str) -> str:
    """Sorted set: refs of the deliveries to one destination, by the time (ms) they are due."""
    return f"{PREFIX}waiting:{destination}"


def flying(destination: str) -> str:
    """Sorted set: refs of the deliveries that are on their way to it, by when (ms) they are given up for lost."""
    return f"{PREFIX}flying:{destination}"


def destination(name: str) -> str:
    """Hash: how a destination does: failures in a row and since when, the breaker's pause, slow or good at last."""
    return f"{PREFIX}destination:{name}"


def outbox(owner: str) -> str:
    """Sorted set: ids of the deliveries of a team, or to one destination, by the time (ms) they were written."""
    return f"{PREFIX}outbox:{owner}"


def dead(team: str) -> str:
    """Sorted set: ids of the team's dead letters, by the time (ms) they were given up."""
    return f"{PREFIX}dead:{team}"


def team(team_id: str) -> str:
    """Hash: a team."""
    return f"{PREFIX}team:{team_id}"


def user(team_id: str, user_id: str) -> str:
    """Hash: a user of a team."""
    return f"{PREFIX}user:{team_id}:{user_id}"


def team_users(team_id: str) -> str:
    """Set: the ids of a team's users."""
    return f"{PREFIX}users:{team_id}"


def user_keys(user_id: str) -> str:
    """Set: the ids of a user's keys."""
    return f"{PREFIX}keys:{user_id}"


def key(key_digest: str) -> str:
    """Hash: an API key, found by its SHA-256."""
    return f"{PREFIX}key:{key_digest}"


def token(token_digest: str) -> str:
    """Hash: a browser token, found by its SHA-256."""
    return f"{PREFIX}token:{token_digest}"


def credential(digest: str, *, token: bool) -> str:
    """Hash: what a caller brings, an API key or a browser token."""
    return f"{PREFIX}{'token' if token else 'key'}:{digest}"


def file(team_id: str, url_digest: str) -> str:
    """Hash: what was uploaded at a URL, so that a job can show it."""
    return f"{PREFIX}file:{team_id}:{url_digest}"


def upload(team_id: str, upload_id: str) -> str:
    """Hash: a place for one file that a client of fal's brings, or a permission to bring any."""
    return f"{PREFIX}upload:{team_id}:{upload_id}"


def parts(team_id: str) -> str:
    """Sorted set: a team's unfinished uploads with parts, by when (ms) they end."""
    return f"{PREFIX}parts:{team_id}"


def outstanding(what: str, key_id: str) -> str:
    """Sorted set: ids of the browser tokens, or promised uploads, that a key has, by when (ms) each expires."""
    return f"{PREFIX}outstanding:{what}:{key_id}"


def durations(model: str) -> str:
    """List: how long the last generations of a model took, in milliseconds."""
    return f"{PREFIX}durations:{model}"


def absences(ref: str, nonce: str) -> str:
    """List: when (ms) fal's history was complete and did not show this attempt."""
    return f"{PREFIX}absences:{ref}:{nonce}"


def request(upstream_request_id: str) -> str:
    """String: ref of the job that was the first to have this request of fal's, for two days."""
    return f"{PREFIX}request:{upstream_request_id}"


def suspect(step: str, ref: str) -> str:
    """String: how often the ref was taken up in this step and has not been given back."""
    return f"{PREFIX}suspect:{step}:{ref}"


def lane(number: int) -> str:
    """String: who runs this lane now: a slice's token, or `rung`."""
    return f"{PREFIX}lane:{number}"


def alarm_said(name: str) -> str:
    """String: there while this alarm is not to be rung again."""
    return f"{PREFIX}alarm_said:{name}"
