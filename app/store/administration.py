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
from app.store.accounts import AccountStore, put
from app.store.audit import AuditStore
from app.store.buying import resume_writes
from app.store.commands import Command, Require, flat, team_exists, user_exists
from app.store.limits import set_limits
from app.store.zones import ZoneChange, ZoneStore

UNENDED = "jobs that have not ended; cancel them, or wait; held ones end by `filmgate jobs resolve`."


class AdministrationStore:
    """Writes teams, users and keys. Each act raises NotFound when what it is about is gone by then."""

    def __init__(self, audit: AuditStore, accounts: AccountStore, zones: ZoneStore) -> None:
        self._audit = audit
        self._accounts = accounts
        self._zones = zones

    async def add_team(self, actor: str, team: Team, limits: Sequence[Limit]) -> None:
        """A new team, with its limits."""
        await self._audit.act(
            actor=actor,
            action="team.add",
            target=team.id,
            details={
                "name": team.name,
                "weight": team.weight,
                "time_zone": team.time_zone,
                "limits": [limit.details for limit in limits],
            },
            writes=[put(keys.team(team.id), team), ("SADD", keys.TEAMS, team.id), *set_limits(team.id, limits)],
        )

    async def change_team(self, actor: str, team: Team, changes: dict[str, Any]) -> None:
        """Write these fields; what was used in the present calendar windows goes over into a new time zone's.

        CalendarChanged when a window ended, or somebody changed the team, in this moment.
        """
        zone = changes.get("time_zone", team.time_zone)
        carry = await self._zones.carry(team, zone) if zone != team.time_zone else ZoneChange([], [])
        writes: list[Command] = [("HSET", keys.team(team.id), *flat(changes))] if changes else []
        await self._audit.act(
            actor=actor,
            action="team.change",
            target=team.id,
            details=changes,
            writes=[*writes, *carry.writes],
            require=[team_exists(team.id), *carry.require],
        )

    async def remove_team(self, actor: str, team: str, *, now_ms: int) -> None:
        """Delete a team: its users go and its keys are revoked; its jobs, ledger and audit lines stay.

        Conflict while one of its jobs has not ended, because its money is not settled.
        """
        users = await self._accounts.users(team, deleted=True)
        writes: list[Command] = [("HSET", keys.team(team), "deleted_ms", now_ms), *resume_writes(team)]
        writes.append(("DEL", keys.endpoints(team)))
        require = [Require(("size", keys.team_users(team), len(users)), changed())]
        for user in users:
            more, same = await self._removal(user, now_ms)
            writes += more
            require += same
        require += [team_exists(team), _no_live_jobs("team", team)]
        await self._audit.act(
            actor=actor, action="team.remove", target=team, details={}, writes=writes, require=require
        )

    async def rotate_team_secret(
        self, actor: str, before: Team, secrets: Sequence[Secret], *, overlap_ms: int
    ) -> None:
        """Write the secrets of the webhooks that the team's jobs name, the newest first.

        Conflict when others came in this moment.
        """
        name = keys.team(before.id)
        older = json.dumps([[secret.text, secret.until_ms] for secret in secrets[1:]])
        again = Conflict("Somebody rotated the secret in this moment; read it again.")
        await self._audit.act(
            actor=actor,
            action="team.rotate_webhook_secret",
            target=before.id,
            details={"overlap_ms": overlap_ms},
            writes=[("HSET", name, "webhook_secret", secrets[0].text, "older_secrets", older)],
            require=[Require(("same", name, "webhook_secret", before.webhook_secret), again)],
        )

    async def add_user(self, actor: str, user: User, limits: Sequence[Limit]) -> None:
        """A new user of a team, with limits of their own."""
        await self._audit.act(
            actor=actor,
            action="user.add",
            target=user.id,
            details={"team": user.team, "name": user.name, "limits": [limit.details for limit in limits]},
            writes=[
                put(keys.user(user.team, user.id), user),
                ("HSET", keys.USERS, user.id, user.team),
                ("SADD", keys.team_users(user.team), user.id),
                *set_limits(user.id, limits),
            ],
            require=[team_exists(user.team)],
        )

    async def rename_user(self, actor: str, user: User, name: str) -> None:
        """Give a user another name."""
        await self._audit.act(
            actor=actor,
            action="user.change",
            target=user.id,
            details={"name": name},
            writes=[("HSET", keys.user(user.team, user.id), "name", name)],
            require=[user_exists(user.team, user.id)],
        )

    async def remove_user(self, actor: str, user: User, *, now_ms: int) -> None:
        """Delete a user and revoke the keys; Conflict while one of the jobs has not ended."""
        writes, require = await self._removal(user, now_ms)
        require += [user_exists(user.team, user.id), _no_live_jobs("user", user.id)]
        await self._audit.act(
            actor=actor, action="user.remove", target=user.id, details={}, writes=writes, require=require
        )

    async def add_key(self, actor: str, key_digest: str, record: Key) -> None:
        """A new key, under its digest."""
        details = {
            "user": record.user,
            "name": record.name,
            "scopes": sorted(record.scopes),
            "models": record.models,
            "origins": record.origins,
            "expires": iso(record.expires_ms),
        }
        await self._audit.act(
            actor=actor,
            action="key.add",
            target=record.id,
            details=details,
            writes=_put_key(key_digest, record),
            require=[user_exists(record.team, record.user), team_exists(record.team)],
        )

    async def rotate_key(self, actor: str, old: tuple[str, Key], new: tuple[str, Key], *, old_ends_ms: int) -> None:
        """Put a new key beside the old one, which ends then; both as digest and record.

        Conflict when the old one was revoked or rotated in this moment.
        """
        name, record = keys.key(old[0]), new[1]
        ended = Conflict("The key was revoked or rotated in this moment.", code=Code.KEY_ENDED)
        await self._audit.act(
            actor=actor,
            action="key.rotate",
            target=old[1].id,
            details={"new": record.id, "old_ends": iso(old_ends_ms)},
            writes=[*_put_key(*new), ("HSET", name, "expires_ms", old_ends_ms, "replaced_by", record.id)],
            require=[Require(("no_field", name, field), ended) for field in ("revoked_ms", "replaced_by")],
        )

    async def revoke_key(self, actor: str, key_digest: str, key_id: str, *, now_ms: int) -> None:
        """Close a key."""
        writes = [("HSET", keys.key(key_digest), "revoked_ms", now_ms)]
        await self._audit.act(actor=actor, action="key.revoke", target=key_id, details={}, writes=writes)

    async def _removal(self, user: User, now_ms: int) -> tuple[list[Command], list[Require]]:
        """The writes that delete a user and revoke the keys, and that no key was made meanwhile."""
        held = await self._accounts.keys_of([user.id])
        writes: list[Command] = [("HSET", keys.user(user.team, user.id), "deleted_ms", now_ms)]
        writes += [
            ("HSET", keys.key(key_digest), "revoked_ms", now_ms)
            for key_digest, record in held
            if record.revoked_ms is None
        ]
        return writes, [Require(("size", keys.user_keys(user.id), len(held)), changed())]


def changed() -> Conflict:
    """Somebody was faster."""
    return Conflict("Somebody changed it in this moment; send it again.")


def _no_live_jobs(what: str, owner: str) -> Require:
    return Require(("absent", keys.live(owner)), Conflict(f"The {what} has {UNENDED}", code=Code.HAS_LIVE_JOBS))


def _put_key(key_digest: str, record: Key) -> list[Command]:
    return [
        put(keys.key(key_digest), record),
        ("HSET", keys.KEYS, record.id, key_digest),
        ("SADD", keys.user_keys(record.user), record.id),
    ]
