"""Who is asking: a key of a user of a team, its form and its rights."""

import hashlib
import secrets
import zlib
from dataclasses import dataclass
from enum import StrEnum

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
KEY_PREFIX = "fg_live_"
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
    """The one who asks. `key` is the key's id, never the key."""

    team: str
    user: str
    key: str
    scopes: frozenset[Scope]

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


def new_key() -> str:
    """A fresh key: prefix, 256 random bits in base 62, and their CRC32, so that a typo is seen at once.

    The form follows GitHub's tokens (2021): scanners find it, a double click selects it.
    """
    body = KEY_PREFIX + _base62(secrets.randbits(256), SECRET_LENGTH)
    return body + _checksum(body)


def well_formed(key: str) -> bool:
    """True when the checksum fits; a mistyped key is refused without a look-up."""
    if len(key) != len(KEY_PREFIX) + SECRET_LENGTH + CHECK_LENGTH or not key.isascii():
        return False
    body, check = key[:-CHECK_LENGTH], key[-CHECK_LENGTH:]
    return body.startswith(KEY_PREFIX) and secrets.compare_digest(_checksum(body), check)


def digest(key: str) -> str:
    """What is stored of a key: its SHA-256. 256 random bits need no slow hash."""
    return hashlib.sha256(key.encode()).hexdigest()
