"""Who is asking: a key of a user of a team, its form and its rights."""

import hashlib
import secrets
import zlib
from dataclasses import dataclass, field
from enum import StrEnum

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
KEY_PREFIX = "fg_live_"
TOKEN_PREFIX = "fg_tok_"  # noqa: S105  a prefix, not a secret
SECRET_LENGTH = 43  # base-62 digits that hold 256 bits
CHECK_LENGTH = 6  # base-62 digits that hold a CRC32


class Scope(StrEnum):
    """What a key may do."""

    JOBS_WRITE = "jobs:write"
    JOBS_READ = "jobs:read"
    TEAM_READ = "team:read"
    TEAM_ADMIN = "team:admin"


USER_SCOPES = frozenset({Scope.JOBS_WRITE, Scope.JOBS_READ})


@dataclass(frozen=True, slots=True)
class Caller:
    """The one who asks, and what they may. `key` is the key's id, never the key.

    Attributes:
        team: the team's id.
        user: the user's id.
        key: the key's id; of a browser token, its parent's.
        scopes: what the key may do.
        digest: SHA-256 of the key or the token, under which the store knows it.
        zone: the team's time zone, by which its calendar windows begin.
        models: the only models it may ask for; None for all.
        origins: the only web pages that may use it; None for all.
        token: the browser token's id; None for a key.
        job: the only job it may read; None for those it may see otherwise.
        expires_ms: when it ends, by the store's clock; None for never.
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

    @property
    def sees_team(self) -> bool:
        """True when the whole team's jobs may be read, not only the user's own."""
        return bool(self.scopes & {Scope.TEAM_READ, Scope.TEAM_ADMIN})

    @property
    def acts_for_team(self) -> bool:
        """True when the whole team's jobs may be cancelled and deleted."""
        return Scope.TEAM_ADMIN in self.scopes


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), CHECK_LENGTH)


def new_key(prefix: str = KEY_PREFIX) -> str:
    """A fresh key or token: prefix, 256 random bits in base 62, and their CRC32, so that a typo is seen at once.

    The form follows GitHub's tokens (2021): scanners find it, a double click selects it.
    """
    body = prefix + _base62(secrets.randbits(256), SECRET_LENGTH)
    return body + _checksum(body)


def well_formed(key: str) -> bool:
    """True when the checksum fits; a mistyped key or token is refused without a look-up."""
    prefix = TOKEN_PREFIX if is_token(key) else KEY_PREFIX
    if len(key) != len(prefix) + SECRET_LENGTH + CHECK_LENGTH or not key.isascii():
        return False
    body, check = key[:-CHECK_LENGTH], key[-CHECK_LENGTH:]
    return body.startswith(prefix) and secrets.compare_digest(_checksum(body), check)


def is_token(key: str) -> bool:
    """True for a browser token, by its prefix."""
    return key.startswith(TOKEN_PREFIX)


def shown_as(key: str) -> str:
    """What may be shown of a key: its prefix and its last four characters."""
    return f"{key[:12]}…{key[-4:]}"


def digest(key: str) -> str:
    """What is stored of a key: its SHA-256. 256 random bits need no slow hash."""
    return hashlib.sha256(key.encode()).hexdigest()
