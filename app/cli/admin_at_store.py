"""Administration at this machine's store."""

# ruff: noqa: D102  each method as AdminCalls says

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from app.cli.admin_calls import View, given_only
from app.cli.parse import actor
from app.domain.accounts import NO_TEAM, Team, User
from app.domain.errors import Conflict, NotFound
from app.domain.jobs import Job, Status
from app.domain.limits import Limit
from app.services.listing import Filter
from app.services.usage import Grouping, Report
from app.views.accounts import key_view, team_view, user_view
from app.views.history import operated_job_details
from app.views.jobs import job_view
from app.views.ledger import act_view, entry_view, verdict_view
from app.views.limits import limit_view, limits_view, present_limit_view
from app.views.operations import (
    MAX_DELIVERIES,
    alert_test_view,
    buying_view,
    operated_job_page,
    operated_job_view,
    overview_view,
)
from app.views.sessions import invitation_view
from app.views.usage import csv_text, report_view

if TYPE_CHECKING:
    from app.gateway import Gateway  # slow to load: see store_command

PAGE = 100


class AdminAtStore:
    """AdminCalls on a gateway of this process. The audit log names the person who is logged in here."""

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway
        self._accounts = gateway.administration

    # --- accounts ------------------------------------------------------------------------------------------------

    async def teams(self) -> Sequence[View]:
        teams = await self._accounts.teams()
        limits = await self._gateway.limits.of_each([team.id for team in teams])
        return [team_view(team, limits[team.id]) for team in teams]

    async def team(self, team_id: str) -> View:
        return await self._team_view(await self._accounts.team(team_id))

    async def add_team(self, given: Mapping[str, Any], limits: Sequence[Limit]) -> View:
        team = await self._accounts.add_team(actor(), limits=limits, **given_only(given))
        return await self._team_view(team)

    async def change_team(self, team_id: str, given: Mapping[str, Any]) -> View:
        return await self._team_view(await self._accounts.change_team(actor(), team_id, **given))

    async def remove_team(self, team_id: str) -> None:
        await self._accounts.remove_team(actor(), team_id)

    async def users(self, team: str | None = None) -> Sequence[View]:
        users = await self._accounts.users(team)
        limits = await self._gateway.limits.of_each([user.id for user in users])
        return [user_view(user, limits[user.id]) for user in users]

    async def user(self, user_id: str) -> View:
        return await self._user_view(await self._accounts.user(user_id))

    async def add_user(self, team: str, name: str, limits: Sequence[Limit]) -> View:
        return await self._user_view(await self._accounts.add_user(actor(), team=team, name=name, limits=limits))

    async def change_user(self, user_id: str, name: str) -> View:
        return await self._user_view(await self._accounts.change_user(actor(), user_id, name=name))

    async def remove_user(self, user_id: str) -> None:
        await self._accounts.remove_user(actor(), user_id)

    async def keys(self, *, team: str | None = None, user: str | None = None) -> Sequence[View]:
        return [key_view(*row) for row in await self._accounts.keys(team=team, user=user)]

    async def key(self, key_id: str) -> View:
        return key_view(*await self._accounts.key(key_id))

    async def add_key(self, user: str, given: Mapping[str, Any]) -> View:
        made = await self._accounts.add_key(actor(), user=user, **_for_service(given))
        return {**key_view(made.record, None), "key": made.key}

    async def rotate_key(self, key_id: str, *, overlap_s: int) -> View:
        made = await self._accounts.rotate_key(actor(), key_id, overlap_s=overlap_s)
        return {**key_view(made.record, None), "key": made.key}

    async def revoke_key(self, key_id: str) -> None:
        await self._accounts.revoke_key(actor(), key_id)

    async def invite(self, user: str, given: Mapping[str, Any]) -> View:
        made = await self._gateway.invitations.add(actor(), user=user, **_for_service(given))
        return {**invitation_view(made.invitation, made.invitation.created_ms), "url": made.url}

    async def require_models(self, models: Sequence[str]) -> None:
        for model in models:
            self._gateway.catalog.get(model)

    # --- money ---------------------------------------------------------------------------------------------------

    async def limits(self, owner: str) -> Sequence[View]:
        return [present_limit_view(*row) for row in await self._gateway.limits.present(owner)]

    async def set_limits(self, owner: str, limits: Sequence[Limit]) -> Sequence[View]:
        await self._gateway.limits.replace(actor(), owner, limits)
        return limits_view(await self._gateway.limits.of(owner))

    async def raise_limit(self, owner: str, limit: Limit, *, seconds: int) -> View:
        return limit_view(await self._gateway.limits.raise_for(actor(), owner, limit, seconds=seconds))

    async def entries(self, team: str, count: int) -> Sequence[View]:
        await self._require_team(team)
        return [entry_view(entry) for entry in await self._gateway.ledger.page(team, before=None, count=count)]

    async def credit(self, team: str, micro: int, reason: str) -> None:
        await self._gateway.ledger.credit(actor(), team, micro=micro, reason=reason)

    async def correct(self, team: str, micro: int, reason: str) -> None:
        await self._gateway.ledger.correct(actor(), team, micro=micro, reason=reason)

    async def correct_job(self, team: str, job: str, actual: int, reason: str) -> str:
        return str(await self._gateway.ledger.correct_job(actor(), team, job, actual=actual, reason=reason))

    async def usage(self, query: Mapping[str, str | None]) -> View:
        return report_view(await self._report(query))

    async def usage_csv(self, query: Mapping[str, str | None]) -> str:
        return csv_text(await self._report(query))

    # --- operation -----------------------------------------------------------------------------------------------

    async def acts(self, count: int) -> Sequence[View]:
        return [act_view(act) for act in await self._gateway.audit.page(before=None, count=count)]

    async def verify_audit(self) -> View:
        return verdict_view(await self._gateway.audit.verify())

    async def status(self) -> View:
        return overview_view(await self._gateway.operations.overview())

    async def pause(self, team: str | None, reason: str) -> View:
        return buying_view(team, await self._gateway.operations.pause(actor(), team=team, reason=reason))

    async def resume(self, team: str | None) -> View:
        return buying_view(team, await self._gateway.operations.resume(actor(), team=team))

    async def jobs(
        self, *, status: str | None, team: str | None, count: int, user: str | None = None
    ) -> Sequence[View]:
        found: list[View] = []
        cursor: str | None = None
        wanted = Filter(statuses=frozenset() if status is None else frozenset({Status(status)}), user=user)
        while len(found) < count:
            rows = min(PAGE, count - len(found))
            page = await self._gateway.listing.page_of_all(wanted, team=team, limit=rows, cursor=cursor)
            views = operated_job_page(page, await self._gateway.operations.held_since(page.jobs))["data"]
            found += [self._with_content(job, view) for job, view in zip(page.jobs, views, strict=True)]
            cursor = page.next_cursor
            if cursor is None:
                break
        return found

    async def job(self, job_id: str) -> View:
        job = await self._gateway.operations.job(job_id)
        held_since = await self._gateway.operations.held_since([job])
        history = await self._gateway.histories.of(job)
        deliveries = await self._gateway.delivery_log.newest_of(job, limit=MAX_DELIVERIES)
        shown = operated_job_details(history, held_ms=held_since.get(job.id), deliveries=deliveries)
        return self._with_content(job, shown)

    async def cancel(self, job_id: str) -> View | None:
        try:
            job = await self._gateway.operations.cancel(actor(), job_id)
        except Conflict:
            return None
        held_since = await self._gateway.operations.held_since([job])
        return self._with_content(job, operated_job_view(job, held_since.get(job.id)))

    async def resolve(self, job_id: str, action: Any, given: Mapping[str, Any]) -> View:
        job = await self._gateway.operations.resolve(actor(), job_id, action, **given)
        return self._with_content(job, operated_job_view(job))

    async def try_alerts(self) -> View:
        return alert_test_view(await self._gateway.alerts.test())

    async def _team_view(self, team: Team) -> View:
        return team_view(team, await self._gateway.limits.of(team.id))

    async def _user_view(self, user: User) -> View:
        return user_view(user, await self._gateway.limits.of(user.id))

    async def _require_team(self, team_id: str) -> Team:
        """The team, a deleted one too."""
        team = await self._gateway.accounts.team(team_id)
        if team is None:
            raise NotFound(NO_TEAM)
        return team

    async def _report(self, query: Mapping[str, str | None]) -> Report:
        team = query["team"]
        zone = "UTC" if team is None else (await self._require_team(team)).time_zone
        span = await self._gateway.usage.span(query["from"], query["to"], zone=zone)
        group_by = Grouping(query["group_by"] or Grouping.DAY)
        return await self._gateway.usage.report(team, from_ms=span.from_ms, to_ms=span.to_ms, group_by=group_by)

    def _with_content(self, job: Job, shown: Mapping[str, Any]) -> View:
        """What `/v1/admin` shows of the job, and what only its callers see there: input, output, metadata."""
        return {**job_view(job, base_url=self._gateway.settings.base_url), **shown}


def _for_service(given: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a key that were given, as the services take them; the others are theirs to choose."""
    members = given_only(given)
    if "scopes" in members:
        members["scopes"] = frozenset(members["scopes"])
    if "expires_in" in members:
        members["expires_in_s"] = members.pop("expires_in")
    return members
