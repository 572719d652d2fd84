"""What the commands of administration ask for, wherever it is done: at the store, or at a gateway over HTTP.

The results have the members of `/v1/admin`'s views, so that a command prints the same table in both places. At the
store a job has its content too, which no route shows an administrator: input, output, metadata, its caller's URLs.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from app.domain.limits import Limit

View: TypeAlias = Mapping[str, Any]


class AdminCalls(Protocol):
    """Administration. Ids are whole; a FilmgateError or a Failure has a sentence for the person."""

    async def teams(self) -> Sequence[View]:
        """Every team, the oldest first."""

    async def team(self, team_id: str) -> View:
        """One team with its limits."""

    async def add_team(self, given: Mapping[str, Any], limits: Sequence[Limit]) -> View:
        """A new team; `given` are the members of `POST /v1/admin/teams` except the limits."""

    async def change_team(self, team_id: str, given: Mapping[str, Any]) -> View:
        """The team with these members changed; None keeps one."""

    async def remove_team(self, team_id: str) -> None:
        """Delete it, its users and their keys."""

    async def users(self, team: str | None = None) -> Sequence[View]:
        """The users of a team or of all, the oldest first."""

    async def user(self, user_id: str) -> View:
        """One user with the limits."""

    async def add_user(self, team: str, name: str, limits: Sequence[Limit]) -> View:
        """A new user of a team."""

    async def change_user(self, user_id: str, name: str) -> View:
        """The renamed user."""

    async def remove_user(self, user_id: str) -> None:
        """Delete the user, and revoke the keys."""

    async def keys(self, *, team: str | None = None, user: str | None = None) -> Sequence[View]:
        """The keys of a team, a user or all, the oldest first."""

    async def key(self, key_id: str) -> View:
        """The record of a key."""

    async def add_key(self, user: str, given: Mapping[str, Any]) -> View:
        """A new key with its `key`; `given` are the members of `POST /v1/admin/keys`; None is absent."""

    async def rotate_key(self, key_id: str, *, overlap_s: int) -> View:
        """The key that replaces this one."""

    async def revoke_key(self, key_id: str) -> None:
        """Revoke a key and its browser tokens."""

    async def invite(self, user: str, given: Mapping[str, Any]) -> View:
        """A new invitation with its `url`; `given` are members of `POST /v1/admin/invitations`; None is absent."""

    async def require_models(self, models: Sequence[str]) -> None:
        """NotFound for a model that is not known, where that can be said before anything is made."""

    async def limits(self, owner: str) -> Sequence[View]:
        """The limits of the gateway, a team or a user, with what is used, held and left of each."""

    async def set_limits(self, owner: str, limits: Sequence[Limit]) -> Sequence[View]:
        """Replace all limits of an owner."""

    async def raise_limit(self, owner: str, limit: Limit, *, seconds: int) -> View:
        """Raise one for so long."""

    async def entries(self, team: str, count: int) -> Sequence[View]:
        """The newest movements of a team's money."""

    async def credit(self, team: str, micro: int, reason: str) -> None:
        """Let a team spend more by so many micro-dollars."""

    async def correct(self, team: str, micro: int, reason: str) -> None:
        """Correct what a team has spent."""

    async def correct_job(self, team: str, job: str, actual: int, reason: str) -> str:
        """Correct a job's charge; the outcome's word."""

    async def acts(self, count: int) -> Sequence[View]:
        """The newest lines of the audit log."""

    async def verify_audit(self) -> View:
        """Is the audit log as it was written?"""

    async def status(self) -> View:
        """The overview."""

    async def pause(self, team: str | None, reason: str) -> View:
        """Stop buying for a team or all."""

    async def resume(self, team: str | None) -> View:
        """Buy on."""

    async def jobs(
        self, *, status: str | None, team: str | None, count: int, user: str | None = None
    ) -> Sequence[View]:
        """The newest jobs of a team, a user or all."""

    async def job(self, job_id: str) -> View:
        """One job of any team."""

    async def cancel(self, job_id: str) -> View | None:
        """The job after the request to cancel it; None when it had ended already."""

    async def resolve(self, job_id: str, action: str, given: Mapping[str, Any]) -> View:
        """Decide a held job; `given` are the other members of `POST /v1/admin/jobs/{job_id}/resolve`."""

    async def try_alerts(self) -> View:
        """How the receiver of alarms answers a test message."""

    async def usage(self, query: Mapping[str, str | None]) -> View:
        """The report of `team`, `from`, `to` and `group_by`."""

    async def usage_csv(self, query: Mapping[str, str | None]) -> str:
        """The same as CSV."""


async def names_of_owners(calls: AdminCalls) -> dict[str, str]:
    """The names of teams and users by id; those that were deleted have none."""
    return {str(one["id"]): str(one["name"]) for one in [*await calls.teams(), *await calls.users()]}


def given_only(members: Mapping[str, Any]) -> dict[str, Any]:
    """The members that were given: None is absent."""
    return {name: value for name, value in members.items() if value is not None}
