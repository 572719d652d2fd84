"""Administrative acts on teams, users and keys: each is one script, with its line in the audit log."""

import json
from collections.abc import Sequence
from typing import Any

from app.domain.accounts import Key, Team, User
from app.domain.endpoints import Secret
from app.domain.errors import Code, Conflict
from app.domain.limits import Limit
from app.domain.times import iso
from app.store import keys
from app.store.accounts import AccountStore, put_record
from app.store.audit import AuditStore
from app.store.buying import resume_writes
from app.store.commands import Command, Require, flatten, team_exists, user_exists
from app.store.limits import set_limits
from app.store.zones import ZoneChange, ZoneStore

LIVE_JOBS = (
    "jobs that have not ended; wait, or cancel them: `filmgate jobs cancel`. "
    "Held ones end by `filmgate jobs resolve`."
)


class AdministrationStore:
    """Writes teams, users and keys. Each act raises NotFound when its team or user was deleted meanwhile."""

    def __init__(self, audit: AuditStore, accounts: AccountStore, zones: ZoneStore) -> None:
        self._audit = audit
        self._accounts = accounts
        self._zones = zones

    async def add_team(self, actor: str, team: Team, limits: Sequence[Limit]) -> None:
        """Add a team with its limits."""
        shown = ("name", "weight", "time_zone", "reposts", "retention_days", "storage_bytes")
        given = {name: getattr(team, name) for name in shown}
        details = {**given, **_details(limits)}
        writes = [put_record(keys.team(team.id), team), ("SADD", keys.TEAMS, team.id)]
        writes += set_limits(team.id, limits)
        await self._audit.act(actor, "team.add", team.id, details, writes=writes)

    async def change_team(self, actor: str, team: Team, changes: dict[str, Any]) -> None:
        """Write these fields. A new time zone's calendar windows take over the usage of the present ones.

        Raises CalendarChanged when a window ended, or the team was changed, meanwhile.
        """
        zone = changes.get("time_zone", team.time_zone)
        change = await self._zones.prepare_change(team, zone) if zone != team.time_zone else ZoneChange([], [])
        writes: list[Command] = [("HSET", keys.team(team.id), *flatten(changes))] if changes else []
        writes += change.writes
        require = [team_exists(team.id), *change.require]
        await self._audit.act(actor, "team.change", team.id, changes, writes=writes, require=require)

    async def remove_team(self, actor: str, team: str, *, now_ms: int) -> None:
        """Delete a team with its users and revoke their keys; its jobs, ledger and audit lines stay.

        Conflict while one of its jobs has not ended, because its money is not settled.
        """
        users = await self._accounts.users(team, deleted=True)
        writes: list[Command] = [("HSET", keys.team(team), "deleted_ms", now_ms), *resume_writes(team)]
        writes.append(("DEL", keys.endpoints(team)))
        require = [Require(("size", keys.team_users(team), len(users)), changed_meanwhile())]
        for user in users:
            user_writes, user_require = await self._removal(user, now_ms)
            writes += user_writes
            require += user_require
        require += [team_exists(team), _no_live_jobs("team", team)]
        await self._audit.act(actor, "team.remove", team, {}, writes=writes, require=require)

    async def rotate_team_secret(
        self, actor: str, before: Team, secrets: Sequence[Secret], *, overlap_ms: int
    ) -> None:
        """Write the secrets of the webhooks to addresses of the team's jobs, the newest first.

        Conflict when they were rotated meanwhile.
        """
        name = keys.team(before.id)
        older = json.dumps([[secret.text, secret.until_ms] for secret in secrets[1:]])
        again = Conflict("Somebody rotated the secret in this moment; read it again.")
        await self._audit.act(
            actor,
            "team.rotate_webhook_secret",
            before.id,
            {"overlap_ms": overlap_ms},
            writes=[("HSET", name, "webhook_secret", secrets[0].text, "older_secrets", older)],
            require=[Require(("same", name, "webhook_secret", before.webhook_secret), again)],
        )

    async def add_user(self, actor: str, user: User, limits: Sequence[Limit]) -> None:
        """Add a user with its limits to a team."""
        details = {"team": user.team, "name": user.name, **_details(limits)}
        writes = [
            *put_user(user),
            *set_limits(user.id, limits),
        ]
        require = [team_exists(user.team)]
        await self._audit.act(actor, "user.add", user.id, details, writes=writes, require=require)

    async def rename_user(self, actor: str, user: User, name: str) -> None:
        """Give a user another name."""
        writes = [("HSET", keys.user(user.team, user.id), "name", name)]
        require = [user_exists(user.team, user.id)]
        await self._audit.act(actor, "user.change", user.id, {"name": name}, writes=writes, require=require)

    async def remove_user(self, actor: str, user: User, *, now_ms: int) -> None:
        """Delete a user and revoke its keys; Conflict while one of its jobs has not ended."""
        writes, require = await self._removal(user, now_ms)
        require += [user_exists(user.team, user.id), _no_live_jobs("user", user.id)]
        await self._audit.act(actor, "user.remove", user.id, {}, writes=writes, require=require)

    async def add_key(self, actor: str, key_digest: str, record: Key) -> None:
        """Add a key under its digest."""
        details = {
            "user": record.user,
            "name": record.name,
            "scopes": sorted(record.scopes),
            "models": record.models,
            "origins": record.origins,
            "expires": iso(record.expires_ms),
            "reposts": record.reposts,
        }
        writes = put_key(key_digest, record)
        require = [user_exists(record.team, record.user), team_exists(record.team)]
        await self._audit.act(actor, "key.add", record.id, details, writes=writes, require=require)

    async def rotate_key(self, actor: str, old: tuple[str, Key], new: tuple[str, Key], *, old_ends_ms: int) -> None:
        """Add a new key; the old one expires at `old_ends_ms`. Both are a digest and a record.

        Conflict when the old one was revoked or rotated meanwhile.
        """
        name, record = keys.key(old[0]), new[1]
        ended = Conflict("The key was revoked or rotated in this moment.", code=Code.KEY_ENDED)
        await self._audit.act(
            actor,
            "key.rotate",
            old[1].id,
            {"new": record.id, "old_ends": iso(old_ends_ms)},
            writes=[*put_key(*new), ("HSET", name, "expires_ms", old_ends_ms, "replaced_by", record.id)],
            require=[Require(("no_field", name, field), ended) for field in ("revoked_ms", "replaced_by")],
        )

    async def revoke_key(self, actor: str, key_digest: str, key_id: str, *, now_ms: int) -> None:
        """Revoke a key."""
        writes = [("HSET", keys.key(key_digest), "revoked_ms", now_ms)]
        await self._audit.act(actor, "key.revoke", key_id, {}, writes=writes)

    async def _removal(self, user: User, now_ms: int) -> tuple[list[Command], list[Require]]:
        """The writes that delete a user and revoke its keys; the condition is that it got no other keys."""
        user_keys = await self._accounts.keys_of([user.id])
        writes: list[Command] = [("HSET", keys.user(user.team, user.id), "deleted_ms", now_ms)]
        writes += [
            ("HSET", keys.key(key_digest), "revoked_ms", now_ms)
            for key_digest, record in user_keys
            if record.revoked_ms is None
        ]
        return writes, [Require(("size", keys.user_keys(user.id), len(user_keys)), changed_meanwhile())]


def changed_meanwhile() -> Conflict:
    """The error when another act came first."""
    return Conflict("Somebody changed it in this moment; send it again.")


def _details(limits: Sequence[Limit]) -> dict[str, Any]:
    return {"limits": [limit.details for limit in limits]}


def _no_live_jobs(what: str, owner: str) -> Require:
    return Require(("absent", keys.live(owner)), Conflict(f"The {what} has {LIVE_JOBS}", code=Code.HAS_LIVE_JOBS))


def put_user(user: User) -> list[Command]:
    """The writes that add a user to its team."""
    return [
        put_record(keys.user(user.team, user.id), user),
        ("HSET", keys.USERS, user.id, user.team),
        ("SADD", keys.team_users(user.team), user.id),
    ]


def put_key(key_digest: str, record: Key) -> list[Command]:
    """The writes that add a key under its digest."""
    return [
        put_record(keys.key(key_digest), record),
        ("HSET", keys.KEYS, record.id, key_digest),
        ("SADD", keys.user_keys(record.user), record.id),
    ]
