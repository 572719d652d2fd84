"""Administration over HTTP, for the administrator's key: teams, users, keys, money, the audit log."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response

from app.api.accept import prefers
from app.api.admin_bodies import (
    CreditBody,
    KeyBody,
    RotateBody,
    TeamBody,
    TeamChange,
    UserBody,
    UserChange,
)
from app.api.body import json_body
from app.api.csv_replies import AS_CSV, BY_ACCEPT, CSV, csv_file
from app.api.deps import EVENT_ID, Administrator, TheGateway, existing_team
from app.api.document_responses import NO_CONTENT, refusals
from app.api.moments import LONGEST_TIME, require_order
from app.api.paging import PageSize, id_after
from app.api.strict_body import LONGEST_ID
from app.domain.accounts import USER_SCOPES
from app.domain.errors import Code, Malformed, NotFound, Unprocessable, Violation
from app.domain.moments import read_moment
from app.domain.money import format_usd
from app.domain.times import date_in
from app.gateway import Gateway
from app.views.accounts import (
    KeyList,
    KeyView,
    NewKeyView,
    TeamList,
    TeamView,
    UserList,
    UserView,
    key_view,
    team_view,
    user_view,
)
from app.views.ledger import (
    AdjustmentView,
    AuditPage,
    AuditVerdict,
    LedgerPage,
    act_view,
    entries_csv,
    entry_view,
    verdict_view,
)


async def _cursor(
    _: Administrator, cursor: Annotated[str | None, Query(max_length=LONGEST_ID)] = None
) -> str | None:
    """The `next_cursor` of an earlier page, or None."""
    if cursor is not None and not EVENT_ID.fullmatch(cursor):
        raise Malformed("The cursor is not one that this list gave out.", code=Code.INVALID_CURSOR)
    return cursor


router = APIRouter(prefix="/v1", tags=["administration"])
ExistingTeam = Annotated[str, Depends(existing_team)]
Cursor = Annotated[str | None, Depends(_cursor)]
LedgerStart = Annotated[
    str | None, Query(alias="from", max_length=LONGEST_TIME, description="By default the beginning")
]
LedgerEnd = Annotated[
    str | None, Query(alias="to", max_length=LONGEST_TIME, description="Exclusive; by default the end")
]
IdFilter = Annotated[str | None, Query(max_length=LONGEST_ID)]
ReadTeam = Annotated[TeamBody, Depends(json_body(TeamBody))]
ReadTeamChange = Annotated[TeamChange, Depends(json_body(TeamChange))]
ReadUser = Annotated[UserBody, Depends(json_body(UserBody))]
ReadUserChange = Annotated[UserChange, Depends(json_body(UserChange))]
ReadKey = Annotated[KeyBody, Depends(json_body(KeyBody))]
ReadRotate = Annotated[RotateBody, Depends(json_body(RotateBody))]
ReadCredit = Annotated[CreditBody, Depends(json_body(CreditBody))]


@router.post("/admin/teams", status_code=201, summary="Add a team")
async def add_team(actor: Administrator, gateway: TheGateway, body: ReadTeam) -> TeamView:
    """A new team with its limits: who pays together, and the time zone its calendar windows follow."""
    limits = [limit.limit() for limit in body.limits]
    team = await gateway.administration.add_team(
        actor,
        name=body.name,
        weight=body.weight,
        time_zone=body.time_zone,
        reposts=body.reposts,
        retention_days=body.retention_days,
        storage_bytes=body.storage_bytes,
        limits=limits,
    )
    return team_view(team, limits)


@router.get("/admin/teams", summary="List teams")
async def list_teams(_: Administrator, gateway: TheGateway) -> TeamList:
    """Every team, the oldest first."""
    teams = await gateway.administration.teams()
    limits = await gateway.limits.of_each([team.id for team in teams])
    return {"data": [team_view(team, limits[team.id]) for team in teams]}


@router.get("/admin/teams/{team_id}", summary="Read a team")
async def read_team(team_id: str, _: Administrator, gateway: TheGateway) -> TeamView:
    """A team and its limits."""
    team = await gateway.administration.team(team_id)
    return team_view(team, await gateway.limits.of(team_id))


@router.patch("/admin/teams/{team_id}", summary="Change a team")
async def change_team(team_id: str, actor: Administrator, gateway: TheGateway, body: ReadTeamChange) -> TeamView:
    """Changes the given members; a new time zone begins new calendar periods.

    Another retention applies to jobs that end, and to files that are stored, from now on.
    """
    team = await gateway.administration.change_team(
        actor,
        team_id,
        name=body.name,
        weight=body.weight,
        time_zone=body.time_zone,
        reposts=body.reposts,
        retention_days=body.retention_days,
        storage_bytes=body.storage_bytes,
    )
    return team_view(team, (await gateway.limits.of_each([team_id]))[team_id])


@router.delete("/admin/teams/{team_id}", **NO_CONTENT, responses=refusals(409), summary="Delete a team")
async def remove_team(team_id: str, actor: Administrator, gateway: TheGateway) -> None:
    """Deletes its users and revokes its keys; 409 `has_live_jobs` while one of its jobs has not ended."""
    await gateway.administration.remove_team(actor, team_id)


@router.post("/admin/users", status_code=201, responses=refusals(404), summary="Add a user")
async def add_user(actor: Administrator, gateway: TheGateway, body: ReadUser) -> UserView:
    """A new user of a team, with limits of their own."""
    limits = [limit.limit() for limit in body.limits]
    user = await gateway.administration.add_user(actor, team=body.team, name=body.name, limits=limits)
    return user_view(user, limits)


@router.get("/admin/users", responses=refusals(404), summary="List users")
async def list_users(_: Administrator, gateway: TheGateway, team: IdFilter = None) -> UserList:
    """The users of a team, or of all teams, the oldest first."""
    users = await gateway.administration.users(team)
    limits = await gateway.limits.of_each([user.id for user in users])
    return {"data": [user_view(user, limits[user.id]) for user in users]}


@router.get("/admin/users/{user_id}", summary="Read a user")
async def read_user(user_id: str, _: Administrator, gateway: TheGateway) -> UserView:
    """A user and their limits."""
    user = await gateway.administration.user(user_id)
    return user_view(user, await gateway.limits.of(user_id))


@router.patch("/admin/users/{user_id}", summary="Rename a user")
async def change_user(user_id: str, actor: Administrator, gateway: TheGateway, body: ReadUserChange) -> UserView:
    """Changes the name."""
    user = await gateway.administration.change_user(actor, user_id, name=body.name)
    return user_view(user, (await gateway.limits.of_each([user_id]))[user_id])


@router.delete("/admin/users/{user_id}", **NO_CONTENT, responses=refusals(409), summary="Delete a user")
async def remove_user(user_id: str, actor: Administrator, gateway: TheGateway) -> None:
    """Revokes the keys; 409 `has_live_jobs` while one of the user's jobs has not ended."""
    await gateway.administration.remove_user(actor, user_id)


