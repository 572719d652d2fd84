"""Every key in Redis, and its lifetime.

Scripts join prefixes and refs to some of these names, which a cluster would not allow; Filmgate runs on a single
primary. RQ has its own keys under `rq:`.
"""

import base64
import hashlib
from enum import Enum

PREFIX = "fg:"
STEPS = ("submit", "poll", "finalize", "deliver", "expire", "dispute", "billing", "resolve", "keep")


class Lifetime(Enum):
    """Why a key may stay, or when it is deleted."""

    PERMANENT = "accounts and money: never expires"
    STANDING = "one of a fixed number of sets; its members are removed"
    LIVE = "a job gets its expiry when it ends"
    EXPIRING = "always has an expiry"


# Names of keys after PREFIX; those that end in `:` or `_` are the beginnings of names.
_BY_LIFETIME: dict[Lifetime, tuple[str, ...]] = {
    Lifetime.PERMANENT: (
        "team:", "teams", "user:", "users", "users:", "key:", "keys", "keys:", "limits:", "total:", "endpoints:",
        "reservations:", "ledger:", "usage", "usage:days:", "usage:day:", "audit", "audit:head", "epoch",
        "hook_secret", "webhook_key", "setting_names", "format", "backups", "storage", "auth:person:",
    ),
    Lifetime.STANDING: (
        "line", "line:", "marks", "later", "slots", "held", "due:", "jobs:", "live:", "queued:", "aside", "pauses",
        "breaker", "confirm", "uncopied", "admissions", "claims", "alarms", "alarms:active",
        "last_used", "kept", "kept:sizes", "kept:bytes", "auth:invitations",
    ),
    Lifetime.LIVE: ("job:",),
    Lifetime.EXPIRING: (
        "limits:tok_", "total:tok_", "period:", "rate:", "token:", "usage:hours:", "idem:", "answers:", "events:",
        "delivery:", "deliveries:", "waiting:", "flying:", "destination:", "outbox:", "dead:", "file:", "files:",
        "upload:", "parts", "parts:", "outstanding:", "durations:", "ends:", "absences:", "request:", "suspect:",
        "wake", "lane:", "workers", "lanes_seen", "silent", "concurrency", "alarm_said:", "lease:", "programs",
        "alerts", "alerts:wanted", "alerts:receiver", "waiting_since", "hosts", "ledger_faults", "ledger_checked:",
        "auth:sessions:", "auth:code:", "auth:invitation:", "auth:share:", "auth:shares:",
        "auth:state:",
    ),
}  # fmt: skip
LIFETIMES = {name: lifetime for lifetime, names in _BY_LIFETIME.items() for name in names}

