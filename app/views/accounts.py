"""Teams, users, keys and browser tokens."""

from collections.abc import Sequence
from typing import NotRequired

from typing_extensions import TypedDict

from app.domain.accounts import AS_GATEWAY, UNLIMITED, Caller, Key, Reposts, Scope, Team, User
from app.domain.kept_files import StorageUse
from app.domain.limits import Limit, Owner
from app.domain.money import format_usd
from app.domain.times import iso
from app.services.accounts import CallerInfo
from app.services.tokens import Minted
from app.views.fields import Time, Usd
from app.views.limits import LimitStateView, LimitView, limit_state_view, limit_view, limits_view, tightest_view


class TeamView(TypedDict):
    """A team, without its webhook secret.

    `retention_days` is null where FILMGATE_RETENTION_DAYS applies, `storage_bytes` without a storage limit.
    """

    id: str
    name: str
    weight: int
    time_zone: str
    reposts: Reposts
    retention_days: int | None
    storage_bytes: int | None
    limits: list[LimitView]
    created_at: Time


class TeamList(TypedDict):
    """Teams, the oldest first."""

    data: list[TeamView]


class UserView(TypedDict):
    """A user."""

    id: str
    team: str
    name: str
    limits: list[LimitView]
    created_at: Time


class UserList(TypedDict):
    """Users, the oldest first."""

    data: list[UserView]


class KeyView(TypedDict):
    """A key's record, without the key itself, which is not stored.

    `reposts` is null where the team's rule applies; `last_used_at` is exact to a minute; `replaced_by` is the id of
    the key that a rotation made in its place.
    """

    id: str
    name: str
    team: str
    user: str
    shown_as: str
    scopes: list[Scope]
    models: list[str] | None
    origins: list[str] | None
    reposts: Reposts | None
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None
    last_used_at: Time | None
    replaced_by: str | None


class NewKeyView(KeyView):
    """A new key; `key` is shown only once."""

    key: str


class KeyList(TypedDict):
    """Keys, the oldest first."""

    data: list[KeyView]


class TokenView(TypedDict):
    """A browser token, which is shown only once, and its restrictions; null where those of its key apply."""

    id: str
    token: str
    expires_at: Time | None
    scopes: list[Scope]
    models: list[str] | None
    origin: str | None
    job: str | None
    limits: list[LimitView]


class NamedView(TypedDict):
    """An id and a name."""

    id: str
    name: str


class OwnKeyView(TypedDict):
    """The caller's key; `reposts` is the rule that applies to it."""

    id: str
    scopes: list[Scope]
    reposts: Reposts


class SpendingView(TypedDict):
    """A team's money: reserved for jobs that have not ended, and spent."""

    reserved_usd: Usd
    spent_usd: Usd


class StorageUseView(TypedDict):
    """The team's bytes in the storage: kept, on their way, its limit and what is left of it (null without one)."""

    used_bytes: int
    held_bytes: int
    limit_bytes: int | None
    left_bytes: int | None


class MeView(TypedDict):
    """The caller, and what is left of its limits; with a browser token, of the token's own caps only.

    `tightest` is the one of them that refuses first; its `owner` says whose it is. `storage` is absent with a
    browser token, and where no storage is set. `retention_days` is how long the team's ended jobs, their clips and
    its uploads are kept.
    """

    team: NamedView
    user: NamedView
    key: OwnKeyView
    limits: list[LimitStateView]
    tightest: LimitStateView | None
    usage: NotRequired[SpendingView]
    storage: NotRequired[StorageUseView]
    retention_days: NotRequired[int]


class TeamStorageView(StorageUseView):
    """A team's bytes in the storage, and how long it keeps them."""

    team: str
    name: str
    retention_days: int


class StorageReport(TypedDict):
    """The bytes of every team, those with the most first; `kept` is false where no storage is set.

    `retention_days` is the gateway's, for teams that have none of their own.
    """

    kept: bool
    retention_days: int
    used_bytes: int
    held_bytes: int
    data: list[TeamStorageView]


