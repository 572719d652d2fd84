"""Teams, users, keys and browser tokens: their form and their rights."""

import hashlib
import secrets
import zlib
from dataclasses import dataclass, field
from enum import StrEnum

from app.domain.endpoints import Secret
from app.domain.ids import new_id

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
KEY_PREFIX = "fg_live_"
USER_PREFIX = "user_"
TOKEN_PREFIX = "fg_tok_"  # noqa: S105  a prefix, not a secret
SECRET_LENGTH = 43  # base-62 digits that hold 256 bits
CHECK_LENGTH = 6  # base-62 digits that hold a CRC32
ID_DIGITS = 32  # of a secret's SHA-256: enough that nobody finds another secret for the id
AS_GATEWAY = 0  # a team's days of retention
UNLIMITED = -1  # a team's storage limit
MIN_RETENTION_DAYS, MAX_RETENTION_DAYS = 8, 3650  # an idempotency key works for 7
MAX_STORAGE_BYTES = 10**15
NO_TEAM = "There is no team with this id."
NO_USER = "There is no user with this id."


class Scope(StrEnum):
    """What a key may do."""

    JOBS_WRITE = "jobs:write"
    JOBS_READ = "jobs:read"
    TEAM_READ = "team:read"
    TEAM_ADMIN = "team:admin"


class Reposts(StrEnum):
    """When an equal submission at fal's routes is the repeat of an earlier one (decision 16)."""

    ANSWERED = "answered"  # when the answer to the earlier one may be lost
    STRICT = "strict"  # also after that answer, until the job's id was used
    NEVER = "never"


USER_SCOPES = frozenset({Scope.JOBS_WRITE, Scope.JOBS_READ})


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request, and their rights. `key` is the key's id, never the key.

    Attributes:
        team: the team's id.
        user: the user's id.
        key: the key's id; of a browser token, its parent's.
        scopes: what the key may do.
        digest: SHA-256 of the key or the token; the store finds it by this.
        zone: the team's time zone; its calendar windows begin by it.
        models: the only models it may use; None for all.
        origins: the only web pages that may use it; None for all.
        token: the browser token's id; None for a key.
        job: the only job it may read; None for every job that its scopes allow.
        expires_ms: when it expires, by the store's clock; None for never.
        reposts: the rule for its equal submissions at fal's routes.
        session: SHA-256 of the secret of the browser session that sent the request; None for a key in a header.
        reads_prompts: False for an administrator in a team's place, who does not see what its jobs are about.
    """

    team: str
    user: str
    key: str
    scopes: frozenset[Scope]
    digest: str = field(default="", repr=False)
    zone: str = "UTC"
    models: frozenset[str] | None = None
    origins: frozenset[str] | None = None
    token: str | None = None
    job: str | None = None
    expires_ms: int | None = None
    reposts: Reposts = Reposts.ANSWERED
    session: str | None = field(default=None, repr=False)
    reads_prompts: bool = True

    @property
    def sees_team(self) -> bool:
        """True when the whole team's jobs may be read, not only the user's own."""
        return bool(self.scopes & {Scope.TEAM_READ, Scope.TEAM_ADMIN})

    @property
    def acts_for_team(self) -> bool:
        """True when the whole team's jobs may be cancelled and deleted."""
        return Scope.TEAM_ADMIN in self.scopes


@dataclass(frozen=True, slots=True)
class Team:
    """A team: users who pay together.

    `webhook_secret` signs the webhooks to addresses that its jobs name; each of `older_secrets` signs them too,
    until its time (ms). `weight` is the team's share when fal is busy; its calendar windows begin by `time_zone`.
    `reposts` is the rule for its keys that have none. `retention_days` is how long its ended jobs and its files are
    kept (AS_GATEWAY: as FILMGATE_RETENTION_DAYS says), `storage_bytes` how large these may be together.
    """

    id: str
    name: str
    webhook_secret: str
    weight: int = 1
    time_zone: str = "UTC"
    created_ms: int = 0
    deleted_ms: int | None = None
    older_secrets: tuple[tuple[str, int], ...] | None = None
    reposts: Reposts = Reposts.ANSWERED
    retention_days: int = AS_GATEWAY
    storage_bytes: int = UNLIMITED

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The secrets that sign the webhooks to its jobs' own addresses, the newest first."""
        older = (Secret(text, until_ms) for text, until_ms in self.older_secrets or ())
        return (Secret(self.webhook_secret), *older)


