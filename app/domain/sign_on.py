"""Signing in by accounts that are kept elsewhere: who somebody is there, and what their groups open here."""

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from app.domain.accounts import USER_SCOPES, Scope
from app.domain.ids import mac

EVERYBODY = "*"  # as the group of a rule: all who are signed in there
LONGEST_NAME = 100  # characters, as of every user
LONGEST_SUBJECT = 512  # characters; OpenID Connect allows 255, a proxy's header may hold a whole name
MAX_GROUPS = 1000  # of one person; more are not read
ATTEMPT_S = 600  # between the button here and the return from there
SESSION_MS = 12 * 3_600_000  # no such session lasts longer: groups are looked at when somebody signs in
SEAL = "sign-in attempt"
KEY_NAME = "single sign-on"
SHOWN_GROUPS = 10
LOCAL_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]{0,500}", re.ASCII)  # printable, no backslash, not `//host`


class Role(StrEnum):
    """What a group makes of somebody in its team."""

    MEMBER = "member"
    ADMIN = "admin"


SCOPES_OF = {Role.MEMBER: USER_SCOPES, Role.ADMIN: frozenset(Scope)}


@dataclass(frozen=True, slots=True)
class GroupRule:
    """Whoever is in `group` belongs to `team`, an id or a name, in this role."""

    group: str
    team: str
    role: Role = Role.MEMBER


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is elsewhere. `issuer` and `subject` are who for ever; name and groups may change.

    `source` names it in a sentence: the provider, or the proxy. `groups` is None where it said nothing about them.
    """

    issuer: str
    subject: str
    name: str
    groups: tuple[str, ...] | None
    source: str

    @property
    def digest(self) -> str:
        """One name for issuer and subject; an e-mail address, which may pass to somebody else, is not in it."""
        return hashlib.sha256(f"{self.issuer}\n{self.subject}".encode()).hexdigest()

    @property
    def shown_name(self) -> str:
        """The name for a new user: printable, and not too long."""
        name = " ".join("".join(one if one.isprintable() else " " for one in self.name).split())
        return name[:LONGEST_NAME].strip() or "somebody"

    @property
    def shown_groups(self) -> str:
        """The groups, for a sentence."""
        groups = [group[:64] for group in (self.groups or ())[:SHOWN_GROUPS] if group.isprintable()]
        more = len(self.groups or ()) - len(groups)
        return ", ".join(groups) + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True, slots=True)
class SignInAttempt:
    """A sign-in on its way to a provider and back. The browser keeps it, sealed, in a cookie that no script reads.

    `to` is the path of the page to show afterwards; `expires_ms` is by the store's clock.
    """

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    to: str
    expires_ms: int

    def sealed(self, secret: str) -> str:
        """For the cookie: its content is ours, but not secret from its own browser."""
        content = base64.urlsafe_b64encode(json.dumps(asdict(self)).encode()).decode().rstrip("=")
        return f"{content}.{mac(secret, SEAL, content)}"


def unsealed(text: str, secret: str) -> SignInAttempt | None:
    """The attempt in a cookie; None when it is not ours."""
    content, _, seal = text.partition(".")
    if not secrets.compare_digest(seal.encode(), mac(secret, SEAL, content).encode()):
        return None
    return SignInAttempt(**json.loads(base64.urlsafe_b64decode(content + "==")))


@dataclass(frozen=True, slots=True)
class Person:
    """What an identity is here: the user in each team that it was in, by team, and the key it signs in with."""

    users: dict[str, str]
    key: str | None = None


def read_group_rules(text: str) -> tuple[GroupRule, ...]:
    """`makers=Studio,leads=Studio:admin`; the first rule that fits somebody decides. ValueError with the form."""
    rules = []
    for entry in filter(None, map(str.strip, text.split(","))):
        group, equals, right = (part.strip() for part in entry.rpartition("="))
        team, colon, role = (part.strip() for part in right.rpartition(":"))
        team, role = (team, role) if colon else (right, Role.MEMBER)
        if not (group and equals and team) or role not in set(Role):
            form = "must be rules such as makers=Studio,leads=Studio:admin with the roles member and admin"
            raise ValueError(f"{form}, not {entry[:64]!r}")
        rules.append(GroupRule(group, team, Role(role)))
    return tuple(rules)


def rule_for(groups: Collection[str] | None, rules: Sequence[GroupRule]) -> GroupRule | None:
    """The first rule for one of these groups; None when no rule fits."""
    return next((rule for rule in rules if rule.group == EVERYBODY or rule.group in (groups or ())), None)


def is_local_path(text: str) -> bool:
    """True for a path of this gateway's own page: no other host can be reached by it."""
    return LOCAL_PATH.fullmatch(text) is not None