LINE = PREFIX + "line"
LATER = PREFIX + "later"
SLOTS = PREFIX + "slots"
HELD = PREFIX + "held"
QUARANTINE = PREFIX + "aside"  # hash: steps in quarantine, `step team/job` to since when (ms)
PAUSES = PREFIX + "pauses"  # hash: team, or `all`, to the sentence of the administrator who paused it
BREAKER = PREFIX + "breaker"  # hash: failures of submissions in a row, and the breaker's state
EPOCH = PREFIX + "epoch"  # hash: the store's id, its count of claims, and the last time it went back
CLAIMS = PREFIX + "claims"  # hash: the newest claims, `number nonce`, by their number modulo 1000
ADMISSIONS = PREFIX + "admissions"  # hash: the newest admissions, `number job`, likewise
CONFIRM = PREFIX + "confirm"  # string: written so that replicas confirm all writes before it
UNCOPIED = PREFIX + "uncopied"  # sorted set: jobs whose files could not be copied several times, by how often
VIRTUAL_TIMES = PREFIX + "marks"  # hash: the virtual time of each team and user
LINE_TEAMS = PREFIX + "line:teams"  # sorted set: teams with jobs in line, by their virtual time
PARTS = PREFIX + "parts"  # sorted set: all unfinished uploads with parts, by when (ms) they expire
KEPT = PREFIX + "kept"  # sorted set: files in the storage, by when (ms) they are deleted
KEPT_SIZES = PREFIX + "kept:sizes"  # hash: each one's state and size
KEPT_BYTES = PREFIX + "kept:bytes"  # hash: bytes, `TEAM used` and `TEAM held`
WAKE = PREFIX + "wake"
WORKERS = PREFIX + "workers"  # sorted set: `role host:pid` of each worker process by its last heartbeat (ms)
LAST_LANE = PREFIX + "lanes_seen"  # string: when (ms) a lane last ran
WORKERS_SILENT = PREFIX + "silent"  # string: since when (ms) a role of workers has no heartbeat
CONCURRENCY = PREFIX + "concurrency"  # hash: each host's upstream concurrency, and `all`, the lowest
TEAMS = PREFIX + "teams"
USERS = PREFIX + "users"
KEYS = PREFIX + "keys"
INVITATIONS = PREFIX + "auth:invitations"  # sorted set: ids of invitations by when (ms) they are forgotten
LAST_USED = PREFIX + "last_used"
AUDIT = PREFIX + "audit"
HOOK_SECRET = PREFIX + "hook_secret"  # string: the secret of markers, where no setting has one
WEBHOOK_KEY = PREFIX + "webhook_key"  # string: the private key that signs messages to customers
SETTING_NAMES = PREFIX + "setting_names"  # hash: version to the names of its settings, with spaces between
DATA_FORMAT = PREFIX + "format"  # hash: the data format's number, and how far a migration to the next one has come
STORAGE = PREFIX + "storage"  # hash: the id of the storage in use, and whether its mark was written
BACKUPS = PREFIX + "backups"  # hash: the newest backup in the storage, and the last failure since
PROGRAMS = PREFIX + "programs"  # sorted set: `format version role host:pid` of each process by when (ms) last seen
USAGE_COUNTED = PREFIX + "usage"  # hash: team to the last ledger entry that is in its usage sums
ALARMS = PREFIX + "alarms"  # stream: alarms for administrators, as they were raised and resolved
ACTIVE_ALARMS = PREFIX + "alarms:active"  # hash: alarms with a state that are not over, as JSON by their names
ALERTS = PREFIX + "alerts"  # list: messages about alarms that are over or have no state, as JSON, the oldest first
ALERTS_WANTED = PREFIX + "alerts:wanted"  # string: exists while a process sends them
ALERT_RECEIVER = PREFIX + "alerts:receiver"  # hash: failures of the receiver in a row
HOSTS = PREFIX + "hosts"  # hash: `role host:pid` of each API and supervisor to what it reported, as JSON
LEDGER_FAULTS = PREFIX + "ledger_faults"  # hash: team to the sentence about its sums, while they differ
WAITING_SINCE = PREFIX + "waiting_since"  # string: since when (ms) jobs have been waiting to be bought
AUDIT_HEAD = PREFIX + "audit:head"
JOB_PREFIX = PREFIX + "job:"


def user_line(user: str) -> str:
    """Sorted set: refs of one user's jobs in line, ordered by priority and age."""
    return f"{PREFIX}line:user:{user}"


def due(step: str) -> str:
    """Sorted set: refs by the time (ms) they are due; in `deliver` they are destinations."""
    return f"{PREFIX}due:{step}"


def job(ref: str) -> str:
    """Hash: the job's record. The ref contains the team, so no team can read another's job by its id."""
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
    """String: the job and a short hash of the request that used an idempotency key of a user or a browser token.

    The name is 132 bits of a hash, to save memory: there is one for each job.
    """
    digest = hashlib.sha256(f"{team}:{owner}:{key_digest}".encode()).digest()
    return f"{PREFIX}idem:{base64.urlsafe_b64encode(digest)[:22].decode()}"


def idempotency_before(team: str, owner: str, key_digest: str) -> str:
    """Hash: the same with the whole fingerprint, as older versions wrote it."""
    return f"{PREFIX}idem:{team}:{owner}:{key_digest}"


def answers(team: str, owner: str, key_digest: str) -> str:
    """Hash: the answers to equal submissions of a user or a browser token that may be lost (`lib/answers.lua`)."""
    return idempotency(team, owner, key_digest).replace(":idem:", ":answers:", 1)


def reservations(team: str) -> str:
    """Hash: job id to reserved micro-dollars; a reservation can be removed only once."""
    return f"{PREFIX}reservations:{team}"


def limits(owner: str) -> str:
    """Hash: an owner's limits, `usd/day` to amount; `raise:usd/day` to a higher amount and its end (ms).

    An owner is `gateway`, or the id of a team, a user or a browser token.
    """
    return f"{PREFIX}limits:{owner}"


def total(owner: str) -> str:
    """Hash: what an owner has used and holds in total: `used:usd`, `held:jobs`, and so on."""
    return f"{PREFIX}total:{owner}"


def period(window: str, start_ms: int | str, owner: str) -> str:
    """Hash: the same within one calendar period; it expires some time after the period.

    After a change of time zone, `fixed:usd` etc. and `also` (JSON) are what else counts in it.
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
    """Sorted set: beginnings (ms) of the days on which the team used anything; each is its own score."""
    return f"{PREFIX}usage:days:{team}"


def usage_day(team: str, start_ms: int | str) -> str:
    """Hash: one day's `user key model` to `jobs seconds spent held`; `credit` in the same form."""
    return f"{PREFIX}usage:day:{team}:{start_ms}"