@router.post("/admin/keys", status_code=201, responses=refusals(404), summary="Make a key")
async def add_key(actor: Administrator, gateway: TheGateway, body: ReadKey) -> NewKeyView:
    """A new key of a user. `key` is shown only in this reply: it is not stored."""
    _require_models(gateway, body.models)
    made = await gateway.administration.add_key(
        actor,
        user=body.user,
        name=body.name or "",
        scopes=USER_SCOPES if body.scopes is None else frozenset(body.scopes),
        models=body.models,
        origins=body.origins,
        expires_in_s=body.expires_in,
        reposts=body.reposts,
    )
    return {**key_view(made.record), "key": made.key}


@router.get("/admin/keys", responses=refusals(404), summary="List keys")
async def list_keys(_: Administrator, gateway: TheGateway, team: IdFilter = None, user: IdFilter = None) -> KeyList:
    """The keys of a user, of a team, or all; ended ones too, the oldest first."""
    found = await gateway.administration.keys(team=team, user=user)
    return {"data": [key_view(key, used_ms) for key, used_ms in found]}


@router.get("/admin/keys/{key_id}", summary="Read a key's record")
async def read_key(key_id: str, _: Administrator, gateway: TheGateway) -> KeyView:
    """The key's record, and when it was last used."""
    return key_view(*await gateway.administration.key(key_id))


@router.post("/admin/keys/{key_id}/rotate", status_code=201, responses=refusals(409), summary="Replace a key")
async def rotate_key(key_id: str, actor: Administrator, gateway: TheGateway, body: ReadRotate) -> NewKeyView:
    """A new key with the same rights, shown only in this reply; the old one works for `overlap` more seconds."""
    made = await gateway.administration.rotate_key(actor, key_id, overlap_s=body.overlap)
    return {**key_view(made.record), "key": made.key}


