"""Administration of a gateway over HTTP, with the administrator's key."""

# ruff: noqa: D102  each method as AdminCalls says

from collections.abc import Mapping, Sequence
from typing import Any, cast

from app.cli.admin_calls import View, given_only
from app.cli.generate.client import ApiClient
from app.domain.accounts import AS_GATEWAY, UNLIMITED
from app.domain.limits import GATEWAY, Limit
from app.domain.money import format_usd
from app.views.limits import limit_view, limits_view

PAGE = 100


class AdminOverHttp:
    """AdminCalls by the routes below `/v1/admin`. The audit log names the administrator's key."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    # --- accounts ------------------------------------------------------------------------------------------------

    async def teams(self) -> Sequence[View]:
        return await self._list("/teams")

    async def team(self, team_id: str) -> View:
        return await self._get(f"/teams/{team_id}")

    async def add_team(self, given: Mapping[str, Any], limits: Sequence[Limit]) -> View:
        return await self._post("/teams", {**_team_members(given), "limits": limits_view(limits)})

    async def change_team(self, team_id: str, given: Mapping[str, Any]) -> View:
        return await self._ask("PATCH", f"/teams/{team_id}", _team_members(given))

    async def remove_team(self, team_id: str) -> None:
        await self._delete(f"/teams/{team_id}")

    async def users(self, team: str | None = None) -> Sequence[View]:
        return await self._list("/users", team=team)

    async def user(self, user_id: str) -> View:
        return await self._get(f"/users/{user_id}")

    async def add_user(self, team: str, name: str, limits: Sequence[Limit]) -> View:
        return await self._post("/users", {"team": team, "name": name, "limits": limits_view(limits)})

    async def change_user(self, user_id: str, name: str) -> View:
        return await self._ask("PATCH", f"/users/{user_id}", {"name": name})

    async def remove_user(self, user_id: str) -> None:
        await self._delete(f"/users/{user_id}")

    async def keys(self, *, team: str | None = None, user: str | None = None) -> Sequence[View]:
        return await self._list("/keys", team=team, user=user)

    async def key(self, key_id: str) -> View:
        return await self._get(f"/keys/{key_id}")

    async def add_key(self, user: str, given: Mapping[str, Any]) -> View:
        return await self._post("/keys", {"user": user, **given_only(given)})

    async def rotate_key(self, key_id: str, *, overlap_s: int) -> View:
        return await self._post(f"/keys/{key_id}/rotate", {"overlap": overlap_s})

    async def revoke_key(self, key_id: str) -> None:
        await self._delete(f"/keys/{key_id}")

    async def invite(self, user: str, given: Mapping[str, Any]) -> View:
        return await self._post("/invitations", {"user": user, **given_only(given)})

    async def require_models(self, models: Sequence[str]) -> None:
        for model in models:
            await self._client.ask("GET", f"/v1/models/{model}")

    # --- money ---------------------------------------------------------------------------------------------------

    async def limits(self, owner: str) -> Sequence[View]:
        return await self._list(f"{_path_of(owner)}/limits")

    async def set_limits(self, owner: str, limits: Sequence[Limit]) -> Sequence[View]:
        reply = await self._ask("PUT", f"{_path_of(owner)}/limits", limits_view(limits))
        return cast("Sequence[View]", reply["data"])

    async def raise_limit(self, owner: str, limit: Limit, *, seconds: int) -> View:
        return await self._post(f"{_path_of(owner)}/raises", {**limit_view(limit), "expires_in": seconds})

    async def entries(self, team: str, count: int) -> Sequence[View]:
        return await self._pages("/ledger", count, team=team)

    async def credit(self, team: str, micro: int, reason: str) -> None:
        await self._post(f"/teams/{team}/credits", {"amount_usd": format_usd(micro), "reason": reason})

    async def correct(self, team: str, micro: int, reason: str) -> None:
        await self._post(f"/teams/{team}/credits", {"correction_usd": format_usd(micro), "reason": reason})

    async def correct_job(self, team: str, job: str, actual: int, reason: str) -> str:
        body = {"job": job, "actual_usd": format_usd(actual), "reason": reason}
        return str((await self._post(f"/teams/{team}/credits", body))["done"])

    async def usage(self, query: Mapping[str, str | None]) -> View:
        return await self._get("/usage", **query)

    async def usage_csv(self, query: Mapping[str, str | None]) -> str:
        send = {"params": given_only(query), "headers": {"Accept": "text/csv"}}
        return await self._client.text("GET", "/v1/admin/usage", lambda: send)

    # --- operation -----------------------------------------------------------------------------------------------

    async def acts(self, count: int) -> Sequence[View]:
        return await self._pages("/audit", count)

    async def verify_audit(self) -> View:
        return await self._get("/audit/verify")

    async def status(self) -> View:
        return await self._get("/status")

    async def pause(self, team: str | None, reason: str) -> View:
        return await self._post("/pause", given_only({"team": team, "reason": reason}))

    async def resume(self, team: str | None) -> View:
        return await self._post("/resume", given_only({"team": team}))

    async def jobs(
        self, *, status: str | None, team: str | None, count: int, user: str | None = None
    ) -> Sequence[View]:
        return await self._pages("/jobs", count, status=status, team=team, user=user)

    async def job(self, job_id: str) -> View:
        return await self._get(f"/jobs/{job_id}")

    async def cancel(self, job_id: str) -> View | None:
        return await self._client.ask_unless_conflict("POST", f"/v1/admin/jobs/{job_id}/cancel")

    async def resolve(self, job_id: str, action: str, given: Mapping[str, Any]) -> View:
        return await self._post(f"/jobs/{job_id}/resolve", {"action": action, **given_only(given)})

    async def try_alerts(self) -> View:
        return await self._ask("POST", "/alerts/test", None)

    # --- the wire ------------------------------------------------------------------------------------------------

    async def _get(self, path: str, **query: str | None) -> View:
        return await self._client.ask("GET", f"/v1/admin{path}", lambda: {"params": given_only(query)})

    async def _list(self, path: str, **query: str | None) -> Sequence[View]:
        return cast("Sequence[View]", (await self._get(path, **query))["data"])

    async def _pages(self, path: str, count: int, **query: str | None) -> Sequence[View]:
        """The first `count` rows of a list that comes in pages."""
        rows: list[View] = []
        cursor: str | None = None
        while len(rows) < count:
            wanted = str(min(PAGE, count - len(rows)))
            page = await self._get(path, **query, limit=wanted, cursor=cursor)
            rows += page["data"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        return rows

    async def _post(self, path: str, body: Any) -> View:
        return await self._ask("POST", path, body)

    async def _ask(self, method: str, path: str, body: Any) -> View:
        send = {} if body is None else {"json": body}
        return await self._client.ask(method, f"/v1/admin{path}", lambda: send)

    async def _delete(self, path: str) -> None:
        await self._client.text("DELETE", f"/v1/admin{path}")


def _team_members(given: Mapping[str, Any]) -> dict[str, Any]:
    """The members that are given, with the API's words for two numbers that stand for something else."""
    members = given_only(given)
    for name, number, word in (
        ("retention_days", AS_GATEWAY, "gateway"),
        ("storage_bytes", UNLIMITED, "unlimited"),
    ):
        if members.get(name) == number:
            members[name] = word
    return members


def _path_of(owner: str) -> str:
    if owner == GATEWAY:
        return ""
    return f"/teams/{owner}" if owner.startswith("team_") else f"/users/{owner}"