@dataclass(frozen=True, slots=True)
class User:
    """A user of a team."""

    id: str
    team: str
    name: str
    created_ms: int = 0
    deleted_ms: int | None = None

    def answers_to(self, text: str) -> bool:
        """True when each word of the text is part of the name, in any case, or when the id begins with the text."""
        name, wanted = self.name.casefold(), text.strip()
        by_id = wanted.startswith(USER_PREFIX) and self.id.startswith(wanted)
        return by_id or all(word in name for word in text.casefold().split())


@dataclass(frozen=True, slots=True)
class Key:
    """A key or a browser token as the store has it, under its digest; the key itself is not stored.

    `models` and `origins` are None where all are allowed, `reposts` where the team's rule applies. `parent` (a
    digest), `parent_id` and `job` are a token's; `replaced_by` is the id of the key that a rotation made.
    """

    id: str
    team: str
    user: str
    name: str
    scopes: frozenset[Scope]
    shown_as: str
    created_ms: int
    models: tuple[str, ...] | None = None
    origins: tuple[str, ...] | None = None
    expires_ms: int | None = None
    revoked_ms: int | None = None
    parent: str | None = None
    parent_id: str | None = None
    job: str | None = None
    replaced_by: str | None = None
    reposts: Reposts | None = None

    def has_ended(self, now_ms: int) -> bool:
        """True when it opens nothing any more: it was revoked, or has expired."""
        return self.revoked_ms is not None or (self.expires_ms is not None and self.expires_ms <= now_ms)


@dataclass(frozen=True, slots=True)
class Credential:
    """What the store has under a digest: the record, a token's parent, the team's zone and rule, and the time."""

    record: Key
    parent: Key | None
    zone: str
    reposts: Reposts
    now_ms: int


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), CHECK_LENGTH)


def new_key(prefix: str = KEY_PREFIX) -> str:
    """A new key or token: prefix, 256 random bits in base 62, and their CRC32, which detects a typo.

    The form follows GitHub's tokens (2021): scanners find it, a double click selects it.
    """
    body = prefix + _base62(secrets.randbits(256), SECRET_LENGTH)
    return body + _checksum(body)


def key_of_user(*, team: str, user: str, name: str, scopes: frozenset[Scope], created_ms: int) -> tuple[str, Key]:
    """A new key of a user, and its record, which restricts it no further."""
    key = new_key()
    return key, Key(new_id("key"), team, user, name, scopes, shown_as=mask_key(key), created_ms=created_ms)


def well_formed(key: str) -> bool:
    """True when the checksum is right; a mistyped key or token is refused without asking the store."""
    return has_form(key, TOKEN_PREFIX if is_token(key) else KEY_PREFIX)


def has_form(key: str, prefix: str) -> bool:
    """True for what `new_key(prefix)` makes: prefix, length and checksum are right."""
    if len(key) != len(prefix) + SECRET_LENGTH + CHECK_LENGTH or not key.isascii():
        return False
    body, check = key[:-CHECK_LENGTH], key[-CHECK_LENGTH:]
    return body.startswith(prefix) and secrets.compare_digest(_checksum(body), check)


def is_token(key: str) -> bool:
    """True for a browser token, by its prefix."""
    return key.startswith(TOKEN_PREFIX)


def mask_key(key: str) -> str:
    """The part of a key that replies may show: its prefix and its last four characters."""
    return f"{key[:12]}…{key[-4:]}"


def digest(key: str) -> str:
    """The stored form of a key: its SHA-256. 256 random bits need no slow hash."""
    return hashlib.sha256(key.encode()).hexdigest()


def id_of(kind: str, secret: str) -> str:
    """The id of what a secret opens: the beginning of its digest, so that the secret finds it."""
    return f"{kind}_{digest(secret)[:ID_DIGITS]}"