@router.delete("/admin/keys/{key_id}", **NO_CONTENT, summary="Revoke a key")
async def revoke_key(key_id: str, actor: Administrator, gateway: TheGateway) -> None:
    """The key and the browser tokens made with it stop working; repeating the call is harmless."""
    await gateway.administration.revoke_key(actor, key_id)


@router.post(
    "/admin/teams/{team_id}/credits",
    status_code=201,
    responses=refusals(409),
    summary="Credit a team, or correct its spending",
)
async def adjust(
    team_id: ExistingTeam, actor: Administrator, gateway: TheGateway, body: ReadCredit
) -> AdjustmentView:
    """`amount_usd` lets the team spend more; `correction_usd` counts as spent; `actual_usd` is what a job cost."""
    if body.amount_usd is not None:
        await gateway.ledger.credit(actor, team_id, micro=body.amount_usd, reason=body.reason)
        amount = format_usd(body.amount_usd)
        return {"team": team_id, "reason": body.reason, "done": "credit", "amount_usd": amount}
    if body.correction_usd is not None:
        await gateway.ledger.correct(actor, team_id, micro=body.correction_usd, reason=body.reason)
        amount = format_usd(body.correction_usd)
        return {"team": team_id, "reason": body.reason, "done": "correction", "correction_usd": amount}
    job, actual = body.job or "", body.actual_usd or 0
    done = await gateway.ledger.correct_job(actor, team_id, job, actual=actual, reason=body.reason)
    amount = format_usd(actual)
    return {"team": team_id, "reason": body.reason, "done": done, "job": job, "actual_usd": amount}


@router.get(
    "/admin/ledger",
    response_model=LedgerPage,
    responses={**AS_CSV, **refusals(404)},
    summary="A team's ledger",
)
async def read_ledger(
    request: Request,
    _: Administrator,
    gateway: TheGateway,
    before: Cursor,
    team: Annotated[str, Query(max_length=LONGEST_ID)],
    start: LedgerStart = None,
    end: LedgerEnd = None,
    limit: PageSize = 50,
) -> Response:
    """Every movement of a team's money, newest first; a deleted team's too.

    With `Accept: text/csv` one file of the whole span, oldest first, with the names of users and keys.
    """
    zone = (await gateway.accounts.any_team(team)).time_zone
    from_ms = 0 if start is None else read_moment("from", start, zone)
    to_ms = None if end is None else read_moment("to", end, zone)
    require_order(from_ms, to_ms)
    if prefers(CSV, request.headers.get("accept", "")):
        rows = await gateway.ledger.whole(team, from_ms=from_ms, to_ms=to_ms)
        text = entries_csv(rows, await gateway.ledger.names(team))
        return csv_file(f"ledger-{date_in(zone, rows[0].at_ms) if rows else 'empty'}.csv", text)
    entries = await gateway.ledger.page(team, before=before, count=limit + 1, from_ms=from_ms, to_ms=to_ms)
    page = {"data": [entry_view(entry) for entry in entries[:limit]], "next_cursor": id_after(entries, limit)}
    return JSONResponse(page, headers=BY_ACCEPT)


@router.get("/admin/audit", summary="Who did what")
async def read_audit(_: Administrator, gateway: TheGateway, before: Cursor, limit: PageSize = 50) -> AuditPage:
    """Every administrative act, newest first."""
    acts = await gateway.audit.page(before=before, count=limit + 1)
    return {"data": [act_view(act) for act in acts[:limit]], "next_cursor": id_after(acts, limit)}


@router.get("/admin/audit/verify", summary="Is the audit log as it was written?")
async def verify_audit(_: Administrator, gateway: TheGateway) -> AuditVerdict:
    """Recomputes the chain of hashes; `broken_at` is the number of the first line that does not match."""
    return verdict_view(await gateway.audit.verify())


def _require_models(gateway: Gateway, models: list[str] | None) -> None:
    """Unprocessable, with a pointer into the body, when a model is not in the registry."""
    for index, model in enumerate(models or ()):
        try:
            gateway.catalog.get(model)
        except NotFound as error:
            raise Unprocessable(
                error.message, violations=(Violation(f"/models/{index}", error.code, error.message),)
            ) from None
