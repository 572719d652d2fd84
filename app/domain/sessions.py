"""Signing in: sessions of browsers, codes that open one, invitations. Their form and their lifetimes."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from app.domain.accounts import Caller, Scope
from app.domain.ids import mac

SESSION_PREFIX = "fg_ses_"
CODE_PREFIX = "fg_code_"
INVITATION_PREFIX = "fg_inv_"
IDLE_MS = 12 * 3_600_000  # a session that nobody uses for so long has ended
LONGEST_MS = 30 * 86_400_000  # no session lasts longer; a remembered one lasts so long without use
CODE_MS = 15 * 60_000
MIN_INVITATION_S, DEFAULT_INVITATION_S, MAX_INVITATION_S = 60, 86_400, 30 * 86_400
INVITATION_KEPT_MS = 30 * 86_400_000  # after its end, so that whoever comes late reads why it opens nothing
ADMINISTRATOR = "administrator"  # as the audit log names them; the owner of sessions without a key of a user's

InvitationStatus: TypeAlias = Literal["open", "accepted", "revoked", "expired"]


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is signed in. Its secret is in the browser's cookie only.

    Attributes:
        digest: SHA-256 of its secret; the store finds it by this.
        csrf: what a request that changes something must show (`csrf_of`).
        caller: whom its key makes the caller; None for the administrator's.
        remembered: True when it survives the end of the browser.
        expires_ms: when it ends unless it is used, by the store's clock.
    """

    digest: str = field(repr=False)
    csrf: str = field(repr=False)
    caller: Caller | None
    remembered: bool
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Invitation:
    """An address under which a user gets a key of their own, once. `key` is the id of the key that it made."""

    id: str
    team: str
    user: str
    scopes: frozenset[Scope]
    key_name: str
    created_ms: int
    expires_ms: int
    accepted_ms: int | None = None
    revoked_ms: int | None = None
    key: str | None = None

    def status(self, now_ms: int) -> InvitationStatus:
        """`accepted`, `revoked`, `expired` or `open`."""
        if self.accepted_ms is not None:
            return "accepted"
        if self.revoked_ms is not None:
            return "revoked"
        return "expired" if self.expires_ms <= now_ms else "open"


def csrf_of(secret: str) -> str:
    """The session's CSRF token: pages of other origins cannot read it, and it does not reveal the secret."""
    return mac(secret, "csrf")


def administrators_proof(secret: str, admin_key: str) -> str:
    """Binds a session to the administrator's key: another key ends it, and the store cannot be used to guess it."""
    return mac(secret, "administrator", admin_key)