def team_view(team: Team, limits: Sequence[Limit]) -> TeamView:
    """A team with its limits."""
    return {
        "id": team.id,
        "name": team.name,
        "weight": team.weight,
        "time_zone": team.time_zone,
        "reposts": team.reposts,
        "retention_days": None if team.retention_days == AS_GATEWAY else team.retention_days,
        "storage_bytes": None if team.storage_bytes == UNLIMITED else team.storage_bytes,
        "limits": limits_view(limits),
        "created_at": iso(team.created_ms),
    }


def user_view(user: User, limits: Sequence[Limit]) -> UserView:
    """A user with their limits."""
    return {
        "id": user.id,
        "team": user.team,
        "name": user.name,
        "limits": limits_view(limits),
        "created_at": iso(user.created_ms),
    }


def key_view(key: Key, used_ms: int | None = None) -> KeyView:
    """A key's record; `used_ms` is its last use."""
    return {
        "id": key.id,
        "name": key.name,
        "team": key.team,
        "user": key.user,
        "shown_as": key.shown_as,
        "scopes": sorted(key.scopes),
        "models": None if key.models is None else list(key.models),
        "origins": None if key.origins is None else list(key.origins),
        "reposts": key.reposts,
        "created_at": iso(key.created_ms),
        "expires_at": iso(key.expires_ms),
        "revoked_at": iso(key.revoked_ms),
        "last_used_at": iso(used_ms),
        "replaced_by": key.replaced_by,
    }


def token_view(minted: Minted) -> TokenView:
    """A new browser token."""
    record = minted.record
    return {
        "id": record.id,
        "token": minted.token,
        "expires_at": iso(record.expires_ms),
        "scopes": sorted(record.scopes),
        "models": None if record.models is None else list(record.models),
        "origin": record.origins[0] if record.origins is not None and len(record.origins) == 1 else None,
        "job": record.job,
        "limits": [limit_view(limit) for limit in minted.limits],
    }


def storage_use_view(use: StorageUse) -> StorageUseView:
    """A team's bytes in the storage."""
    return {
        "used_bytes": use.used,
        "held_bytes": use.held,
        "limit_bytes": use.limit,
        "left_bytes": use.left,
    }


def storage_report(
    teams: Sequence[Team], uses: Sequence[StorageUse] | None, *, retention_days: int
) -> StorageReport:
    """What each team keeps; `retention_days` is the gateway's."""
    limits = [None if team.storage_bytes == UNLIMITED else team.storage_bytes for team in teams]
    nothing = [StorageUse(0, 0, limit) for limit in limits]
    shown = list(zip(teams, nothing if uses is None else uses, strict=True))
    return {
        "kept": uses is not None,
        "retention_days": retention_days,
        "used_bytes": sum(use.used for _, use in shown),
        "held_bytes": sum(use.held for _, use in shown),
        "data": [
            {
                **storage_use_view(use),
                "team": team.id,
                "name": team.name,
                "retention_days": team.retention_days or retention_days,
            }
            for team, use in sorted(shown, key=lambda one: -one[1].used)
        ],
    }


def me_view(caller: Caller, me: CallerInfo, *, retention_days: int) -> MeView:
    """The caller; `retention_days` is the gateway's."""
    by_token = caller.token is not None
    limits = [state for state in me.limits if not by_token or state.owner is Owner.TOKEN]
    view: MeView = {
        "team": {"id": me.team.id, "name": me.team.name},
        "user": {"id": me.user.id, "name": me.user.name},
        "key": {"id": caller.key, "scopes": sorted(caller.scopes), "reposts": caller.reposts},
        "limits": [limit_state_view(state) for state in limits],
        "tightest": tightest_view(limits),
    }
    if not by_token:
        view["usage"] = {"reserved_usd": format_usd(me.held_micro), "spent_usd": format_usd(me.spent_micro)}
    if not by_token and me.storage is not None:
        view["storage"] = storage_use_view(me.storage)
    if not by_token:
        view["retention_days"] = me.team.retention_days or retention_days
    return view