def usage_hours(team: str, start_ms: int | str) -> str:
    """Hash: the same by hour, `hour user key model`; it expires some weeks after the day."""
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


def in_flight(destination: str) -> str:
    """Sorted set: refs of the deliveries in flight to it, by when (ms) they count as lost."""
    return f"{PREFIX}flying:{destination}"


def destination(name: str) -> str:
    """Hash: delivery health: failures in a row and since when, the breaker's `open_until`, the last outcome."""
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
    """Hash: a browser token or a browser's session, found by its SHA-256; both end with the key in `parent`."""
    return f"{PREFIX}token:{token_digest}"


def sessions(owner: str) -> str:
    """Sorted set: digests of the sessions of a key, or of `administrator`, by when (ms) they began."""
    return f"{PREFIX}auth:sessions:{owner}"


def code(code_digest: str) -> str:
    """String: digest of the key whose holder this one-time code signs in."""
    return f"{PREFIX}auth:code:{code_digest}"


def used_state(state_digest: str) -> str:
    """String: exists after somebody came back from a provider with this state, which is used up."""
    return f"{PREFIX}auth:state:{state_digest}"


def person(identity_digest: str) -> str:
    """Hash: what somebody of a provider is here: `user:TEAM` to a user, and `key` to the key they sign in with."""
    return f"{PREFIX}auth:person:{identity_digest}"


def share(share_id: str) -> str:
    """Hash: a share; its id is the beginning of its secret's SHA-256."""
    return f"{PREFIX}auth:share:{share_id}"


def shares(subject: str) -> str:
    """Sorted set: ids of the shares in a list of `Share.lists`, by when (ms) they expire."""
    return f"{PREFIX}auth:shares:{subject}"


def invitation(invitation_id: str) -> str:
    """Hash: an invitation; its id is the beginning of its code's SHA-256."""
    return f"{PREFIX}auth:invitation:{invitation_id}"


def credential(digest: str, *, token: bool) -> str:
    """Hash: an API key or a browser token."""
    return f"{PREFIX}{'token' if token else 'key'}:{digest}"


def file(team_id: str, url_digest: str) -> str:
    """Hash: what was uploaded under a URL; jobs show it."""
    return f"{PREFIX}file:{team_id}:{url_digest}"


def files(team_id: str, user_id: str | None = None) -> str:
    """Sorted set: digests of the URLs of a user's or a team's uploads, by when (ms) they expire."""
    return f"{PREFIX}files:{team_id}" + (f":{user_id}" if user_id else "")


def upload(team_id: str, upload_id: str) -> str:
    """Hash: an upload of one file by a fal client, or the permission for any number of uploads."""
    return f"{PREFIX}upload:{team_id}:{upload_id}"


def parts(team_id: str) -> str:
    """Sorted set: a team's unfinished uploads with parts, by when (ms) they expire."""
    return f"{PREFIX}parts:{team_id}"


def outstanding(what: str, key_id: str) -> str:
    """Sorted set: ids of a key's browser tokens, or of its promised uploads, by when (ms) each expires."""
    return f"{PREFIX}outstanding:{what}:{key_id}"


def durations(model: str) -> str:
    """List: durations (ms) of a model's newest generations."""
    return f"{PREFIX}durations:{model}"


def end_ages(model: str, seconds: int) -> str:
    """Hash: how many generations of this model and length ended in each bin of ages."""
    return f"{PREFIX}ends:{model}:{seconds}"


def absences(ref: str, nonce: str) -> str:
    """List: times (ms) at which fal's history was complete and did not contain this attempt."""
    return f"{PREFIX}absences:{ref}:{nonce}"


def request(upstream_request_id: str) -> str:
    """String: ref of the job that first had this request of fal's; kept for two days."""
    return f"{PREFIX}request:{upstream_request_id}"


def open_leases(step: str, ref: str) -> str:
    """String: the number of open leases of this step on this ref: in progress, or its worker crashed."""
    return f"{PREFIX}suspect:{step}:{ref}"


def lane(number: int) -> str:
    """String: the token of the slice that has the lane's lease, or `rung` while a slice is enqueued."""
    return f"{PREFIX}lane:{number}"


def lease(name: str) -> str:
    """String: the token of the process that does this for all hosts."""
    return f"{PREFIX}lease:{name}"


def ledger_checked(team: str) -> str:
    """String: how far the team's entries were compared with its sums, and the sums up to there, as JSON."""
    return f"{PREFIX}ledger_checked:{team}"


def alarm_raised(name: str) -> str:
    """String: exists while this alarm is not to be raised again."""
    return f"{PREFIX}alarm_said:{name}"
